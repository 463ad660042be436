"""What the pass over rules takes and leaves beside bars and masks, where a plan asks for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.doubts import TAINTED
from jts_pipelines.backtest.frames import day_of
from jts_trading.dsl.lowering import CLOCK, DOUBTS, VALUES, row_extras
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.instants import instants

Column = Ints | Floats | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class StepExtras:
    """Further arguments of `run_rows`.

    Attributes:
        columns: In the order of `dsl.lowering.row_extras`.
        values: [row, place], filled by the pass over rules; of no places for most plans.
    """

    columns: tuple[Column, ...]
    values: Floats


def step_extras(
    plan: Plan,
    bars: BarTable,
    frame: pl.DataFrame,
    interval_ms: int,
    clock: Callable[[BarTable], Ints],
) -> StepExtras:
    """Return what a plan asks for.

    Args:
        plan: A compiled strategy.
        bars: Bars that traded.
        frame: The rows that they were made of, for `quality`.
        interval_ms: Length of the bars.
        clock: Gives the clock of every instant, see `clock_of`.
    """
    values = np.zeros((bars.rows if plan.values else 0, plan.values))
    made: dict[str, Callable[[], Column]] = {
        CLOCK: lambda: clock(bars),
        DOUBTS: lambda: doubtful_rows(bars, frame, interval_ms),
        VALUES: lambda: values,
    }
    return StepExtras(tuple(made[name]() for name in row_extras(plan)), values)


def clock_of(venue: str, session_open: Callable[[date], int]) -> Callable[[BarTable], Ints]:
    """Return what gives, for every instant of bars, the columns of the clock.

    Args:
        venue: Where they trade.
        session_open: Gives the open of a session, UTC ms.
    """

    def clock(bars: BarTable) -> Ints:
        opens = {day: session_open(day_of(day)) for day in np.unique(bars.days).tolist()}
        begins = np.array([opens[day] for day in bars.days.tolist()], np.int64)
        return np.ascontiguousarray(instants(venue, bars.days, bars.times, begins)[:, 1:])

    return clock


def doubtful_rows(bars: BarTable, frame: pl.DataFrame, interval_ms: int) -> NDArray[np.uint8]:
    """Return 1 for each row that holds a bar which the lake marks as doubtful.

    A coarser bar is doubtful when one of those that it was gathered from is. Rows without the
    column `quality` are taken to be fine.
    """
    found = np.zeros(bars.rows, np.uint8)
    if "quality" not in frame.columns:
        return found
    marked = frame.filter(pl.col("quality").cast(pl.String).is_in(TAINTED))
    stamps = bars.stamp if marked.height else bars.times
    places = {symbol: at for at, symbol in enumerate(bars.symbols)}
    rows = zip(marked["symbol"], marked["timestamp"].dt.epoch("ms"), strict=True)
    for symbol, stamp in rows:
        first, end = bars.offsets[places[symbol]], bars.offsets[places[symbol] + 1]
        at = int(first + np.searchsorted(stamps[first:end], stamp, side="right")) - 1
        if at >= first and stamp < stamps[at] + interval_ms:
            found[at] = 1
    return found
