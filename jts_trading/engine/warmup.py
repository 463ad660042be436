"""Warm a strategy's state up with stored bars: the same program over many bars at once."""

from typing import NamedTuple

import numpy as np

from jts_trading.domain.calendars import NS_PER_S
from jts_trading.dsl.plan import Timeframe
from jts_trading.engine.bars import BarBuilder
from jts_trading.engine.columns import Floats, Ints, SymbolRow
from jts_trading.engine.slots import NS_PER_MS
from jts_trading.engine.state import Instance
from jts_trading.strategy.frames import DAY_SECONDS, bucket_number, period_number
from jts_trading.strategy.instants import instants


class BarColumns(NamedTuple):
    """Traded bars of one instrument and interval, ascending in time.

    Attributes:
        day: Session of each bar, days since 1970-01-01.
        stamp_ms: Label, UTC ms.
        open_ms: Open of its session, UTC ms.
        values: [row, (open, high, low, close, volume)]: ticks, and shares or coins.
        doubts: 1 for a bar that the lake marks as doubtful.
    """

    day: Ints
    stamp_ms: Ints
    open_ms: Ints
    values: Floats
    doubts: Floats


def gather(bars: BarColumns, seconds: int) -> BarColumns:
    """Return bars of a coarser interval; one without trades does not exist."""
    if not len(bars.day):
        return bars
    bucket = bucket_number(bars.stamp_ms, bars.open_ms, seconds)
    is_new = np.ones(len(bars.day), np.bool_)
    is_new[1:] = (np.diff(bars.day) != 0) | (np.diff(bucket) != 0)
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], len(bars.day)) - 1
    values = np.column_stack(
        (
            bars.values[first, 0],
            np.maximum.reduceat(bars.values[:, 1], first),
            np.minimum.reduceat(bars.values[:, 2], first),
            bars.values[last, 3],
            np.add.reduceat(bars.values[:, 4], first),
        )
    )
    opens = bars.open_ms[first]
    stamps = opens if seconds >= DAY_SECONDS else opens + bucket[first] * seconds * 1000
    doubts = np.maximum.reduceat(bars.doubts, first)
    return BarColumns(bars.day[first], stamps, opens, values, doubts)


def warm(instance: Instance, symbol: str, builder: BarBuilder, bars: BarColumns) -> int:
    """Run bars that are older than everything seen so far; returns how many there were."""
    if not len(bars.day):
        return 0
    row = instance.symbols[symbol]
    fired = np.zeros(len(bars.day), np.int64)
    closed = _frames_closed(instance.program.plan.timeframes, row, bars)
    begins = _instants(instance, bars)
    values = np.column_stack((bars.values, bars.doubts))
    instance.program.advance(instance.rows[symbol], values, begins, closed, fired)
    row.day, row.stamp_ms = int(bars.day[-1]), int(bars.stamp_ms[-1])
    row.open_ms = int(bars.open_ms[-1])
    row.bars += len(bars.day)
    instance.books[symbol].mark = int(bars.values[-1, 3])
    _begin_trail(instance, symbol, builder.seconds, bars)
    if builder.close_day <= row.day:
        is_last = np.append(np.diff(bars.day) != 0, [True])
        for at in np.flatnonzero(is_last)[-2:]:
            builder.note_close(int(bars.day[at]), int(bars.values[at, 3]))
    return len(bars.day)


def _begin_trail(instance: Instance, symbol: str, seconds: int, bars: BarColumns) -> None:
    watch = instance.watch
    if watch is None or not watch.longest_ns:
        return
    ends = bars.stamp_ms * NS_PER_MS + seconds * NS_PER_S
    # The one before the oldest that can be asked for is the one that was known then.
    first = max(int(np.searchsorted(ends, ends[-1] - watch.longest_ns)) - 1, 0)
    closes = bars.values[first:, 3].astype(np.int64)
    watch.begin_trail(instance.places[symbol], ends[first:].tolist(), closes.tolist())


def _instants(instance: Instance, bars: BarColumns) -> Ints:
    if instance.program.instant_columns:
        return instants(instance.spec.venue, bars.day, bars.stamp_ms, bars.open_ms)
    return np.zeros((0, 0), np.int64)


def _frames_closed(frames: tuple[Timeframe, ...], row: SymbolRow, bars: BarColumns) -> Ints:
    closed = np.zeros(len(bars.day), np.int64)
    for bit, frame in enumerate(frames):
        period = period_number(bars.day, bars.stamp_ms, bars.open_ms, frame.seconds)
        before = period[0]
        if row.day >= 0:
            before = period_number(row.day, row.stamp_ms, row.open_ms, frame.seconds)
        changed = np.diff(period, prepend=before) != 0
        closed |= changed.astype(np.int64) << bit
    return closed
