"""Instruments that run side by side do what they do one after another, to the won."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest import lanes, places
from jts_pipelines.backtest.engine import desk_of, load_kernels, pass_of, prepare
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy

TEXT = """
strategy("Lanes") {{
  indicators {{ quick = SMA(2) slow = SMA(5) }}
  entry.long {{ when (quick crosses above slow) {{ buy(quantity: {size}) }} }}
  exit.long {{ when (quick crosses below slow) {{ sell(quantity: {leave}) }} }}
  risk_management {{ {risk} }}
}}
"""
SYMBOLS = ("000020", "005930", "035720", "068270")
ACTIONS: tuple[dict[str, tuple[str, ...]], ...] = (
    {},
    {
        "splits": ("005930@2024-06-04=1:2", "068270@2024-06-05=3:1"),
        "dividends": ("005930@2024-06-05=30", "000020@2024-06-04=9"),
        "rights": ("005930@2024-06-05=0.5:100",),
    },
)


def market(seed: int) -> pl.DataFrame:
    """Return minutes of four instruments over three sessions, a fifth of them missing."""
    chance = np.random.default_rng(seed)
    calendar, rows = calendar_for("KRX"), []
    for symbol in SYMBOLS:
        price = int(chance.choice((900, 9_000, 71_000)))
        for day in calendar.sessions(date(2024, 6, 3), date(2024, 6, 5)):
            start = datetime.fromtimestamp(calendar.open_close_ns(day)[0] // 10**9, UTC)
            for step in np.flatnonzero(chance.random(60) < 0.8).tolist():
                opened = max(price + int(chance.integers(-price // 60 - 1, price // 60 + 2)), 10)
                price = max(opened + int(chance.integers(-price // 60 - 1, price // 60 + 2)), 10)
                high, low = max(opened, price) + 2, min(opened, price) - 2
                at = start + timedelta(minutes=step)
                rows.append((symbol, at, opened, high, low, price, int(chance.integers(0, 9))))
    names = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    size=st.sampled_from(("7", "1", "3000000 KRW", '"20%"')),
    leave=st.sampled_from(('"all"', "3")),
    risk=st.sampled_from(
        ("", 'stop_loss = "1%"', "cooldown = 5m", "max_positions = 2", "pyramiding = 3")
    ),
    cash=st.sampled_from((100_000_000, 9_000_000, 300_000)),
    actions=st.sampled_from(ACTIONS),
)
def test_instruments_side_by_side_trade_as_in_one_group(  # noqa: PLR0917 - what is drawn
    seed: int,
    size: str,
    leave: str,
    risk: str,
    cash: int,
    actions: dict[str, tuple[str, ...]],
    kernels: Path,
) -> None:
    """Fills, cash, sessions and counts, whether cash is plenty or short."""
    plan = compile_strategy(TEXT.format(size=size, leave=leave, risk=risk))
    assumed = BacktestSettings(cash=cash, interval="1m", **actions)
    prepared = prepare(plan, market(seed), assumed)
    signals, portfolio = load_kernels(plan, kernels, assumed)
    fired = pass_of(prepared, plan, signals).run_all()
    rules = pass_of(prepared, plan, signals)
    together, apart = (desk_of(prepared, assumed, masks) for masks in (fired, rules.masks))

    expected = lanes.run_together(portfolio, together)
    if not lanes.are_apart(apart):
        rules.run_all()
    found = lanes.simulate(portfolio, apart, rules.run, rows_a_lane=200)

    assert found.tolist() == expected.tolist()
    columns = [places.SESSION_CASH, places.SESSION_VALUE]
    assert apart.sessions[:, columns].tolist() == together.sessions[:, columns].tolist()
    kept = [
        *(places.CASH, places.VALUE, places.TRADES, places.CLOSED),
        *(places.WON, places.PROFIT, places.LOSS, places.DROPPED, places.REDUCED),
        *(places.CANCELLED, places.BLOCKED_BY_RISK, places.BEYOND, places.FILLS),
    ]
    assert apart.account[kept].tolist() == together.account[kept].tolist()
    books = [places.QUANTITY, places.MARK, places.SIDE, places.WANTED, places.ENTRY]
    assert apart.book[:, books].tolist() == together.book[:, books].tolist()
