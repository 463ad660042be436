"""When each venue trades: sessions, hours, the session of an instant, settlement days.

KRX and Nextrade are read from `krx_closures.csv` (see `closures`) with the dated overlay of the
rule table: closures that the package lacks, exam days, the late first session of a year. Upbit and
Binance never close; their day is the UTC day. The US calendar comes from exchange-calendars and is
built on first use, because that import takes a second.

Days outside a calendar's range are an error, never a guess. Nothing here reads a clock.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple
from zoneinfo import ZoneInfo

from jts_trading.domain.calendars import (
    DAY_NS,
    NS_PER_S,
    Calendar,
    CalendarError,
    ContinuousCalendar,
    Hours,
    ListedCalendar,
    date_of,
    midnight_ns,
)
from jts_trading.domain.closures import package_sessions
from jts_trading.domain.instruments import Venue, parse_venue
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.phases import DayKind, Phase, Timetable, timetable
from jts_trading.domain.market.table import RuleTable

__all__ = [
    "Calendar",
    "CalendarError",
    "calendar_for",
    "closures",
    "day_kind",
    "ex_date",
    "krx_closures",
    "last_cum_date",
    "local_date",
    "phases_at",
    "timetable_of",
]

KST_OFFSET_NS = 9 * 3600 * NS_PER_S
_LAST_SATURDAY_SESSION = date(1998, 12, 5)
_NXT_FIRST_DAY = date(2025, 3, 4)


def calendar_for(venue: str) -> Calendar:
    """Return the calendar of a venue; the same object at every call.

    Raises:
        InstrumentError: The venue is unknown; the message lists the known.
    """
    return _calendar(parse_venue(venue))


@cache
def _calendar(venue: Venue) -> Calendar:
    match venue:
        case Venue.KRX | Venue.NXT:
            return _korean_calendar(venue)
        case Venue.UPBIT | Venue.BINANCE:
            return ContinuousCalendar(venue)
        case Venue.US:
            return _us_calendar()


def local_date(venue: str, ts_ns: int) -> date:
    """Return the date in a venue's zone of an instant (UTC ns), without building its calendar.

    Raises:
        InstrumentError: The venue is unknown.
    """
    match parse_venue(venue):
        case Venue.KRX | Venue.NXT:
            return _korean_date(ts_ns)
        case Venue.UPBIT | Venue.BINANCE:
            return date_of(ts_ns)
        case Venue.US:
            return _us_date(ts_ns)


def krx_closures(start: date, end: date) -> tuple[date, ...]:
    """Return the weekdays from start to end on which KRX is closed, ascending.

    Raises:
        CalendarError: A day lies outside the calendar.
    """
    return _weekday_closures(calendar_for(Venue.KRX), start, end)


def closures(venue: str) -> tuple[date, ...]:
    """Return every known weekday on which a venue is closed; empty for one that never closes.

    Raises:
        InstrumentError: The venue is unknown.
    """
    calendar = calendar_for(venue)
    if isinstance(calendar, ContinuousCalendar):
        return ()
    return _weekday_closures(calendar, calendar.first, calendar.last)


def _weekday_closures(calendar: Calendar, start: date, end: date) -> tuple[date, ...]:
    open_days = set(calendar.sessions(start, end))
    days = (start + timedelta(days=n) for n in range((end - start).days + 1))
    return tuple(day for day in days if day.weekday() < 5 and day not in open_days)


@lru_cache(maxsize=20_000)
def timetable_of(venue: str, day: date) -> Timetable:
    """Return the phases of a session of KRX or NXT.

    Raises:
        CalendarError: The day is no session.
        RuleMissingError: The venue has no phases.
    """
    calendar = calendar_for(venue)
    if not calendar.is_session(day):
        raise CalendarError(f"{day} is no session of {calendar.venue}")
    return timetable(default_table(), calendar.venue, day, day_kind(venue, day))


def phases_at(venue: str, ts_ns: int) -> tuple[Phase, ...]:
    """Return what KRX or NXT is doing at an instant (UTC ns), by name; empty when closed.

    Raises:
        CalendarError: The instant lies outside the calendar.
        RuleMissingError: The venue has no phases.
    """
    day = _korean_date(ts_ns)
    if not calendar_for(venue).is_session(day):
        return ()
    second = (ts_ns + KST_OFFSET_NS) % DAY_NS // NS_PER_S
    return timetable_of(venue, day).phases_at(second)


def day_kind(venue: str, day: date) -> DayKind:
    """Return what makes the hours of a Korean session differ.

    Raises:
        CalendarError: The day lies outside the calendar.
    """
    if day in _korean_file().exam_days:
        return DayKind.EXAM_DAY
    # Nextrade opened for the first time as venues open in the new year: at ten.
    if parse_venue(venue) is Venue.NXT and day == _NXT_FIRST_DAY:
        return DayKind.FIRST_SESSION
    krx = calendar_for(Venue.KRX)
    is_first = not krx.sessions(max(krx.first, date(day.year, 1, 1)), day - timedelta(days=1))
    return DayKind.FIRST_SESSION if is_first else DayKind.NORMAL


def last_cum_date(record_date: date) -> date:
    """Return the last KRX session on which a purchase is held on the record date."""
    krx = calendar_for(Venue.KRX)
    settles_by = krx.previous_session(record_date + timedelta(days=1))
    return krx.offset(settles_by, -_settles_after(settles_by))


def ex_date(record_date: date) -> date:
    """Return the first KRX session on which a purchase comes too late for the record date."""
    return calendar_for(Venue.KRX).next_session(last_cum_date(record_date))


class _KoreanFile(NamedTuple):
    first: date
    last: date
    closed: frozenset[date]
    exam_days: frozenset[date]


@cache
def _korean_file() -> _KoreanFile:
    file = resources.files("jts_trading.domain").joinpath("krx_closures.csv")
    rows = [line.split(",") for line in file.read_text(encoding="utf-8").split()[1:]]
    days: dict[str, set[date]] = {}
    for day, kind in rows:
        days.setdefault(kind, set()).add(date.fromisoformat(day))
    table = default_table()
    exams = {**dict.fromkeys(days["exam_day"], True), **_overlay(table, "exam_day")}
    closed = {**dict.fromkeys(days["closed"], True), **_overlay(table, "closed")}
    return _KoreanFile(
        min(days["first"]),
        max(days["last"]),
        frozenset(day for day, is_so in closed.items() if is_so),
        frozenset(day for day, is_so in exams.items() if is_so),
    )


def _overlay(table: RuleTable, key: str) -> dict[date, bool]:
    return {
        rule.valid_from: rule.value == "1"
        for rule in table.all_of(key)
        if rule.valid_from is not None
    }


def _korean_calendar(venue: Venue) -> ListedCalendar:
    file = _korean_file()
    opened = _NXT_FIRST_DAY if venue is Venue.NXT else file.first
    days = (file.first + timedelta(days=n) for n in range((file.last - file.first).days + 1))
    return ListedCalendar(
        venue,
        "Asia/Seoul",
        (file.first, file.last),
        tuple(day for day in days if day >= opened and _is_korean_session(day, file)),
        hours=lambda day: _korean_hours(venue, day),
        local_date=_korean_date,
        settles_after=_settles_after,
    )


def _is_korean_session(day: date, file: _KoreanFile) -> bool:
    last_weekday = 5 if day <= _LAST_SATURDAY_SESSION else 4
    return day.weekday() <= last_weekday and day not in file.closed


def _korean_hours(venue: Venue, day: date) -> Hours:
    table = timetable_of(venue, day)
    midnight = midnight_ns(day) - KST_OFFSET_NS
    at = (midnight + second * NS_PER_S for second in (table.open_s, table.close_s, table.last_s))
    return Hours(*at)


def _settles_after(day: date) -> int:
    return int(default_table().require("settlement_sessions", day, venue="KRX").value)


def _korean_date(ts_ns: int) -> date:
    # A constant offset: the summer times of 1987 and 1988 are not modelled.
    return date_of(ts_ns + KST_OFFSET_NS)


_US_SPAN = (date(1990, 1, 1), date(2027, 12, 31))
# Extended hours end four hours after a regular close of XNYS.
_US_AFTER_NS = 4 * 3600 * NS_PER_S
_US_NEXT_DAY_FROM = date(2024, 5, 28)
_US_THREE_DAYS_UNTIL = date(2017, 9, 4)


def _us_calendar() -> ListedCalendar:
    hours = {
        at.day: Hours(at.open_ns, at.close_ns, at.close_ns + _US_AFTER_NS)
        for at in package_sessions("XNYS", *_US_SPAN)
    }
    return ListedCalendar(
        Venue.US,
        "America/New_York",
        _US_SPAN,
        tuple(hours),
        hours=hours.__getitem__,
        local_date=_us_date,
        settles_after=_us_settles_after,
    )


def _us_date(ts_ns: int) -> date:
    at = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    return at.astimezone(ZoneInfo("America/New_York")).date()


def _us_settles_after(day: date) -> int:
    if day >= _US_NEXT_DAY_FROM:
        return 1
    return 3 if day <= _US_THREE_DAYS_UNTIL else 2
