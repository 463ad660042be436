"""Runs JTS from the text of a strategy: python jts.py CASE FILE REPEATS CACHE."""

import statistics
import sys
import time
from pathlib import Path

import polars as pl
from measured import Outcome, say

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.compiler import compile_strategy

CASH = 1_000_000_000_000
SMA = """
strategy("SMA") {
  indicators {
    fast = SMA(period: 20)
    slow = SMA(period: 50)
  }
  entry.long { when (fast crosses above slow) { buy(quantity: 1) } }
  exit.long { when (fast crosses below slow) { sell(quantity: "all") } }
}
"""
TEXTS = {"sma": SMA}


def main() -> None:
    """Measure one case: computing is what follows once columns are in memory."""
    _, case, path, repeats, cache = sys.argv
    plan = compile_strategy(TEXTS[case])
    settings = BacktestSettings(cash=CASH, interval="1m", commission_rate="0.0005")
    began = time.perf_counter()
    bars = pl.read_parquet(path)
    load = time.perf_counter() - began
    listing = pl.DataFrame({"symbol": bars["symbol"].unique().sort()}).with_columns(
        # An ETF pays no tax when it is sold, like the peers' shares.
        market=pl.lit("KOSPI"), asset=pl.lit("ETF"), name=pl.col("symbol")
    )  # fmt: skip
    phases: dict[str, list[float]] = {}
    for _ in range(1 + int(repeats)):
        result = run_backtest(plan, bars, settings, cache_dir=Path(cache), instruments=listing)
        for name, seconds in result.seconds.items():
            phases.setdefault(name, []).append(seconds)
    median = {name: statistics.median(spent[1:]) for name, spent in phases.items()}
    computing = median["signals"] + median["portfolio"]
    say(
        rows=bars.height,
        seconds=computing,
        outcome=_outcome(result),
        load_seconds=load + median["prepare"],
        report_seconds=median["report"],
        compile_seconds=phases["compile"][0],
    )


def _outcome(result: BacktestResult) -> Outcome:
    equity = result.equity["equity"][-1]
    return Outcome(result.fills.height, float(equity - CASH))


main()
