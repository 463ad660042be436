"""Parameter sets that run together come to what each comes to alone, to the won."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from jts_pipelines.backtest.engine import desk_of, fire, load_portfolio, prepare
from jts_pipelines.backtest.lanes import simulate
from jts_pipelines.backtest.result import equity_table
from jts_pipelines.backtest.sets import can_share, run_sets
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.lowering import lower_plan
from jts_trading.dsl.shared import share

TEXTS = {
    "means": """
      indicators { quick = SMA(period: fast) slow = SMA(period: wide) }
      entry.long { when (quick crosses above slow) { buy(quantity: size) } }
      exit.long { when (quick crosses below slow) { sell(quantity: "all") } }""",
    "several": """
      indicators {
        bands = Bollinger(period: wide, deviations: 1.5)
        strength = RSI(period: fast)
        swing = MACD(fast: fast, slow: wide, signal: 4)
      }
      entry.long {
        when (close < bands.lower * 1.01 or strength between [30, 40]) { buy(quantity: "7%") }
      }
      exit.long {
        when (swing.histogram < 0 and close > bands.middle) { sell(quantity: size) }
      }""",
    # A mean of a mean and a history are no columns: each set is lowered.
    "nested": """
      indicators { quick = SMA(period: fast) slow = EMA(period: wide, source: quick - low) }
      entry.long { when (slow > slow[fast]) { buy(quantity: size) } }
      exit.long { when (close < close[fast]) { sell(quantity: "all") } }""",
}
SETS = [(fast, wide, size) for fast in (2, 3, 5) for wide in (6, 10) for size in (1, 20)]


def plain(source: str) -> ModuleType:
    """Return the functions of a source without compiling them; dividing by zero as numpy."""
    module = ModuleType("plain")
    vars(module)["float"] = np.float64
    exec(compile(source, "<source>", "exec"), vars(module))  # noqa: S102 - our own generated text
    return module


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled code, shared by the tests of a run."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"


def market() -> pl.DataFrame:
    """Return minutes of two instruments over four sessions, some of them missing."""
    chance, calendar, rows = np.random.default_rng(5), calendar_for("KRX"), []
    for symbol, start in (("005930", 70_000), ("068270", 900)):
        price = start
        for day in calendar.sessions(date(2024, 6, 3), date(2024, 6, 7)):
            opens = datetime.fromtimestamp(calendar.open_close_ns(day)[0] // 10**9, UTC)
            for step in np.flatnonzero(chance.random(60) < 0.9).tolist():
                opened = max(price + int(chance.integers(-price // 90 - 1, price // 90 + 2)), 100)
                price = max(opened + int(chance.integers(-price // 90 - 1, price // 90 + 2)), 100)
                high, low = max(opened, price) + 2, min(opened, price) - 2
                at = opens + timedelta(minutes=step)
                rows.append((symbol, at, opened, high, low, price, int(chance.integers(0, 9))))
    names = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_sets_that_run_together_come_to_what_each_comes_to_alone(name: str, kernels: Path) -> None:
    """Fills and equity of each set, where indicators are shared and where they are not."""
    text = (
        'strategy("Sets") { params { fast = 2 in 2..5 wide = 6 in 6..10 size = 1 in 1..20 } '
        f"{TEXTS[name]} }}"
    )
    settings = BacktestSettings(cash=9_000_000, interval="1m")
    plans = [
        compile_strategy(text, params={"fast": str(f), "wide": str(w), "size": str(s)})
        for f, w, s in SETS
    ]
    prepared = prepare(plans[0], market(), settings)
    assert can_share(plans, prepared)

    found = run_sets(plans, prepared, settings, kernels)

    traded = 0
    for plan, each in zip(plans, found, strict=True):
        alone = prepare(plan, market(), settings)
        with np.errstate(all="ignore"):
            desk = desk_of(alone, settings, fire(alone, plan, plain(lower_plan(plan))))
        fills = simulate(load_portfolio(plan, kernels, settings), desk)
        equity = equity_table(desk, alone.days, settings.start_money)
        assert each.fills.tolist() == fills.tolist()
        assert each.equity.tolist() == equity["equity"].to_list()
        traded += len(fills)
    assert traded > 100


def test_shapes_of_a_sweep_are_few() -> None:
    """Periods, slots and factors are arguments: whether a factor is one changes the text."""
    text = f'strategy("S") {{ params {{ fast = 2 in 2..9 wide = 10 in 10..99 size = 1 }} {TEXTS["means"]} }}'  # noqa: E501
    plans = [
        compile_strategy(text, params={"fast": str(fast), "wide": str(wide)})
        for fast in range(2, 10)
        for wide in range(10, 60, 5)
    ]

    shared = share(plans)

    assert shared.columns == 18
    assert len(shared.series) == 1
    assert len(shared.sets) <= 4
    places = sorted(member.place for shape in shared.sets for member in shape.members)
    assert places == list(range(80))
