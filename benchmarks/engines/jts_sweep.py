"""Runs JTS over many parameter sets of one text: python jts_sweep.py CASE FILE REPEATS CACHE.

What is timed begins with the text and its sets, and ends with the fills and equity paths of all.
Phases beside it are the figures and digests of all, and the check of prefixes.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from jts import listing_of
from measured import Outcome, median_seconds, say, sweep_pairs
from texts import CASH, TEXTS

from jts_pipelines.backtest.sets import Sets
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.stage import Stages
from jts_pipelines.backtest.trial import Trial
from jts_trading.dsl.compiler import compile_strategy, read_strategy


def main() -> None:
    """Measure one case."""
    _, case, path, repeats, cache = sys.argv
    settings = BacktestSettings(cash=CASH, interval="1m", commission_rate="0.0005")
    began = time.perf_counter()
    bars = pl.read_parquet(path)
    listing = listing_of(bars["symbol"].unique().sort().to_list())
    stages = Stages(bars, settings, listing)
    stages.of(compile_strategy(TEXTS[case]))
    load = time.perf_counter() - began
    found: list[Trial] = []

    def run() -> Outcome:
        asked = [{"quick": str(quick), "slow": str(slow)} for quick, slow in sweep_pairs()]
        sets = Sets(read_strategy(TEXTS[case]), stages, cache_dir=Path(cache))
        found[:] = [trial for trial in sets.run(asked) if isinstance(trial, Trial)]
        gain = sum(int(trial.equity[-1]) - CASH for trial in found)
        return Outcome(sum(len(trial.fills) for trial in found), float(gain))

    seconds, outcome = median_seconds(run, int(repeats))
    rows = bars.height * len(sweep_pairs())
    phases = {
        "figures": _seconds(lambda: [(trial.metrics, trial.digests.run) for trial in found]),
        "prefix": _seconds(lambda: [trial.prefix for trial in found]),
    }
    say(rows=rows, seconds=seconds, outcome=outcome, load_seconds=load, phases=phases)


def _seconds(deed: Callable[[], object]) -> float:
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


main()
