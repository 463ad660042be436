"""Bars as checked columns: what every pass of a backtest reads.

Prices are in whole steps of their instrument (won at KRX), rows sorted by symbol and time, unique
on both. Nothing is kept by row that can be kept by instant or by instrument: fourteen million bars
of 1,800 instruments have eight thousand instants, and take 21 bytes each.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Flags, Floats, Ints, Whole
from jts_pipelines.backtest.whole_columns import narrow, narrow_volume
from jts_trading.strategy.units import Units

GROUP_ROWS = 1 << 19
"""How many rows are read, made or gathered at once."""


@dataclass(frozen=True, slots=True)
class BarTable:
    """Bars as columns; one row per bar, sorted by symbol and time.

    Attributes:
        symbols: Ascending.
        offsets: First row of each symbol, and the number of rows at the end.
        times: Every instant at which a bar starts, UTC ms, ascending.
        days: Session of each instant, days since 1970-01-01.
        moments: Number of the instant of each row; one copy for all where all symbols have the
            same instants (`is_even`).
        prices: Open, high, low and close of each row, side by side, in price steps of the
            instrument; 0 where nothing traded and no price is known.
        volume: Shares as whole numbers, or coins.
        is_traded: Something traded in the bar: its status says so, its volume is above zero and
            its four prices are there.
        units: Of each symbol.
    """

    symbols: tuple[str, ...]
    offsets: Ints
    times: Ints
    days: Ints
    moments: NDArray[np.int32]
    prices: Whole
    volume: Whole | Floats
    is_traded: Flags
    units: tuple[Units, ...]

    @property
    def rows(self) -> int:
        """Number of bars."""
        return len(self.volume)

    @property
    def is_even(self) -> bool:
        """Whether all symbols have bars at the same instants, so that `moments` is kept once."""
        return len(self.moments) != self.rows

    @property
    def shift(self) -> Ints:
        """By symbol: what added to a row gives its place in `moments`."""
        return -self.offsets[:-1] if self.is_even else np.zeros(len(self.symbols), np.int64)

    @property
    def row_moments(self) -> NDArray[np.int32]:
        """Number of the instant of each row."""
        return np.tile(self.moments, len(self.symbols)) if self.is_even else self.moments

    @property
    def instrument(self) -> Ints:
        """Index into the symbols, by row."""
        return np.repeat(np.arange(len(self.symbols)), np.diff(self.offsets))

    @property
    def stamp(self) -> Ints:
        """Start of the bar, UTC ms, by row."""
        return self.times[self.row_moments]

    @property
    def day(self) -> Ints:
        """Session of the bar, days since 1970-01-01, by row."""
        return self.days[self.row_moments]

    @property
    def open(self) -> Whole:
        """First price of each bar."""
        found: Whole = self.prices[:, 0]
        return found

    @property
    def high(self) -> Whole:
        """Highest price of each bar."""
        found: Whole = self.prices[:, 1]
        return found

    @property
    def low(self) -> Whole:
        """Lowest price of each bar."""
        found: Whole = self.prices[:, 2]
        return found

    @property
    def close(self) -> Whole:
        """Last price of each bar."""
        found: Whole = self.prices[:, 3]
        return found

    def moment_of(self, rows: Ints | int, instrument: Ints | int) -> NDArray[np.int32]:
        """Return the number of the instant of some rows."""
        found: NDArray[np.int32] = self.moments[rows + self.shift[instrument]]
        return found

    def instant_of(self, rows: Ints, instrument: Ints | int) -> Ints:
        """Return the number of the instant of each fill, see `places`."""
        has_bar = rows >= 0
        own = self.moment_of(np.where(has_bar, rows, self.offsets[instrument]), instrument)
        found: Ints = np.where(has_bar, own, -1 - rows)
        return found

    @property
    def digest(self) -> str:
        """SHA-256 over every value that a run reads, little-endian, column by column."""
        half = self.rows // 2
        columns = (
            *(self.prices[:half], self.prices[half:], self.volume, self.is_traded),
            *(self.offsets, self.times, self.days, self.moments),
        )
        with ThreadPoolExecutor(2) as threads:
            named = "\x1f".join(map(_named, self.symbols, self.units))
            found = [hashlib.sha256(named.encode()).digest(), *threads.map(digest_of, columns)]
        return hashlib.sha256(b"".join(found)).hexdigest()


def _named(symbol: str, units: Units) -> str:
    """Return what tells an instrument and its steps from others, however the steps are written."""
    return f"{symbol} {Fraction(units.price_step)} {Fraction(units.quantity_step)}"


def digest_of(column: NDArray[np.generic]) -> bytes:
    """Return the SHA-256 of the values of a column, little-endian."""
    little = column.astype(column.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).data).digest()


def traded_rows(bars: BarTable) -> BarTable:
    """Return the bars in which something traded; every symbol stays, and so does every instant."""
    return rows_where(bars, bars.is_traded)


def rows_where(bars: BarTable, kept: Flags) -> BarTable:
    """Return some of the bars, all of which traded."""
    if kept.all():
        return bars
    before = np.concatenate(([0], np.cumsum(kept)))
    return BarTable(
        symbols=bars.symbols,
        offsets=before[bars.offsets],
        times=bars.times,
        days=bars.days,
        moments=bars.row_moments[kept],
        prices=bars.prices[kept],
        volume=bars.volume[kept],
        is_traded=kept[kept],
        units=bars.units,
    )


def make_table(  # noqa: PLR0917 - columns in the order of the attributes
    symbols: tuple[str, ...],
    offsets: Ints,
    stamp: Ints,
    day: Ints,
    prices: Ints,
    volume: Ints | Floats,
    units: tuple[Units, ...],
) -> BarTable:
    """Return a table of bars that all traded, from columns by row in the order of a table."""
    times, moments = _moments(stamp, offsets)
    days = np.empty(len(times), np.int64)
    days[np.tile(moments, len(symbols)) if len(moments) < len(day) else moments] = day
    return BarTable(
        symbols=symbols,
        offsets=offsets,
        times=times,
        days=days,
        moments=moments,
        prices=narrow(prices),
        volume=narrow_volume(volume),
        is_traded=np.ones(len(day), np.bool_),
        units=units,
    )


def _moments(stamp: Ints, offsets: Ints) -> tuple[Ints, NDArray[np.int32]]:
    """Return the instants, and the number of that of each row (once, where symbols agree)."""
    first = stamp[: offsets[1]]
    count = len(offsets) - 1
    if len(stamp) == count * len(first) and (np.diff(offsets) == len(first)).all():
        grid = stamp.reshape(count, len(first))
        if (grid == first).all():
            return first.copy(), np.arange(len(first), dtype=np.int32)
    times = pl.Series(stamp).unique().sort().to_numpy()
    return times, np.searchsorted(times, stamp).astype(np.int32)
