"""Measures one bar close of many instruments: python live_step.py CASE FILE REPEATS CACHE COUNT.

What is timed is the whole `engine.step` of the clock that closes a minute of every instrument:
bars, strategies, decisions, facts. Each repeat is a session of 390 minutes, the first sixty of
which only warm indicators up. Seconds are the 99th percentile.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from live_engine import MINUTE_NS, engine_of, entries_of, names_of, open_ns, ticks_of
from measured import Outcome, say

from jts_trading.engine.events import ClockRead, TicksArrived
from jts_trading.engine.step import step

MINUTES, WARM_UP = 380, 60


def main() -> None:
    """Measure one case."""
    _, case, _path, repeats, cache, count = sys.argv
    names = names_of(int(count))
    spent: list[float] = []
    for _ in range(int(repeats)):
        spent += _session(case, names, Path(cache))
    spent.sort()
    p99 = spent[int(len(spent) * 0.99)]
    say(
        rows=len(names),
        seconds=p99,
        outcome=Outcome(len(spent), 0.0),
        phases={"p50": statistics.median(spent), "p99": p99, "max": spent[-1]},
    )


def _session(case: str, names: tuple[str, ...], cache: Path) -> list[float]:
    state = engine_of(case, names, cache)
    random = np.random.Generator(np.random.PCG64(1))
    prices = 100 * random.integers(800, 1_500, len(names))
    spent, first, began_ns = [], 0, open_ns()
    for minute in range(MINUTES):
        start_ns = began_ns + minute * MINUTE_NS
        prices += 100 * random.integers(-3, 4, len(names))
        stamps = start_ns + np.sort(random.integers(0, MINUTE_NS, len(names)))
        ticks = ticks_of(names, stamps, prices, np.arange(len(names)))
        for entry in entries_of(ticks, first):
            step(state, TicksArrived(entry, "bench"), entry.ticks[-1].ts_recv_ns)
        first += len(ticks)
        due_ns = start_ns + MINUTE_NS + state.settings.grace_ns
        began = time.perf_counter()
        step(state, ClockRead(due_ns), due_ns)
        if minute >= WARM_UP:
            spent.append(time.perf_counter() - began)
    return spent


main()
