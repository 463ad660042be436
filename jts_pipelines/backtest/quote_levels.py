"""Order books beside trades: prices and quantities by level, as columns of a table of quotes.

The best level is `bid`, `bid_size`, `ask`, `ask_size`; the second one `bid_2`, `bid_size_2`,
`ask_2`, `ask_size_2`, and so on to the tenth. A level without a price or a quantity is empty, as a
venue fills up its ten. A level that cannot be there (no number, below zero, not further from the
middle than the one before it) ends its side; a book whose best bid is above its best ask, as in a
call auction, has no levels. Both are counted, the first one is named.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from jts_pipelines.backtest.cautions import Caution, Code
from jts_pipelines.backtest.columns import Flags, Floats
from jts_trading.domain.ticks import BookLevel
from storage.errors import InputError

LEVELS_MAX = 10
_SIDES = ("bid", "ask")


@dataclass(frozen=True, slots=True)
class Book:
    """What rests on both sides, best first; a side without levels is not known."""

    asks: tuple[BookLevel, ...]
    bids: tuple[BookLevel, ...]


@dataclass(frozen=True, slots=True)
class Books:
    """Books as columns, one row a book.

    Attributes:
        asks, bids: Price and quantity by row and level, best first; NaN where a level is empty.
    """

    asks: tuple[Floats, Floats]
    bids: tuple[Floats, Floats]

    def at(self, row: int) -> Book:
        """Return the book of a row."""
        return Book(asks=_levels(self.asks, row), bids=_levels(self.bids, row))


def level_names(side: str, level: int) -> tuple[str, str]:
    """Return how the price and the quantity of a level are called; 1 is the best one."""
    end = "" if level == 1 else f"_{level}"
    return f"{side}{end}", f"{side}_size{end}"


def depth_of(columns: Collection[str]) -> int:
    """Return how many levels a table of quotes has with their quantities; 0 for prices alone.

    Raises:
        InputError: A level lacks a column, or comes after one that is not there.
    """
    depth = 0
    for level in range(1, LEVELS_MAX + 1):
        names = [name for side in _SIDES for name in level_names(side, level)]
        told = [name for name in names if name in columns and name not in _SIDES]
        if not told:
            continue
        missing = [name for name in names if name not in columns]
        if missing:
            raise InputError(f"the quotes have {told[0]} but lack {', '.join(missing)}")
        if level != depth + 1:
            lacking = level_names("bid", depth + 1)[1]
            raise InputError(f"the quotes have {told[0]} but lack {lacking}")
        depth = level
    return depth


def books_of(quotes: pl.DataFrame) -> tuple[Books | None, tuple[Caution, ...]]:
    """Return the books of a table of quotes, and what is to be said about those of no use.

    Args:
        quotes: With the columns above, any others, in any order of rows.

    Returns:
        None without quantities.

    Raises:
        InputError: A column is missing or holds no numbers.
    """
    depth = depth_of(quotes.columns)
    if depth == 0:
        return None, ()
    sides, wrong = {}, _Wrong(quotes.height)
    for side in _SIDES:
        names = [level_names(side, level) for level in range(1, depth + 1)]
        prices = np.column_stack([_numbers(quotes, price) for price, _ in names])
        sizes = np.column_stack([_numbers(quotes, size) for _, size in names])
        _cut_off(prices, sizes, side, wrong)
        sides[side] = prices, sizes
    with np.errstate(invalid="ignore"):
        best = {side: _best(prices) for side, (prices, _) in sides.items()}
        is_crossed = best["bid"] > best["ask"]
    for prices, _ in sides.values():
        prices[is_crossed] = np.nan
    wrong.note(is_crossed, "bid is above ask")
    return Books(asks=sides["ask"], bids=sides["bid"]), wrong.cautions()


class _Wrong:
    """Counts the books that are of no use, or of less; knows the first one."""

    def __init__(self, rows: int) -> None:
        self._is_wrong = np.zeros(rows, np.bool_)
        self._first: tuple[int, str] | None = None

    def note(self, found: Flags, why: str) -> None:
        """Note some rows."""
        if found.any():
            first = int(found.argmax())
            if self._first is None or first < self._first[0]:
                self._first = first, why
            self._is_wrong |= found

    def cautions(self) -> tuple[Caution, ...]:
        """Return the warning, if there is a reason for one."""
        if self._first is None:
            return ()
        count, (row, why) = int(self._is_wrong.sum()), self._first
        text = (
            f"{count:,} of {len(self._is_wrong):,} quotes have levels that cannot be there, which "
            f"nothing fills at; the first in row {row + 1:,}: {why}"
        )
        return (Caution(Code.LEVELS_LEFT_OUT, text),)


def _cut_off(prices: Floats, sizes: Floats, side: str, wrong: _Wrong) -> None:
    """Empty the levels that cannot be there and those behind them, in place."""
    sign = 1.0 if side == "ask" else -1.0
    last = np.full(len(prices), -np.inf)
    has_ended = np.zeros(len(prices), np.bool_)
    for at in range(prices.shape[1]):
        price, size = prices[:, at], sizes[:, at]
        name, size_name = level_names(side, at + 1)
        is_empty = np.isnan(price) | np.isnan(size) | (price == 0) | (size == 0)
        is_below = (price < 0) | np.isinf(price)
        is_negative = (size < 0) | np.isinf(size)
        is_misplaced = ~is_empty & ~is_below & ~is_negative & (sign * price <= last)
        wrong.note(is_below & ~has_ended, f"{name} is no price")
        wrong.note(is_negative & ~has_ended, f"{size_name} is no quantity")
        wrong.note(is_misplaced & ~has_ended, f"{name} is not beyond the level before it")
        has_ended |= is_below | is_negative | is_misplaced
        price[is_empty | has_ended] = np.nan
        last = np.where(np.isnan(price), last, sign * price)


def _numbers(quotes: pl.DataFrame, name: str) -> Floats:
    kind = quotes.schema[name]
    if not (kind.is_numeric() or kind == pl.Null):
        raise InputError(f"{name} of the quotes is {kind}; accepted: numbers")
    return quotes[name].cast(pl.Float64).fill_null(np.nan).to_numpy().copy()


def _best(prices: Floats) -> Floats:
    """Return the first price of each row; NaN where there is none."""
    place = np.isnan(prices).argmin(axis=1)
    found: Floats = prices[np.arange(len(prices)), place]
    return found


def _levels(side: tuple[Floats, Floats], row: int) -> tuple[BookLevel, ...]:
    pairs = zip(side[0][row].tolist(), side[1][row].tolist(), strict=True)
    return tuple(
        BookLevel(exact(price), exact(quantity))
        for price, quantity in pairs
        if not math.isnan(price)
    )


def exact(value: float) -> Decimal:
    """Return a number as it was written."""
    return plain(Decimal(repr(value)))


def plain(value: Decimal) -> Decimal:
    """Return a number without the zero behind its point that a float shows."""
    whole = value.to_integral_value()
    return whole.quantize(Decimal(1)) if value == whole else value.normalize()
