"""A compiled strategy as the engine is handed it, and the loop that warms its state up.

The engine imports no compiler: whoever runs it loads `kernel_source(plan)` with `kernels.loader`
and hands the functions in. `advance_bars` is read as text and joined to the generated source, as
the driver of a backtest is; there and here the same `step` sees the same bars.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jts_trading.dsl.emit import function_text
from jts_trading.dsl.plan import Plan
from jts_trading.strategy.rules import OrderRules

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

step: Callable[..., int]


Step = Callable[..., int]
"""One closed bar in, the mask of the rules that fire out; changes the state: see `dsl.plan`."""


class Kernel(Protocol):
    """What the module of `kernel_source` has."""

    step: Step
    init_state: Callable[[Floats, float], None]
    advance_bars: Callable[[Floats, Floats, Ints, Ints], None]


@dataclass(frozen=True, slots=True)
class Program:
    """A strategy, ready to run.

    Attributes:
        plan: What was compiled.
        rules: Its orders and risk block.
        step: See `dsl.plan`.
        init_state: Sets a state row up; takes it and the price scale.
        advance: Runs many bars over one row: state, bars [row, open high low close volume],
            frames closed, and the masks that it fills.
    """

    plan: Plan
    rules: OrderRules
    step: Step
    init_state: Callable[[Floats, float], None]
    advance: Callable[[Floats, Floats, Ints, Ints], None]


def make_program(plan: Plan, rules: OrderRules, kernel: Kernel) -> Program:
    """Return the program of a loaded kernel."""
    return Program(plan, rules, kernel.step, kernel.init_state, kernel.advance_bars)


def kernel_source(plan: Plan) -> str:
    """Return what has to be compiled for a plan: its generated source and the warm-up loop."""
    return f"{plan.source}\n\n{function_text(advance_bars)}\n"


def advance_bars(state: Floats, bars: Floats, closed: Ints, fired: Ints) -> None:
    """Run bars over one state row, in order, and fill the masks of the rules that fire."""
    for row in range(len(closed)):
        fired[row] = step(  # noqa: F821 - the source of the strategy defines it
            state,
            bars[row, 0],
            bars[row, 1],
            bars[row, 2],
            bars[row, 3],
            bars[row, 4],
            closed[row],
        )
