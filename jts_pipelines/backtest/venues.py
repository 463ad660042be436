"""The venues that a backtest knows: what their money is, and in which units a run counts.

Prices are counted in a step of the instrument, quantities in another, money in the product of the
two, as live does (`strategy.units`). Instruments of one run share cash, so cash is counted in a
unit that every such product is a multiple of: a won at KRX, a millionth of a won at Upbit, a
hundred-millionth of a dollar at Binance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

from jts_trading.domain.instruments import InstrumentId, Venue
from jts_trading.domain.market.grid import grid_of
from jts_trading.domain.market.ladder import Ladder, decimal_of
from jts_trading.domain.market.table import RuleTable
from jts_trading.domain.market.upbit import split_market, upbit_ladder
from jts_trading.strategy.units import WON, Units
from storage.errors import InputError

QUANTITY_PLACES = 8
"""Decimals of a coin: what quantities of a text are counted in before an instrument is known."""

# A coin may fall to a tenth of its first price and its ticks are still whole steps.
_HEADROOM = Decimal("0.1")

Figure = TypeVar("Figure")
UnitsOf = Callable[[str, Decimal, Decimal, date], Units]
"""Units of a symbol from its first close, its lowest price and the day of its first bar."""


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """How a backtest counts at a venue.

    Attributes:
        currency: In which the account is kept.
        money_places: Decimals of the currency that one unit of the account stands for.
        quantity_places: Decimals of a quantity.
        sessions_per_year: For annualised figures.
        start_cash: What an account begins with where a run does not say.
        can_borrow: Whether what an account does not have can be borrowed, to sell it short.
    """

    currency: str
    money_places: int
    quantity_places: int
    sessions_per_year: int
    start_cash: int
    can_borrow: bool = True

    @property
    def money_scale(self) -> int:
        """How many units of the account make one unit of currency."""
        return int(10**self.money_places)

    @property
    def money_step(self) -> Decimal:
        """One unit of the account in its currency."""
        return Decimal(1).scaleb(-self.money_places)


VENUES = {
    Venue.KRX.value: VenueTerms("KRW", 0, 0, 252, 100_000_000),
    Venue.UPBIT.value: VenueTerms("KRW", 6, QUANTITY_PLACES, 365, 100_000_000, can_borrow=False),
    Venue.BINANCE.value: VenueTerms("USDT", 8, QUANTITY_PLACES, 365, 100_000),
}
"""Every venue that has costs and rules for a backtest."""


def each_unit(units: tuple[Units, ...], of: Callable[[Units], Figure]) -> list[Figure]:
    """Return a figure of the units of each instrument; most instruments share theirs."""
    ids = list(map(id, units))
    known = {at: of(each) for at, each in dict(zip(ids, units, strict=True)).items()}
    return list(map(known.__getitem__, ids))


def units_of_venue(venue: str, table: RuleTable) -> UnitsOf:
    """Return how the units of a venue's instruments are found."""
    if venue == Venue.UPBIT:
        return lambda symbol, first, lowest, day: _upbit_units(table, symbol, first, lowest, day)
    if venue == Venue.BINANCE:
        return lambda symbol, _first, _lowest, day: _binance_units(table, symbol, day)
    return lambda _symbol, _first, _lowest, _day: WON


def _binance_units(table: RuleTable, symbol: str, day: date) -> Units:
    grid = grid_of(table, day, InstrumentId(Venue.BINANCE, symbol))
    quote = VENUES[Venue.BINANCE.value].currency
    if not symbol.endswith(quote):
        raise InputError(f"{symbol} is not traded for {quote}; a backtest has one currency")
    return Units(grid.price_step, grid.quantity_step)


def _upbit_units(
    table: RuleTable, symbol: str, first: Decimal, lowest: Decimal, day: date
) -> Units:
    """Return steps that are powers of ten: ticks of a fall to a tenth are whole price steps.

    Quantities have eight decimals, or fewer where one of them would be worth less than a unit of
    the account can say.
    """
    terms = VENUES[Venue.UPBIT.value]
    try:
        quote, _ = split_market(symbol)
    except ValueError as error:
        raise InputError(str(error)) from error
    if quote != terms.currency:
        raise InputError(f"{symbol} is traded for {quote}; accepted: markets of {terms.currency}")
    near = min(first * _HEADROOM, lowest)
    tick = min(_tick_at(upbit_ladder(table, at, symbol), near) for at in _ladder_days(table, day))
    price_step = Decimal(1).scaleb(tick.adjusted())
    finest = Decimal(1).scaleb(-terms.quantity_places)
    return Units(price_step, max(finest, terms.money_step / price_step))


def _ladder_days(table: RuleTable, first: date) -> list[date]:
    """Return a day and all later ones on which another ladder begins."""
    found = {rule.valid_from for rule in table.all_of("tick") if rule.venue == Venue.UPBIT}
    return [first, *(day for day in found if day is not None and day > first)]


def _tick_at(ladder: Ladder, price: Decimal) -> Decimal:
    return decimal_of(ladder.tick(int(price.scaleb(ladder.scale))), ladder.scale)
