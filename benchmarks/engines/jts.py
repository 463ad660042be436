"""Runs JTS from the text of a strategy: python jts.py CASE FILE REPEATS CACHE."""

import statistics
import sys
import time
from pathlib import Path

import polars as pl
from measured import Outcome, say
from texts import CASH, TEXTS

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.compiler import compile_strategy


def main() -> None:
    """Measure one case: computing is what follows once columns are in memory."""
    _, case, path, repeats, cache = sys.argv
    plan = compile_strategy(TEXTS[case])
    settings = BacktestSettings(cash=CASH, interval="1m", commission_rate="0.0005")
    phases: dict[str, list[float]] = {}
    for _ in range(1 + int(repeats)):
        began = time.perf_counter()
        bars = pl.read_parquet(path)
        read = time.perf_counter() - began
        result = run_backtest(
            plan, bars, settings, cache_dir=Path(cache), instruments=listing_of(bars)
        )
        for name, seconds in {"read": read, **result.seconds}.items():
            phases.setdefault(name, []).append(seconds)
    median = {name: statistics.median(spent[1:]) for name, spent in phases.items()}
    say(
        rows=bars.height,
        seconds=median["signals"] + median["portfolio"],
        outcome=outcome_of(result),
        load_seconds=median["read"] + median["prepare"],
        phases={**median, "first_compile": phases["compile"][0]},
    )


def listing_of(bars: pl.DataFrame) -> pl.DataFrame:
    """Return a listing in which nothing pays a tax when it is sold, like the peers' shares."""
    return pl.DataFrame({"symbol": bars["symbol"].unique().sort()}).with_columns(
        market=pl.lit("KOSPI"), asset=pl.lit("ETF"), name=pl.col("symbol")
    )


def outcome_of(result: BacktestResult) -> Outcome:
    """Return fills and gain."""
    return Outcome(result.fills.height, float(result.final_equity - CASH))


if __name__ == "__main__":
    main()
