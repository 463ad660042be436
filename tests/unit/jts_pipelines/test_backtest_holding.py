"""Buying and holding what a run may trade, on markets small enough to compute by hand."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from jts_pipelines.backtest.admitting import Admission, history_of
from jts_pipelines.backtest.benchmark import compare, read_benchmark
from jts_pipelines.backtest.event_trades import stream_of_trades
from jts_pipelines.backtest.holding import bars_of_holding, trades_of_holding
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.tick_bars import checked_trades
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.plan import Universe

DAYS = calendar_for("KRX").sessions(date(2025, 4, 1), date(2025, 4, 8))


def grown(
    closes: dict[str, list[int | None]], *, times: int = 1, **assumed: tuple[str, ...]
) -> dict[date, float]:
    """Return the growth by day over bars with these closes; None has no bar."""
    rows = [
        {
            "symbol": symbol,
            "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC)
            + timedelta(hours=bar if times > 1 else -9),
            **dict.fromkeys(("open", "high", "low", "close"), close - 100 * (times - 1 - bar)),
            "volume": 0 if close < 0 else 10,
        }
        for symbol, own in closes.items()
        for day, close in zip(DAYS, own, strict=False)
        if close is not None
        for bar in range(times)
    ]
    settings = BacktestSettings(interval="1h" if times > 1 else "1d", **assumed)
    listed = read_instruments(None, "KOSDAQ", "KRX")
    table = pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))
    history = history_of(table, Admission(Universe(), listed), settings)
    before, *found = bars_of_holding(history, settings).rows()
    assert before == (date(2025, 3, 31), 1.0)
    return dict(found)


def test_money_is_split_evenly_and_bought_at_the_first_open() -> None:
    """One doubles and one halves; one that comes later waits in cash."""
    found = grown({"005930": [100, 150, 200], "000660": [None, 400, 200]})

    assert found == {DAYS[0]: 1.0, DAYS[1]: 1.25, DAYS[2]: 1.25}


def test_last_close_of_a_day_counts_and_stays_where_bars_are_missing() -> None:
    """Of two hours the second; a day without a bar keeps the close before it."""
    found = grown({"005930": [1_000, None, 2_000], "000660": [1_000, 1_000, 1_000]}, times=2)

    # Bought at 900, the first price of the first hour.
    assert found == pytest.approx({DAYS[0]: 10 / 9, DAYS[1]: 10 / 9, DAYS[2]: 15 / 9})


def test_splits_and_delistings_of_the_run_are_those_of_the_yardstick() -> None:
    """A share that became two is worth both; one that ended is worth what was paid."""
    split = grown({"005930": [100, 50, 60]}, splits=(f"005930@{DAYS[1]}=1:2",))
    prices: dict[str, list[int | None]] = {"036580": [100, 80], "005930": [100] * 4}
    ended = grown(prices, delistings=(f"036580@{DAYS[2]}=30",))

    assert split == {DAYS[0]: 1.0, DAYS[1]: 1.0, DAYS[2]: 1.2}
    assert ended == {DAYS[0]: 1.0, DAYS[1]: 0.9, DAYS[2]: 0.65, DAYS[3]: 0.65}


def test_holding_of_trades_takes_the_last_one_of_each_day() -> None:
    """Days are those of the venue: nine in the morning in Seoul is midnight in UTC."""
    first = np.array(
        [datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in DAYS[:2]]
    )
    at = (np.repeat(first, 2) * 1e9).astype(np.int64) + np.array([0, 3_600, 0, 3_600]) * 10**9
    rows = pl.DataFrame(
        {
            "symbol": ["005930"] * 4,
            "timestamp": pl.Series(at).cast(pl.Datetime("ns", "UTC")),
            "price": [100, 200, 300, 400],
            "quantity": [1] * 4,
        }
    )

    stream = stream_of_trades(checked_trades(rows), {"005930": "KRX:005930"}, "KRX", "kis")
    found = trades_of_holding(stream)

    assert found.rows() == [(date(2025, 3, 31), 1.0), (DAYS[0], 2.0), (DAYS[1], 4.0)]


def test_run_is_compared_with_holding_like_with_any_benchmark() -> None:
    """It has a name that people read, and a growth for each session after the first."""
    bars = pl.DataFrame({"date": DAYS[:4], "close": [1.0, 1.1, 1.21, 1.1]})
    equity = pl.DataFrame({"session": DAYS[:4], "equity": [100, 110, 121, 121]})

    found = compare(equity, 100, read_benchmark("hold"), bars, venue="KRX", sessions_per_year=252)

    assert (found.name, found.sessions, found.absence) == ("Buy and hold", 3, "")
    assert found.figures["benchmark_return"] == pytest.approx(0.1)
    assert found.figures["excess_return"] == pytest.approx(0.11)
