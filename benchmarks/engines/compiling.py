"""Measures text to first result: python compiling.py CASE FILE REPEATS CACHE MODE.

MODE is cold (nothing compiled yet), cached (compiled before, numba imported) or process (compiled
before, from the start of a new interpreter, which imports what a run needs). Every run has an
interpreter of its own.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time

from measured import Outcome, say

ONCE = """
import sys, time
import polars
if sys.argv[3] != "process":
    import numba
from pathlib import Path
from jts import listing_of, outcome_of
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.compiler import compile_strategy
from texts import CASH, TEXTS
began = time.perf_counter()
bars = polars.read_parquet(sys.argv[1])
result = run_backtest(compile_strategy(TEXTS["compile"]), bars,
    BacktestSettings(cash=CASH, interval="1m", commission_rate="0.0005"),
    cache_dir=Path(sys.argv[2]), instruments=listing_of(bars["symbol"].unique().sort()))
spent = time.perf_counter() - began
import json
outcome = outcome_of(result)
print(json.dumps({"seconds": spent, "rows": bars.height, "fills": outcome.fills,
                  "gain": outcome.gain}))
"""


def main() -> None:
    """Measure one mode."""
    _, _case, path, repeats, _cache, mode = sys.argv
    with tempfile.TemporaryDirectory() as warm:
        if mode != "cold":
            _once(path, warm, mode)
        spent = []
        for _ in range(int(repeats)):
            with tempfile.TemporaryDirectory() as fresh:
                began = time.perf_counter()
                figures = _once(path, fresh if mode == "cold" else warm, mode)
                whole = time.perf_counter() - began
            spent.append(whole if mode == "process" else figures["seconds"])
    say(
        rows=int(figures["rows"]),
        seconds=statistics.median(spent),
        outcome=Outcome(int(figures["fills"]), figures["gain"]),
    )


def _once(path: str, cache: str, mode: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", ONCE, path, cache, mode],
        capture_output=True,
        text=True,
        check=True,
        cwd=__file__.rpartition("/")[0],
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


main()
