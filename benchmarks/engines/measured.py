"""What every engine's script shares: the clock, the memory and the one line that it prints.

Scripts run in interpreters that know nothing of JTS, so this file needs only the standard library.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple


class Outcome(NamedTuple):
    """What a strategy did: number of fills, and final equity less the starting cash."""

    fills: int
    gain: float


def sweep_pairs() -> list[tuple[int, int]]:
    """Return the pairs of periods of the sweep."""
    return [(fast, slow) for fast in range(5, 101, 5) for slow in range(110, 301, 10)]


def median_seconds(run: Callable[[], Outcome], repeats: int) -> tuple[float, Outcome]:
    """Run once to warm up, then `repeats` times; return the median and the last outcome."""

    def timed() -> tuple[float, Outcome]:
        began = time.perf_counter()
        outcome = run()
        return time.perf_counter() - began, outcome

    return median_of(timed, repeats)


def median_of(run: Callable[[], tuple[float, Outcome]], repeats: int) -> tuple[float, Outcome]:
    """Do the same for a run that says itself how long it took."""
    _, outcome = run()
    spent = []
    for _ in range(repeats):
        seconds, outcome = run()
        spent.append(seconds)
    return statistics.median(spent), outcome


def say(*, rows: int, seconds: float, outcome: Outcome, **more: object) -> None:
    """Print the one line of JSON that the benchmark reads."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = {"rows": rows, "seconds": seconds, "fills": outcome.fills, "gain": outcome.gain}
    sys.stdout.write(json.dumps({**line, "peak_rss_mb": peak, **more}) + "\n")
