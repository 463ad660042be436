"""Bars that close at one instant: one message with columns, one run of a strategy."""

from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.feed_messages import BarsClosed
from jts_trading.domain.messages import MESSAGES
from jts_trading.engine import adding, closing
from jts_trading.engine.adding import lots_in, ticks_in
from jts_trading.engine.columns import NO_LOSS, NO_PROFIT
from jts_trading.engine.levels import levels_of, trailing_level
from jts_trading.kernels.loader import load
from jts_trading.portfolio.holding import Holding
from jts_trading.strategy.stops import is_profit_taken, is_stop_loss_hit, is_trailing_stop_hit

NAMES = tuple(f"KRX:{number:06d}" for number in range(1, 8))
MINUTE = 60 * 10**9
TEXT = """strategy("Rise") {
  timeframes { base = "1m" coarse = "5m" }
  indicators { on base { mean = SMA(period: 2) } on coarse { top = high } }
  entry.long { when (base.close > base.mean and base.low > 0) { buy(quantity: "10%") } }
  exit.long { when (base.close < base.mean and coarse.top > 0) { sell(quantity: "all") } }
  risk_management { stop_loss = "2%" trailing_stop = "1.5%" take_profit = "4%" }
}"""


def prices(minute: int) -> list[int]:
    """Return the price of each instrument in a minute: waves that are out of step."""
    return [
        10_000 + 1_000 * at + (37 * minute * (at + 3)) % 101 - 2 * minute
        for at in range(len(NAMES))
    ]


def play(rigs: ModuleType, names: tuple[str, ...], minutes: int, **more: Any) -> Any:
    """Return a rig that saw one trade a minute of each instrument; the clock closes the bars."""
    spec = rigs.describe(TEXT, instrument_ids=names)
    rig = rigs.Rig(spec, **more)
    start = rigs.instant("2024-06-03T09:00:00+09:00")
    for minute in range(minutes):
        now = start + minute * MINUTE
        for at, price in enumerate(prices(minute)):
            if NAMES[at] in names and (minute + at) % 9:
                rig.trade(rigs.Print(NAMES[at], now + at * 10**9, str(price), str(at + 1)))
        rig.clock(now + MINUTE + 10**9)
    return rig


def test_bars_when_they_close_together_then_are_one_message_in_order(rigs: ModuleType) -> None:
    """Columns in the order of the instruments; what a reader decodes gives the same bars."""
    rig = play(rigs, NAMES, 2)

    first, second = rig.of(BarsClosed)
    assert first.instrument_ids == NAMES[1:]
    assert (second.instrument_ids, second.closed_by) == (NAMES, "clock")
    assert second.closes == tuple(prices(1))
    assert second.ticks == (1,) * 7
    assert second.last_ticks == tuple(range(6, 13))
    kind, version = MESSAGES.identify(second)
    read = MESSAGES.decode(kind, version, msgspec.msgpack.encode(second))
    assert list(read.bars()) == list(second.bars())
    assert [str(bar.volume) for bar in read.bars()] == ["1", "2", "3", "4", "5", "6", "7"]
    ids = [e.event_id for e in rig.effects if isinstance(e.event, BarsClosed)]
    assert len(set(ids)) == 2


def test_bars_when_there_are_very_many_then_a_message_holds_some(
    rigs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No entry of the bus grows over what it accepts; each part has an id of its own."""
    monkeypatch.setattr(closing, "MESSAGE_BARS_MAX", 3)

    rig = play(rigs, NAMES, 2)

    parts = [e for e in rig.effects if isinstance(e.event, BarsClosed)][2:]
    assert [part.event.instrument_ids for part in parts] == [NAMES[:3], NAMES[3:6], NAMES[6:]]
    assert [int(bar.close) for part in parts for bar in part.event.bars()] == prices(1)
    assert len({part.event_id for part in parts}) == 3


def facts_of(rig: Any, symbol: str) -> list[tuple[Any, ...]]:
    """Return what was decided on an instrument, without what other positions change."""
    return [
        (d.bar_start_ns, d.fired, d.price, d.values.split('"rule"')[:2])
        for d in rig.decisions
        if d.instrument_id == symbol and d.fired
    ]


def test_decisions_when_instruments_are_many_then_are_those_of_each_alone(
    rigs: ModuleType,
) -> None:
    """The compiled loop sees each instrument as a run of its own sees it."""
    together = play(rigs, NAMES, 40)

    assert len(together.decisions) > 40
    for name in NAMES:
        assert facts_of(together, name) == facts_of(play(rigs, (name,), 40), name)


def test_decisions_when_the_loops_are_compiled_then_nothing_changes(
    rigs: ModuleType, tmp_path: Any
) -> None:
    """Every fact and every number of the state."""
    plain = play(rigs, NAMES, 40)
    compiled = play(rigs, NAMES, 40, load=lambda source: load(source, tmp_path))

    assert compiled.effects == plain.effects
    assert {d.outcome for d in plain.decisions} >= {"ordered"}
    assert compiled.instance.states.tobytes() == plain.instance.states.tobytes()
    assert compiled.instance.numbers.tolist() == plain.instance.numbers.tolist()
    assert compiled.instance.seen.tolist() == plain.instance.seen.tolist()


@given(
    cost=st.integers(1, 10**12),
    quantity=st.integers(1, 10**6),
    ppm=st.tuples(st.integers(0, 999_999), st.integers(0, 3_000_000)),
    near=st.integers(-2, 2),
)
def test_levels_at_any_cost_are_where_the_conditions_turn(
    cost: int, quantity: int, ppm: tuple[int, int], near: int
) -> None:
    """The highest close that hits, the lowest that does: one tick further nothing is hit."""

    class Rules:
        stop_loss_ppm, take_profit_ppm = ppm

    held = Holding(Decimal(quantity), Decimal(cost))
    loss, profit = levels_of(held, Decimal("0.5"), Rules)  # type: ignore[arg-type]
    entry = Fraction(cost, quantity) * 2
    paid, part = entry.numerator, entry.denominator

    for close in (max(loss + near, 0), min(max(profit + near, 0), NO_PROFIT - 1)):
        assert (close <= loss) == is_stop_loss_hit(close * part, paid, ppm[0])
        assert (close >= profit) == is_profit_taken(close * part, paid, ppm[1])
    assert (loss == NO_LOSS) == (ppm[0] == 0)
    assert (profit == NO_PROFIT) == (ppm[1] == 0)


@given(peak=st.integers(1, 10**16), ppm=st.integers(0, 999_999), near=st.integers(-2, 2))
def test_trailing_level_at_any_peak_is_where_the_condition_turns(
    peak: int, ppm: int, near: int
) -> None:
    """Likewise."""
    level = trailing_level(peak, ppm)
    close = max(level + near, 0)

    assert (close <= level) == is_trailing_stop_hit(close, peak, ppm)


@given(amount=st.decimals("0.01", "100000", places=4), half=st.booleans())
def test_wholes_when_asked_twice_then_are_exact(amount: Decimal, half: bool) -> None:
    """Off the grid is 0, whatever a decimal is written like; quantities are rounded down."""
    step = Decimal("0.05") if half else Decimal("0.01")
    ticks = Fraction(amount) / Fraction(step)
    expected = int(ticks) if ticks.denominator == 1 else 0

    for written in (amount, amount.normalize(), amount):
        assert ticks_in(step)[written] == expected
        assert lots_in(3)[written] == int(Fraction(amount) * 1000)


def test_wholes_when_there_are_too_many_then_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; answers stay the same."""
    monkeypatch.setattr(adding, "WHOLES_MAX", 10)
    wholes = adding.Wholes(int)

    assert [wholes[Decimal(number)] for number in range(95)] == list(range(95))
    assert len(wholes) <= 10
