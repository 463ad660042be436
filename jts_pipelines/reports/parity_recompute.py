"""Compute a day again: the same program over warm-up bars of the lake and recorded trades.

Everything is read from storage; nothing is shared with the trader but the pure engine. Positions
matter only to exits by stops, so what the journal says of orders is handed in at its times; what
the engine would have ordered itself goes nowhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import cast

import polars as pl

from jts_pipelines.reports.daily_records import Span
from jts_pipelines.reports.parity import SeenBar, SeenSignal, Traded
from jts_pipelines.reports.parity_seen import bars_of, signal_of
from jts_trading.domain.feed_messages import BarsClosed, TicksCollected
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.journal_events import JournalEvent, SignalRecorded
from jts_trading.domain.sessions import calendar_for, local_date
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.dsl.compiler import compile_strategy, compile_ticks
from jts_trading.engine.events import ClockRead, Effect, JournalRead, TicksArrived
from jts_trading.engine.program import (
    GuardKernel,
    Kernel,
    Program,
    TickKernel,
    kernel_source,
    make_program,
    make_ticks,
    tick_source,
)
from jts_trading.engine.setup import Prepared, new_state
from jts_trading.engine.slots import date_of_number
from jts_trading.engine.state import EngineSettings, EngineState, Instance
from jts_trading.engine.step import step
from jts_trading.engine.stored import bar_columns, entries_of
from jts_trading.engine.warmup import gather, warm
from jts_trading.execution.fill_costs import Listed
from jts_trading.kernels.loader import load
from jts_trading.strategy.frames import interval_seconds
from jts_trading.strategy.rules import SizeDefaults, read_rules
from storage.lake.lake import Lake

# Stored bars that coarser ones are gathered from, coarsest first.
_STORED = ("1d", "4h", "1h", "30m", "15m", "10m", "5m", "3m", "1m")
# Recorded trades before the day that a state without stored bars begins with.
_DAYS_BEFORE = 3

Moved = tuple[int, int, JournalEvent]
"""Sequence, time of recording (UTC ns) and event of the journal."""


@dataclass(slots=True)
class Recomputed:
    """What came out again on the day.

    Attributes:
        warmup: Stored bars that went into the state before the day, by instance and instrument.
    """

    signals: list[SeenSignal] = field(default_factory=list)
    bars: list[SeenBar] = field(default_factory=list)
    warmup: dict[str, int] = field(default_factory=dict)


def recompute(
    instances: Sequence[StrategyInput],
    lake: Lake,
    span: Span,
    *,
    until_ns: int,
    begins: Mapping[Traded, int],
    moved: Iterable[Moved],
    settings: EngineSettings,
    cache_dir: Path,
) -> Recomputed:
    """Return the signals and bars of a day in Korea, computed again.

    Args:
        instances: What was traded, as the trading inputs described it.
        lake: All tiers.
        span: The day.
        until_ns: Nothing after this instant is computed.
        begins: From when on the trader decided, by instance and release: bars that could be known
            before were history to it.
        moved: What the journal says of orders and positions of these instances, by number.
        settings: Of the engine, as the trader had them.
        cache_dir: Where compiled code is kept: `<home>/cache/kernels`.

    Raises:
        JtsError: A text is refused, or no rule covers the day.
        StorageError: A tier does not answer.
    """
    found = Recomputed()
    events = list(moved)
    # One state per venue and release: an instance may have traded two releases on one day.
    for (venue, _), group in groupby(sorted(instances, key=_kind), key=_kind):
        prepared = [Prepared(spec, _program(spec, cache_dir)) for spec in group]
        state = new_state(settings, prepared, _listing, span.day)
        for instance in state.instances.values():
            spec = instance.spec
            instance.decides_from_ns = begins.get((spec.instance, spec.release), 0)
            for symbol in spec.instrument_ids:
                count = _warm(lake, state, instance, symbol, span)
                found.warmup[f"{spec.instance} {symbol}"] = count
        entries = entries_of(_recorded(lake, state, venue, span))
        for effect in _run(state, entries, events, until_ns):
            _keep(found, effect, span)
    return found


def _kind(spec: StrategyInput) -> tuple[str, str]:
    return spec.venue, spec.release


def _program(spec: StrategyInput, cache_dir: Path) -> Program:
    plan = compile_strategy(spec.dsl_code, file=f"<{spec.release}>", params=spec.params)
    rules = read_rules(plan, SizeDefaults(), spec.currency)
    guard = cast("GuardKernel", load(plan.guard, cache_dir)) if plan.guard else None
    kernel = cast("Kernel", load(kernel_source(plan), cache_dir))
    judged, ticks = compile_ticks(spec.dsl_code, params=spec.params), None
    if judged is not None:
        ticks = make_ticks(judged, cast("TickKernel", load(tick_source(judged), cache_dir)))
    return make_program(plan, rules, kernel, guard=guard, ticks=ticks)


def _listing(_instrument_id: str) -> Listed:
    # Market and kind decide costs and lots of orders, and none of ours is sent.
    return Listed()


def _warm(lake: Lake, state: EngineState, instance: Instance, symbol: str, span: Span) -> int:
    """Run the stored bars from the epoch to the day before; return how many there were."""
    spec = instance.spec
    if not spec.epoch:
        return 0
    wanted = interval_seconds(instance.interval)
    for interval in _STORED:
        if wanted % interval_seconds(interval):
            continue
        rows = lake.read(
            "candles",
            venue=spec.venue,
            interval=interval,
            symbols=[parse_instrument_id(symbol).symbol],
            start=date.fromisoformat(spec.epoch),
            end=_first_day(spec.venue, span) - timedelta(days=1),
        )
        if rows.height:
            bars = gather(bar_columns(rows, spec.venue, instance.units[symbol]), wanted)
            builder = state.builders[symbol, spec.venue, instance.interval]
            return warm(instance, symbol, builder, bars)
    return 0


def _recorded(lake: Lake, state: EngineState, venue: str, span: Span) -> pl.DataFrame:
    """Return the recorded trades from the end of the warm-up to the end of the day."""
    first = _first_day(venue, span)
    calendar = calendar_for(venue)
    is_session = calendar.is_session(first)
    oldest = calendar.offset(first, -_DAYS_BEFORE) if is_session else first
    begins = first
    symbols: set[str] = set()
    for instance in state.instances.values():
        for symbol, row in instance.symbols.items():
            symbols.add(parse_instrument_id(symbol).symbol)
            after = date_of_number(row.day) + timedelta(days=1) if row.day >= 0 else oldest
            begins = min(begins, max(after, oldest))
    return lake.read(
        "ticks",
        venue=venue,
        symbols=sorted(symbols),
        start=begins,
        end=local_date(venue, span.before_ns - 1),
    )


def _run(
    state: EngineState, entries: Iterable[TicksCollected], events: list[Moved], until_ns: int
) -> Iterator[Effect]:
    """Yield what the engine says to entries and, between them, to the journal's events."""
    at = 0
    for entry in entries:
        if entry.ticks[0].ts_recv_ns >= until_ns:
            break
        told = at
        while at < len(events) and events[at][1] <= entry.ticks[0].ts_recv_ns:
            at += 1
        now_ns = entry.ticks[-1].ts_recv_ns
        if at > told:
            yield from step(state, JournalRead(tuple(events[told:at])), now_ns)
        yield from step(state, TicksArrived(entry, "", is_recorded=True), now_ns)
    # The clock closes what no later trade has closed.
    yield from step(state, ClockRead(until_ns), until_ns)


def _keep(found: Recomputed, effect: Effect, span: Span) -> None:
    event = effect.event
    if isinstance(event, SignalRecorded) and _is_on_day(event.bar_start_ns, span):
        found.signals.append(signal_of(event))
    elif isinstance(event, BarsClosed) and _is_on_day(event.start_ns, span):
        found.bars += bars_of(event)


def _is_on_day(start_ns: int, span: Span) -> bool:
    return span.from_ns <= start_ns < span.before_ns


def _first_day(venue: str, span: Span) -> date:
    """Return the venue's day in which the day in Korea begins."""
    return local_date(venue, span.from_ns)
