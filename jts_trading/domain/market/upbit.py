"""Upbit: ticks by price and date, smallest order, what an order locks and what a fill leaves.

Exact decimals with at most 8 places. A market code is `QUOTE-COIN` (`KRW-BTC`). Fees are charged
in the quote currency. The venue's own answer of the day (`tick_size`, `orders/chance`) overrides
the table where it is at hand.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from jts_trading.domain.market.ladder import (
    Ladder,
    decimal_of,
    exact_units,
    is_decimal_on_grid,
    parse_ladder,
)
from jts_trading.domain.market.loading import CRYPTO_SCALE
from jts_trading.domain.market.table import RuleTable


class UpbitVerdict(StrEnum):
    """Whether Upbit would take an order."""

    ACCEPT = "accept"
    TICK = "reject_tick"
    UNDER_MIN_TOTAL = "reject_under_min_total"
    OVER_MAX_TOTAL = "reject_over_max_total"


def split_market(market: str) -> tuple[str, str]:
    """Return quote currency and coin of `KRW-BTC`.

    Raises:
        ValueError: The code is not of that form.
    """
    quote, dash, coin = market.partition("-")
    if not (quote and dash and coin):
        raise ValueError(f"{market!r} is not an Upbit market such as KRW-BTC")
    return quote, coin


def upbit_ladder(table: RuleTable, day: date, market: str) -> Ladder:
    """Return the ladder in units of 1e-8, with the exception of single coins worked in.

    Raises:
        RuleMissingError: The quote currency has no ladder on that day.
    """
    quote, coin = split_market(market)
    rule = table.require("tick", day, venue="UPBIT", market=quote, asset=coin)
    ladder = parse_ladder(rule.value, CRYPTO_SCALE)
    for exception in table.in_force("tick_band_", day, "UPBIT"):
        if (exception.market, exception.asset) == (quote, coin):
            low, high = exception.key.removeprefix("tick_band_").split("_")
            ladder = ladder.with_band(
                exact_units(Decimal(low), CRYPTO_SCALE),
                exact_units(Decimal(high), CRYPTO_SCALE),
                exact_units(Decimal(exception.value), CRYPTO_SCALE),
            )
    return ladder


def fee_rate(table: RuleTable, day: date, market: str) -> Decimal:
    """Return the fee of either side as a fraction.

    Raises:
        RuleMissingError: The quote currency has no fee on that day.
    """
    quote, _ = split_market(market)
    return Decimal(table.require("fee", day, venue="UPBIT", market=quote).value)


def admit_limit_order(
    table: RuleTable, day: date, market: str, *, price: Decimal, volume: Decimal
) -> UpbitVerdict:
    """Return whether a limit order passes tick and total.

    Raises:
        RuleMissingError: The quote currency has no rule on that day.
    """
    quote, _ = split_market(market)
    if not is_decimal_on_grid(upbit_ladder(table, day, market), price):
        return UpbitVerdict.TICK
    total = price * volume
    if total < Decimal(table.require("min_total", day, venue="UPBIT", market=quote).value):
        return UpbitVerdict.UNDER_MIN_TOTAL
    most = table.find("max_total", day, venue="UPBIT", market=quote)
    if most is not None and total > Decimal(most.value):
        return UpbitVerdict.OVER_MAX_TOTAL
    return UpbitVerdict.ACCEPT


def limit_buy_lock(price: Decimal, volume: Decimal, rate: Decimal) -> Decimal:
    """Return the quote currency that a limit buy locks: price x volume and its fee."""
    return price * volume * (1 + rate)


@dataclass(frozen=True, slots=True)
class MarketBuy:
    """Result of spending a sum at one price; all but `volume` in the quote currency.

    Attributes:
        volume: Coins bought, cut to 8 places.
        spent: price x volume.
        fee: Charged on what was spent.
        refund: What comes back of the lock (funds and the fee on all of them).
    """

    volume: Decimal
    spent: Decimal
    fee: Decimal
    refund: Decimal


def market_buy(funds: Decimal, price: Decimal, rate: Decimal) -> MarketBuy:
    """Return what a market buy for a sum gives at one price.

    Raises:
        ValueError: Funds or price are not above zero.
    """
    if funds <= 0 or price <= 0:
        raise ValueError(f"funds {funds} and price {price} must be above 0")
    # A quotient of decimals would be rounded before it is cut; a fraction is not.
    volume = decimal_of(int(Fraction(funds) / Fraction(price) * 10**CRYPTO_SCALE), CRYPTO_SCALE)
    spent = volume * price
    fee = spent * rate
    return MarketBuy(volume, spent, fee, funds * (1 + rate) - spent - fee)


def sell_proceeds(volume: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """Return what a sale leaves in the quote currency after its fee."""
    return volume * price * (1 - rate)
