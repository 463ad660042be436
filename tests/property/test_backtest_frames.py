"""Several time frames: what is decided never depends on bars that come later."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy

# The exam day in between opens an hour late.
SESSIONS = calendar_for("KRX").sessions(date(2024, 11, 11), date(2024, 11, 19))
TEXT = """strategy("Frames") {
  timeframes { daily = "1d" hourly = "1h" }
  indicators { on daily { trend = SMA(period: 2) } }
  entry.long { when (daily.close >= daily.trend and hourly.close > hourly.open) {
    buy(quantity: "40%") } }
  exit.long { when (hourly.close < hourly.open) { sell(quantity: "all") } }
  risk_management { trailing_stop = "2%" daily_loss_limit = "3%" }
}
"""


def ten_minute_bars(seed: int) -> pl.DataFrame:
    """Return bars of ten minutes for two instruments, a fifth of them missing."""
    chance = random.Random(seed)
    rows = []
    for symbol in ("000660", "005930"):
        price = chance.choice((9_000, 71_000))
        for day in SESSIONS:
            open_ns, close_ns = calendar_for("KRX").open_close_ns(day)
            start = datetime.fromtimestamp(open_ns // 10**9, UTC)
            for step in range((close_ns - open_ns) // (600 * 10**9)):
                moved = chance.randint(-150, 160)
                if moved % 5 == 0:
                    continue  # nothing traded
                first, price = price, max(price * (10_000 + moved) // 10_000, 100)
                rows.append(
                    {
                        "symbol": symbol,
                        "timestamp": start + timedelta(minutes=10 * step),
                        "open": first,
                        "high": max(first, price),
                        "low": min(first, price),
                        "close": price,
                        "volume": 1_000_000,
                    }
                )
    return pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def backtest(frame: pl.DataFrame, kernels: Path) -> BacktestResult:
    """Run the strategy of this file."""
    return run_backtest(
        compile_strategy(TEXT),
        frame,
        BacktestSettings(cash=10_000_000, interval="10m"),
        cache_dir=kernels,
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), day=st.integers(2, len(SESSIONS) - 1), hour=st.integers(0, 6))
def test_backtest_of_frames_when_later_bars_are_cut_decides_the_same_before(
    seed: int, day: int, hour: int, kernels: Path
) -> None:
    """Cutting the data at the end of any hour changes no fill and no decision before it."""
    open_ns, _ = calendar_for("KRX").open_close_ns(SESSIONS[day])
    cut_at = datetime.fromtimestamp(open_ns // 10**9, UTC) + timedelta(hours=hour)

    frame = ten_minute_bars(seed)
    whole = backtest(frame, kernels)
    cut = backtest(frame.filter(pl.col("timestamp") < cut_at), kernels)

    assert whole.fills.height > 0
    assert cut.fills.equals(whole.fills.filter(pl.col("time") < cut_at))
    starts = whole.fills["time"].dt.minute().unique().to_list()
    assert starts == [0]
