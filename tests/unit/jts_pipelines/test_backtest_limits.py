"""Limits of the account in a backtest deny what the checks of risk deny by events."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from free_limits import FREE

from jts_pipelines.backtest.cautions import Code
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.event_result import event_result
from jts_pipelines.backtest.event_run import run_events
from jts_pipelines.backtest.event_trades import stream_of_bars
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import AccountLimits, BacktestSettings, limits_of
from jts_trading.domain.sessions import calendar_for
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.execution.fill_costs import Listed
from jts_trading.indicators.catalog import NATIVE
from storage.errors import InputError

CASH = 10_000_000
SYMBOLS = ("000660", "005930", "035720")
LISTING = pl.DataFrame({"symbol": SYMBOLS, "market": ["KOSPI"] * 3})
TEXT = """strategy("Trial") {{
  entry.long {{ when (SMA(2) crosses above SMA(5)) {{ buy(quantity: {size}) }} }}
  exit.long {{ when (SMA(2) crosses below SMA(5)) {{ close() }} }}
}}
"""


PYRAMIDED = """strategy("Trial") {
  entry.long { when (close > open and close[1] > open[1]) { buy(quantity: "9%") } }
  exit.long { when (SMA(2) crosses below SMA(5) and position.entries > 1) { close() } }
  risk_management { pyramiding = 4 }
}
"""


def minutes(seed: int) -> pl.DataFrame:
    """Return the last ninety minutes of four sessions of three shares."""
    chance, rows = np.random.default_rng(seed), []
    sessions = calendar_for("KRX").sessions(date(2024, 6, 3), date(2024, 6, 7))
    for symbol, first in zip(SYMBOLS, (71_000, 9_000, 44_000), strict=True):
        price = first
        for day in sessions:
            end = datetime.fromtimestamp(calendar_for("KRX").open_close_ns(day)[1] / 1e9, UTC)
            for minute in range(90, 0, -1):
                last = max(price + int(chance.integers(-first // 150, first // 150)), 1_000)
                rows.append(
                    {
                        "symbol": symbol,
                        "timestamp": end - timedelta(minutes=minute),
                        "open": price,
                        "high": max(price, last),
                        "low": min(price, last),
                        "close": last,
                        "volume": 50_000,
                    }
                )
                price = last
    return pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def over_bars(
    text: str, bars: pl.DataFrame, risk: RiskLimits | None, kernels: Path, **changes: Any
) -> BacktestResult:
    """Run the backtest over bars."""
    limits = None if risk is None else limits_of(risk, "KRW")
    settings = BacktestSettings(cash=CASH, interval="1m", limits=limits, **changes)
    return run_backtest(
        compile_strategy(text), bars, settings, cache_dir=kernels, instruments=LISTING
    )


@pytest.mark.parametrize(
    ("size", "changes", "checks"),
    [
        ('"30%"', {}, set()),
        ('"24%"', {"order_value_max": {"KRW": Decimal(2_300_000)}}, {"R01"}),
        ('"21%"', {"position_share_max": Decimal("0.205")}, {"R04"}),
        ('"25%"', {"gross_exposure_max": Decimal("0.45")}, {"R04"}),
        ('"33%"', {"drawdown_max": Decimal("0.004")}, {"R07"}),
        (PYRAMIDED, {}, set()),
        (PYRAMIDED, {"position_share_max": Decimal("0.2")}, {"R04"}),
    ],
)
def test_entries_that_limits_deny_are_those_that_risk_denies_by_events(
    kernels: Path, size: str, changes: dict[str, Any], checks: set[str]
) -> None:
    """Two engines, two ways to look at the account: the same fills to the won."""
    bars, text = minutes(11), TEXT.format(size=size) if size.startswith('"') else size
    risk = msgspec.structs.replace(FREE, **changes)
    stream = stream_of_bars(bars, {s: f"KRX:{s}" for s in SYMBOLS}, "1m", "KRX", "kis")
    settings = BacktestSettings(cash=CASH, interval="1m")

    found = over_bars(text, bars, risk, kernels)
    by_events = run_events(
        text,
        stream,
        settings,
        risk,
        listed=lambda _: Listed(),
        cache_dir=kernels,
        catalog=NATIVE,
    )

    expected = event_result(by_events, settings, lambda name: name)
    columns = ("instrument", "side", "quantity", "price", "commission", "tax")
    rows = [
        table.select(pl.col("time").dt.truncate("1m"), *columns).sort("time", "instrument").rows()
        for table in (found.fills, expected.fills)
    ]
    assert rows[0] == rows[1]
    assert set(found.facts.denied) == checks
    assert found.final_equity == expected.final_equity
    # By events the kill switch takes over from R07.
    assert sum(found.facts.denied.values()) == sum(expected.denials.values())


def test_loss_of_a_day_ends_its_entries_and_the_result_says_so(kernels: Path) -> None:
    """R06: days on which nothing was lost go on as before."""
    bars, text = minutes(11), TEXT.format(size='"33%"')
    free = over_bars(text, bars, None, kernels)

    found = over_bars(
        text, bars, msgspec.structs.replace(FREE, daily_loss_max=Decimal("0.003")), kernels
    )

    assert set(found.facts.denied) == {"R06"}
    assert found.fills.height < free.fills.height
    assert found.fills["session"].n_unique() == 4
    (caution,) = (one for one in found.cautions if one.code is Code.RISK_DENIED)
    assert str(caution).startswith("limits of the account denied entries: ")
    assert free.facts.denied == {}


def test_limits_hold_where_orders_wait_and_fill_in_parts(kernels: Path) -> None:
    """The fill models have the same limits."""
    bars, text = minutes(11), TEXT.format(size='"24%"')
    risk = msgspec.structs.replace(FREE, order_value_max={"KRW": Decimal(2_400_000)})

    found = over_bars(text, bars, risk, kernels, volume_percent="0.1")

    assert found.facts.denied["R01"] > 0
    bought = found.trades["invested"]
    assert bought.max() <= 2_430_000
    assert found.config["limits"]["order_value"] == "2400000"


@pytest.mark.parametrize(
    ("name", "value"),
    [("order_value", "0"), ("drawdown", "x"), ("daily_loss", "0.0000001")],
)
def test_limits_that_cannot_be_counted_are_refused(name: str, value: str) -> None:
    """One line names the limit."""
    limits = msgspec.structs.replace(limits_of(RiskLimits(), "KRW"), **{name: value})
    assert isinstance(limits, AccountLimits)

    with pytest.raises(InputError, match=f"limit {name} is '{value}'"):
        BacktestSettings(limits=limits)


def test_currency_without_a_limit_is_refused() -> None:
    """R01 has one for each currency, or nothing is sent."""
    with pytest.raises(InputError, match="no limit in EUR; it has: KRW, USDT"):
        limits_of(RiskLimits(), "EUR")
