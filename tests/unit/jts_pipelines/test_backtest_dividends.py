"""Cash dividends in a backtest: who is paid, how much, where it is counted; computed by hand."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.dividends import read_dividend
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.sets import Sets
from jts_pipelines.backtest.settings import BacktestSettings, read_assumptions
from jts_pipelines.backtest.stage import Stages
from jts_pipelines.backtest.trial import Trial
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy, read_strategy
from storage.errors import InputError

DAYS = calendar_for("KRX").sessions(date(2025, 2, 3), date(2025, 2, 28))
TEXT = """strategy("Dividends") {
  entry.long { when (close > close[1]) { buy(quantity: 100) } }
  exit.long { when (close < close[1]) { sell(quantity: "all") } }
}"""
# Bought on the third day, sold on the seventh.
CLOSES = [10_000, 10_100, 10_200, 10_300, 10_300, 10_250, 10_200, 10_200]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled code, shared by the tests of a run."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"


def panel(days: list[date], closes: list[int]) -> pl.DataFrame:
    """Return daily bars, each of which opens and closes at one price."""
    return pl.DataFrame(
        [
            {
                "symbol": "005930",
                "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC)
                - timedelta(hours=9),
                "open": close,
                "high": close + 10,
                "low": close - 10,
                "close": close,
                "volume": 1_000,
            }
            for day, close in zip(days, closes, strict=False)
        ]
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def assumed(*dividends: str, **others: object) -> BacktestSettings:
    """Return settings with dividends of the one instrument, as `DAY=AMOUNT`."""
    paid = tuple(f"005930@{text}" for text in dividends)
    return BacktestSettings(cash=10_000_000, dividends=paid, **others)  # type: ignore[arg-type]


def run(kernels: Path, settings: BacktestSettings, days: list[date] = DAYS) -> BacktestResult:
    """Run over the bars."""
    return run_backtest(compile_strategy(TEXT), panel(days, CLOSES), settings, cache_dir=kernels)


def test_dividend_is_paid_to_who_held_before_its_day(kernels: Path) -> None:
    """361 won for 100 shares, less 15.4 %: 5,559 of 36,100 are withheld."""
    with_it, without = run(kernels, assumed(f"{DAYS[4]}=361")), run(kernels, assumed())
    paid = 36_100 - 5_559

    row = with_it.fills.row(1, named=True)
    assert (row["reason"], row["session"], row["quantity"]) == ("dividend", DAYS[4], 0)
    assert (row["dividend"], row["commission"], row["tax"]) == (paid, 0, 0)
    gained = with_it.equity["equity"] - without.equity["equity"]
    assert gained.to_list() == [0] * 4 + [paid] * 4
    assert with_it.metrics["dividends"] == paid
    assert with_it.metrics["commissions"] == without.metrics["commissions"]
    assert without.metrics["dividends"] == 0
    assert with_it.trades["dividends"].to_list() == [paid]
    profits = with_it.trades["profit"].item() - without.trades["profit"].item()
    assert profits == paid
    assert with_it.orders.height == without.orders.height == 2
    assert with_it.prefix.difference == ""


@pytest.mark.parametrize(
    ("day", "is_paid"),
    [(DAYS[2], False), (DAYS[3], True), (DAYS[6], True), (DAYS[7], False), (DAYS[9], False)],
)
def test_dividend_of_the_days_of_a_trade(kernels: Path, day: date, is_paid: bool) -> None:
    """Not to who buys on the day itself; still to who sells on it."""
    result = run(kernels, assumed(f"{day}=100"))

    assert ("dividend" in result.fills["reason"].to_list()) == is_paid


def test_dividend_of_a_halted_day_is_paid_on_the_next_bar(kernels: Path) -> None:
    """The first bar on its day or later, for the shares of the last one before."""
    days = [day for day in DAYS if day != DAYS[4]]
    row = run(kernels, assumed(f"{DAYS[4]}=100"), days).fills.row(1, named=True)

    assert (row["reason"], row["session"], row["dividend"]) == ("dividend", DAYS[5], 8_460)


def test_dividend_and_split_of_one_day_pay_for_the_shares_before(kernels: Path) -> None:
    """100 old shares are paid, then they are 200 new ones."""
    settings = assumed(f"{DAYS[4]}=361", splits=(f"005930@{DAYS[4]}=1:2",))
    rows = run(kernels, settings).fills.select("reason", "quantity", "dividend").rows()

    assert rows[1:3] == [("dividend", 0, 30_541), ("split", 100, 0)]


def test_dividend_tax_is_an_assumption(kernels: Path) -> None:
    """Abroad, or in an account that pays none."""
    settings = assumed(f"{DAYS[4]}=361", dividend_tax_percent="0")

    assert run(kernels, settings).metrics["dividends"] == 36_100


def test_dividends_of_a_parameter_set_are_those_of_a_run_of_its_own(kernels: Path) -> None:
    """Figures are taken from fills there, and from tables here."""
    settings = assumed(f"{DAYS[4]}=361")
    stages = Stages(panel(DAYS, CLOSES), settings)
    (trial,) = Sets(read_strategy(TEXT), stages, cache_dir=kernels).run([{}])

    assert isinstance(trial, Trial)
    assert trial.metrics == run(kernels, settings).metrics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("005930@2024-03-28", "accepted: SYMBOL@DAY=AMOUNT such as 005930@2024-03-28=361"),
        ("005930@2024-03-28=1.5", "won a share from 1 to 100,000,000"),
        ("005930@2024-03-28=0", "won a share from 1 to"),
        ("@2024-03-28=5", "accepted: SYMBOL@DAY=AMOUNT"),
        ("005930@2024-02-30=5", "day is out of range"),
    ],
)
def test_dividend_that_is_not_spelled_so_is_refused(text: str, message: str) -> None:
    """One line says what is accepted."""
    with pytest.raises(InputError, match=message):
        read_dividend(text)


def test_dividends_of_coins_are_refused(kernels: Path) -> None:
    """Coins pay none."""
    settings = BacktestSettings(venue="UPBIT", broker="upbit", dividends=("KRW-BTC@2025-02-04=5",))
    coins = panel(DAYS, CLOSES).with_columns(symbol=pl.lit("KRW-BTC"))

    with pytest.raises(InputError, match="dividends are those of shares; venue is UPBIT"):
        run_backtest(compile_strategy(TEXT), coins, settings, cache_dir=kernels)


def test_dividends_of_a_command_line_are_a_list() -> None:
    """As splits are."""
    read = read_assumptions(["dividends=005930@2024-03-28=361,000660@2024-03-28=300"])

    assert read == {"dividends": ("005930@2024-03-28=361", "000660@2024-03-28=300")}
