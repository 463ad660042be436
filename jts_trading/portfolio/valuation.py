"""What books are worth at given prices, and how that has moved: equity, daily loss, drawdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec

from jts_trading.portfolio.books import OwnerBooks

_ZERO = Decimal(0)


class Mark(NamedTuple):
    """A price that a position is valued at, and its time (UTC ns)."""

    price: Decimal
    ts_ns: int


@dataclass(frozen=True, slots=True)
class Valuation:
    """Books of one currency at given marks.

    Attributes:
        equity: Cash and value of the positions.
        cash: Of the ledger, whether it is reserved or not.
        value: Positions at their marks; at cost where there is no mark.
        cost: Positions at cost.
        unrealised: Value less cost.
        result: Everything earned so far: realised and unrealised, less fees and tax.
        unmarked: Instruments without a mark, ascending.
        oldest_ns: Time of the oldest mark that was used; 0 without positions.
    """

    equity: Decimal
    cash: Decimal
    value: Decimal
    cost: Decimal
    unrealised: Decimal
    result: Decimal
    unmarked: tuple[str, ...]
    oldest_ns: int


def value_books(books: OwnerBooks, marks: Mapping[str, Mark], currency: str) -> Valuation:
    """Return what books are worth in one currency.

    Args:
        books: Of an instance, or of an account.
        marks: By instrument id, in that currency.
        currency: Only balances and positions in it count; nothing is converted.
    """
    value = cost = _ZERO
    unmarked, times = [], []
    for (instrument_id, paid_in), held in sorted(books.positions.items()):
        if paid_in != currency or not held.quantity:
            continue
        cost += held.cost
        mark = marks.get(instrument_id)
        if mark is None:
            unmarked.append(instrument_id)
            value += held.cost
        else:
            times.append(mark.ts_ns)
            value += held.quantity * mark.price
    cash = books.cash.get(currency, _ZERO)
    earned = books.realised.get(currency, _ZERO) + value - cost
    costs = books.fees.get(currency, _ZERO) + books.tax.get(currency, _ZERO)
    return Valuation(
        equity=cash + value,
        cash=cash,
        value=value,
        cost=cost,
        unrealised=value - cost,
        result=earned - costs,
        unmarked=tuple(unmarked),
        oldest_ns=min(times, default=0),
    )


class EquityTrack(msgspec.Struct, frozen=True, kw_only=True):
    """Equity over time, as far as limits need it.

    Attributes:
        day: Trading day of the newest equity, by the venue's calendar.
        day_start: Equity with which that day began: the last one of the day before, or the first
            one ever.
        equity: The newest.
        peak: The highest ever.
    """

    day: date
    day_start: Decimal
    equity: Decimal
    peak: Decimal

    @property
    def daily_loss(self) -> Fraction:
        """Share of the day's first equity that is lost; below zero on a good day."""
        if self.day_start <= 0:
            return Fraction(0)
        return Fraction(self.day_start - self.equity) / Fraction(self.day_start)

    @property
    def drawdown(self) -> Fraction:
        """Share of the highest equity that is lost."""
        return (
            Fraction(self.peak - self.equity) / Fraction(self.peak)
            if self.peak > 0
            else (Fraction(0))
        )


def follow(track: EquityTrack | None, day: date, equity: Decimal) -> EquityTrack:
    """Return the track with one more equity; None begins one."""
    if track is None:
        return EquityTrack(day=day, day_start=equity, equity=equity, peak=equity)
    day_start = track.day_start if day <= track.day else track.equity
    return EquityTrack(
        day=max(day, track.day),
        day_start=day_start,
        equity=equity,
        peak=max(track.peak, equity),
    )
