"""Runs of rows of one symbol, in the order in which they came, and in that of a table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.bar_rows import Rows
from jts_pipelines.backtest.columns import Flags, Ints
from jts_pipelines.backtest.packed import Block


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where rows belong.

    Attributes:
        symbols: Ascending.
        offsets: First row of each symbol, and the number of rows at the end.
        blocks: What moves where, in the order of the table.
        is_mixed: By symbol: runs of it overlap in time, so that its rows are yet to be ordered.
    """

    symbols: tuple[str, ...]
    offsets: Ints
    blocks: tuple[Block, ...]
    is_mixed: Flags


class Runs:
    """Collects runs of rows, each of one symbol and ascending in time."""

    def __init__(self) -> None:
        self._symbols: list[str] = []
        self._places: list[NDArray[np.int64]] = []

    @property
    def symbols(self) -> set[str]:
        """Those that have rows."""
        return set(self._symbols)

    def add(self, rows: Rows, start: int, numbers: NDArray[np.int32]) -> bool:
        """Note the runs of a group that was written from a row on.

        Args:
            rows: Of the group.
            start: Its first row.
            numbers: Of the instants of its rows.

        Returns:
            Whether the numbers of each run follow each other, so that they need not be kept.
        """
        first, end = rows.offsets[:-1], rows.offsets[1:]
        follows = np.diff(numbers) == 1
        follows[end[:-1] - 1] = True
        is_stretch = bool(follows.all())
        self._symbols += rows.symbols
        stamps = rows.stamp[first], rows.stamp[end - 1]
        begins = numbers[first] if is_stretch else np.full(len(first), -1)
        self._places.append(np.stack((first + start, end - first, *stamps, begins)))
        return is_stretch

    def write_numbers(self, numbers: NDArray[np.int32]) -> None:
        """Write the numbers that were not kept, where the rows of a run stand."""
        for places in self._places:
            for start, length, _, _, begin in places.T.tolist():
                if begin >= 0:
                    numbers[start : start + length] = np.arange(begin, begin + length)

    def arrangement(self) -> Arrangement:
        """Return where rows belong: by symbol, then in the order of time."""
        start, length, first, last, _ = np.concatenate(self._places, axis=1)
        symbols = sorted(self.symbols)
        places = {symbol: place for place, symbol in enumerate(symbols)}
        owner = np.array([places[symbol] for symbol in self._symbols])
        order = np.lexsort((first, owner))
        start, length, first = start[order], length[order], first[order]
        last, owner = last[order], owner[order]
        offsets = np.concatenate(([0], np.cumsum(np.bincount(owner, length).astype(np.int64))))
        is_mixed = np.zeros(len(symbols), np.bool_)
        is_mixed[owner[1:][(owner[1:] == owner[:-1]) & (first[1:] <= last[:-1])]] = True
        return Arrangement(tuple(symbols), offsets, _blocks(start, length), is_mixed)


def _blocks(start: Ints, length: Ints) -> tuple[Block, ...]:
    """Return runs as blocks; what follows each other already is one."""
    begins = np.flatnonzero(np.concatenate(([True], start[1:] != start[:-1] + length[:-1])))
    to = np.concatenate(([0], np.cumsum(length)))
    counts = np.diff(np.append(to[begins], to[-1]))
    return tuple(zip(start[begins].tolist(), to[begins].tolist(), counts.tolist(), strict=True))
