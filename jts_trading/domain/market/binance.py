"""Binance spot: price, lot and notional filters, rounding towards them, commission.

The filters come from `exchangeInfo` only and are stored as dated snapshots: the venue publishes no
history. A tick or step of zero switches a filter off.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.table import RuleTable


class BinanceVerdict(StrEnum):
    """Whether an order passes the filters; the venue names the filter that it fails."""

    ACCEPT = "accept"
    PRICE_FILTER = "reject_PRICE_FILTER"
    LOT_SIZE = "reject_LOT_SIZE"
    NOTIONAL = "reject_NOTIONAL"


@dataclass(frozen=True, slots=True)
class BinanceFilters:
    """Filters of one symbol on one day: price step, quantity step, smallest price x quantity."""

    tick: Decimal
    step: Decimal
    min_notional: Decimal


def parse_filters(text: str) -> BinanceFilters:
    """Read `0.01|0.00001|5` as price step, quantity step and smallest notional.

    Raises:
        ValueError: A number is missing, or below zero.
    """
    parts = [Decimal(part) for part in text.split("|")]
    if len(parts) != 3 or min(parts) < 0:
        raise ValueError(f"{text} is not tick|step|notional such as 0.01|0.00001|5")
    return BinanceFilters(*parts)


def filters_of(table: RuleTable, day: date, symbol: str) -> BinanceFilters:
    """Return the filters of a symbol on a day.

    Raises:
        RuleMissingError: The table has no snapshot of its exchangeInfo.
    """
    return parse_filters(table.require(f"filters.{symbol}", day, venue="BINANCE").value)


def admit_order(filters: BinanceFilters, price: Decimal, quantity: Decimal) -> BinanceVerdict:
    """Return the first filter that a limit order fails, or ACCEPT."""
    if price <= 0 or (filters.tick and price % filters.tick):
        return BinanceVerdict.PRICE_FILTER
    if quantity <= 0 or (filters.step and quantity % filters.step):
        return BinanceVerdict.LOT_SIZE
    if price * quantity < filters.min_notional:
        return BinanceVerdict.NOTIONAL
    return BinanceVerdict.ACCEPT


def round_price(filters: BinanceFilters, price: Decimal, side: Side) -> Decimal:
    """Return the price on the grid, rounded to the passive side: a buy down, a sale up."""
    below = _floored(price, filters.tick)
    return below if side is Side.BUY or below == price else below + filters.tick


def round_quantity(filters: BinanceFilters, quantity: Decimal) -> Decimal:
    """Return the quantity in whole steps, never more than asked for."""
    return _floored(quantity, filters.step)


def _floored(value: Decimal, step: Decimal) -> Decimal:
    return value - value % step if step else value


@dataclass(frozen=True, slots=True)
class Commission:
    """What one fill costs: an amount of the coin bought, of the quote currency, or of BNB."""

    amount: Decimal
    asset: str


def commission(
    *,
    side: Side,
    price: Decimal,
    quantity: Decimal,
    rate: Decimal,
    coin: str,
    quote: str,
    bnb_discount: Decimal | None = None,
    bnb_price: Decimal | None = None,
) -> Commission:
    """Return the commission of one fill.

    It is taken from what the fill brings in, or in BNB at a discount when both its discount and
    its price in the quote currency are given.
    """
    if bnb_discount is not None and bnb_price is not None:
        notional = price * quantity
        return Commission(notional * rate * (1 - bnb_discount) / bnb_price, "BNB")
    if side is Side.BUY:
        return Commission(quantity * rate, coin)
    return Commission(price * quantity * rate, quote)
