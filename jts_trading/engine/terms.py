"""What an order in an instrument costs and reserves on a day, from the dated rule table."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import InstrumentId, Venue
from jts_trading.domain.market.costs import CommissionProfile
from jts_trading.domain.market.grid import Grid, grid_of
from jts_trading.domain.market.ladder import Ladder
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import (
    LimitRule,
    limit_rule,
    lot_at,
    lots_of,
    order_ladder,
)
from jts_trading.execution.fill_costs import Listed
from jts_trading.strategy.order_prices import whole_price
from jts_trading.strategy.sizing import NANO
from jts_trading.strategy.units import Units

_KOREAN = (Venue.KRX, Venue.NXT)


@dataclass(frozen=True, slots=True)
class Terms:
    """Trading terms of one instrument on one day, in its units.

    Attributes:
        fee: Commission as the sizing functions take it: billionths, rounding unit.
        has_limits: The venue has daily price limits.
        notional_min: Smallest value of an order in money units.
    """

    day: date
    venue: str
    listing: Listed
    fee: tuple[int, int]
    has_limits: bool
    notional_min: int

    def lot(self, price: int) -> int:
        """Return the lot at a base price in ticks, in smallest quantities."""
        return lot_at(_lots(self.day, self.venue, self.listing), price) if self.has_limits else 1

    def order_price(self, price: float, *, is_up: bool) -> int:
        """Return a price that a rule asks for on the grid of the venue, in ticks.

        Args:
            price: In ticks, between two as well; NaN where it is unknown.
            is_up: Whether it is rounded up.

        Returns:
            0 where there is none.
        """
        whole = whole_price(price, is_up)
        if not self.has_limits:
            return whole
        ladder = _order_ladder(self.day, self.venue, self.listing)
        return ladder.ceil(whole) if is_up else ladder.floor(whole)

    def reserve(self, close: int, previous_close: int, collar: Decimal) -> int:
        """Return the price in ticks at which a market buy holds cash back.

        Args:
            close: Decision price in ticks.
            previous_close: Close of the session before the one that the order is for; 0 when it
                is for the next session, or unknown: then the close is the base price.
            collar: Where the venue has no limits, the share above the close up to which an order
                may be executed.
        """
        if not self.has_limits:
            return ceil(close * (1 + Fraction(collar)))
        rule = _limit_rule(self.day, self.venue, self.listing)
        # After a change of base the limits say little, but no price can be below the close.
        return max(rule.upper(previous_close or close), close)


@lru_cache(maxsize=8_192)
def _lots(day: date, venue: str, listing: Listed) -> tuple[tuple[int, int], ...]:
    table, market, asset = default_table(), listing.market, listing.asset
    return lots_of(table, day, market=market, asset=asset, venue=venue)


@lru_cache(maxsize=8_192)
def _order_ladder(day: date, venue: str, listing: Listed) -> Ladder:
    table, market, asset = default_table(), listing.market, listing.asset
    return order_ladder(table, day, market=market, asset=asset, venue=venue)


@lru_cache(maxsize=8_192)
def _limit_rule(day: date, venue: str, listing: Listed) -> LimitRule:
    table, market, asset = default_table(), listing.market, listing.asset
    return limit_rule(table, day, market=market, asset=asset, venue=venue)


def units_of(instrument: InstrumentId, day: date) -> Units:
    """Return the units of an instrument; those with the same steps share one.

    Raises:
        RuleMissingError: The table does not know its steps.
    """
    return _units(grid_of(default_table(), day, instrument))


@lru_cache(maxsize=8_192)
def _units(grid: Grid) -> Units:
    return Units(grid.price_step, grid.quantity_step)


def terms_of(
    instrument: InstrumentId, venue: str, broker: str, listing: Listed, day: date
) -> Terms:
    """Return the terms of an instrument on a day; those of one kind and grid share them.

    Raises:
        RuleMissingError: The table has no commission of the broker at the venue, or no steps.
    """
    return _terms(grid_of(default_table(), day, instrument), venue, broker, listing, day)


@lru_cache(maxsize=8_192)
def _terms(grid: Grid, venue: str, broker: str, listing: Listed, day: date) -> Terms:
    rate = _rate(venue, broker, listing, day)
    return Terms(
        day=day,
        venue=venue,
        listing=listing,
        fee=(ceil(Fraction(rate) * NANO), 1),
        has_limits=venue in _KOREAN,
        notional_min=-_units(grid).money(-grid.notional_min),
    )


@lru_cache(maxsize=1_024)
def _rate(venue: str, broker: str, listing: Listed, day: date) -> Decimal:
    table = default_table()
    if venue in _KOREAN:
        return CommissionProfile(broker).rate(table, day, venue=Venue.KRX, asset=listing.asset)
    for key in ("fee", "fee_default"):
        rule = table.find(key, day, venue=venue, market=listing.market)
        if rule is not None:
            return Decimal(rule.value)
    raise RuleMissingError(f"no rule for the commission at {venue} on {day}")
