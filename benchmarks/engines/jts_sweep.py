"""Runs JTS over many parameter sets of one text: python jts_sweep.py CASE FILE REPEATS CACHE.

What is timed begins with the text and its sets, and ends with the fills and equity paths of all.
"""

import sys
import time
from pathlib import Path

import polars as pl
from jts import listing_of
from measured import Outcome, median_seconds, say, sweep_pairs
from texts import CASH, TEXTS

from jts_pipelines.backtest.engine import prepare
from jts_pipelines.backtest.sets import run_sets
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.compiler import compile_strategy, read_strategy
from jts_trading.dsl.patterns import Patterns


def main() -> None:
    """Measure one case."""
    _, case, path, repeats, cache = sys.argv
    settings = BacktestSettings(cash=CASH, interval="1m", commission_rate="0.0005")
    began = time.perf_counter()
    bars = pl.read_parquet(path)
    listing = listing_of(bars["symbol"].unique().sort().to_list())
    prepared = prepare(compile_strategy(TEXTS[case]), bars, settings, listing)
    load = time.perf_counter() - began
    spent: dict[str, float] = {}

    def run() -> Outcome:
        began = time.perf_counter()
        patterns = Patterns(read_strategy(TEXTS[case]))
        plans = [
            patterns.member({"quick": str(quick), "slow": str(slow)}).plan
            for quick, slow in sweep_pairs()
        ]
        spent["texts"] = time.perf_counter() - began
        found = run_sets(plans, prepared, settings, Path(cache))
        gain = sum(int(each.equity[-1]) - CASH for each in found)
        return Outcome(sum(len(each.fills) for each in found), float(gain))

    seconds, outcome = median_seconds(run, int(repeats))
    rows = bars.height * len(sweep_pairs())
    say(rows=rows, seconds=seconds, outcome=outcome, load_seconds=load, phases=spent)


main()
