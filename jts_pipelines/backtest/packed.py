"""The columns of bars while groups of rows are written into them, each at its place.

Columns that few bars need (doubts, sources, quotes) exist from the first group on that has one.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jts_pipelines.backtest.bar_rows import QUOTES, Rows
from jts_pipelines.backtest.columns import Flags, Floats, Ints, Whole
from jts_pipelines.backtest.whole_columns import (
    PRICES,
    Column,
    coin_column,
    put_side_by_side,
    won_column,
)
from storage.quality.reasons import TAINTED
from storage.schema.datasets import Status

_TRADED = (Status.TRADED.value, Status.AUCTION.value)
_COLUMNS = ("prices", "volume", "is_traded", "numbers", "doubts", "quotes", "_sources")
Block = tuple[int, int, int]
"""Rows that move together: their first row, where it goes, how many there are."""


class PackedColumns:
    """Columns by row, in the order in which groups came.

    Args:
        rows: How many there may be.
        is_whole: Prices are won and volumes shares; else both stay floats.
    """

    def __init__(self, rows: int, *, is_whole: bool) -> None:
        self._is_whole = is_whole
        self.prices: Whole | Floats = np.empty((rows, len(PRICES)), np.int32)
        self.volume: Whole | Floats = np.empty(rows, np.int32)
        if not is_whole:
            self.prices, self.volume = np.empty(self.prices.shape), np.empty(rows)
        self.is_traded: Flags = np.empty(rows, np.bool_)
        self.numbers: NDArray[np.int32] = np.empty(rows, np.int32)
        self.doubts: NDArray[np.uint8] | None = None
        self.quotes: Floats | None = None
        self._sources: NDArray[np.uint16] | None = None
        self._brokers: dict[str, int] = {}

    @property
    def capacity(self) -> int:
        """How many rows there may be."""
        return len(self.volume)

    def write(self, rows: Rows, start: int) -> bool:
        """Write prices and volume of a group; false, and nothing, where they are too wide.

        Groups with places of their own may be written by several threads.

        Raises:
            InputError: See `won_column` and `coin_column`.
        """
        read = won_column if self._is_whole else coin_column
        prices = [read(rows.frame, name) for name in PRICES]
        volume = read(rows.frame, "volume")
        if not (_fits(prices, self.prices) and _fits([volume], self.volume)):
            return False
        place = slice(start, start + rows.frame.height)
        put_side_by_side(prices, self.prices[place])
        self.volume[place] = volume.values
        self.is_traded[place] = _traded(rows.frame, prices, volume, self.prices[place])
        return True

    def note(self, rows: Rows, start: int) -> None:
        """Write what few bars have; for one thread."""
        frame, place = rows.frame, slice(start, start + rows.frame.height)
        if "quality" in frame.columns and frame["quality"].is_in(TAINTED).any():
            if self.doubts is None:
                self.doubts = np.zeros(self.capacity, np.uint8)
            codes = {name: code for code, name in enumerate(TAINTED, 1)}
            self.doubts[place] = frame["quality"].replace_strict(
                codes, default=0, return_dtype=pl.UInt8
            )
        if set(QUOTES) <= set(frame.columns):
            if self.quotes is None:
                self.quotes = np.full((self.capacity, len(QUOTES)), np.nan)
            self.quotes[place] = frame.select(QUOTES).to_numpy()
        if "broker" in frame.columns:
            self._note_brokers(frame["broker"], place)

    def brokers_at(self, rows: Sequence[int]) -> list[str]:
        """Return the sources of some rows; empty texts where they have none."""
        names = list(self._brokers) or [""]
        return [names[0 if self._sources is None else self._sources[row]] for row in rows]

    def grow(self, rows: int) -> None:
        """Make room for more rows; nobody may be writing."""
        for column in self._columns():
            column.resize((rows, *column.shape[1:]), refcheck=False)

    def forget_numbers(self) -> None:
        """Drop the numbers of instants, of which nobody asks any more."""
        self.numbers = np.empty(0, np.int32)

    def widen(self) -> None:
        """Make prices and volumes as wide as whole numbers get; nobody may be writing."""
        self.prices = self.prices.astype(np.int64, copy=False)
        self.volume = self.volume.astype(np.int64, copy=False)

    def make_whole(self) -> None:
        """Make prices, which stand for whole steps by now, whole numbers."""
        is_wide = _is_wide(self.prices)
        self.prices = self.prices.astype(np.int64) if is_wide else self.prices.astype(np.int32)

    def narrow(self) -> None:
        """Make prices and volumes as narrow as they may be; all rows are written."""
        if self.prices.dtype == np.int64 and not _is_wide(self.prices):
            self.prices = self.prices.astype(np.int32)
        if self.volume.dtype == np.int64 and not _is_wide(self.volume):
            self.volume = self.volume.astype(np.int32)

    def arrange(self, blocks: Sequence[Block], rows: int) -> None:
        """Move rows to where they belong and drop what is left over."""
        in_place = all(one[0] <= other[0] for one, other in pairwise(blocks))
        for name in _COLUMNS:
            column = getattr(self, name)
            if column is not None and len(column):
                setattr(self, name, _arranged(column, blocks, rows, in_place=in_place))

    def permute(self, first: int, order: Ints) -> None:
        """Put the rows from one on into another order."""
        place = slice(first, first + len(order))
        for column in self._columns():
            column[place] = column[place][order]

    def _columns(self) -> list[NDArray[np.generic]]:
        every = (getattr(self, name) for name in _COLUMNS)
        return [column for column in every if column is not None]

    def _note_brokers(self, column: pl.Series, place: slice) -> None:
        is_one = bool((column == column[0]).all())
        for name in [column[0]] if is_one else column.unique(maintain_order=True):
            self._brokers.setdefault(name, len(self._brokers))
        if len(self._brokers) == 1:
            return
        if self._sources is None:
            self._sources = np.zeros(self.capacity, np.uint16)
        codes = column.replace_strict(self._brokers, return_dtype=pl.UInt16)
        self._sources[place] = codes.to_numpy()


def _is_wide(column: NDArray[np.generic]) -> bool:
    return float(column.max()) > np.iinfo(np.int32).max


def _fits(columns: Sequence[Column], into: NDArray[np.generic]) -> bool:
    return into.dtype != np.int32 or all(column.is_narrow for column in columns)


def _traded(
    frame: pl.DataFrame, prices: Sequence[Column], volume: Column, rows: Whole | Floats
) -> Flags:
    if volume.lowest > 0 and min(column.lowest for column in prices) > 0:
        is_traded = np.ones(frame.height, np.bool_)
    else:
        is_traded = (volume.values > 0) & (rows > 0).all(axis=1)
    if "status" in frame.columns:
        is_traded &= frame["status"].is_in(_TRADED).to_numpy()
    return is_traded


def _arranged(
    column: NDArray[np.generic], blocks: Sequence[Block], rows: int, *, in_place: bool
) -> NDArray[np.generic]:
    shape = (rows, *column.shape[1:])
    into = column if in_place else np.empty(shape, column.dtype)
    for first, to, count in blocks:
        if first != to or not in_place:
            into[to : to + count] = column[first : first + count]
    if len(into) != rows:
        into.resize(shape, refcheck=False)
    return into
