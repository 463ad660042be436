"""A compiled strategy as the engine is handed it: its step, and the loops around it.

The engine imports no compiler: whoever runs it loads `kernel_source(plan)` with `kernels.loader`
and hands the functions in. The loops of `engine.loops` are read as text and joined to the
generated source, as the driver of a backtest is; there and here the same `step` sees the same
bars.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from jts_trading.domain.orders import OrderSide
from jts_trading.dsl.grammar import DOUBT_COLUMN, INSTANT_COLUMNS, QUOTE_COLUMNS, Side
from jts_trading.dsl.pasting import function_text
from jts_trading.dsl.plan import Plan, Rule
from jts_trading.dsl.ticks import TickPlan
from jts_trading.dsl.tracing import Trace
from jts_trading.engine import loops
from jts_trading.engine.columns import Floats, Ints
from jts_trading.strategy.rules import OrderRules

WHEN_SIZE = 3
"""How many numbers of `when` stand before those of the instant: see `loops.close_bars`."""

Step = Callable[..., int]
"""One closed bar in, the mask of the rules that fire out; changes the state: see `dsl.plan`."""


Signal = tuple[int, Literal["entry", "exit"], OrderSide, str]
"""Of a rule or a reason of the risk block: its number, what it is for, side, and condition."""


class Kernel(Protocol):
    """What the module of `kernel_source` has."""

    step: Step
    init_state: Callable[[Floats, float], None]
    advance_bars: Callable[[Floats, Floats, Ints, Ints, Ints], None]
    close_bars: Callable[[Floats, Ints, Floats, Ints, Ints, Ints, Ints, Floats], int]
    follow_bars: Callable[[Ints, Ints, Ints, Ints, Ints, int, Ints], int]


class TickKernel(Protocol):
    """What the module of `tick_source` has."""

    judge_trades: Callable[
        [Floats, Floats, Ints, Ints, Ints, Ints, Floats, Ints, Ints, Floats, int], int
    ]


class GuardKernel(Protocol):
    """What the module of `Plan.guard` has."""

    guard: Callable[[int, Floats, Floats], int]


class TraceKernel(Protocol):
    """What the module of a trace's source has: the step with one more argument for values.

    A trace that asks for the account has `account`, too.
    """

    trace: Step
    account: Callable[[Floats, Floats, Floats], int]


@dataclass(frozen=True, slots=True)
class TickProgram:
    """The rules of a strategy that are judged on trades, ready to run.

    Attributes:
        plan: What was compiled.
        bits: Of the rules.
        judge: Judges them over trades: `loops.judge_trades`.
        traced: The traced step over a bar in the making, if conditions are to be looked at.
        instant_columns: The columns of an instant that it takes.
        reads_quotes: It takes the spread.
        reads_doubt: It takes whether a bar is doubtful.
    """

    plan: TickPlan
    bits: Ints
    judge: Callable[[Floats, Floats, Ints, Ints, Ints, Ints, Floats, Ints, Ints, Floats, int], int]
    traced: Step | None
    instant_columns: tuple[int, ...]
    reads_quotes: bool
    reads_doubt: bool


@dataclass(frozen=True, slots=True)
class Program:
    """A strategy, ready to run.

    Attributes:
        plan: What was compiled.
        rules: Its orders and risk block.
        step: See `dsl.plan`.
        init_state: Sets a state row up; takes it and the price scale.
        advance: Runs many bars over one state: `loops.advance_bars`.
        close: Runs bars of one instant over the states of many instruments: `loops.close_bars`.
        follow: Values the positions at their closes: `loops.follow_bars`.
        guard: See `dsl.plan`; None where no rule asks for the account.
        trace: How to look at its conditions; None shows only which rules fired.
        traced: The traced step, where there is a trace.
        account: Fills in what it cannot know, where the trace asks for the account.
        untraced: Values of the trace before it ran: none is known.
        instant_columns: The columns of an instant that `step` takes.
        reads_quotes: `step` takes the spread.
        reads_doubt: It takes whether a bar is doubtful.
        judged_at_closes: Mask of the rules that are.
        guarded: Mask of the rules that the guard has a say in.
        signals: What is recorded when a rule fires, of all of them.
        ticks: The rules that are judged on trades; None where there are none.
    """

    plan: Plan
    rules: OrderRules
    step: Step
    init_state: Callable[[Floats, float], None]
    advance: Callable[[Floats, Floats, Ints, Ints, Ints], None]
    close: Callable[[Floats, Ints, Floats, Ints, Ints, Ints, Ints, Floats], int]
    follow: Callable[[Ints, Ints, Ints, Ints, Ints, int, Ints], int]
    trace: Trace | None = None
    traced: Step | None = None
    guard: Callable[[int, Floats, Floats], int] | None = None
    account: Callable[[Floats, Floats, Floats], int] | None = None
    untraced: Floats = field(default_factory=lambda: np.zeros(0))
    instant_columns: tuple[int, ...] = ()
    reads_quotes: bool = False
    reads_doubt: bool = False
    judged_at_closes: int = -1
    guarded: int = 0
    signals: tuple[Signal, ...] = ()
    ticks: TickProgram | None = None


def make_program(
    plan: Plan,
    rules: OrderRules,
    kernel: Kernel,
    trace: Trace | None = None,
    traced: TraceKernel | None = None,
    *,
    guard: GuardKernel | None = None,
    ticks: TickProgram | None = None,
) -> Program:
    """Return the program of a loaded kernel, with its guard and trace where those were loaded.

    Raises:
        ValueError: The plan has rules on trades, and they are not given.
    """
    if ticks is None and any(rule.on_trades for rule in plan.rules):
        raise ValueError(f"{plan.name} has rules on trades: their program is needed, too")
    return Program(
        plan,
        rules,
        kernel.step,
        kernel.init_state,
        kernel.advance_bars,
        kernel.close_bars,
        kernel.follow_bars,
        trace,
        traced.trace if traced is not None else None,
        guard.guard if guard is not None else None,
        traced.account
        if traced is not None and trace is not None and trace.asks_account
        else None,
        untraced=np.full(trace.size if trace is not None else 0, np.nan),
        instant_columns=_instant_columns(plan.needs),
        reads_quotes=_reads_quotes(plan.needs),
        reads_doubt=DOUBT_COLUMN in plan.needs,
        judged_at_closes=_judged_at_closes(plan),
        signals=tuple(_signal_of(rule) for rule in plan.rules),
        guarded=sum(1 << rule.bit for rule in plan.rules if rule.is_guarded),
        ticks=ticks,
    )


def make_ticks(
    plan: TickPlan, kernel: TickKernel, traced: TraceKernel | None = None
) -> TickProgram:
    """Return the program of a loaded kernel of `tick_source`."""
    return TickProgram(
        plan,
        np.array(plan.bits, np.int64),
        kernel.judge_trades,
        traced.trace if traced is not None else None,
        _instant_columns(plan.needs),
        _reads_quotes(plan.needs),
        DOUBT_COLUMN in plan.needs,
    )


def kernel_source(plan: Plan) -> str:
    """Return what has to be compiled for a plan: its generated source and the loops around it."""
    columns = _instant_columns(plan.needs)
    many = "".join(f", instants[at, {column}]" for column in columns)
    same = "".join(f", when[{WHEN_SIZE + column}]" for column in columns)
    if _reads_quotes(plan.needs):
        # Bars of the lake come without quotes.
        many, same = f", math.nan{many}", f", bars[5, at]{same}"
    if DOUBT_COLUMN in plan.needs:
        many, same = f"{many}, bars[at, 5]", f"{same}, bars[6, at]"
    texts = (
        function_text(loops.advance_bars).replace("frames[at])", f"frames[at]{many})"),
        function_text(loops.close_bars).replace("frames[at])", f"frames[at]{same})"),
        function_text(loops.follow_bars),
    )
    names = _names({**loops.NAMES, "JUDGED": _judged_at_closes(plan)})
    return "\n\n".join((plan.source, names, *texts)) + "\n"


def tick_source(plan: TickPlan) -> str:
    """Return what has to be compiled for rules on trades."""
    further = "".join(f", begun[row, {1 + column}]" for column in _instant_columns(plan.needs))
    if _reads_quotes(plan.needs):
        further = f", numbers[at, 5]{further}"
    if DOUBT_COLUMN in plan.needs:
        further = f"{further}, numbers[at, 6]"
    text = function_text(loops.judge_trades).replace("begun[row, 0]", f"begun[row, 0]{further}")
    return "\n\n".join((plan.source, _names(loops.TICK_NAMES), text)) + "\n"


def _signal_of(rule: Rule) -> Signal:
    is_entry = rule.side in (Side.ENTRY_LONG, Side.ENTRY_SHORT)
    buys = rule.side in (Side.ENTRY_LONG, Side.EXIT_SHORT)
    side = OrderSide.BUY if buys else OrderSide.SELL
    return rule.bit, "entry" if is_entry else "exit", side, rule.condition


def _names(numbers: Mapping[str, int]) -> str:
    return "\n".join(f"{name} = {number}" for name, number in numbers.items())


def _judged_at_closes(plan: Plan) -> int:
    return ~sum(1 << rule.bit for rule in plan.rules if rule.on_trades)


def _reads_quotes(needs: tuple[str, ...]) -> bool:
    return any(name in needs for name in QUOTE_COLUMNS)


def _instant_columns(needs: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(at for at, name in enumerate(INSTANT_COLUMNS) if name in needs)
