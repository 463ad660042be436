"""A run beside an index or a coin: which closes count, and what is said when there are none."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.benchmark import KNOWN, Benchmark, compare, read_benchmark
from jts_pipelines.backtest.benchmark_loading import load_benchmarks
from jts_trading.domain.sessions import calendar_for
from storage.errors import InputError

SESSIONS = calendar_for("KRX").sessions(date(2024, 5, 2), date(2024, 5, 31))
START = 1_000_000
INDEX = Benchmark("KOSPI")


def equity(growth: float) -> pl.DataFrame:
    """Return a run that grows equally each session."""
    path = [round(START * (1 + growth) ** (at + 1)) for at in range(len(SESSIONS))]
    return pl.DataFrame({"session": SESSIONS, "equity": path})


def daily(closes: dict[date, float]) -> pl.DataFrame:
    """Return daily bars that begin at midnight in Seoul, as every KRX feed labels them."""
    starts = [datetime(d.year, d.month, d.day, tzinfo=UTC) - timedelta(hours=9) for d in closes]
    return pl.DataFrame(
        {"timestamp": starts, "interval": "1d", "close": list(closes.values())}
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def compared(bars: pl.DataFrame, growth: float = 0.01):
    """Compare the growing run with some bars."""
    return compare(equity(growth), START, INDEX, bars, venue="KRX", sessions_per_year=252)


def test_compare_with_a_close_before_the_first_session_uses_every_session() -> None:
    """Twice the run's growth each session gives its return and a beta of nothing."""
    days = [date(2024, 4, 30), *SESSIONS]
    closes = {day: 2_700.5 * 1.02**at for at, day in enumerate(days)}

    found = compared(daily(closes))

    assert found.sessions == len(SESSIONS)
    assert found.figures["benchmark_return"] == pytest.approx(1.02 ** len(SESSIONS) - 1)
    assert found.figures["excess_return"] == pytest.approx(
        1.01 ** len(SESSIONS) - 1.02 ** len(SESSIONS), abs=1e-4
    )
    assert found.path["growth"][-1] == pytest.approx(1.02 ** len(SESSIONS))


def test_compare_without_a_close_before_the_first_session_leaves_that_one_out() -> None:
    """A return needs two closes."""
    found = compared(daily({day: 100.0 + at for at, day in enumerate(SESSIONS)}))

    assert found.sessions == len(SESSIONS) - 1
    assert found.figures["benchmark_return"] == pytest.approx(len(SESSIONS[1:]) / 100)


def test_compare_with_a_coin_takes_the_last_close_known_at_the_end_of_each_session() -> None:
    """Hourly bars round the clock: the one that ends at 15:00 KST is the last before 15:30."""
    first = datetime(2024, 4, 30, tzinfo=UTC)
    hours = [first + timedelta(hours=at) for at in range(24 * 32)]
    bars = pl.DataFrame(
        {"timestamp": hours, "interval": "1h", "close": [float(at + 1) for at in range(24 * 32)]}
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))

    found = compared(bars)

    # The bar that begins at 05:00 UTC is number 6 of its day; each day is 24 further.
    days = [(day - first.date()).days for day in SESSIONS]
    last, before = 24 * days[-1] + 6, 24 * days[0] - 1 + 1
    assert found.figures["benchmark_return"] == pytest.approx(last / before - 1)


def test_compare_with_dates_alone_reads_an_index_file() -> None:
    """Index files have a date and a close."""
    bars = pl.DataFrame({"date": SESSIONS, "close": [100.0 + at for at in range(len(SESSIONS))]})

    assert compared(bars).sessions == len(SESSIONS) - 1


@pytest.mark.parametrize(
    "bars", [daily({date(2019, 1, 3): 100.0, date(2019, 1, 4): 101.0}), daily({})]
)
def test_compare_with_bars_of_other_days_says_that_the_benchmark_is_absent(
    bars: pl.DataFrame,
) -> None:
    """A close of years ago is no benchmark."""
    found = compared(bars)

    assert found.figures == {}
    assert found.absence


def test_compare_with_bars_without_a_close_is_refused() -> None:
    """The message names what was found."""
    with pytest.raises(InputError, match="lack close"):
        compared(pl.DataFrame({"date": SESSIONS}))


def test_read_benchmark_accepts_names_instruments_and_files() -> None:
    """And says what it accepts."""
    assert read_benchmark("btc").symbols == KNOWN["BTC"][1]
    assert read_benchmark("KRX:069500").symbols == ("069500",)
    assert str(read_benchmark("KOSPI=index.csv").file) == "index.csv"
    with pytest.raises(InputError, match="VENUE:SYMBOL"):
        read_benchmark("nothing")


def nothing() -> pl.DataFrame:
    """Give the bars of no holding: nobody asks for them here."""
    raise AssertionError


class Stored:
    """A lake with bars of one interval."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows

    def scan(self, dataset: str = "candles", **wanted: object) -> pl.LazyFrame:
        """Return the rows of an interval and some symbols."""
        del dataset
        found = self.rows.lazy().filter(
            (pl.col("interval") == wanted["interval"])
            & pl.col("symbol").is_in(list(wanted["symbols"]))
            & (pl.col("venue") == wanted["venue"])
        )
        return found.select(wanted["columns"])


def stored(symbol: str, venue: str, interval: str, brokers: list[str]) -> pl.DataFrame:
    """Return rows of one symbol, one for each name of a source."""
    return daily(dict.fromkeys(SESSIONS[: len(brokers)], 100.0)).with_columns(
        symbol=pl.lit(symbol),
        venue=pl.lit(venue),
        interval=pl.lit(interval),
        broker=pl.Series(brokers),
    )


def test_load_benchmarks_from_the_lake_takes_the_first_spelling_and_the_fullest_source() -> None:
    """Feeds spell an index in several ways; the one with the most bars of a source counts."""
    rows = pl.concat(
        [
            stored("KS11", "KRX", "1d", ["a", "b", "b"]),
            stored("1001", "KRX", "1d", ["a", "a"]),
            stored("KRW-BTC", "UPBIT", "1m", ["upbit"]),
        ]
    )
    wanted = [read_benchmark(name) for name in ("KOSPI", "BTC", "KOSDAQ")]

    index, coin, missing = load_benchmarks(
        wanted, Stored(rows), SESSIONS[0], SESSIONS[-1], nothing
    )

    assert index.bars is not None
    assert set(index.bars["symbol"]) == {"KS11"}
    assert index.bars["broker"].to_list() == ["b", "b"]
    assert coin.bars is not None
    assert missing.bars is None
    assert "KRX:KOSDAQ, KRX:KQ11, KRX:2001" in missing.absence


def test_load_benchmarks_from_a_file_of_several_symbols_is_refused(tmp_path: Path) -> None:
    """A benchmark is one path of closes."""
    path = tmp_path / "panel.parquet"
    daily({SESSIONS[0]: 1.0, SESSIONS[1]: 2.0}).with_columns(
        symbol=pl.Series(["A", "B"])
    ).write_parquet(path)

    with pytest.raises(InputError, match=r"several symbols \(A, B"):
        load_benchmarks([Benchmark("X", file=path)], None, SESSIONS[0], SESSIONS[-1], nothing)
