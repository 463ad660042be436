"""Rights issues in a backtest: what a right is worth, what rules see; computed by hand."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.rights import read_rights_issue
from jts_pipelines.backtest.sets import Sets
from jts_pipelines.backtest.settings import BacktestSettings, read_assumptions
from jts_pipelines.backtest.stage import Stages
from jts_pipelines.backtest.trial import Trial
from jts_pipelines.defs.research.audit import audit
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy, read_strategy
from storage.errors import InputError

DAYS = calendar_for("KRX").sessions(date(2025, 2, 3), date(2025, 2, 28))
TEXT = """strategy("Rights") {
  entry.long { when (close > close[1]) { buy(quantity: 100) } }
  exit.long { when (close < close[1]) { sell(quantity: "all") } }
  RISK
}"""
# Bought on the third day. One new share at 15,000 for five old ones leaves 19,166 2/3 of 20,000.
CLOSES = [19_800, 19_900, 20_000, 20_000, 19_170, 19_170, 19_160, 19_160]
ISSUE = f"{DAYS[4]}=0.2:15000"
WORTH = 83_333


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled code, shared by the tests of a run."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"


def panel(closes: list[int], days: list[date] = DAYS) -> pl.DataFrame:
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


def assumed(*rights: str, **others: object) -> BacktestSettings:
    """Return settings with rights issues of the one instrument, as `DAY=RATIO:PRICE`."""
    given = tuple(f"005930@{text}" for text in rights)
    return BacktestSettings(cash=10_000_000, rights=given, **others)  # type: ignore[arg-type]


def run(
    kernels: Path,
    settings: BacktestSettings,
    closes: list[int] = CLOSES,
    *,
    text: str = TEXT,
    risk: str = "",
    days: list[date] = DAYS,
) -> BacktestResult:
    """Run over the bars."""
    plan = compile_strategy(text.replace("RISK", risk))
    return run_backtest(plan, panel(closes, days), settings, cache_dir=kernels)


def test_right_is_sold_at_its_worth_and_nothing_jumps(kernels: Path) -> None:
    """83,333 won for 100 shares; rules see no fall until the one of the seventh day."""
    with_it, without = run(kernels, assumed(ISSUE)), run(kernels, assumed())

    rows = with_it.fills.select("side", "quantity", "price", "reason", "dividend").rows()
    assert rows[0] == ("buy", 100, 20_000, "entry.long: close > close[1]", 0)
    assert rows[1] == ("buy", 0, 0, "rights", WORTH)
    assert rows[2] == ("sell", 100, 19_160, "exit.long: close < close[1]", 0)
    assert with_it.fills["session"].to_list() == [DAYS[2], DAYS[4], DAYS[7]]
    assert (with_it.metrics["rights"], with_it.metrics["dividends"]) == (WORTH, 0)
    change = with_it.equity["equity"].diff().to_list()
    # A share lost 830 won, its right brought 833 1/3.
    assert change[4] == WORTH - 83_000
    assert with_it.trades["dividends"].to_list() == [WORTH]
    assert with_it.trades["invested"].to_list() == [2_000_000]
    assert with_it.orders.height == 2
    assert with_it.prefix.difference == ""
    assert without.fills["session"].to_list() == [DAYS[2], DAYS[5]]
    assert without.metrics["rights"] == 0


def test_right_in_the_audit_of_a_run_adds_up(kernels: Path) -> None:
    """So do dividends and splits: none of them is an order."""
    paid = {"dividends": (f"005930@{DAYS[3]}=361",), "splits": (f"005930@{DAYS[5]}=2:1",)}
    result = run(kernels, assumed(ISSUE, **paid), [*CLOSES[:5], 38_340, 38_320, 38_320])

    found = audit(result.fills, result.equity, result.start_cash)

    assert result.fills["reason"].to_list()[1:4] == ["dividend", "rights", "split"]
    assert found.cash_is_conserved
    assert found.fills_are_sane


@pytest.mark.parametrize(
    ("day", "is_sold"),
    [(DAYS[2], False), (DAYS[3], True), (DAYS[4], True), (DAYS[8], False)],
)
def test_right_belongs_to_who_held_before_its_day(kernels: Path, day: date, is_sold: bool) -> None:
    """Not to who buys on the day itself."""
    result = run(kernels, assumed(f"{day}=0.2:15000"))

    assert ("rights" in result.fills["reason"].to_list()) == is_sold


def test_right_to_buy_at_the_price_or_above_is_worth_nothing(kernels: Path) -> None:
    """Nobody subscribes, and the base price stays the close."""
    settings = assumed(f"{DAYS[4]}=0.2:20000")
    result, without = run(kernels, settings), run(kernels, assumed())

    assert result.digest == without.digest


def test_right_of_a_halted_day_is_sold_on_the_next_bar(kernels: Path) -> None:
    """At what the last close before it makes it worth."""
    days = [day for day in DAYS if day != DAYS[4]]
    row = run(kernels, assumed(ISSUE), days=days).fills.row(1, named=True)

    assert (row["reason"], row["session"], row["dividend"]) == ("rights", DAYS[5], WORTH)


def test_two_issues_of_one_day_follow_each_other(kernels: Path) -> None:
    """The second is of what the first left: 19,167 won."""
    result = run(kernels, assumed(ISSUE, f"{DAYS[4]}=1:9167"), [*CLOSES[:4], 14_170, 14_170])

    rights = result.fills.filter(pl.col("reason") == "rights")
    assert rights["dividend"].to_list() == [WORTH, 500_000]
    # 14,167 is the base of the session; on the grid, and nothing fired.
    assert result.fills.height == 3


@pytest.mark.parametrize(
    ("opened", "is_filled"), [(24_900, True), (24_950, False), (13_420, True), (13_410, False)]
)
def test_limits_of_the_day_are_those_of_the_lower_base(
    kernels: Path, opened: int, is_filled: bool
) -> None:
    """KOSPI: 19,170 on the grid, so 24,900 and 13,420, as the rule table's own vectors say.

    A sale at the market goes on over the day, and waits where the open is outside.
    """
    bars = panel([19_800, 19_900, 20_000, 19_990, opened, opened])
    listing = pl.DataFrame({"symbol": ["005930"], "market": ["KOSPI"]})
    result = run_backtest(
        compile_strategy(TEXT.replace("RISK", "")),
        bars,
        assumed(f"{DAYS[4]}=0.2:15010"),
        cache_dir=kernels,
        instruments=listing,
    )

    sold = result.fills.filter(pl.col("side") == "sell")["session"].to_list()
    assert sold == [DAYS[4] if is_filled else DAYS[5]]


def test_purchase_that_waits_is_dropped(kernels: Path) -> None:
    """It was sized with the right."""
    result = run(kernels, assumed(ISSUE), [20_000, 20_000, 19_900, 20_000, 19_160, 19_150])

    assert (result.fills.height, result.facts.cancelled) == (0, 1)


@pytest.mark.parametrize(
    ("risk", "closes", "reason"),
    [
        # 5 % below 19,167 of 20,000 won are 18,208; the fall to 18,400 is none.
        ("stop_loss", [18_400, 18_400, 18_200, 18_200], "stop_loss"),
        ("trailing_stop", [18_400, 18_400, 18_200, 18_200], "trailing_stop"),
        # 5 % above it are 20,125.
        ("take_profit", [20_100, 20_100, 20_150, 20_150], "take_profit"),
    ],
)
def test_risk_block_after_the_day_is_measured_without_the_right(
    kernels: Path, risk: str, closes: list[int], reason: str
) -> None:
    """Cost and peak lose the share of the right."""
    block = f'risk_management {{ {risk} = "5%" }}'
    text = TEXT.replace("close < close[1]", "close < 10")

    result = run(kernels, assumed(ISSUE), [*CLOSES[:4], *closes], text=text, risk=block)

    left = result.fills.row(2, named=True)
    assert (left["reason"], left["session"]) == (reason, DAYS[7])


def test_limit_at_the_close_after_the_day_is_that_close(kernels: Path) -> None:
    """Rules see 20,014 for 19,180; the order means 19,180, not the tick below."""
    text = """strategy("Limits") {
      entry.long { when (close > close[1]) { buy(quantity: 1, type: "limit", price: close) } }
    }"""
    bars = panel([20_000, 20_000, 20_000, 20_000, 19_150, 19_150, 19_180, 19_200])
    is_last = pl.col("timestamp") == pl.col("timestamp").max()
    bars = bars.with_columns(low=pl.when(is_last).then(19_100).otherwise("low"))

    result = run_backtest(compile_strategy(text), bars, assumed(ISSUE), cache_dir=kernels)

    assert result.fills.select("price", "session").rows() == [(19_180, DAYS[7])]


def test_rights_of_a_parameter_set_are_those_of_a_run_of_its_own(kernels: Path) -> None:
    """Figures are taken from fills there, and from tables here."""
    settings, text = assumed(ISSUE), TEXT.replace("RISK", "")
    stages = Stages(panel(CLOSES), settings)
    (trial,) = Sets(read_strategy(text), stages, cache_dir=kernels).run([{}])

    assert isinstance(trial, Trial)
    assert trial.metrics == run(kernels, settings).metrics


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("005930@2024-03-04=15000", "accepted: SYMBOL@DAY=RATIO:PRICE such as 005930@2024-03-04"),
        ("005930@2024-03-04=x:15000", "new shares for an old one up to 100"),
        ("005930@2024-03-04=nan:15000", "accepted:"),
        ("005930@2024-03-04=-0.2:15000", "accepted:"),
        ("005930@2024-03-04=0.2:0", "won for a new one from 1 to 100,000,000"),
        ("005930@2024-03-04=0.2:1.5", "accepted:"),
        ("@2024-03-04=0.2:5", "accepted:"),
        ("005930@2024-02-30=0.2:5", "day is out of range"),
    ],
)
def test_rights_issue_that_is_not_spelled_so_is_refused(text: str, message: str) -> None:
    """One line says what is accepted."""
    with pytest.raises(InputError, match=message):
        read_rights_issue(text)


def test_rights_of_coins_are_refused(kernels: Path) -> None:
    """Coins have none."""
    settings = BacktestSettings(
        venue="UPBIT", broker="upbit", rights=("KRW-BTC@2025-02-04=0.2:5",)
    )
    coins = panel(CLOSES).with_columns(symbol=pl.lit("KRW-BTC"))

    with pytest.raises(InputError, match="rights are those of shares; venue is UPBIT"):
        run_backtest(
            compile_strategy(TEXT.replace("RISK", "")), coins, settings, cache_dir=kernels
        )


def test_price_that_cannot_be_counted_is_refused(kernels: Path) -> None:
    """Products of two prices must fit; no share costs that much."""
    closes = [close * 100_000 for close in CLOSES]

    with pytest.raises(InputError, match="a price is counted exactly up to 1,000,000,000"):
        run(kernels, assumed(ISSUE), closes)


def test_rights_of_a_command_line_are_a_list() -> None:
    """As splits are."""
    read = read_assumptions(["rights=005930@2024-03-04=0.2:15000,000660@2024-03-05=1:5"])

    assert read == {"rights": ("005930@2024-03-04=0.2:15000", "000660@2024-03-05=1:5")}
