"""Delistings in a backtest: when trading ends, what is paid, where it is counted; by hand."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.cautions import Code
from jts_pipelines.backtest.delistings import read_delisting
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.sets import Sets
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.stage import Stages
from jts_pipelines.backtest.trial import Trial
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy, read_strategy
from storage.errors import InputError

DAYS = calendar_for("KRX").sessions(date(2025, 2, 3), date(2025, 2, 28))
TEXT = """strategy("Delistings") {
  entry.long { when (close > close[1]) { buy(quantity: 100) } }
  exit.long { when (close < close[1]) { sell(quantity: "all") } }
}"""
# One rises and is bought on the third day; the other one is never bought and goes on.
ENDS = [10_000, 10_100, 10_200, 10_300]
GOES_ON = [5_000] * 10


def panel(ends: list[int] = ENDS, goes_on: list[int] = GOES_ON) -> pl.DataFrame:
    """Return daily bars of both, each of which opens and closes at one price."""
    return pl.DataFrame(
        [
            {
                "symbol": symbol,
                "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC)
                - timedelta(hours=9),
                "open": close,
                "high": close + 10,
                "low": close - 10,
                "close": close,
                "volume": 1_000,
            }
            for symbol, closes in (("036580", ends), ("005930", goes_on))
            for day, close in zip(DAYS, closes, strict=False)
        ]
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def run(kernels: Path, *given: str, bars: pl.DataFrame | None = None) -> BacktestResult:
    """Run over the bars with delistings."""
    settings = BacktestSettings(cash=10_000_000, delistings=given)
    bars = panel() if bars is None else bars
    return run_backtest(compile_strategy(TEXT), bars, settings, cache_dir=kernels)


def codes(result: BacktestResult) -> set[Code]:
    """Return what a result warns of."""
    return {caution.code for caution in result.cautions}


@pytest.mark.parametrize(("given", "price"), [("", 0), ("=0", 0), ("=300", 300)])
def test_position_is_closed_at_what_is_paid_on_the_day(
    kernels: Path, given: str, price: int
) -> None:
    """Without costs, in the fills as a row of its own; orders, trades and equity know it."""
    ended, kept = run(kernels, f"036580@{DAYS[4]}{given}"), run(kernels)

    row = ended.fills.row(1, named=True)
    assert (row["reason"], row["session"], row["side"]) == ("delisted", DAYS[4], "sell")
    assert (row["quantity"], row["price"], row["commission"], row["tax"]) == (100, price, 0, 0)
    assert ended.equity["positions"].to_list()[3:5] == [1_030_000, 0]
    assert ended.equity["cash"][4] - ended.equity["cash"][3] == 100 * price
    assert kept.equity["positions"].to_list()[3:5] == [1_030_000, 1_030_000]
    trade = ended.trades.row(0, named=True)
    assert (trade["status"], trade["exit_reason"]) == ("closed", "delisted")
    assert (trade["exit_session"], trade["profit"]) == (
        DAYS[4],
        100 * price - trade["invested"] - trade["commission"],
    )
    assert ended.orders["reason"].to_list() == kept.orders["reason"].to_list()
    assert ended.positions["session"].max() == DAYS[3]
    assert ended.digests.data == kept.digests.data
    assert Code.DELISTED in codes(ended)
    assert not codes(ended) & {Code.ABOVE_VOLUME, Code.STALE_MARKS, Code.JUMPS}
    assert ended.prefix.difference == ""


def test_day_without_a_session_means_the_next_one(kernels: Path) -> None:
    """The first instant of any instrument on that day or later."""
    weekend = DAYS[4] + timedelta(days=1)
    assert weekend not in DAYS

    ended = run(kernels, f"036580@{weekend}=7", bars=panel([*ENDS, 10_400]))

    assert ended.fills["session"].to_list()[-1] == DAYS[5]
    assert ended.fills["price"].to_list()[-1] == 7


def test_bars_from_the_day_on_are_left_out(kernels: Path) -> None:
    """Nothing is decided or filled on them, whatever they say."""
    rising = [*ENDS, 10_200, 10_300, 10_400, 10_500]

    ended = run(kernels, f"036580@{DAYS[4]}", bars=panel(rising))

    assert ended.fills.drop("bar_volume").equals(
        run(kernels, f"036580@{DAYS[4]}").fills.drop("bar_volume")
    )
    assert ended.facts.traded_bars == len(ENDS) + len(GOES_ON)
    alone = run(kernels, f"036580@{DAYS[4]}", bars=panel(rising, []))
    assert alone.fills["session"].to_list() == ended.fills["session"].to_list()


def test_order_that_waits_is_dropped_and_counted(kernels: Path) -> None:
    """Decided on the last close: there is no bar that could fill it."""
    bars = panel([10_000, 10_000, 10_000, 10_100])
    ended, kept = run(kernels, f"036580@{DAYS[4]}", bars=bars), run(kernels, bars=bars)

    assert (ended.fills.height, ended.facts.cancelled, ended.facts.waiting) == (0, 1, 0)
    assert (kept.facts.cancelled, kept.facts.waiting) == (0, 1)
    assert ended.equity["cash"].to_list() == [10_000_000] * len(GOES_ON)


def test_sale_that_waits_goes_with_the_position(kernels: Path) -> None:
    """The position is closed, the order is no more."""
    bars = panel([10_000, 10_100, 10_200, 10_100])
    ended = run(kernels, f"036580@{DAYS[4]}=50", bars=bars)

    assert ended.fills["reason"].to_list()[-1] == "delisted"
    assert (ended.facts.cancelled, ended.facts.waiting) == (1, 0)


def test_data_that_end_with_the_last_session_close_the_position_there(kernels: Path) -> None:
    """At their last instant, after what is decided on its close; later delistings wait."""
    alone = panel(ENDS, [])
    ended = run(kernels, f"036580@{DAYS[4]}=9", bars=alone)
    later = run(kernels, f"036580@{DAYS[5]}=9", bars=alone)

    row = ended.fills.row(-1, named=True)
    assert (row["reason"], row["session"], row["price"]) == ("delisted", DAYS[3], 9)
    assert ended.equity["positions"].to_list()[-1] == 0
    assert later.trades["status"].to_list() == ["open"]
    assert Code.DELISTED not in codes(later)


def test_last_seven_sessions_have_no_price_limits(kernels: Path) -> None:
    """The bar on which it halves fills a sale; before those sessions it does not."""
    falls = [10_000, 10_100, 10_200, 10_100, 5_000, 5_000]
    inside, outside = (
        run(kernels, f"036580@{DAYS[day]}", bars=panel([*falls, *[5_000] * 4])) for day in (9, 19)
    )

    assert inside.fills["session"].to_list() == [DAYS[2], DAYS[4]]
    assert inside.fills["price"].to_list()[1] == 5_000
    assert outside.fills["session"].to_list() == [DAYS[2], DAYS[5]]


def test_delisting_of_a_parameter_set_is_that_of_a_run_of_its_own(kernels: Path) -> None:
    """Figures are taken from fills there, and from tables here."""
    for bars, day in ((panel(), DAYS[4]), (panel(ENDS, []), DAYS[4])):
        settings = BacktestSettings(cash=10_000_000, delistings=(f"036580@{day}=30",))
        stages = Stages(bars, settings)
        (trial,) = Sets(read_strategy(TEXT), stages, cache_dir=kernels).run([{}])

        assert isinstance(trial, Trial)
        alone = run(kernels, f"036580@{day}=30", bars=bars)
        assert trial.metrics == alone.metrics
        assert trial.path.equity.tolist() == alone.equity["equity"].to_list()
        assert trial.prefix.difference == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("036580", "accepted: SYMBOL@DAY or SYMBOL@DAY=PRICE such as 036580@2024-05-20=120"),
        ("036580@2024-05-20=-1", "what is paid for a share"),
        ("036580@2024-05-20=", "what is paid for a share"),
        ("036580@2024-05-20=nan", "what is paid for a share"),
        ("036580@2024-05-32", "delisting '036580@2024-05-32': "),
    ],
)
def test_delisting_that_is_not_spelled_so_is_refused(text: str, message: str) -> None:
    """One line says what is accepted."""
    with pytest.raises(InputError, match=message):
        read_delisting(text)


def test_prices_are_on_the_steps_of_the_instrument(kernels: Path) -> None:
    """A part of a won is none; a symbol ends once; others may be named."""
    with pytest.raises(InputError, match=r"delisting of 036580: price 0\.5 is no multiple"):
        run(kernels, f"036580@{DAYS[4]}=0.5")
    with pytest.raises(InputError, match="036580 is delisted twice"):
        run(kernels, f"036580@{DAYS[4]}", f"036580@{DAYS[5]}")
    assert run(kernels, f"000020@{DAYS[4]}").fills.height == 1
