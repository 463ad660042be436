"""Bars: labelled by their start, closed once, by an event or by the clock."""

from types import ModuleType

import pytest

from jts_trading.engine.events import TicksArrived
from jts_trading.engine.step import step

NEVER = 'strategy("Never") { entry.long { when (close < 0) { buy(quantity: "1%") } } }'
OPEN = "2024-06-03T09:00:00+09:00"
SECOND = 1_000_000_000
SAMSUNG, BTC = "KRX:005930", "BINANCE:BTCUSDT"


@pytest.fixture
def krx(rigs: ModuleType):
    """An engine on minutes of one KRX share."""
    return rigs.Rig(rigs.describe(NEVER))


def at(rigs: ModuleType, clock: str) -> int:
    """Return a time of 2024-06-03 in Seoul as UTC ns."""
    return rigs.instant(f"2024-06-03T{clock}+09:00")


def test_bar_when_a_trade_of_the_next_minute_arrives_then_it_closes_once(rigs, krx) -> None:
    """Open, high, low, close, volume and tick numbers are those of its trades."""
    for clock, price, quantity in (
        ("09:00:00", "71000", "5"),
        ("09:00:20", "71300", "2"),
        ("09:00:40", "70900", "1"),
        ("09:00:59", "71100", "4"),
    ):
        krx.trade(rigs.Print(SAMSUNG, at(rigs, clock), price, quantity))
    assert krx.bars == []
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:01:00"), "71200", "9"))

    (bar,) = krx.bars
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (71000, 71300, 70900, 71100, 12)
    assert (bar.start_ns, bar.interval) == (at(rigs, "09:00:00"), "1m")
    assert (bar.closed_by, bar.ticks, bar.last_tick, bar.feed) == ("event", 4, 3, "kis-1")


def test_bar_when_no_trade_follows_then_the_clock_closes_it_after_the_grace(rigs, krx) -> None:
    """One second of grace; a second call changes nothing."""
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:00:10"), "71000"))
    assert krx.clock(at(rigs, "09:01:00")) == []
    assert krx.clock(at(rigs, "09:01:01") - 1) == []
    krx.clock(at(rigs, "09:01:01"))
    krx.clock(at(rigs, "09:05:00"))

    (bar,) = krx.bars
    assert bar.closed_by == "clock"


def test_bar_when_a_trade_comes_late_then_it_is_counted_and_changes_nothing(rigs, krx) -> None:
    """A closed bar stays closed, whether an event or the clock closed it."""
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:00:10"), "71000"))
    krx.clock(at(rigs, "09:01:02"))
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:00:50"), "99999"), lag_ns=20 * SECOND)
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:02:00"), "71100"))
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:01:59"), "99999"), lag_ns=5 * SECOND)

    assert krx.state.counts.late_ticks == 2
    assert [bar.high for bar in krx.bars] == [71000]


def test_bar_when_trades_arrive_after_its_due_time_then_their_arrival_is_the_clock(
    rigs, krx
) -> None:
    """Whoever reads recorded ticks has no other clock, and makes the same bars."""
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:00:10"), "71000"))
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:00:59"), "99999"), lag_ns=2 * SECOND)

    assert [bar.closed_by for bar in krx.bars] == ["clock"]
    assert krx.state.counts.late_ticks == 1


def test_bars_when_minutes_are_empty_then_there_are_none(rigs, krx) -> None:
    """No trade, no bar."""
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:00:10"), "71000"))
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:07:10"), "71000"))
    krx.clock(at(rigs, "09:30:00"))

    assert [bar.start_ns for bar in krx.bars] == [at(rigs, "09:00:00"), at(rigs, "09:07:00")]


def test_closing_auction_when_it_prints_at_the_close_then_it_is_in_the_last_bar(rigs, krx) -> None:
    """15:19 ends continuous trading; the auction of 15:30 belongs to the bar of 15:29."""
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "15:19:59"), "71000", "3"))
    krx.clock(at(rigs, "15:20:01"))
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "15:30:12"), "71500", "1000"))
    assert len(krx.bars) == 1
    krx.clock(at(rigs, "15:30:31"))

    last = krx.bars[-1]
    assert (last.start_ns, last.close, last.volume) == (at(rigs, "15:29:00"), 71500, 1000)
    assert last.closed_by == "session"


def test_trades_when_outside_the_session_then_they_are_in_no_bar(rigs, krx) -> None:
    """Trades at the close before nine and after the auction are counted."""
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "08:35:00"), "71000"))
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "15:45:00"), "71000"))
    krx.trade(rigs.Print(SAMSUNG, rigs.instant("2024-06-06T10:00:00+09:00"), "71000"))
    krx.clock(rigs.instant("2024-06-07T10:00:00+09:00"))

    assert (krx.bars, krx.state.counts.outside_ticks) == ([], 3)


def test_hours_of_krx_when_built_then_they_start_at_the_open_and_end_with_the_session(
    rigs,
) -> None:
    """The last hour has thirty minutes; the day is labelled with midnight in Seoul."""
    rig = rigs.Rig(
        rigs.describe(NEVER, interval="1h"), rigs.describe(NEVER, interval="1d", instance="daily")
    )
    for clock in ("09:30:00", "10:00:00", "14:59:59", "15:00:00", "15:30:05"):
        rig.trade(rigs.Print(SAMSUNG, at(rigs, clock), "71000"))
    rig.clock(at(rigs, "15:31:00"))

    starts = [(bar.interval, bar.start_ns) for bar in rig.bars]
    hours = [("1h", at(rigs, f"{hour:02}:00:00")) for hour in (9, 10, 14, 15)]
    assert sorted(starts) == sorted([("1d", at(rigs, "00:00:00")), *hours])
    assert {bar.ticks for bar in rig.bars if bar.interval == "1d"} == {5}


def test_seconds_of_crypto_when_midnight_passes_then_bars_go_on(rigs) -> None:
    """Bars are cut at UTC; prices are ticks of 0.01, volume is exact."""
    rig = rigs.Rig(
        rigs.describe(
            NEVER,
            venue="BINANCE",
            interval="1s",
            instrument_ids=(BTC,),
            currency="USDT",
            broker="paper",
        )
    )
    start = rigs.instant("2024-08-08T23:59:59+00:00")
    rig.trade(rigs.Print(BTC, start, "61000.01", "0.00012"))
    rig.trade(rigs.Print(BTC, start + 999_000_000, "61000.03", "0.00003"))
    rig.trade(rigs.Print(BTC, start + SECOND, "61000.02", "0.5"))
    rig.clock(start + 10 * SECOND)

    first, second = rig.bars
    assert [str(first.high), str(first.volume)] == ["61000.03", "0.00015000"]
    assert (second.start_ns, str(second.close)) == (start + SECOND, "61000.02")


def test_ticks_when_repeated_or_missing_then_numbers_tell(rigs, krx) -> None:
    """An entry that comes twice is taken once; a jump is counted."""
    entry = krx.entry([rigs.Print(SAMSUNG, at(rigs, "09:00:10"), "71000", "5")] * 2)
    for _ in range(2):
        step(krx.state, TicksArrived(entry, "e"), at(rigs, "09:00:10"))
    krx.entry([rigs.Print(SAMSUNG, at(rigs, "09:00:11"), "71000")])
    krx.trade(rigs.Print(SAMSUNG, at(rigs, "09:00:12"), "71000", "1"))
    krx.clock(at(rigs, "09:01:01"))

    place = krx.state.feeds["kis-1"]
    assert (krx.bars[0].volume, place.repeated, place.missing) == (11, 2, 1)


def test_trades_when_impossible_then_they_are_refused_and_counted(rigs, krx) -> None:
    """Prices of zero and between two ticks, other venues and unknown instruments."""
    for symbol, price, quantity in (
        (SAMSUNG, "0", "1"),
        (SAMSUNG, "71000.5", "1"),
        (SAMSUNG, "71000", "0"),
        ("KRX:000660", "71000", "1"),
    ):
        krx.trade(rigs.Print(symbol, at(rigs, "09:00:10"), price, quantity))
    krx.clock(at(rigs, "09:30:00"))

    assert (krx.bars, krx.state.counts.refused_ticks) == ([], 3)
