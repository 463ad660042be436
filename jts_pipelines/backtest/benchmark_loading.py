"""The bars of benchmarks, from the lake or from files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from jts_pipelines.backtest.bar_files import read_table
from jts_pipelines.backtest.benchmark import Benchmark, Comparison, absent, compare
from jts_pipelines.backtest.loading import BarLake
from jts_pipelines.backtest.settings import BacktestSettings
from storage.errors import InputError

_INTERVALS = ("1d", "1h", "1m")
_BEFORE = timedelta(days=10)
_COLUMNS = ("symbol", "timestamp", "interval", "close", "broker")


@dataclass(frozen=True, slots=True)
class BenchmarkBars:
    """Bars of one benchmark, or why there are none.

    Attributes:
        bars: See `benchmark.compare`; None where there are none.
        absence: Why; empty where there are some.
    """

    benchmark: Benchmark
    bars: pl.DataFrame | None
    absence: str = ""


def load_benchmarks(
    benchmarks: Sequence[Benchmark],
    lake: BarLake | None,
    first: date,
    last: date,
    hold: Callable[[], pl.DataFrame],
) -> tuple[BenchmarkBars, ...]:
    """Load the bars of benchmarks for a period.

    Args:
        benchmarks: Which ones.
        lake: All tiers; None where a run does not open them.
        first: First session of the run.
        last: Last session of the run.
        hold: Gives the bars of holding what the run may trade, see `holding`.

    Raises:
        InputError: A file cannot be read.
        StorageError: A tier is not there or a file is damaged.
    """
    return tuple(
        BenchmarkBars(benchmark, hold())
        if benchmark.is_hold
        else _loaded(benchmark, lake, first, last)
        for benchmark in benchmarks
    )


def compared(
    found: BenchmarkBars, equity: pl.DataFrame, start_cash: int, settings: BacktestSettings
) -> Comparison:
    """Return a run beside a benchmark, or why there is nothing to compare with.

    Args:
        found: Bars of the benchmark.
        equity: Of the run, one row per session.
        start_cash: In the account's currency.
        settings: Of the run.

    Raises:
        InputError: The bars have no close, or no time.
    """
    if found.bars is None:
        return absent(found.benchmark, found.absence)
    return compare(
        equity,
        start_cash,
        found.benchmark,
        found.bars,
        venue=settings.venue,
        sessions_per_year=settings.year,
    )


def _loaded(benchmark: Benchmark, lake: BarLake | None, first: date, last: date) -> BenchmarkBars:
    if benchmark.file is not None:
        return _from_file(benchmark)
    hint = f"give --benchmark {benchmark.name}=FILE"
    if lake is None:
        return BenchmarkBars(benchmark, None, f"the run read a file, not the tiers; {hint}")
    for interval in _INTERVALS:
        bars = lake.scan(
            "candles",
            venue=benchmark.venue,
            interval=interval,
            symbols=benchmark.symbols,
            start=first - _BEFORE,
            end=last,
            columns=_COLUMNS,
        ).collect()
        if bars.height:
            present = set(bars["symbol"].unique())
            symbol = next(known for known in benchmark.symbols if known in present)
            return BenchmarkBars(
                benchmark, _of_one_source(bars.filter(pl.col("symbol") == symbol))
            )
    looked = ", ".join(f"{benchmark.venue}:{symbol}" for symbol in benchmark.symbols)
    return BenchmarkBars(
        benchmark, None, f"no bars of {looked} in the tiers for these days; {hint}"
    )


def _from_file(benchmark: Benchmark) -> BenchmarkBars:
    if benchmark.file is None:
        raise InputError(f"{benchmark.name} has no file")
    bars = read_table(benchmark.file)
    if "symbol" in bars.columns and bars["symbol"].n_unique() > 1:
        symbols = ", ".join(bars["symbol"].unique().sort().head(5).cast(pl.String))
        raise InputError(
            f"{benchmark.file} has bars of several symbols ({symbols} ...); a benchmark is one"
        )
    return BenchmarkBars(benchmark, bars)


def _of_one_source(bars: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the source with the most of them."""
    counts = bars.group_by("broker").len().sort("len", "broker", descending=[True, False])
    return bars.filter(pl.col("broker").eq_missing(counts["broker"][0]))
