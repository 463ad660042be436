"""Decisions on trades: what the rules that are judged on every trade bring about.

As at the close of a bar, but on the bar as it is when the trade arrives: its close is the price of
the trade, and positions keep the value of their newest close.
"""

import numpy as np

from jts_trading.dsl.tracing import Evaluated, evaluate
from jts_trading.engine.bars import Bar, Cause
from jts_trading.engine.decide import decide_entry
from jts_trading.engine.events import Effect, TicksArrived
from jts_trading.engine.identity import trade_decision_id
from jts_trading.engine.judging import roll_day
from jts_trading.engine.program import TickProgram
from jts_trading.engine.recording import Draft, record
from jts_trading.engine.standing import Standing
from jts_trading.engine.state import EngineState, Instance
from jts_trading.engine.watching import Fired
from jts_trading.engine.words import rule_nodes


def judge_noted(state: EngineState, event: TicksArrived, now_ns: int) -> list[Effect]:
    """Judge the trades of an entry that were noted, and decide where rules fire.

    Returns:
        The facts in the order of the trades; those of one trade by instance.
    """
    found = [
        (fired.noted.place, name, fired)
        for name, instance in state.watching.items()
        if instance.watch is not None
        for fired in instance.watch.judge(instance.states)
    ]
    if not found or state.is_past:
        return []
    effects: list[Effect] = []
    for place, name, fired in sorted(found, key=lambda each: each[:2]):
        instance, cause = state.instances[name], event.cause_of(place)
        if cause.ts_recv_ns >= instance.decides_from_ns:
            effects += _decide(state, instance, fired, cause, now_ns)
    return effects


def _decide(
    state: EngineState, instance: Instance, fired: Fired, cause: Cause, now_ns: int
) -> list[Effect]:
    bar, spec = _bar_of(fired, cause), instance.spec
    symbol = bar.instrument_id
    roll_day(instance, bar.day)
    number = trade_decision_id(spec.instance, spec.release, symbol, cause.feed, cause.tick)
    draft = Draft(instance, bar, instance.books[symbol], number, fired.fired, fired.left)
    draft.values = _values(instance, symbol, fired)
    standing = Standing(instance, now_ns)
    decide_entry(state, draft, standing)
    return record(state, draft, now_ns, standing.equity)


def _bar_of(fired: Fired, cause: Cause) -> Bar:
    """Return the bar in the making with its newest trade."""
    builder = fired.noted.builder
    opened, high, low, close = map(int, fired.bar[:4])
    return Bar(
        builder.instrument_id,
        builder.venue,
        builder.interval,
        builder.day,
        builder.start_ns,
        builder.end_ns,
        builder.open_ms,
        False,  # Its session goes on.
        opened,
        high,
        low,
        close,
        fired.noted.volume,
        fired.noted.trades,
        builder.previous_close,
        "trade",
        cause,
        cause,
        cause.ts_recv_ns,
    )


def _values(instance: Instance, symbol: str, fired: Fired) -> list[Evaluated]:
    """Return the rules on trades with the values inside their conditions."""
    program = instance.program
    if program.ticks is None or program.ticks.traced is None:
        return rule_nodes(program.plan, fired.fired)
    trace = program.ticks.plan.trace
    values = np.full(trace.size, np.nan)
    arguments = _arguments(program.ticks, fired)
    # Nothing has closed since it was judged: the state is the one that was.
    state = instance.rows[symbol].copy()
    if program.ticks.traced(state, *arguments, values) != fired.held:
        # Only an explanation is lost: trading does not stop for that.
        return rule_nodes(program.plan, fired.fired)
    scale, bits = instance.units[symbol].price_scale, program.ticks.plan.bits
    return evaluate(trace, values.tolist(), scale, bits)


def _arguments(ticks: TickProgram, fired: Fired) -> tuple[object, ...]:
    spread = (fired.bar[5],) if ticks.reads_quotes else ()
    instant = (fired.instant[1 + column] for column in ticks.instant_columns)
    doubt = (fired.bar[6],) if ticks.reads_doubt else ()
    return *fired.bar[:5], fired.instant[0], *spread, *instant, *doubt, np.array(fired.bar[7:])
