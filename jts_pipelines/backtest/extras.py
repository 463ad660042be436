"""What the pass over rules takes and leaves beside bars and masks, where a plan asks for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from jts_pipelines.backtest.bar_table import BarTable
from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.frames import day_of
from jts_trading.dsl.lowering import CLOCK, row_extras
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.instants import instants


@dataclass(frozen=True, slots=True)
class StepExtras:
    """Further arguments of `run_rows`.

    Attributes:
        columns: In the order of `dsl.lowering.row_extras`.
        values: [row, place], filled by the pass over rules; of no places for most plans.
    """

    columns: tuple[Ints | Floats, ...]
    values: Floats


def step_extras(
    plan: Plan, bars: BarTable, venue: str, session_open: Callable[[date], int]
) -> StepExtras:
    """Return what a plan asks for.

    Args:
        plan: A compiled strategy.
        bars: Bars that traded.
        venue: Where.
        session_open: Gives the open of a session, UTC ms.
    """
    values = np.zeros((bars.rows if plan.values else 0, plan.values))
    columns = tuple(
        _clock(bars, venue, session_open) if name == CLOCK else values for name in row_extras(plan)
    )
    return StepExtras(columns, values)


def _clock(bars: BarTable, venue: str, session_open: Callable[[date], int]) -> Ints:
    opens = {day: session_open(day_of(day)) for day in np.unique(bars.days).tolist()}
    begins = np.array([opens[day] for day in bars.days.tolist()], np.int64)
    return np.ascontiguousarray(instants(venue, bars.days, bars.times, begins)[:, 1:])
