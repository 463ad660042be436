"""Measures one bar close of many instruments: python live_step.py CASE FILE REPEATS CACHE COUNT.

What is timed is the whole `engine.step` of the clock that closes a minute of every instrument:
bars, strategies, decisions, facts. Orders fill at the start of the next minute. Each repeat is a
session, the first sixty minutes of which only warm indicators up. Seconds are the 99th percentile.
Memory is looked after between steps, as the trader does when nothing waits.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
from live_engine import MINUTE_NS, engine_of, entries_of, names_of, open_ns, ticks_of
from measured import Outcome, say

from jts_trading.bootstrap.memory import settle_memory, tidy_memory
from jts_trading.domain.journal_events import IntentRecorded, OrderFilled
from jts_trading.domain.orders import OrderIntent
from jts_trading.engine.events import ClockRead, JournalRead, TicksArrived
from jts_trading.engine.state import EngineState
from jts_trading.engine.step import step

MINUTES, WARM_UP = 220, 60


def main() -> None:
    """Measure one case."""
    _, case, _path, repeats, cache, count = sys.argv
    names = names_of(int(count))
    spent: list[float] = []
    intents = 0
    for _ in range(min(int(repeats), 2)):
        found, ordered = _session(case, names, Path(cache))
        spent, intents = spent + found, intents + ordered
    spent.sort()
    p99 = spent[int(len(spent) * 0.99)]
    say(
        rows=len(names),
        seconds=p99,
        outcome=Outcome(intents, 0.0),
        phases={"p50": statistics.median(spent), "p99": p99, "max": spent[-1]},
    )


def _session(case: str, names: tuple[str, ...], cache: Path) -> tuple[list[float], int]:
    state = engine_of(case, names, cache)
    random = np.random.Generator(np.random.PCG64(1))
    prices = 100 * random.integers(800, 1_500, len(names))
    spent, first, began_ns, ordered = [], 0, open_ns(), 0
    numbers, waiting = itertools.count(1), list[OrderIntent]()
    for minute in range(MINUTES):
        start_ns = began_ns + minute * MINUTE_NS
        _fill(state, waiting, numbers, start_ns, dict(zip(names, prices.tolist(), strict=True)))
        prices += 100 * random.integers(-3, 4, len(names))
        stamps = start_ns + np.sort(random.integers(0, MINUTE_NS, len(names)))
        ticks = ticks_of(names, stamps, prices, np.arange(len(names)))
        for entry in entries_of(ticks, first):
            step(state, TicksArrived(entry, "bench"), entry.ticks[-1].ts_recv_ns)
        first += len(ticks)
        if minute == WARM_UP:
            settle_memory()  # as the trader does when its start is over,
        tidy_memory()  # and whenever it has read all there is
        due_ns = start_ns + MINUTE_NS + state.settings.grace_ns
        began = time.perf_counter()
        effects = step(state, ClockRead(due_ns), due_ns)
        if minute >= WARM_UP:
            spent.append(time.perf_counter() - began)
        waiting = [e.event.intent for e in effects if isinstance(e.event, IntentRecorded)]
        ordered += len(waiting)
    return spent, ordered


def _fill(
    state: EngineState,
    waiting: list[OrderIntent],
    numbers: Iterator[int],
    at_ns: int,
    prices: dict[str, int],
) -> None:
    """Tell the engine that orders filled."""
    fills = [
        OrderFilled(
            order_id=intent.order_id,
            trade_id=intent.order_id,
            quantity=intent.quantity,
            price=Decimal(prices[intent.instrument_id]),
            fee=Decimal(0),
            tax=Decimal(0),
            ts_event_ns=at_ns,
        )
        for intent in waiting
    ]
    step(state, JournalRead(tuple((next(numbers), at_ns, fill) for fill in fills)), at_ns)


main()
