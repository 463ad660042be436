"""A second opinion on a finished backtest, from its own tables; pure of Dagster.

The engine checks its sums while it runs. These checks start again from the fills that a person
would read, so an error in writing the tables down is seen too.
"""

import math
from dataclasses import dataclass

import polars as pl

from jts_pipelines.backtest.result import NO_ORDERS
from jts_pipelines.backtest.summary import amounts_in


@dataclass(frozen=True, slots=True)
class Audit:
    """What the fills of a run add up to.

    Attributes:
        cash_expected: Starting cash and every fill's cash flow, in the account's currency.
        cash_found: Cash after the last session.
        sold_short: Fills that sold more than was held; 0 where a run may.
        not_positive: Fills of orders whose quantity or price is not above zero.
    """

    cash_expected: float
    cash_found: float
    sold_short: int
    not_positive: int

    @property
    def cash_is_conserved(self) -> bool:
        """Whether cash is where the fills say it is: to the won, and to what decimals carry."""
        return math.isclose(self.cash_expected, self.cash_found, rel_tol=1e-12, abs_tol=1e-6)

    @property
    def fills_are_sane(self) -> bool:
        """Whether nothing was sold that was not held, and every fill is of something."""
        return self.sold_short == 0 and self.not_positive == 0


def audit(
    fills: pl.DataFrame, equity: pl.DataFrame, start_cash: int, *, sells_short: bool = False
) -> Audit:
    """Add the fills of a run up again.

    Args:
        fills: One row per fill in the order of time: instrument, side, quantity, price,
            gross, commission, tax, reason, and dividend and borrow_fee where there may be any.
        equity: One row per session with `cash`.
        start_cash: In the account's currency.
        sells_short: Whether the run may sell what it does not hold.
    """
    fills = fills.with_columns(amounts_in(fills, "dividend"), amounts_in(fills, "borrow_fee"))
    is_buy, gross = pl.col("side") == "buy", pl.col("gross")
    signed = pl.when(is_buy).then(pl.col("quantity")).otherwise(-pl.col("quantity"))
    costs = pl.col("commission") + pl.col("tax") + pl.col("borrow_fee") - pl.col("dividend")
    flow = pl.when(is_buy).then(-gross).otherwise(gross) - costs
    held = fills.select(held=signed.cum_sum().over("instrument"))
    is_order = ~pl.col("reason").is_in(NO_ORDERS)
    empty = is_order & ((pl.col("quantity") <= 0) | (pl.col("price") <= 0))
    return Audit(
        cash_expected=start_cash + (fills.select(flow.sum()).item() or 0),
        cash_found=equity["cash"][-1],
        sold_short=0 if sells_short else held.filter(pl.col("held") < -1e-9).height,
        not_positive=fills.filter(empty).height,
    )
