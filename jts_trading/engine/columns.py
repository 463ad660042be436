"""Numbers of an instance by instrument, in rows of whole numbers that compiled loops work on.

One place of a row is one attribute of `SymbolRow` or `SymbolBook`, which show a row to whoever
looks at one instrument. The first are worked out from ticks alone, the second depend on decisions
and on the journal, see `engine.state`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY, STAMP_MS, OPEN_MS, BARS = range(4)
SEEN_COLUMNS = 4

MARK, PEAK, ENTERED_NS, BARS_HELD, HELD_FROM_MS, BARS_SINCE, LEFT_MS, ENTRIES = range(8)
STORED_COLUMNS = 8
# Worked out from the account, so never stored: see `Instance.look_at_holding`.
IS_HELD, LOSS_LEVEL, PROFIT_LEVEL = range(8, 11)
BOOK_COLUMNS = 11

NO_LOSS, NO_PROFIT = -1, 1 << 62
"""Levels that no close reaches."""


class Number:
    """One place of a row as an attribute.

    Args:
        column: The place.
    """

    def __init__(self, column: int) -> None:
        self._column = column

    def __get__(self, row: "Row", _owner: Any) -> int:
        """Return what stands there."""
        return row.numbers[self._column]

    def __set__(self, row: "Row", number: int) -> None:
        """Write there."""
        row.numbers[self._column] = number


class Row:
    """A row of numbers; it shares its memory with the table that it is a row of.

    Args:
        numbers: The row.
    """

    __slots__ = ("numbers",)

    def __init__(self, numbers: Ints) -> None:
        # Looked at one by one, places of a memory view are much quicker than those of an array.
        self.numbers: memoryview[int] = numbers.data


class SymbolRow(Row):
    """Market half of one instance in one instrument.

    Attributes:
        day: Session of the newest bar; -1 before the first.
        stamp_ms: Its label.
        open_ms: Open of its session.
        bars: Bars that the strategy has seen, the warm-up included.
    """

    __slots__ = ()
    day = Number(DAY)
    stamp_ms = Number(STAMP_MS)
    open_ms = Number(OPEN_MS)
    bars = Number(BARS)


def new_seen(count: int) -> Ints:
    """Return the market half of so many instruments that have seen nothing."""
    table = np.zeros((count, SEEN_COLUMNS), np.int64)
    table[:, DAY] = -1
    return table


def new_books(count: int) -> Ints:
    """Return the account half of so many instruments that are flat and always were."""
    table = np.zeros((count, BOOK_COLUMNS), np.int64)
    table[:, HELD_FROM_MS] = table[:, LEFT_MS] = -1
    table[:, LOSS_LEVEL], table[:, PROFIT_LEVEL] = NO_LOSS, NO_PROFIT
    return table
