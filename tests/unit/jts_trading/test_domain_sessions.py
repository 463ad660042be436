"""Promises of the calendars, judged by traded sessions and by the package they come from."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from jts_trading.domain.calendars import Calendar
from jts_trading.domain.closures import closures_text
from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import InstrumentError, Venue
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.phases import DayKind, Phase
from jts_trading.domain.sessions import (
    CalendarError,
    calendar_for,
    closures,
    day_kind,
    krx_closures,
    local_date,
    phases_at,
    timetable_of,
)

SESSIONS_PER_YEAR = {
    2011: 248, 2012: 248, 2013: 247, 2014: 245, 2015: 248, 2016: 246, 2017: 243, 2018: 244,
    2019: 246, 2020: 248, 2021: 248, 2022: 246, 2023: 245, 2024: 244, 2025: 242, 2026: 244,
    2027: 245,
}  # fmt: skip
GENERATED = Path(sys.modules["jts_trading.domain.closures"].__file__ or "").with_name(
    "krx_closures.csv"
)
HOUR_NS = 3600 * 10**9


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def _generated_rows() -> set[tuple[str, str]]:
    lines = GENERATED.read_text(encoding="utf-8").splitlines()[1:]
    return {(line.split(",")[0], line.split(",")[1]) for line in lines}


@pytest.mark.parametrize(("year", "count"), SESSIONS_PER_YEAR.items())
def test_krx_when_a_year_is_counted_then_has_its_sessions(year: int, count: int):
    """The published count of sessions of each year."""
    assert len(calendar_for("KRX").sessions(date(year, 1, 1), date(year, 12, 31))) == count


def test_krx_when_compared_with_traded_days_then_is_the_same(test_data: Path):
    """All 3,840 sessions that the market traded from 2011 to August 2026, and no other."""
    file = test_data / "krx" / "krx_sessions_observed_2011_2026-08-14.parquet"
    frame = pl.read_parquet(file)
    column = next(name for name, kind in frame.schema.items() if kind == pl.Date)
    observed = frame[column].sort().to_list()

    assert len(observed) == 3840
    assert calendar_for("KRX").sessions(observed[0], observed[-1]) == observed


def test_krx_when_compared_with_old_trades_then_is_the_same(test_data: Path):
    """Back to 1985, Saturdays included, as nine large names traded."""
    frame = pl.read_parquet(test_data / "krx" / "krx_1d_rltrader_v1.parquet")
    observed = frame["session_date"].drop_nulls().unique().sort().to_list()

    assert calendar_for("KRX").sessions(observed[0], date(2018, 1, 19)) == [
        day for day in observed if day <= date(2018, 1, 19)
    ]


def test_closures_file_when_regenerated_then_is_the_same():
    """The file still says what the installed package says."""
    assert GENERATED.read_text(encoding="utf-8") == closures_text()


def test_overlay_when_the_package_has_an_entry_then_it_should_be_dropped():
    """A row of the overlay exists only while the package lacks it."""
    generated = _generated_rows()
    superfluous = [
        f"{rule.rule_id}: drop {rule.key} {rule.valid_from}, the package has it"
        for key in ("closed", "exam_day")
        for rule in default_table().all_of(key)
        if ((str(rule.valid_from), key) in generated) is (rule.value == "1")
    ]

    assert not superfluous


def test_krx_closures_when_asked_then_lists_weekdays_only():
    """The closures of 2026, overlay included."""
    found = krx_closures(date(2026, 1, 1), date(2026, 12, 31))

    assert " ".join(f"{day:%m-%d}" for day in found) == (
        "01-01 02-16 02-17 02-18 03-02 05-01 05-05 05-25 06-03 07-17 08-17 09-24 09-25 10-05"
        " 10-09 12-25 12-31"
    )
    assert set(found) < set(closures("KRX"))
    assert closures("UPBIT") == ()


def test_sessions_module_when_imported_then_brings_no_pandas():
    """Definitions and short commands do not pay for pandas."""
    program = (
        "import sys; import jts_trading.domain.sessions as s; s.closures('KRX');"
        "print(sorted({'pandas', 'numpy', 'exchange_calendars'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("day", [date(1984, 12, 31), date(2028, 1, 1)])
def test_krx_when_a_day_is_outside_the_file_then_is_an_error(day: date):
    """Outside its range the calendar does not guess."""
    with pytest.raises(CalendarError, match="outside the calendar of KRX"):
        calendar_for("KRX").is_session(day)


def test_calendar_when_the_venue_is_unknown_then_lists_the_known():
    """A wrong name is answered with the right ones."""
    with pytest.raises(InstrumentError, match="KRX, NXT, UPBIT, BINANCE, US"):
        calendar_for("NYSE")


def test_nxt_when_before_its_start_then_has_no_sessions():
    """Nextrade begins on 2025-03-04 and closes with KRX."""
    nxt, krx = calendar_for("NXT"), calendar_for("KRX")
    start, end = date(2025, 3, 4), date(2025, 12, 31)

    assert nxt.sessions(date(2025, 1, 1), end) == krx.sessions(start, end)
    assert not nxt.is_session(date(2025, 2, 28))


@pytest.mark.parametrize(
    ("venue", "day", "closes"),
    [
        ("KRX", "2024-06-03", "2024-06-03T18:00:00+09:00"),
        ("KRX", "2026-09-14", "2026-09-14T20:00:00+09:00"),
        ("KRX", "2015-06-15", "2015-06-15T18:00:00+09:00"),
        ("NXT", "2025-06-02", "2025-06-02T20:00:00+09:00"),
        ("UPBIT", "2026-11-01", "2026-11-02T00:00:00+00:00"),
        ("US", "2024-07-03", "2024-07-03T17:00:00-04:00"),
    ],
)
def test_closed_at_when_a_session_ends_then_is_after_its_last_market(venue, day, closes):
    """Archival waits for the after-market."""
    assert calendar_for(venue).closed_at_ns(date.fromisoformat(day)) == _at(closes)


def test_open_close_when_no_session_then_is_an_error():
    """A holiday has no hours."""
    for ask in (calendar_for("KRX").open_close_ns, calendar_for("KRX").closed_at_ns):
        with pytest.raises(CalendarError, match="2026-10-09 is no session of KRX"):
            ask(date(2026, 10, 9))


def test_krx_when_a_minute_day_is_measured_then_hours_follow_the_phases():
    """360 minutes up to July 2016, 390 from August on."""
    lengths = [
        (end - start) // (60 * 10**9)
        for start, end in map(
            calendar_for("KRX").open_close_ns, (date(2016, 7, 29), date(2016, 8, 1))
        )
    ]

    assert lengths == [360, 390]


def test_krx_when_stepping_then_skips_closures():
    """Neighbours and offsets count sessions."""
    krx = calendar_for("KRX")

    assert krx.next_session(date(2026, 10, 2)) == date(2026, 10, 6)
    assert krx.next_session(date(2026, 10, 3)) == date(2026, 10, 6)
    assert krx.previous_session(date(2026, 10, 6)) == date(2026, 10, 2)
    assert krx.offset(date(2026, 10, 2), 3) == date(2026, 10, 8)
    assert krx.offset(date(2026, 10, 8), -3) == date(2026, 10, 2)
    with pytest.raises(CalendarError, match="no session"):
        krx.offset(date(2026, 10, 3), 1)
    with pytest.raises(CalendarError, match="ends before"):
        krx.offset(date(2027, 12, 30), 1)
    with pytest.raises(CalendarError, match="ends before"):
        krx.previous_session(date(1985, 1, 4))


def test_upbit_when_asked_then_every_utc_day_is_a_session():
    """Crypto never closes and settles at once."""
    upbit = calendar_for("UPBIT")
    day = date(2026, 2, 28)

    assert upbit.sessions(day, day + timedelta(days=2)) == [
        day,
        date(2026, 3, 1),
        date(2026, 3, 2),
    ]
    assert upbit.open_close_ns(day) == (
        _at("2026-02-28T00:00:00+00:00"),
        _at("2026-03-01T00:00:00+00:00"),
    )
    assert (upbit.next_session(day), upbit.previous_session(day)) == (
        date(2026, 3, 1),
        date(2026, 2, 27),
    )
    assert upbit.offset(day, 2) == date(2026, 3, 2)
    assert upbit.settlement_day(day) == day
    assert upbit.is_session(date(1, 1, 1))


def test_us_when_asked_then_follows_new_york():
    """Holidays, daylight saving and the change of settlement cycles."""
    us = calendar_for("us")

    assert not us.is_session(date(2024, 7, 4))
    assert us.open_close_ns(date(2024, 1, 2)) == (
        _at("2024-01-02T09:30:00-05:00"),
        _at("2024-01-02T16:00:00-05:00"),
    )
    assert us.session_date(_at("2024-06-04T03:59:59+00:00")) == date(2024, 6, 3)
    assert us.settlement_day(date(2017, 9, 1)) == date(2017, 9, 7)
    assert us.settlement_day(date(2024, 5, 24)) == date(2024, 5, 29)
    assert us.settlement_day(date(2024, 5, 28)) == date(2024, 5, 29)


@pytest.mark.parametrize("venue", list(Venue))
def test_calendar_when_asked_twice_then_is_the_same_object(venue: Venue):
    """Calendars are built once, and name their venue and zone."""
    calendar: Calendar = calendar_for(venue.lower())
    instants = [_at("2024-06-03T00:00:00+00:00") + hour * HOUR_NS for hour in range(24)]

    assert [local_date(venue, at) for at in instants] == [
        calendar.session_date(at) for at in instants
    ]
    assert calendar is calendar_for(venue)
    assert calendar.venue is venue
    assert calendar.timezone in {"Asia/Seoul", "UTC", "America/New_York"}


def test_day_kind_when_the_year_begins_then_is_its_first_session():
    """First sessions and exam days are told apart, the moved exam of 2017 too."""
    assert day_kind("KRX", date(2025, 1, 2)) is DayKind.FIRST_SESSION
    assert day_kind("KRX", date(2025, 1, 3)) is DayKind.NORMAL
    assert day_kind("KRX", date(2017, 11, 16)) is DayKind.NORMAL
    assert day_kind("KRX", date(2017, 11, 23)) is DayKind.EXAM_DAY
    assert day_kind("NXT", date(2025, 3, 4)) is DayKind.FIRST_SESSION


def test_timetable_when_first_session_then_only_the_morning_moves():
    """The year opens at ten and closes as ever."""
    windows = {
        w.phase: (w.start_s, w.end_s) for w in timetable_of("KRX", date(2025, 1, 2)).windows
    }

    assert windows[Phase.OPENING_AUCTION] == (9 * 3600 + 1800, 10 * 3600)
    assert windows[Phase.CONTINUOUS] == (10 * 3600, 15 * 3600 + 1200)
    assert windows[Phase.CLOSING_AUCTION] == (15 * 3600 + 1200, 15 * 3600 + 1800)


def test_timetable_when_exam_day_then_the_evening_ends_as_ever():
    """The single price session starts an hour later and still ends at six."""
    table = timetable_of("KRX", date(2024, 11, 14))
    window = next(w for w in table.windows if w.phase is Phase.OFF_HOURS_SINGLE_PRICE)

    assert (window.start_s, window.end_s, window.auction_every_s) == (17 * 3600, 18 * 3600, 600)
    assert phases_at("NXT", _at("2025-11-13T16:35:00+09:00")) == (
        Phase.AFTER_MARKET_OPENING_AUCTION,
        Phase.CLOSING_PRICE_MARKET,
    )


def test_timetable_when_no_session_or_no_phases_then_is_an_error():
    """There are no phases on a holiday, nor on a venue without phases."""
    with pytest.raises(CalendarError, match="no session"):
        timetable_of("KRX", date(2026, 10, 9))
    with pytest.raises(RuleMissingError, match="no rule for phase of UPBIT"):
        timetable_of("UPBIT", date(2026, 10, 9))


def test_phases_when_the_venue_is_closed_all_day_then_are_none():
    """Weekends have no phase."""
    assert phases_at("KRX", _at("2026-10-10T10:00:00+09:00")) == ()


def test_session_date_when_midnight_passes_in_seoul_then_changes():
    """The Korean day begins at 15:00 UTC."""
    midnight = datetime(2026, 11, 1, 15, tzinfo=UTC)
    at = int(midnight.timestamp()) * 10**9

    assert calendar_for("KRX").session_date(at - 1) == date(2026, 11, 1)
    assert calendar_for("KRX").session_date(at) == date(2026, 11, 2)
