"""Delistings: when an instrument trades no more, and what a position in it is worth then.

From its day on bars of an instrument are left out. What is held is closed at the first instant of
any instrument on that day or later: at a price that is given, or for nothing. In the last sessions
before it KRX sets no price limits.
"""

from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import numpy as np

from jts_pipelines.backtest import places
from jts_pipelines.backtest.bar_table import BarTable, rows_where, traded_rows
from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.exchanging import NEVER_ENDS
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.instruments import Venue
from jts_trading.domain.sessions import calendar_for
from jts_trading.strategy.units import Units
from storage.errors import InputError

_EPOCH = date(1970, 1, 1)
PRICE_MAX = Decimal(1_000_000_000)
LIQUIDATION_SESSIONS = 7
"""So many sessions before it is delisted, an instrument of KRX trades without price limits."""

_ACCEPTED = (
    "SYMBOL@DAY or SYMBOL@DAY=PRICE such as 036580@2024-05-20=120, the first day without trading "
    f"and what is paid for a share (0 if left out), at most {PRICE_MAX:,}"
)


class Delisting(NamedTuple):
    """From `day` on a symbol does not trade; `price` is what is paid for what is held then."""

    symbol: str
    day: date
    price: Decimal = Decimal(0)


def read_delisting(text: str) -> Delisting:
    """Read `036580@2024-05-20` or `036580@2024-05-20=120`: symbol, first day without it, price.

    Raises:
        InputError: It is not spelled so.
    """
    symbol, at, rest = text.strip().partition("@")
    day, equals, paid = rest.partition("=")
    try:
        price = Decimal(paid if equals else "0")
    except InvalidOperation:
        price = Decimal(-1)
    if not (symbol and at) or not price.is_finite() or not 0 <= price <= PRICE_MAX:
        raise InputError(f"delisting {text!r}; accepted: {_ACCEPTED}")
    try:
        return Delisting(symbol, date.fromisoformat(day), price)
    except ValueError as error:
        raise InputError(f"delisting {text!r}: {error}") from error


def without_delisted(bars: BarTable, delistings: tuple[str, ...]) -> BarTable:
    """Return the bars in which something traded, up to the delisting of their instrument.

    Raises:
        InputError: A delisting is not spelled as it should be, or an instrument has two.
    """
    given = _by_symbol(delistings)
    if not given.keys() & set(bars.symbols):
        return traded_rows(bars)
    kept = bars.is_traded.copy()
    for at, symbol in enumerate(bars.symbols):
        if symbol in given:
            rows = np.arange(bars.offsets[at], bars.offsets[at + 1])
            days = bars.days[bars.moment_of(rows, at)]
            kept[rows[days >= (given[symbol].day - _EPOCH).days]] = False
    return rows_where(bars, kept)


def delisting_rows(
    bars: BarTable, settings: BacktestSettings, days: Ints, *, is_whole: bool
) -> Ints:
    """Return (instrument, instant, phase, price in steps, first session without limits).

    The instant is the first one of any instrument on the day or later. Where there is none, it is
    the last one, after all decisions, if the day is the next session of the venue at the latest:
    an instrument that is delisted later than that still trades when the data end.

    Args:
        bars: See `without_delisted`.
        settings: For delistings and venue.
        days: Sessions of the run.
        is_whole: No bars were cut off: where the data end is known to be their end.

    Raises:
        InputError: A price is no multiple of the price step.
    """
    found, calendar = [], calendar_for(settings.venue)
    for symbol, each in _by_symbol(settings.delistings).items():
        if symbol not in bars.symbols:
            continue
        at, day = bars.symbols.index(symbol), (each.day - _EPOCH).days
        moment, phase = int(np.searchsorted(bars.days, day)), places.SALES
        if moment == len(bars.days):
            following = calendar.next_session(_EPOCH + timedelta(days=int(days[-1])))
            is_over = is_whole and each.day <= following
            moment, phase = (moment - 1 if is_over else NEVER_ENDS), places.AFTER_DECISIONS
        found.append((at, moment, phase, _steps(each, bars.units[at]), _free_from(each, settings)))
    rows = np.array(found, np.int64).reshape(-1, 5)
    rows[:, 4] = np.searchsorted(days, rows[:, 4])
    return rows


def _steps(each: Delisting, units: Units) -> int:
    try:
        return units.ticks(each.price)
    except ValueError as error:
        raise InputError(f"delisting of {each.symbol}: {error}") from error


def _free_from(each: Delisting, settings: BacktestSettings) -> int:
    """Return the first day without price limits, in days since 1970-01-01."""
    day = each.day
    if settings.venue == Venue.KRX:
        for _ in range(LIQUIDATION_SESSIONS):
            day = calendar_for(settings.venue).previous_session(day)
    return (day - _EPOCH).days


def _by_symbol(delistings: tuple[str, ...]) -> dict[str, Delisting]:
    found: dict[str, Delisting] = {}
    for each in map(read_delisting, delistings):
        if each.symbol in found:
            raise InputError(f"{each.symbol} is delisted twice")
        found[each.symbol] = each
    return found
