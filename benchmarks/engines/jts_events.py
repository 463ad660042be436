"""Measures ticks through `engine.step`: jts_events.py CASE FILE REPEATS CACHE BATCH TEXT."""

import sys
import time
from pathlib import Path

from event_ticks import INSTRUMENTS, make_trades
from live_engine import engine_of, entries_of, names_of, open_ns, ticks_of
from measured import Outcome, median_of, say

from jts_trading.bootstrap.memory import settle_memory
from jts_trading.domain.feed_messages import BarsClosed
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.step import step


def main() -> None:
    """Measure one case."""
    _, _case, _path, repeats, cache, batch, text = sys.argv
    names = names_of(INSTRUMENTS)
    stamps, prices, which = make_trades(open_ns())
    ticks = ticks_of(names, stamps, prices, which)
    events = [TicksArrived(entry, "bench") for entry in entries_of(ticks, 0, int(batch))]

    def run() -> tuple[float, Outcome]:
        state, effects = engine_of(text, names, Path(cache)), []
        settle_memory()  # as the trader does when its start is over
        began = time.perf_counter()
        for event in events:
            effects += step(state, event, event.ticks.ticks[-1].ts_recv_ns)
        # The minute that is in the making stays open, in every engine.
        spent = time.perf_counter() - began
        closed = [e.event for e in effects if isinstance(e.event, BarsClosed)]
        bars = [bar for each in closed for bar in each.bars()]
        return spent, Outcome(len(bars), float(sum(bar.close for bar in bars)))

    seconds, outcome = median_of(run, int(repeats))
    say(rows=len(ticks), seconds=seconds, outcome=outcome)


main()
