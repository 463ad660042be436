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
from jts_trading.dsl.grammar import SESSION_COLUMN
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.tracing import Trace
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
    advance_bars: Callable[[Floats, Floats, Ints, Ints, Ints], None]


class TraceKernel(Protocol):
    """What the module of a trace's source has: the step with one more argument for values."""

    trace: Step


@dataclass(frozen=True, slots=True)
class Program:
    """A strategy, ready to run.

    Attributes:
        plan: What was compiled.
        rules: Its orders and risk block.
        step: See `dsl.plan`.
        init_state: Sets a state row up; takes it and the price scale.
        advance: Runs many bars over one row: state, bars [row, open high low close volume],
            sessions, frames closed, and the masks that it fills.
        trace: How to look at its conditions; None shows only which rules fired.
        traced: The traced step, where there is a trace.
    """

    plan: Plan
    rules: OrderRules
    step: Step
    init_state: Callable[[Floats, float], None]
    advance: Callable[[Floats, Floats, Ints, Ints, Ints], None]
    trace: Trace | None = None
    traced: Step | None = None

    @property
    def needs_session(self) -> bool:
        """Whether `step` takes the trading day of a bar."""
        return SESSION_COLUMN in self.plan.needs


def make_program(
    plan: Plan,
    rules: OrderRules,
    kernel: Kernel,
    trace: Trace | None = None,
    traced: TraceKernel | None = None,
) -> Program:
    """Return the program of a loaded kernel, with its trace where that was loaded too."""
    return Program(
        plan,
        rules,
        kernel.step,
        kernel.init_state,
        kernel.advance_bars,
        trace,
        traced.trace if traced is not None else None,
    )


def kernel_source(plan: Plan) -> str:
    """Return what has to be compiled for a plan: its generated source and the warm-up loop."""
    loop = advance_sessions if SESSION_COLUMN in plan.needs else advance_bars
    text = function_text(loop).replace(loop.__name__, advance_bars.__name__)
    return f"{plan.source}\n\n{text}\n"


def advance_bars(state: Floats, bars: Floats, sessions: Ints, closed: Ints, fired: Ints) -> None:
    """Run bars over one state row, in order, and fill the masks of the rules that fire."""
    for row in range(len(sessions)):
        fired[row] = step(  # noqa: F821 - the source of the strategy defines it
            state,
            bars[row, 0],
            bars[row, 1],
            bars[row, 2],
            bars[row, 3],
            bars[row, 4],
            closed[row],
        )


def advance_sessions(
    state: Floats, bars: Floats, sessions: Ints, closed: Ints, fired: Ints
) -> None:
    """Do as `advance_bars` for a strategy that looks at the trading day."""
    for row in range(len(sessions)):
        fired[row] = step(  # noqa: F821 - the source of the strategy defines it
            state,
            bars[row, 0],
            bars[row, 1],
            bars[row, 2],
            bars[row, 3],
            bars[row, 4],
            closed[row],
            sessions[row],
        )
