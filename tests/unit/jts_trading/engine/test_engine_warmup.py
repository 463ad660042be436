"""Warm-up: stored bars and recorded trades put a state where live trades would have put it."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from jts_trading.domain.sessions import calendar_for
from jts_trading.engine.halves import market_digest
from jts_trading.engine.slots import day_number
from jts_trading.engine.stored import bar_columns, entries_of
from jts_trading.engine.warmup import BarColumns, gather, warm
from jts_trading.services.recorder.rows import tick_rows
from jts_trading.strategy.units import WON, Units

SAMSUNG = "KRX:005930"
MINUTE = 60 * 10**9
DAYS = (date(2024, 6, 3), date(2024, 6, 4), date(2024, 6, 5))
TEXTS = (
    """strategy("Frames") {
      timeframes { base = "1m" coarse = "5m" daily = "1d" }
      indicators { quick = EMA(period: 3) on coarse { top = SMA(period: 2, source: high) } }
      entry.long { when (quick crosses above coarse.top and daily.close > base.low) {
        buy(quantity: "1%") } }
    }""",
    """strategy("Session") {
      indicators { mean = VWAP() }
      entry.long { when (close crosses above mean) { buy(quantity: "1%") } }
    }""",
)


def walk(seed: int) -> list[tuple[int, int, int]]:
    """Return minutes of three sessions, some missing: start (UTC ns), close, volume."""
    chance = random.Random(seed)
    found, price = [], 71_000
    for day in DAYS:
        open_ns, _ = calendar_for("KRX").open_close_ns(day)
        for minute in range(30):
            if chance.random() < 0.8:
                price += chance.randint(-200, 200)
                found.append((open_ns + minute * MINUTE, price, chance.randint(1, 99)))
    return found


def columns(bars: list[tuple[int, int, int]]) -> BarColumns:
    """Return bars of one trade each as columns."""
    calendar = calendar_for("KRX")
    days = [calendar.session_date(start) for start, _, _ in bars]
    return BarColumns(
        np.array([day_number(day) for day in days], np.int64),
        np.array([start // 10**6 for start, _, _ in bars], np.int64),
        np.array([calendar.open_close_ns(day)[0] // 10**6 for day in days], np.int64),
        np.array([[p, p, p, p, v] for _, p, v in bars], np.float64),
        np.zeros(len(bars)),
    )


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("cut", [0, 1, 30, 70])
def test_warm_up_when_followed_by_trades_then_the_state_is_that_of_trades_alone(
    rigs: ModuleType, text: str, cut: int
) -> None:
    """Bit for bit, with frames that close between the two, and sessions."""
    bars = walk(3)
    traded, warmed = rigs.Rig(rigs.describe(text)), rigs.Rig(rigs.describe(text))
    for start, price, volume in bars:
        traded.trade(rigs.Print(SAMSUNG, start, str(price), str(volume)))
        traded.clock(start + MINUTE + 10**9)
    builder = warmed.state.builders[SAMSUNG, "KRX", "1m"]
    warm(warmed.instance, SAMSUNG, builder, columns(bars[:cut]))
    for start, price, volume in bars[cut:]:
        warmed.trade(rigs.Print(SAMSUNG, start, str(price), str(volume)))
        warmed.clock(start + MINUTE + 10**9)

    def row(rig: Any) -> bytes:
        values: bytes = rig.instance.rows[SAMSUNG].tobytes()
        return values

    def seen_of(rig: Any) -> list[int]:
        seen: list[int] = rig.instance.symbols[SAMSUNG].numbers.tolist()
        return seen

    assert row(warmed) == row(traded)
    assert seen_of(warmed) == seen_of(traded)
    assert builder.previous_close == traded.state.builders[SAMSUNG, "KRX", "1m"].previous_close


def test_gather_when_bars_are_finer_then_hours_and_days_are_those_of_the_session() -> None:
    """First open, highest high, lowest low, last close, sum of volume."""
    bars = columns(walk(3))
    hours, days = gather(bars, 600), gather(bars, 86_400)

    assert len(days.day) == len(DAYS)
    assert days.values[:, 4].sum() == hours.values[:, 4].sum() == bars.values[:, 4].sum()
    first = bars.day == bars.day[0]
    assert list(days.values[0, :4]) == [
        bars.values[first][0, 0],
        bars.values[first, 1].max(),
        bars.values[first, 2].min(),
        bars.values[first][-1, 3],
    ]
    assert all((hours.stamp_ms - hours.open_ms) % 600_000 == 0)


def test_bar_columns_when_rows_are_mixed_then_only_traded_ones_of_one_source_count() -> None:
    """Halted rows, days without a session, prices between ticks and other sources are left out."""
    start = datetime(2024, 6, 3, tzinfo=UTC)

    def row(at: int, close: str, **changes: Any) -> dict[str, Any]:
        price = Decimal(close)
        return {
            "timestamp": start + timedelta(minutes=at),
            "broker": "creon",
            "trade_date": date(2024, 6, 3),
            "status": "traded",
            "volume": Decimal(10),
            **dict.fromkeys(("open", "high", "low", "close"), price),
            **changes,
        }

    rows = pl.DataFrame(
        [
            row(0, "71000"),
            row(1, "71100", broker="yahoo"),
            row(2, "71200", status="halted"),
            row(3, "71300", volume=Decimal(0)),
            row(4, "71400", trade_date=date(2024, 6, 6)),
            row(5, "71500.5"),
            row(6, "71600", status="auction"),
        ],
        schema_overrides={"timestamp": pl.Datetime("ms", "UTC")},
    )

    assert bar_columns(rows, "KRX", WON).values[:, 3].tolist() == [71_000, 71_600]
    assert bar_columns(rows.clear(), "KRX", WON).values.shape == (0, 5)
    half = Units(Decimal("0.5"), Decimal(1))
    assert bar_columns(rows, "KRX", half).values[:, 3].tolist() == [142_000, 143_001, 143_200]


def test_recorded_ticks_when_read_back_then_they_are_the_entries_that_arrived(
    rigs: ModuleType,
) -> None:
    """Whatever the order of rows: numbers, frames, times; and the same state comes of them."""
    text = TEXTS[0]
    live, again = rigs.Rig(rigs.describe(text)), rigs.Rig(rigs.describe(text))
    entries = []
    for start, price, volume in walk(5):
        prints = [
            rigs.Print(SAMSUNG, start + at * 10**9, str(price + at), str(volume)) for at in (0, 7)
        ]
        entries.append(live.entry(prints, recv_ns=start + 8 * 10**9))
    rows = [row for entry in entries for row in tick_rows(entry, "market-data.krx.ticks")]
    random.Random(1).shuffle(rows)
    frame = pl.DataFrame(rows + rows[:5]).with_columns(
        pl.col("timestamp", "received_at").cast(pl.Datetime("ns", "UTC"))
    )
    found = list(entries_of(frame))

    flat = [tick for entry in entries for tick in entry.ticks]
    assert [tick for entry in found for tick in entry.ticks] == flat
    numbers = [e.first_tick + at for e in found for at in range(len(e.ticks))]
    assert numbers == list(range(len(flat)))
    for rig, some in ((live, entries), (again, found)):
        for entry in some:
            rig.take(entry)
    assert market_digest(again.state) == market_digest(live.state)
    assert list(entries_of(frame.clear())) == []
