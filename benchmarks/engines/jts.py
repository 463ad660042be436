"""Runs JTS from the text of a strategy: python jts.py CASE FILE REPEATS CACHE."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from measured import Outcome, say
from texts import CASH, TEXTS

from jts_pipelines.backtest.admitting import admission_of
from jts_pipelines.backtest.loading import BacktestRequest, bars_from_file
from jts_pipelines.backtest.request import run_loaded
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.compiler import compile_strategy


def main() -> None:
    """Measure one case: computing is what follows once columns are in memory."""
    _, case, path, repeats, cache = sys.argv
    plan = compile_strategy(TEXTS[case])
    settings = BacktestSettings(cash=CASH, interval="1m", commission_rate="0.0005")
    phases: dict[str, list[float]] = {}
    first_peaks: dict[str, float] = {}
    request = BacktestRequest(text=TEXTS[case], settings=settings)
    # The strategy trades whatever is there.
    admission = admission_of(plan, settings, None)
    for _ in range(1 + int(repeats)):
        loaded = bars_from_file(Path(path), request, admission)
        listing = listing_of(loaded.bars.table.symbols)
        result = run_loaded(plan, loaded, request, cache_dir=Path(cache), instruments=listing)
        del loaded
        for name, seconds in result.seconds.items():
            phases.setdefault(name, []).append(seconds)
        # What one run takes; those after it find what the allocators kept.
        first_peaks = first_peaks or dict(result.peak_mb)
    median = {name: statistics.median(spent[1:]) for name, spent in phases.items()}
    say(
        rows=result.facts.bars,
        seconds=median["signals"] + median["portfolio"],
        outcome=outcome_of(result),
        load_seconds=median["load"] + median["prepare"],
        phases={**median, "first_compile": phases["compile"][0]},
        peak_mb_by_phase=first_peaks,
    )


def listing_of(symbols: Sequence[str]) -> pl.DataFrame:
    """Return a listing in which nothing pays a tax when it is sold, like the peers' shares."""
    return pl.DataFrame({"symbol": symbols}).with_columns(
        market=pl.lit("KOSPI"), asset=pl.lit("ETF"), name=pl.col("symbol")
    )


def outcome_of(result: BacktestResult) -> Outcome:
    """Return fills and gain."""
    return Outcome(result.fills.height, float(result.final_equity - CASH))


if __name__ == "__main__":
    main()
