"""Which rows are wanted, as bounds that every tier can push down; the exact filter comes after."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeVar

import polars as pl

from storage.errors import InputError
from storage.manifest.records import FileEntry
from storage.schema.partitions import Partition

T = TypeVar("T", int, date)

_MOST_SYMBOLS = 2_000
"""A longer list is no filter any more: the whole partition is read and filtered here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Bounds on rows; None is no bound.

    Attributes:
        start_ms, end_ms: Bar start or event, UTC ms, both inclusive: with the whole of the last.
        from_day, to_day: Trading day, both inclusive.
    """

    venues: frozenset[str] | None = None
    intervals: frozenset[str] | None = None
    symbols: frozenset[str] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    from_day: date | None = None
    to_day: date | None = None

    def covers(self, partition: Partition) -> bool:
        """Return whether a partition may hold wanted rows."""
        return (
            (self.venues is None or partition.venue in self.venues)
            and (self.intervals is None or partition.interval in self.intervals)
            and (self.from_day is None or partition.to_day >= self.from_day)
            and (self.to_day is None or partition.from_day <= self.to_day)
        )

    def covers_file(self, entry: FileEntry) -> bool:
        """Return whether a file may hold wanted rows, by what its manifest says."""
        first, last = entry.summary.min_timestamp_ms, entry.summary.max_timestamp_ms
        if first is None or last is None:
            return False
        return (self.start_ms is None or last >= self.start_ms) and (
            self.end_ms is None or first <= self.end_ms
        )

    def filters(self) -> list[pl.Expr]:
        """Return the bounds as Polars filters; at least one."""
        filters = [pl.lit(value=True)]
        for name, values in (
            ("venue", self.venues),
            ("interval", self.intervals),
            ("symbol", self.symbols),
        ):
            if values is not None:
                filters.append(pl.col(name).is_in(sorted(values)))
        instant, day = pl.col("timestamp"), pl.col("trade_date")
        if self.start_ms is not None:
            filters.append(instant >= _as_instant(self.start_ms))
        if self.end_ms is not None:
            filters.append(instant < _as_instant(self.end_ms + 1))
        if self.from_day is not None:
            filters.append(day >= self.from_day)
        if self.to_day is not None:
            filters.append(day <= self.to_day)
        return filters

    def narrowed(self, other: "Selection") -> "Selection":
        """Return the bounds that satisfy both."""
        return Selection(
            venues=_both(self.venues, other.venues),
            intervals=_both(self.intervals, other.intervals),
            symbols=_both(self.symbols, other.symbols),
            start_ms=_later(self.start_ms, other.start_ms),
            end_ms=_earlier(self.end_ms, other.end_ms),
            from_day=_later(self.from_day, other.from_day),
            to_day=_earlier(self.to_day, other.to_day),
        )

    def without_long_lists(self) -> "Selection":
        """Return the bounds without a list of symbols that is too long for a query."""
        if self.symbols is not None and len(self.symbols) > _MOST_SYMBOLS:
            return replace(self, symbols=None)
        return self


def select(
    *,
    venue: str | None = None,
    interval: str | None = None,
    symbols: Sequence[str] | None = None,
    start: date | datetime | None = None,
    end: date | datetime | None = None,
) -> Selection:
    """Return a selection from what callers know.

    Args:
        venue: One venue.
        interval: One bar interval.
        symbols: The venue's own spelling.
        start: First trading day, or first bar start when it is an instant.
        end: Last trading day, or last bar start when it is an instant, to the millisecond;
            inclusive.

    Raises:
        InputError: An instant has no zone.
    """
    return Selection(
        venues=None if venue is None else frozenset({venue}),
        intervals=None if interval is None else frozenset({interval}),
        symbols=None if symbols is None else frozenset(symbols),
        start_ms=_instant_ms(start),
        end_ms=_instant_ms(end),
        from_day=_day(start),
        to_day=_day(end),
    )


def _as_instant(ms: int) -> pl.Expr:
    return pl.lit(ms).cast(pl.Datetime("ms", "UTC"))


def _instant_ms(value: date | datetime | None) -> int | None:
    if not isinstance(value, datetime):
        return None
    if value.tzinfo is None:
        raise InputError(f"{value.isoformat()}: an instant needs its offset; a date does not")
    return round(value.timestamp() * 1000)


def _day(value: date | datetime | None) -> date | None:
    return None if isinstance(value, datetime) else value


def _both(mine: frozenset[str] | None, theirs: frozenset[str] | None) -> frozenset[str] | None:
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return mine & theirs


def _later(mine: T | None, theirs: T | None) -> T | None:
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return max(mine, theirs)


def _earlier(mine: T | None, theirs: T | None) -> T | None:
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return min(mine, theirs)
