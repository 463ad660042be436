"""Run a closed bar through the strategies that read it, and say that it closed."""

from decimal import Decimal

import numpy as np

from jts_trading.domain.feed_messages import BarClosed
from jts_trading.domain.instruments import parse_venue, quantity_scale
from jts_trading.dsl.plan import Timeframe
from jts_trading.dsl.tracing import Evaluated
from jts_trading.dsl.tracing import evaluate as conditions
from jts_trading.engine.bars import Bar
from jts_trading.engine.events import Effect
from jts_trading.engine.identity import bar_id
from jts_trading.engine.program import Floats
from jts_trading.engine.recording import Draft, Seen
from jts_trading.engine.state import EngineState, Instance, SymbolRow
from jts_trading.engine.words import rule_nodes
from jts_trading.strategy.frames import period_number
from jts_trading.strategy.instants import instant


def evaluate(instance: Instance, bar: Bar) -> Draft | None:
    """Return what the rules of an instance say to a closed bar; changes its state row.

    None for a bar that its warm-up held already.
    """
    symbol = instance.symbols[bar.instrument_id]
    if symbol.day >= 0 and (bar.day, bar.stamp_ms) <= (symbol.day, symbol.stamp_ms):
        return None
    row = instance.rows[bar.instrument_id]
    closed = frames_closed(instance.program.plan.timeframes, symbol, bar)
    if len(instance.before) != len(row):
        instance.before = np.zeros(len(row))
    instance.before[:] = row
    arguments = _arguments(instance, bar, closed)
    fired = instance.program.step(row, *arguments)
    symbol.day, symbol.stamp_ms, symbol.open_ms = bar.day, bar.stamp_ms, bar.open_ms
    symbol.bars += 1
    plan = instance.program.plan
    draft = Draft(instance, bar, fired, [])
    if plan.values:
        draft.numbers = row[plan.values_slot : plan.values_slot + plan.values].copy()
    seen = Seen(instance.before, arguments, fired)
    if instance.program.guard is not None:
        # Nobody knows yet which of them count: `engine.guarding` says so, then they are shown.
        draft.seen = seen._replace(before=instance.before.copy())
    elif fired:
        draft.values = look_at(instance, bar.instrument_id, fired, seen)
    return draft


def _arguments(instance: Instance, bar: Bar, closed: int) -> tuple[float, ...]:
    """Return what `step` takes beside the state."""
    volume = bar.volume / 10 ** quantity_scale(parse_venue(bar.venue))
    prices = (float(bar.open), float(bar.high), float(bar.low), float(bar.close))
    columns = instance.program.instant_columns
    extras: tuple[int, ...] = ()
    if columns:
        begins = instant(bar.venue, bar.day, bar.stamp_ms, bar.open_ms)
        extras = tuple(begins[column] for column in columns)
    return (*prices, volume, closed, *extras)


def look_at(
    instance: Instance,
    symbol: str,
    fired: int,
    seen: Seen,
    account: tuple[Floats, Floats] | None = None,
) -> list[Evaluated]:
    """Return the rules of an instance with the values inside their conditions.

    The traced step sees the state before the bar, so its values are those that decided.

    Args:
        instance: Whose rules they are.
        symbol: The instrument.
        fired: The rules that fired and that the account allows.
        seen: What the step saw.
        account: Values that the step left, and facts, for what asks for the account; without them
            that has no values.
    """
    program, trace = instance.program, instance.program.trace
    if trace is None or program.traced is None:
        return rule_nodes(program.plan, fired)
    values = np.full(trace.size, np.nan)
    if program.traced(seen.before, *seen.arguments, values) != seen.fired:
        # Only an explanation is lost: trading does not stop for that.
        return rule_nodes(program.plan, fired)
    if account is not None and program.account is not None:
        program.account(values, *account)
    scale = instance.units[symbol].price_scale
    return [
        {"rule": bit, **conditions(tree, trace, values.tolist(), scale)}
        for bit, tree in enumerate(trace.rules)
    ]


def frames_closed(frames: tuple[Timeframe, ...], symbol: SymbolRow, bar: Bar) -> int:
    """Return the bits of the frames whose pending bar closed before this bar."""
    if symbol.day < 0:
        return 0
    closed = 0
    for bit, frame in enumerate(frames):
        before = period_number(symbol.day, symbol.stamp_ms, symbol.open_ms, frame.seconds)
        now = period_number(bar.day, bar.stamp_ms, bar.open_ms, frame.seconds)
        closed |= (before != now) << bit
    return closed


def bar_effect(state: EngineState, bar: Bar) -> Effect:
    """Return the message that a bar closed, in the instrument's currency and quantity."""
    desk = state.desks[bar.instrument_id, bar.venue]
    units = desk.units
    message = BarClosed(
        instrument_id=bar.instrument_id,
        venue=bar.venue,
        interval=bar.interval,
        start_ns=bar.start_ns,
        open=units.price(bar.open),
        high=units.price(bar.high),
        low=units.price(bar.low),
        close=units.price(bar.close),
        volume=Decimal(bar.volume).scaleb(-desk.quantity_scale),
        closed_by=bar.closed_by,
        feed=bar.last.feed,
        last_tick=bar.last.tick,
        ticks=bar.trades,
    )
    event_id = bar_id(bar.instrument_id, bar.venue, bar.interval, bar.start_ns)
    return Effect(message, event_id, bar.trigger.correlation_id, bar.trigger.message_id)
