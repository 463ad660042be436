"""What the pass over rules takes and leaves beside bars and masks, where a plan asks for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.history import History
from jts_trading.dsl.lowering import CLOCK, DOUBTS, SPREADS, VALUES, row_extras
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.instants import instants
from jts_trading.strategy.quotes import spreads_of

Column = Ints | Floats | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class StepExtras:
    """Further arguments of `run_rows`.

    Attributes:
        columns: In the order of `dsl.lowering.row_extras`.
        values: [row, place], filled by the pass over rules; of no places for most plans.
        spreads: By row, for a plan that looks at them.
    """

    columns: tuple[Column, ...]
    values: Floats
    spreads: Floats | None = None


def step_extras(
    plan: Plan,
    bars: BarTable,
    history: History,
    interval_ms: int,
    clock: Callable[[BarTable], Ints],
) -> StepExtras:
    """Return what a plan asks for.

    Args:
        plan: A compiled strategy.
        bars: Bars that traded.
        history: What they were made of, for quotes and doubts.
        interval_ms: Length of the bars.
        clock: Gives the clock of every instant, see `clock_of`.
    """
    values = np.zeros((bars.rows, plan.values))
    asked = row_extras(plan)
    spreads = spread_column(bars, history, interval_ms) if SPREADS in asked else None
    made: dict[str, Callable[[], Column | None]] = {
        SPREADS: lambda: spreads,
        CLOCK: lambda: clock(bars),
        DOUBTS: lambda: doubtful_rows(bars, history, interval_ms),
        VALUES: lambda: values,
    }
    columns = (made[name]() for name in asked)
    return StepExtras(tuple(c for c in columns if c is not None), values, spreads)


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


def spread_column(bars: BarTable, history: History, interval_ms: int) -> Floats:
    """Return (ask - bid) / mid at the end of each bar; NaN where there are no quotes.

    A coarser bar has the last quotes of those that it was gathered from. Quotes that cross, or of
    which one is zero, are none.
    """
    found, given = np.full(bars.rows, np.nan), history.table
    if history.quotes is None:
        return found
    places = {symbol: at for at, symbol in enumerate(given.symbols)}
    for at, symbol in enumerate(bars.symbols):
        first, end = int(bars.offsets[at]), int(bars.offsets[at + 1])
        own = bars.times[bars.moment_of(np.arange(first, end), at)]
        stamp, spread = _quoted(given, history.quotes, places[symbol])
        place = np.searchsorted(own, stamp, side="right") - 1
        if len(own) and len(stamp):
            is_inside = (place >= 0) & (stamp < own[place] + interval_ms)
            found[first + place[is_inside]] = spread[is_inside]
    return found


def _quoted(table: BarTable, quotes: Floats, instrument: int) -> tuple[Ints, Floats]:
    """Return when an instrument had quotes, and their spreads."""
    rows = np.arange(table.offsets[instrument], table.offsets[instrument + 1])
    # In whole ticks, as live trading has them: sums and differences of them are exact.
    found = spreads_of(*np.rint(quotes[rows].T * table.units[instrument].price_scale))
    known = ~np.isnan(found)
    return table.times[table.moment_of(rows, instrument)][known], found[known]


def doubtful_rows(bars: BarTable, history: History, interval_ms: int) -> NDArray[np.uint8]:
    """Return 1 for each row that holds a bar which the lake marks as doubtful.

    A coarser bar is doubtful when one of those that it was gathered from is. Rows without the
    column `quality` are taken to be fine.
    """
    found, marked = np.zeros(bars.rows, np.uint8), history.doubtful
    stamps = bars.stamp if marked.height else bars.times
    places = {symbol: at for at, symbol in enumerate(bars.symbols)}
    rows = zip(marked["symbol"], marked["timestamp"].dt.epoch("ms"), strict=True)
    for symbol, stamp in rows:
        if symbol not in places:
            continue
        first, end = bars.offsets[places[symbol]], bars.offsets[places[symbol] + 1]
        at = int(first + np.searchsorted(stamps[first:end], stamp, side="right")) - 1
        if at >= first and stamp < stamps[at] + interval_ms:
            found[at] = 1
    return found
