"""Splits in a backtest: shares, base prices, what rules see; computed by hand."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings, read_assumptions
from jts_pipelines.backtest.splits import read_split
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy
from storage.errors import InputError

DAYS = calendar_for("KRX").sessions(date(2025, 2, 3), date(2025, 2, 28))
TEXT = """strategy("Splits") {
  entry.long { when (close > close[1]) { buy(quantity: QUANTITY) } }
  exit.long { when (close < close[1]) { sell(quantity: "all") } }
  RISK
}"""


def run(
    closes: list[int], kernels: Path, split: str, *, quantity: int = 100, risk: str = ""
) -> BacktestResult:
    """Run over daily bars, each of which opens and closes at one price."""
    bars = pl.DataFrame(
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
            for day, close in zip(DAYS, closes, strict=False)
        ]
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))
    splits = (split.format(day=DAYS[4]),) if split else ()
    return run_backtest(
        compile_strategy(TEXT.replace("QUANTITY", str(quantity)).replace("RISK", risk)),
        bars,
        BacktestSettings(cash=10_000_000, splits=splits),
        cache_dir=kernels,
    )


def test_split_while_held_turns_the_position_into_new_shares(kernels: Path) -> None:
    """One into two: the value goes on, nothing fires, and the sale is of twice as many."""
    closes = [10_000, 10_100, 10_200, 10_300, 5_200, 5_250, 5_200, 5_200]

    split = run(closes, kernels, "005930@{day}=1:2")
    raw = run(closes, kernels, "")

    rows = split.fills.select("side", "quantity", "price", "reason").rows()
    assert rows[0] == ("buy", 100, 10_200, "entry.long: close > close[1]")
    assert rows[1] == ("buy", 100, 0, "split")
    assert rows[2] == ("sell", 200, 5_200, "exit.long: close < close[1]")
    assert split.trades.select("status", "invested").rows() == [("closed", 1_020_000)]
    held = split.equity["positions"].to_list()
    assert held[3:6] == [1_030_000, 1_040_000, 1_050_000]
    assert split.prefix.difference == ""
    # Without the split the fall to a half is a signal, on a bar outside the limits.
    assert raw.fills["side"].to_list()[:2] == ["buy", "sell"]
    assert "jumps" in {str(caution.code) for caution in raw.cautions}
    assert "jumps" not in {str(caution.code) for caution in split.cautions}


def test_merged_shares_leave_a_part_that_is_paid(kernels: Path) -> None:
    """Three into one: 100 become 33, and a third of a new share is paid at the base."""
    closes = [3_000, 3_010, 3_020, 3_030, 9_150, 9_160, 9_100, 9_100]

    result = run(closes, kernels, "005930@{day}=3:1")

    rows = result.fills.select("side", "quantity", "price", "commission", "dividend").rows()
    # 67 shares go; the rest of one new share is 1/3 of 9,090 won.
    assert rows[1] == ("sell", 67, 0, 0, 3_030)
    assert (result.metrics["dividends"], result.metrics["commissions"]) == (0, 84)
    assert result.trades["commission"].to_list() == [84]
    assert rows[2][:3] == ("sell", 33, 9_100)


def test_order_that_waits_over_a_split_is_dropped(kernels: Path) -> None:
    """A purchase that was decided in old shares is given back."""
    result = run([10_000, 10_000, 10_000, 10_100, 5_050, 5_050], kernels, "005930@{day}=1:2")

    assert (result.fills.height, result.facts.cancelled) == (0, 1)


def test_risk_block_after_a_split_is_measured_in_new_shares(kernels: Path) -> None:
    """5 % below 10,200 old won are 4,845 new ones."""
    closes = [10_000, 10_100, 10_200, 10_300, 5_200, 4_840, 4_850]
    risk = 'risk_management { stop_loss = "5%" }'

    result = run(closes, kernels, "005930@{day}=1:2", risk=risk)

    assert result.fills["reason"].to_list()[1:] == ["split", "stop_loss"]


@pytest.mark.parametrize(
    "text", ["005930", "005930@2025-02-30=1:2", "005930@2025-02-10=0:2", "@2025-02-10=1:2"]
)
def test_split_that_cannot_be_read_is_refused(text: str) -> None:
    """The message says how one is written."""
    with pytest.raises(InputError, match="split"):
        read_split(text)


def test_splits_are_an_assumption_of_the_command_line() -> None:
    """Several are written with commas."""
    read = read_assumptions(["splits=005930@2018-05-04=1:50, 035720@2021-04-15=1:5"])

    assert read == {"splits": ("005930@2018-05-04=1:50", "035720@2021-04-15=1:5")}
