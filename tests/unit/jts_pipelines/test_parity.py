"""The comparison behind the parity certificate: equal, explained, or without an excuse."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from jts_pipelines.reports.parity import (
    BAR_DIFFERS,
    NOT_DECIDING,
    NOT_RECORDED,
    NOT_TRADED,
    TICK_DIFFERS,
    Certificate,
    Seen,
    SeenBar,
    SeenSignal,
    SeenTick,
    certify,
)
from jts_pipelines.reports.parity_seen import bars_of
from jts_trading.domain.feed_messages import BarClosed, BarsClosed

SAMSUNG = "KRX:005930"
MINUTE_NS = 60 * 10**9
OPEN_NS = 1_519_603_200 * 10**9


def _tick(number: int, price: int = 2_360_000) -> SeenTick:
    return SeenTick("kis-1", number, SAMSUNG, OPEN_NS + number * 10**9, Decimal(price), Decimal(1))


def _bar(minute: int, close: int = 2_360_000, ticks: int = 10) -> SeenBar:
    price = Decimal(close)
    return SeenBar(
        SAMSUNG, "KRX", "1m", OPEN_NS + minute * MINUTE_NS, price, price, price, price,
        Decimal(ticks), ticks, minute * 60,
    )  # fmt: skip


def _signal(minute: int, price: int = 2_360_000, rule: int = 0) -> SeenSignal:
    return SeenSignal(
        "sma", "SMA@1", SAMSUNG, "1m", OPEN_NS + minute * MINUTE_NS, rule, "entry", "buy",
        Decimal(price),
    )  # fmt: skip


SEEN = Seen(
    signals=(_signal(5), _signal(9, rule=1)),
    bars=tuple(_bar(minute) for minute in range(12)),
    ticks=tuple(_tick(number) for number in range(720)),
)


def _compare(live: Seen, again: Seen, **changes: Any) -> Certificate:
    return certify(
        live, again, day=date(2018, 2, 26), lengths_ns={"1m": MINUTE_NS},
        traded={("sma", "SMA@1"): changes.get("traded", (OPEN_NS, OPEN_NS + 60 * MINUTE_NS))},
        unrecorded=changes.get("unrecorded"),
    )  # fmt: skip


def test_certificate_when_both_sides_are_equal_then_nothing_differs() -> None:
    """Every signal matches, and the three levels say how much was compared."""
    found = _compare(SEEN, SEEN)

    assert (found.live_signals, found.backtest_signals, found.matched) == (2, 2, 2)
    assert (found.explained, found.unexplained, found.differences) == ({}, 0, ())
    assert {name: level.equal for name, level in found.levels.items()} == {
        "ticks": 720, "bars": 12, "signals": 2
    }  # fmt: skip


def test_certificate_when_one_recorded_tick_is_missing_then_exactly_that_one_is_named() -> None:
    """The trade has no excuse; the bar and the signal that follow from it have one."""
    lost = 5 * 60 + 30
    again = replace(
        SEEN,
        ticks=tuple(tick for tick in SEEN.ticks or () if tick.tick != lost),
        bars=tuple(_bar(m, ticks=9) if m == 5 else _bar(m) for m in range(12)),
        signals=(_signal(9, rule=1),),
    )

    found = _compare(SEEN, again)

    assert found.unexplained == 1
    assert found.explained == {TICK_DIFFERS: 1, BAR_DIFFERS: 1}
    (named,) = [each for each in found.differences if not each.cause]
    assert (named.level, named.live, named.again) == (
        "tick", f"kis-1 tick {lost}: 1 at 2,360,000", ""
    )  # fmt: skip
    assert (found.matched, found.live_signals, found.backtest_signals) == (1, 2, 1)


def test_certificate_when_a_price_differs_in_its_last_unit_then_is_found() -> None:
    """One won in one trade, though no bar and no signal shows it."""
    ticks = tuple(_tick(n, 2_360_001) if n == 77 else _tick(n) for n in range(720))

    found = _compare(SEEN, replace(SEEN, ticks=ticks))

    assert (found.unexplained, found.matched) == (1, 2)
    assert found.differences[0].again == "kis-1 tick 77: 1 at 2,360,001"


def test_certificate_when_a_bar_differs_with_equal_trades_then_it_is_unexplained() -> None:
    """Two programs that make two bars of the same trades: the very thing to find."""
    bars = tuple(_bar(m, close=2_360_001) if m == 3 else _bar(m) for m in range(12))

    found = _compare(SEEN, replace(SEEN, bars=bars))

    assert found.unexplained == 1
    assert found.differences[0].level == "bar"
    assert "1m 2,360,001" in found.differences[0].again


def test_certificate_when_a_signal_differs_with_equal_bars_then_it_is_unexplained() -> None:
    """A price, a rule, a missing signal: each on its own."""
    for signals in (
        (_signal(5, price=2_360_001), _signal(9, rule=1)),
        (_signal(5), _signal(9, rule=1), _signal(11)),
        (_signal(5),),
    ):
        assert _compare(SEEN, replace(SEEN, signals=signals)).unexplained == 1


def test_certificate_when_a_rule_fires_twice_in_one_bar_then_both_are_compared() -> None:
    """As rules on trades may: in any order, and one that is missing is found."""
    live = replace(SEEN, signals=(_signal(5), _signal(5, price=2_370_000)))
    turned = replace(SEEN, signals=(_signal(5, price=2_370_000), _signal(5)))

    found, lost = _compare(live, turned), _compare(live, replace(SEEN, signals=(_signal(5),)))

    assert (found.matched, found.unexplained) == (2, 0)
    assert (lost.matched, lost.unexplained) == (1, 1)


def test_certificate_when_the_release_came_later_then_earlier_signals_are_explained() -> None:
    """What comes out again of bars when the release was not traded, nobody could have said."""
    later = replace(SEEN, signals=(_signal(9, rule=1),))

    found = _compare(later, SEEN, traded=(OPEN_NS + 8 * MINUTE_NS, OPEN_NS + 20 * MINUTE_NS))

    assert (found.explained, found.unexplained) == ({NOT_TRADED: 1}, 0)


def test_certificate_when_the_bus_forgot_the_day_then_says_what_was_not_compared() -> None:
    """Signals are compared all the same; a bar that differs below them is not known."""
    live = Seen(signals=SEEN.signals)

    found = _compare(live, SEEN)

    assert (found.matched, found.unexplained) == (2, 0)
    assert set(found.levels) == {"signals"}
    assert len(found.notes) == 2


def test_certificate_when_the_trader_started_late_then_earlier_signals_are_explained() -> None:
    """A first start takes what was recorded before as history; later signals have no excuse."""
    late = replace(SEEN, signals=(), bars=SEEN.bars[6:] if SEEN.bars else None)
    again = replace(SEEN, bars=late.bars)

    found = _compare(late, again)

    assert (found.explained, found.unexplained) == ({NOT_DECIDING: 1}, 1)


def test_certificate_when_the_recorder_is_behind_then_only_what_it_has_come_to_must_be_there() -> (
    None
):
    """Trades that it has not read are due later; one that it left out before has no excuse."""
    again = replace(
        SEEN,
        ticks=tuple(tick for tick in SEEN.ticks or () if tick.tick != 30 and tick.tick < 700),
        bars=tuple(_bar(m, ticks=9) if m in (0, 11) else _bar(m) for m in range(12)),
    )

    found = _compare(SEEN, again, unrecorded={"kis-1": 700})

    assert found.explained == {NOT_RECORDED: 20, TICK_DIFFERS: 2}
    (lost,) = (each for each in found.differences if not each.cause)
    assert (found.unexplained, lost.live) == (1, "kis-1 tick 30: 1 at 2,360,000")


def test_bars_when_announced_together_or_one_by_one_then_are_the_same() -> None:
    """Entries of the first traders may still be on a bus."""
    alone = BarClosed(
        instrument_id=SAMSUNG, venue="KRX", interval="1m", start_ns=OPEN_NS,
        open=Decimal(3), high=Decimal(5), low=Decimal(2), close=Decimal(4), volume=Decimal(9),
        closed_by="clock", feed="kis-1", last_tick=7, ticks=2,
    )  # fmt: skip
    together = BarsClosed(
        venue="KRX", interval="1m", start_ns=OPEN_NS, closed_by="clock",
        instrument_ids=("KRX:000660", SAMSUNG), price_steps=(Decimal("0.5"), Decimal(1)),
        opens=(1, 3), highs=(3, 5), lows=(1, 2), closes=(2, 4), volumes=(Decimal(1), Decimal(9)),
        feeds=("kis-2", "kis-1"), last_ticks=(1, 7), ticks=(1, 2),
    )  # fmt: skip

    other, same = bars_of(together)

    assert [same] == bars_of(alone)
    assert (other.instrument_id, other.open, other.high) == (
        "KRX:000660", Decimal("0.5"), Decimal("1.5"),
    )  # fmt: skip
