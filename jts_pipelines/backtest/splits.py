"""Splits, consolidations and free shares: what changes on the first bar after them.

Bars stay raw. A position becomes as many shares as the ratio says, a base price is divided by it,
and rules of the strategy see prices and volumes in the shares of its first bar (`corporate`).
"""

from datetime import date
from typing import NamedTuple

import numpy as np

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Ints
from storage.errors import InputError

_EPOCH = date(1970, 1, 1)
RATIO_MAX = 10_000


class Split(NamedTuple):
    """`old` shares became `new` ones: the first session with the new ones is `day`."""

    symbol: str
    day: date
    old: int
    new: int


def read_split(text: str) -> Split:
    """Read `005930@2018-05-04=1:50`: symbol, first day with the new shares, old and new.

    Raises:
        InputError: It is not spelled so.
    """
    symbol, at, rest = text.strip().partition("@")
    day, equals, ratio = rest.partition("=")
    old, colon, new = ratio.partition(":")
    numbers = [int(part) if part.isdecimal() else 0 for part in (old, new)]
    if not (symbol and at and equals and colon) or not all(0 < n <= RATIO_MAX for n in numbers):
        raise InputError(
            f"split {text!r}; accepted: SYMBOL@DAY=OLD:NEW such as 005930@2018-05-04=1:50, "
            f"numbers from 1 to {RATIO_MAX:,}"
        )
    try:
        return Split(symbol, date.fromisoformat(day), *numbers)
    except ValueError as error:
        raise InputError(f"split {text!r}: {error}") from error


def split_rows(bars: BarTable, splits: tuple[str, ...]) -> Ints:
    """Return (row, old, new, instrument) of splits with bars on both sides, by row."""
    found = []
    for split in map(read_split, splits):
        row, at = first_row_of(bars, split.symbol, split.day)
        if row >= 0:
            found.append((row, split.old, split.new, at))
    return np.array(sorted(found), np.int64).reshape(-1, 4)


def first_row_of(bars: BarTable, symbol: str, day: date) -> tuple[int, int]:
    """Return the first row of a symbol on a day or later, and the number of its instrument.

    -1 where it has no bars on both sides of it.
    """
    if symbol not in bars.symbols:
        return -1, -1
    at = bars.symbols.index(symbol)
    rows = np.arange(bars.offsets[at], bars.offsets[at + 1])
    days = bars.days[bars.moment_of(rows, np.full(len(rows), at))]
    place = int(np.searchsorted(days, (day - _EPOCH).days))
    return (int(rows[place]) if 0 < place < len(rows) else -1), at
