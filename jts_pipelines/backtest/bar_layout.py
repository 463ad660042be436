"""From groups of rows to the bars of a run: the one entrance of market data into a backtest.

Theory of operation. Rows come in groups (of a file, of a partition, of a frame) of any size and in
any order. Two threads read, check and pack them: the numbers of a group go straight to their place
in the columns and its frame is dropped, so that beside the columns two or three groups are in
memory. One thread notes which rows belong to which symbol and instant. Groups that came sorted
by symbol and time are then where they belong; others are moved, one column at a time. What comes
out depends neither on how rows were grouped nor on their order.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jts_pipelines.backtest.bar_rows import REQUIRED, Rows, checked_rows, minute_of, two_bars
from jts_pipelines.backtest.bar_runs import Arrangement, Runs
from jts_pipelines.backtest.bar_table import GROUP_ROWS, BarTable
from jts_pipelines.backtest.columns import Floats, Ints, Whole
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.instants import Instants
from jts_pipelines.backtest.packed import PackedColumns
from jts_pipelines.backtest.venues import UnitsOf
from jts_pipelines.backtest.whole_columns import step_prices
from jts_trading.domain.calendars import Calendar, CalendarError
from jts_trading.strategy.units import WON, Units
from storage.errors import InputError

_THREADS = 2


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are yet to be read.

    Attributes:
        rows: How many there are at most.
        read: Returns them; called by another thread.
    """

    rows: int
    read: Callable[[], pl.DataFrame]


class NoBarsError(InputError):
    """Groups of rows had none."""

    def __init__(self) -> None:
        super().__init__("there are no bars in this period; see `jts sql` for what is stored")


def lay_out(
    groups: Iterable[Group], calendar: Calendar, units_of: UnitsOf | None = None, rows: int = 0
) -> History:
    """Read groups of rows and return their bars.

    Args:
        groups: In any order.
        calendar: Of the venue.
        units_of: What prices are counted in; won and shares if left out.
        rows: How many there will be, where that is known.

    Raises:
        InputError: Rows that cannot be used, see `bar_rows`; a price is no whole number of steps
            or a volume none of shares; a key appears twice, a bar lies on a day without a
            session, there are no rows, or more than fit into memory.
    """
    try:
        layout = _Layout(PackedColumns(rows, is_whole=units_of is None))
        layout.fill(groups)
    except MemoryError as error:
        raise InputError(
            "the bars do not fit into memory; ask for fewer symbols or days"
        ) from error
    return layout.history(calendar, units_of)


def groups_of(frame: pl.DataFrame) -> Iterator[Group]:
    """Yield the rows of a frame in groups."""
    for first in range(0, max(frame.height, 1), GROUP_ROWS):
        part = frame.slice(first, GROUP_ROWS)
        yield Group(part.height, lambda part=part: part)  # type: ignore[misc]


def read_bars(
    frame: pl.DataFrame, calendar: Calendar, units_of: UnitsOf | None = None
) -> BarTable:
    """Return the bars of a frame; see `lay_out`."""
    return lay_out(groups_of(frame), calendar, units_of, frame.height).table


Moments = NDArray[np.int32]
_Packed = tuple[Rows | None, int, bool]


class _Layout:
    """Columns while they are written, and where their rows belong."""

    def __init__(self, columns: PackedColumns) -> None:
        self._columns = columns
        self._instants, self._runs = Instants(), Runs()
        self._end = 0

    def fill(self, groups: Iterable[Group]) -> None:
        """Write all groups."""
        waiting: deque[Future[_Packed]] = deque()
        with ThreadPoolExecutor(_THREADS) as threads:
            for group in groups:
                needed = self._end + group.rows
                if needed > self._columns.capacity:
                    self._settle(waiting, 0)
                    self._columns.grow(needed + needed // 4)
                # No more frames than threads are in memory.
                self._settle(waiting, _THREADS - 1)
                waiting.append(threads.submit(self._pack, group, self._end))
                self._end = needed
            self._settle(waiting, 0)

    def _pack(self, group: Group, start: int) -> _Packed:
        frame = group.read()
        # A group may turn out to be empty; one that lacks columns is refused all the same.
        if frame.height == 0 and set(REQUIRED) <= set(frame.columns):
            return None, start, True
        rows = checked_rows(frame)
        return rows, start, self._columns.write(rows, start)

    def _settle(self, waiting: deque[Future[_Packed]], kept: int) -> None:
        """Note what was packed until no more than some groups are waited for."""
        while len(waiting) > kept:
            rows, start, is_written = waiting.popleft().result()
            if rows is None:
                continue
            if not is_written:
                wait(waiting)
                self._columns.widen()
                self._columns.write(rows, start)
            self._columns.note(rows, start)
            numbers = self._instants.number(rows)
            if not self._runs.add(rows, start, numbers):
                self._columns.numbers[start : start + len(numbers)] = numbers

    def history(self, calendar: Calendar, units_of: UnitsOf | None) -> History:
        """Bring rows into order and return them."""
        if not self._runs.symbols:
            raise NoBarsError
        columns, times = self._columns, self._instants.times
        days = self._instants.days(calendar)
        found = self._runs.arrangement()
        moments = self._moments(found)
        units = (WON,) * len(found.symbols)
        if units_of is not None:
            units = self._step_prices(found, moments, days, units_of)
        columns.narrow()
        table = BarTable(
            symbols=found.symbols,
            offsets=found.offsets,
            times=times,
            days=days,
            moments=moments,
            prices=cast("Whole", columns.prices),
            volume=columns.volume,
            is_traded=columns.is_traded,
            units=units,
        )
        _refuse_other_days(table, calendar)
        return History(table, columns.doubts, columns.quotes)

    def _moments(self, found: Arrangement) -> Moments:
        """Move rows to where they belong; return the number of the instant of each.

        Where all symbols have the same instants, one copy is for all.
        """
        columns, count = self._columns, len(self._instants.times)
        rows, one_copy = int(found.offsets[-1]), np.arange(count, dtype=np.int32)
        is_full = bool((np.diff(found.offsets) == count).all())
        if is_full and not found.is_mixed.any():
            columns.forget_numbers()
            columns.arrange(found.blocks, rows)
            return one_copy
        self._runs.write_numbers(columns.numbers)
        columns.arrange(found.blocks, rows)
        moments, ranks = columns.numbers, self._instants.ranks
        for first in range(0, rows, GROUP_ROWS):
            moments[first : first + GROUP_ROWS] = ranks[moments[first : first + GROUP_ROWS]]
        for at in np.flatnonzero(found.is_mixed).tolist():
            first, end = int(found.offsets[at]), int(found.offsets[at + 1])
            self._order(found.symbols[at], moments, first, end)
        return one_copy if is_full else moments

    def _order(self, symbol: str, moments: Moments, first: int, end: int) -> None:
        """Bring the rows of a symbol into the order of time."""
        self._columns.permute(first, np.argsort(moments[first:end], kind="stable"))
        is_same = moments[first : end - 1] == moments[first + 1 : end]
        if is_same.any():
            row = first + int(np.argmax(is_same))
            one, other = self._columns.brokers_at([row, row + 1])
            raise two_bars(symbol, int(self._instants.times[moments[row]]), (one, other))

    def _step_prices(
        self, found: Arrangement, moments: Moments, days: Ints, units_of: UnitsOf
    ) -> tuple[Units, ...]:
        """Turn prices into whole steps of their instrument; return the units of each."""
        every, columns, times = [], self._columns, self._instants.times
        is_even = len(moments) != len(columns.volume)
        for at, symbol in enumerate(found.symbols):
            first, end = int(found.offsets[at]), int(found.offsets[at + 1])
            prices = cast("Floats", columns.prices[first:end])
            stretch = moments if is_even else moments[first:end]
            day = day_of(int(days[stretch[0]]))
            units = units_of(symbol, *_first_and_lowest(prices), day)

            def where(row: int, symbol: str = symbol, stretch: Moments = stretch) -> str:
                return f"{symbol} at {minute_of(int(times[stretch[row]]))} UTC"

            step_prices(prices, units, where)
            every.append(units)
        columns.is_traded &= (columns.prices > 0).all(axis=1)
        columns.make_whole()
        return tuple(every)


def _first_and_lowest(prices: Floats) -> tuple[Decimal, Decimal]:
    """Return the first close and the lowest low above zero; 1 where there is none."""
    close, low = prices[:, 3], prices[:, 2]
    first = Decimal(str(float(close[np.argmax(close > 0)]))) if (close > 0).any() else Decimal(1)
    return first, Decimal(str(float(low[low > 0].min()))) if (low > 0).any() else first


def _refuse_other_days(table: BarTable, calendar: Calendar) -> None:
    for day in np.unique(table.days).tolist():
        found = day_of(day)
        try:
            if calendar.is_session(found):
                continue
            reason = f", which is no session of {calendar.venue}"
        except CalendarError as error:
            reason = f": {error}"
        row = int(np.argmax(table.day == day))
        symbol = table.symbols[int(np.searchsorted(table.offsets, row, side="right")) - 1]
        raise InputError(f"{symbol} has a bar on {found}{reason}")
