"""Worlds of the simulated KIS: recorded, mapped onto other days, generated; no share is lost."""

import itertools
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from jts_trading.brokers.kis.simulator.player import Tape, World
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.brokers.kis.simulator.worlds import (
    Session,
    WorldError,
    generated_recording,
    load_world,
    map_session,
    mapped_world,
    read_recording,
    recorded_world,
)
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits, order_ladder
from jts_trading.domain.sessions import calendar_for, local_date
from jts_trading.simulation.tape import TapeBar

MINUTE_NS = 60 * 10**9
KRX = calendar_for("KRX")
LAST = date(2024, 6, 28)


def korean_ns(text: str) -> int:
    """Instant of a Korean wall time."""
    return int(datetime.fromisoformat(f"{text}+09:00").astimezone(UTC).timestamp()) * 10**9


def volume(bars: list[TapeBar]) -> Counter[str]:
    """Shares by symbol."""
    total: Counter[str] = Counter()
    for bar in bars:
        total[bar.symbol] += bar.volume
    return total


def test_generated_when_seed_is_the_same_then_every_bar_is() -> None:
    """A seed and a day decide all bars, which keep ticks, limits and hours of the venue."""
    one, two = (generated_recording(7, LAST) for _ in range(2))
    other = generated_recording(8, LAST)
    table = default_table()

    assert one == two
    assert one.sessions[0].bars != other.sessions[0].bars
    assert len(one.sessions) == 20
    assert one.newest_full() == LAST
    for at, session in enumerate(one.sessions):
        references = one.references(at)
        opens, closes = KRX.open_close_ns(session.day)
        for bar in session.bars:
            assert opens <= bar.start_ns < closes
            market = next(x.market for x in one.listings if x.symbol == bar.symbol)
            ladder = order_ladder(table, session.day, market=market, asset="COMMON")
            limits = daily_limits(
                table, session.day, references[bar.symbol], market=market, asset="COMMON"
            )
            for price in (bar.open, bar.high, bar.low, bar.close):
                assert ladder.is_on_grid(price)
                assert price in limits


def test_generated_when_fewer_symbols_trade_then_theirs_are_the_same() -> None:
    """A symbol walks alone: leaving others out does not change it."""
    alone = generated_recording(3, LAST, symbols=["000660"])
    together = generated_recording(3, LAST)

    assert [bar for s in together.sessions for bar in s.bars if bar.symbol == "000660"] == [
        bar for s in alone.sessions for bar in s.bars
    ]


@pytest.mark.parametrize(
    ("day", "opens"),
    [
        (date(2026, 11, 27), "2026-11-27T09:00"),
        (date(2026, 1, 2), "2026-01-02T10:00"),
        (date(2025, 11, 13), "2025-11-13T10:00"),
    ],
)
def test_session_when_mapped_then_time_of_day_is_kept_and_no_share_is_lost(
    day: date, opens: str
) -> None:
    """Late opens and exam days move the session; what has no minute left trades in the last."""
    session = generated_recording(1, LAST, count=1).sessions[0]
    mapped = map_session(session, day)
    first, last = KRX.open_close_ns(day)

    assert volume(mapped) == volume(list(session.bars))
    assert min(bar.start_ns for bar in mapped) == first == korean_ns(opens)
    assert max(bar.start_ns for bar in mapped) <= last - MINUTE_NS
    assert len({(bar.symbol, bar.start_ns) for bar in mapped}) == len(mapped)
    for bar in mapped:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high


def test_mapped_world_when_days_pass_then_sessions_follow_and_come_again() -> None:
    """Each session of KRX takes the next recorded one, with its own base prices, for ever."""
    recording = generated_recording(1, LAST, count=3, symbols=["005930"])
    now_ns = korean_ns("2026-11-27T10:20:00")
    world = mapped_world(recording, now_ns)
    tape = Tape(world, SimulatorSettings(), now_ns)
    days = list(itertools.islice(tape.days(), 7))

    assert [day.day for day in days] == KRX.sessions(date(2026, 11, 27), date(2026, 12, 7))
    volumes = [volume(list(day.bars))["005930"] for day in days]
    assert volumes[:3] == volumes[3:6]
    assert sorted(volumes[:3]) == sorted(
        volume(list(s.bars))["005930"] for s in recording.sessions
    )
    for day in days:
        assert sum(trade.quantity for trade in tape.prints(day)) == volume(list(day.bars)).total()
        assert day.references == recording.references(volumes_at(recording, day.bars))
    again_days = mapped_world(recording, now_ns).days
    assert again_days is not None
    again = next(again_days(now_ns))
    assert again == days[0]
    assert {local_date("KRX", bar.start_ns) for bar in world.history} == set(
        KRX.sessions(date(2026, 11, 25), date(2026, 11, 26))
    )


def volumes_at(recording, bars) -> int:
    """Which session some mapped bars are from."""
    wanted = volume(list(bars))
    return next(n for n, s in enumerate(recording.sessions) if volume(list(s.bars)) == wanted)


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("2026-11-27T08:00:00", date(2026, 11, 27)),
        ("2026-11-27T15:29:59", date(2026, 11, 27)),
        ("2026-11-27T15:30:00", date(2026, 11, 30)),
        ("2026-11-28T12:00:00", date(2026, 11, 30)),
    ],
)
def test_mapped_world_when_it_begins_then_with_this_session_or_the_next(
    now: str, first: date
) -> None:
    """After the close, and on days without a session, the next one is waited for."""
    recording = generated_recording(1, LAST, count=2)
    world = mapped_world(recording, korean_ns(now))
    assert world.days is not None
    assert next(world.days(korean_ns(now))).day == first


def test_world_when_session_is_named_then_earlier_ones_are_history() -> None:
    """The session's base prices are the closes before it."""
    recording = generated_recording(1, LAST, count=4)
    day = recording.sessions[2].day
    world = recorded_world(recording, day)

    assert {local_date("KRX", bar.start_ns) for bar in world.bars} == {
        s.day for s in recording.sessions[2:]
    }
    assert len(world.history) == sum(len(s.bars) for s in recording.sessions[:2])
    assert world.references == {bar.symbol: bar.close for bar in recording.sessions[1].bars}


def test_world_when_day_is_not_there_then_says_what_is() -> None:
    """An unknown session, a holiday, a foreign symbol and an empty folder are named."""
    recording = generated_recording(1, LAST, count=4)
    with pytest.raises(WorldError, match=r"2020-01-02 is recorded; accepted: 2024-06-25"):
        recorded_world(recording, date(2020, 1, 2))
    with pytest.raises(WorldError, match="no session of KRX"):
        load_world(SimulatorSettings(day="2024-06-06"), 0)
    with pytest.raises(WorldError, match="an ISO date"):
        load_world(SimulatorSettings(day="yesterday"), 0)
    with pytest.raises(WorldError, match="not generated"):
        load_world(SimulatorSettings(symbols=("999999",)), 0)


def test_data_when_folder_is_empty_then_says_what_is_looked_for(tmp_path: Path) -> None:
    """A folder without minutes names the files that would serve."""
    with pytest.raises(WorldError, match="krx_1m_"):
        read_recording(tmp_path)


@pytest.mark.parametrize(("days", "is_mapped"), [("auto", True), ("recorded", False)])
def test_world_when_clock_has_passed_it_then_auto_maps(days: str, is_mapped: bool) -> None:
    """On the system clock recorded sessions move to today; on the day itself they do not."""
    settings = SimulatorSettings(day="2024-06-28", days=days)
    assert (load_world(settings, korean_ns("2026-11-27T10:00")).days is not None) is is_mapped
    assert load_world(settings, korean_ns("2024-06-28T08:59")).days is None


def test_real_minutes_when_read_then_full_sessions_and_names_are_there(test_data: Path) -> None:
    """27 sessions of 005930, the newest full one chosen, the name in Korean."""
    recording = read_recording(test_data)
    assert len(recording.sessions) == 27
    assert recording.newest_full() == date(2018, 2, 26)
    assert recording.listings[0].name == "삼성전자"
    full = [s for s in recording.sessions if len(s.bars) == 381]
    assert len(full) == 26
    world = recorded_world(recording, date(2018, 2, 26))
    assert isinstance(world, World)
    tape = Tape(world, SimulatorSettings(), 0)
    total = sum(trade.quantity for day in tape.days() for trade in tape.prints(day))
    assert total == sum(bar.volume for bar in world.bars)
    session = Session(date(2018, 2, 26), tuple(world.bars))
    assert volume(map_session(session, date(2026, 11, 27))).total() == total
