"""Measures how soon a surge is an order: python live_surge.py CASE FILE REPEATS CACHE COUNT.

Many instruments trade near a price, four times a minute and in entries of 64. Some surge at an
instant that is known: one trade far above the price with many times the volume of a minute. What
is timed is the whole `engine.step` of the entry with that trade, from the decoded trades to the
intent. Seconds are the 99th percentile over all surges; a run that finds others than those that
were planted fails. Memory is looked after between steps, as the trader does when nothing waits.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from live_engine import BATCH, MINUTE_NS, engine_of, entries_of, names_of, open_ns, ticks_of
from measured import Outcome, say

from jts_trading.bootstrap.memory import settle_memory, tidy_memory
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.journal_events import IntentRecorded
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.step import step

# The average volume needs twenty minutes before the present one.
MINUTES, FIRST, SURGES, TRADES_A_MINUTE = 26, 22, 150, 4


class Market(NamedTuple):
    """Entries of a feed, and the instruments that surge with the instant at which they do."""

    entries: list[TicksCollected]
    surges: dict[str, int]


def main() -> None:
    """Measure one case."""
    _, case, _path, repeats, cache, count = sys.argv
    names = names_of(int(count))
    market, spent, found_in = make_market(names), list[float](), list[float]()
    for _ in range(min(int(repeats), 2)):
        every, found = _session(case, names, market, Path(cache))
        spent, found_in = spent + every, found_in + found
    found_in.sort()
    p99 = found_in[int(len(found_in) * 0.99)]
    say(
        rows=BATCH,
        seconds=p99,
        outcome=Outcome(len(market.surges), 0.0),
        phases={
            "p50": statistics.median(found_in),
            "p99": p99,
            "max": found_in[-1],
            "p50_of_all_entries": statistics.median(spent),
        },
    )


def make_market(names: tuple[str, ...]) -> Market:
    """Return trades of all instruments, with surges planted among them."""
    random = np.random.Generator(np.random.PCG64(11))
    count = len(names) * MINUTES * TRADES_A_MINUTE
    which = np.tile(np.arange(len(names)), MINUTES * TRADES_A_MINUTE)
    bases = 100 * random.integers(500, 1_500, len(names))
    prices = bases[which] + 100 * random.integers(-1, 2, count)
    slots = np.repeat(np.arange(MINUTES * TRADES_A_MINUTE), len(names))
    slot_ns = MINUTE_NS // TRADES_A_MINUTE
    stamps = open_ns() + slots * slot_ns + random.integers(0, slot_ns, count)
    chosen = random.choice(len(names), min(SURGES, len(names)), replace=False)
    at = open_ns() + random.integers(FIRST * MINUTE_NS, MINUTES * MINUTE_NS, len(chosen))
    which, stamps = np.append(which, chosen), np.append(stamps, at)
    prices = np.append(prices, bases[chosen] * 105 // 10_000 * 100 + 100)
    sizes = np.append(np.ones(count, np.int64), np.full(len(chosen), 100))
    order = np.argsort(stamps, kind="stable")
    ticks = ticks_of(names, stamps[order], prices[order], which[order], sizes[order])
    surges = {names[one]: int(instant) for one, instant in zip(chosen, at, strict=True)}
    return Market(entries_of(ticks, 0), surges)


def _session(
    case: str, names: tuple[str, ...], market: Market, cache: Path
) -> tuple[list[float], list[float]]:
    state = engine_of(case, names, cache)
    settle_memory()  # as the trader does when its start is over
    spent, found_in, found = list[float](), list[float](), dict[str, int]()
    for entry in market.entries:
        tidy_memory()  # as it does whenever it has read all there is
        event, now_ns = TicksArrived(entry, "bench"), entry.ticks[-1].ts_recv_ns
        began = time.perf_counter()
        effects = step(state, event, now_ns)
        seconds = time.perf_counter() - began
        spent.append(seconds)
        intents = [e.event.intent for e in effects if isinstance(e.event, IntentRecorded)]
        if intents:
            found_in.append(seconds)
        found |= {each.instrument_id: each.triggered_ns for each in intents}
    if found != market.surges:
        msg = f"{len(market.surges)} surges were planted, {len(found)} were found, or at others"
        raise SystemExit(msg)
    return spent, found_in


main()
