"""KRX and NXT prices: order grid, trade grid, daily limits, listing day, interruptions, lots.

All prices are whole won. The order grid is the tick ladder; the trade grid adds half ticks from
2025-03-04 on, when mid-price orders began to print at floor((bid + ask) / 2).
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.market.ladder import Ladder, parse_ladder
from jts_trading.domain.market.loading import parse_bounds, parse_lots, parse_named_rates
from jts_trading.domain.market.table import RuleTable


@dataclass(frozen=True, slots=True)
class PriceLimits:
    """Prices between which orders are accepted on one day, both inclusive, in won."""

    reference: int
    upper: int
    lower: int

    def __contains__(self, price: int) -> bool:
        return self.lower <= price <= self.upper


@dataclass(frozen=True, slots=True)
class LimitRule:
    """How far prices may go from the base of a day.

    Attributes:
        ladder: Order prices.
        rate: Share of the base, on either side.
    """

    ladder: Ladder
    rate: Fraction

    def around(self, raw_reference: int | Fraction) -> PriceLimits:
        """Return base, upper and lower limit: see `daily_limits`.

        Raises:
            ValueError: The base is not above zero.
        """
        reference = rounded_reference(self.ladder, raw_reference)
        width = self._width(reference)
        lower = max(reference - width, self.ladder.ticks[0])
        return PriceLimits(reference, self.ladder.floor(reference + width), lower)

    def upper(self, raw_reference: int | Fraction) -> int:
        """Return the upper limit alone.

        Raises:
            ValueError: The base is not above zero.
        """
        reference = rounded_reference(self.ladder, raw_reference)
        return self.ladder.floor(reference + self._width(reference))

    def _width(self, reference: int) -> int:
        tick = self.ladder.tick(reference)
        numerator, denominator = self.rate.as_integer_ratio()
        # A base of 1 to 3 won would leave no room at all; one tick is the uncertain reading.
        return reference * numerator // denominator // tick * tick or tick


def order_ladder(
    table: RuleTable, day: date, *, market: str, asset: str, venue: str = "KRX"
) -> Ladder:
    """Return the tick ladder for order prices in won.

    Raises:
        RuleMissingError: The table knows no ladder for this market, asset and day.
    """
    rule = table.require("tick", day, venue=venue, market=market, asset=asset)
    return parse_ladder(rule.value, 0)


def is_on_trade_grid(
    table: RuleTable,
    day: date,
    price: int | Decimal,
    *,
    market: str,
    asset: str = "COMMON",
    venue: str = "KRX",
) -> bool:
    """Return whether a trade or bar may show a price: the ladder, and half ticks since 2025-03-04.

    Raises:
        RuleMissingError: The table knows no ladder for this market, asset and day.
    """
    if price != int(price) or price <= 0:
        return False
    won = int(price)
    ladder = order_ladder(table, day, market=market, asset=asset, venue=venue)
    if ladder.is_on_grid(won):
        return True
    also = table.find("trade_grid_also", day, venue=venue, market=market, asset=asset)
    if also is not None and parse_ladder(also.value, 0).is_on_grid(won):
        return True
    half = table.find("trade_half_tick", day, venue=venue, market=market, asset=asset)
    tick = ladder.tick(won)
    return half is not None and won % tick == tick // 2


def rounded_reference(ladder: Ladder, raw: int | Fraction) -> int:
    """Return the day's base price: KRX rounds a base off the grid up to the tick.

    Raises:
        ValueError: The price is not above zero.
    """
    if raw <= 0:
        raise ValueError(f"base price {raw} is not above 0")
    return ladder.ceil(-(-raw // 1))


def daily_limits(
    table: RuleTable,
    day: date,
    raw_reference: int | Fraction,
    *,
    market: str,
    asset: str,
    venue: str = "KRX",
    leverage: Decimal = Decimal(1),
) -> PriceLimits:
    """Return base, upper and lower limit of a day.

    The width is floored to the tick of the base; the upper limit then to the tick of its own
    band. The lower limit needs no rounding: lower bands have finer ticks.

    Args:
        table: The dated rules.
        day: Trade date.
        raw_reference: Previous close, or the adjusted base after a corporate action; may be off
            the grid.
        market: KOSPI, KOSDAQ or KONEX.
        asset: COMMON, ETF, ETN, ...
        venue: KRX or NXT (which uses the base and limits of KRX).
        leverage: Multiple of a leveraged or inverse product, else 1.

    Raises:
        RuleMissingError: No ladder or limit rate covers the day.
        ValueError: The base is not above zero.
    """
    rule = limit_rule(table, day, market=market, asset=asset, venue=venue, leverage=leverage)
    return rule.around(raw_reference)


def limit_rule(
    table: RuleTable,
    day: date,
    *,
    market: str,
    asset: str,
    venue: str = "KRX",
    leverage: Decimal = Decimal(1),
) -> LimitRule:
    """Return what the limits of a day are made with; arguments as of `daily_limits`.

    Raises:
        RuleMissingError: No ladder or limit rate covers the day.
    """
    ladder = order_ladder(table, day, market=market, asset=asset, venue=venue)
    rate = Decimal(table.require("limit_rate", day, venue=venue, market=market, asset=asset).value)
    if table.find("limit_multiple", day, venue=venue, market=market, asset=asset) is not None:
        rate *= max(Decimal(1), abs(leverage))
    return LimitRule(ladder, Fraction(rate))


def listing_day_limits(
    table: RuleTable, day: date, offer_price: int, *, market: str, asset: str = "COMMON"
) -> PriceLimits:
    """Return the limits of the first day after a public offering; the base is the offer price.

    Raises:
        RuleMissingError: Before 2023-06-26 an auction set the base: see `listing_day_auction`.
    """
    rule = table.require("listing_day_limit", day, venue="KRX", market=market, asset=asset)
    return _between(table, day, offer_price, rule.value, market=market, asset=asset)


def listing_day_auction(
    table: RuleTable, day: date, offer_price: int, *, market: str, asset: str = "COMMON"
) -> PriceLimits:
    """Return the range of the opening auction that set the first base before 2023-06-26.

    Raises:
        RuleMissingError: From 2023-06-26 on there is no such auction.
    """
    rule = table.require("listing_day_auction", day, venue="KRX", market=market, asset=asset)
    return _between(table, day, offer_price, rule.value, market=market, asset=asset)


def _between(
    table: RuleTable, day: date, offer_price: int, bounds: str, *, market: str, asset: str
) -> PriceLimits:
    ladder = order_ladder(table, day, market=market, asset=asset)
    low, high = parse_bounds(bounds)
    upper = ladder.floor(int(offer_price * Fraction(high)))
    lower = rounded_reference(ladder, offer_price * Fraction(low))
    return PriceLimits(offer_price, upper, lower)


@dataclass(frozen=True, slots=True)
class InterruptionTriggers:
    """The first prices, in won, that would start a volatility interruption."""

    up: int
    down: int


def interruption_triggers(ladder: Ladder, reference: int, rate: Decimal) -> InterruptionTriggers:
    """Return the trigger prices around a reference: up rounded up, down rounded down."""
    up = rounded_reference(ladder, reference * (1 + Fraction(rate)))
    down = ladder.floor(int(reference * (1 - Fraction(rate))))
    return InterruptionTriggers(up, down)


def interruption_rate(
    table: RuleTable, day: date, *, kind: str, phase: str = "continuous", group: str | None = None
) -> Decimal:
    """Return the rate of a volatility interruption.

    Args:
        table: The dated rules.
        day: Trade date.
        kind: `static` or `dynamic`.
        phase: `continuous`, `closing` or `single`; dynamic only.
        group: `KOSPI200` or `OTHER`; None, an unknown membership, takes the stricter KOSPI200.

    Raises:
        RuleMissingError: No such interruption existed on the day, or not in the phase.
    """
    if kind == "static":
        return Decimal(table.require("vi_static", day, venue="KRX").value)
    rule = table.require("vi_dynamic", day, venue="KRX", market=group or "KOSPI200")
    rates = parse_named_rates(rule.value)
    if phase not in rates:
        raise ValueError(f"phase {phase} has no dynamic interruption; accepted: {sorted(rates)}")
    return rates[phase]


def lot_size(
    table: RuleTable,
    day: date,
    reference: int,
    *,
    market: str,
    asset: str = "COMMON",
    venue: str = "KRX",
) -> int:
    """Return the lot in shares; before 2014-06-02 it depended on the day's base price in won.

    Raises:
        RuleMissingError: No lot rule covers the day.
    """
    return lot_at(lots_of(table, day, market=market, asset=asset, venue=venue), reference)


def lots_of(
    table: RuleTable, day: date, *, market: str, asset: str = "COMMON", venue: str = "KRX"
) -> tuple[tuple[int, int], ...]:
    """Return the lots of a day: (lower bound of the base price in won, lot in shares), ascending.

    Raises:
        RuleMissingError: No lot rule covers the day.
    """
    return parse_lots(table.require("lot", day, venue=venue, market=market, asset=asset).value)


def lot_at(lots: tuple[tuple[int, int], ...], reference: int) -> int:
    """Return the lot at a base price in won.

    Raises:
        ValueError: The price is negative.
    """
    for low, lot in reversed(lots):
        if reference >= low:
            return lot
    raise ValueError(f"price {reference} is negative; accepted: 0 and above")
