"""How far orders were filled from the price that they were decided at."""

from typing import NamedTuple

import polars as pl

_BPS = 10_000
_KINDS = ("type", "side")


class Slippage(NamedTuple):
    """Of some orders, those that were filled at least in part.

    Attributes:
        orders: How many.
        mean_bps: Mean of the orders, in hundredths of a per cent of the price at which each was
            decided; above zero is worse than that price, None without orders.
        value_bps: Likewise, weighted by value.
        worst_bps: The worst order.
        cost: What that is in the account's currency.
    """

    orders: int
    mean_bps: float | None
    value_bps: float | None
    worst_bps: float | None
    cost: float


def slippage_by_order(orders: pl.DataFrame) -> pl.DataFrame:
    """Return the orders that were filled, or a part of them, with `slippage_bps`, `value`, `cost`.

    Args:
        orders: See `event_result.EventResult`.

    Returns:
        Value is what an order would have been worth at the price when it was given, cost how much
        worse it was filled; both in the account's currency.
    """
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    value = pl.col("decided") * pl.col("filled")
    worse = sign * (pl.col("price") - pl.col("decided"))
    return orders.filter((pl.col("filled") > 0) & (pl.col("decided") > 0)).with_columns(
        slippage_bps=worse / pl.col("decided") * _BPS,
        value=value,
        cost=worse * pl.col("filled"),
    )


def slippage_of(orders: pl.DataFrame) -> Slippage:
    """Return the slippage of orders; see `slippage_by_order`."""
    found = slippage_by_order(orders)
    if found.height == 0:
        return Slippage(0, None, None, None, 0.0)
    mean, value, worst, cost = found.select(
        pl.mean("slippage_bps"),
        (pl.sum("cost") / pl.sum("value") * _BPS).alias("by_value"),
        pl.max("slippage_bps").alias("worst"),
        pl.sum("cost"),
    ).row(0)
    return Slippage(found.height, mean, value, worst, cost)


def slippage_by_kind(orders: pl.DataFrame) -> dict[tuple[str, str], Slippage]:
    """Return the slippage by type and side of the orders, in the order of their names."""
    kinds = slippage_by_order(orders).select(_KINDS).unique().sort(_KINDS).rows()
    return {
        (kind, side): slippage_of(
            orders.filter((pl.col("type") == kind) & (pl.col("side") == side))
        )
        for kind, side in kinds
    }
