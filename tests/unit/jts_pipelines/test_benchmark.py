"""A run beside an index or a coin: which closes count, and what is said when there are none."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from jts_pipelines.backtest.benchmark import KNOWN, Benchmark, compare, read_benchmark
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
