"""Kinds of calendar: sessions written down, and a venue that never closes.

`sessions` builds one per venue. Days outside a calendar's range are an error, never a guess.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple, Protocol

from jts_trading.domain.errors import TerminalError
from jts_trading.domain.instruments import Venue

NS_PER_S = 1_000_000_000
DAY_NS = 86_400 * NS_PER_S
_EPOCH = date(1970, 1, 1).toordinal()


class CalendarError(TerminalError):
    """A day lies outside a calendar, or is no session where one is needed."""


class Hours(NamedTuple):
    """One session in UTC ns: regular open and close, and the end of its last after-market."""

    open_ns: int
    close_ns: int
    closed_at_ns: int


class Calendar(Protocol):
    """Sessions of one venue; a session is named by its date in the venue's zone."""

    venue: Venue
    timezone: str
    first: date
    last: date

    def is_session(self, day: date) -> bool:
        """Return whether the venue trades on that day."""
        ...

    def sessions(self, start: date, end: date) -> list[date]:
        """Return the sessions from start to end, both inclusive, ascending."""
        ...

    def session_date(self, ts_ns: int) -> date:
        """Return the date in the venue's zone to which an instant (UTC ns) belongs."""
        ...

    def open_close_ns(self, day: date) -> tuple[int, int]:
        """Return start and end (UTC ns) of the regular session."""
        ...

    def closed_at_ns(self, day: date) -> int:
        """Return when nothing of that session can trade any more (UTC ns)."""
        ...

    def next_session(self, day: date) -> date:
        """Return the first session after a day."""
        ...

    def previous_session(self, day: date) -> date:
        """Return the last session before a day."""
        ...

    def offset(self, session: date, count: int) -> date:
        """Return the session that lies `count` sessions after (before, if negative) another."""
        ...

    def settlement_day(self, trade_date: date) -> date:
        """Return the session on which a trade of a session settles."""
        ...


class ListedCalendar:
    """A calendar whose sessions are written down, one venue of it.

    Args:
        venue: The venue.
        timezone: Its IANA zone.
        span: First and last day that the calendar knows.
        days: Its sessions, ascending.
        hours: Gives the hours of a session.
        local_date: Gives the date in the zone of an instant (UTC ns).
        settles_after: Sessions from trade to settlement.
    """

    def __init__(
        self,
        venue: Venue,
        timezone: str,
        span: tuple[date, date],
        days: tuple[date, ...],
        *,
        hours: Callable[[date], Hours],
        local_date: Callable[[int], date],
        settles_after: Callable[[date], int],
    ) -> None:
        self.venue = venue
        self.timezone = timezone
        self.first, self.last = span
        self._days = days
        self._known = frozenset(days)
        self._hours = hours
        self._local_date = local_date
        self._settles_after = settles_after

    def is_session(self, day: date) -> bool:
        """Return whether the venue trades on that day.

        Raises:
            CalendarError: The day lies outside the calendar.
        """
        self._require_inside(day)
        return day in self._known

    def sessions(self, start: date, end: date) -> list[date]:
        """Return the sessions from start to end, both inclusive, ascending.

        Raises:
            CalendarError: A day lies outside the calendar.
        """
        self._require_inside(start)
        self._require_inside(end)
        return list(self._days[bisect_left(self._days, start) : bisect_right(self._days, end)])

    def session_date(self, ts_ns: int) -> date:
        """Return the date in the venue's zone of an instant (UTC ns); not always a session."""
        return self._local_date(ts_ns)

    def open_close_ns(self, day: date) -> tuple[int, int]:
        """Return start and end (UTC ns) of the regular session.

        Raises:
            CalendarError: The day is no session.
        """
        hours = self._hours(self._require_session(day))
        return hours.open_ns, hours.close_ns

    def closed_at_ns(self, day: date) -> int:
        """Return when nothing of that session can trade any more (UTC ns).

        Raises:
            CalendarError: The day is no session.
        """
        return self._hours(self._require_session(day)).closed_at_ns

    def next_session(self, day: date) -> date:
        """Return the first session after a day.

        Raises:
            CalendarError: The calendar ends before it.
        """
        self._require_inside(day)
        return self._at(bisect_right(self._days, day), day)

    def previous_session(self, day: date) -> date:
        """Return the last session before a day.

        Raises:
            CalendarError: The calendar begins after it.
        """
        self._require_inside(day)
        return self._at(bisect_left(self._days, day) - 1, day)

    def offset(self, session: date, count: int) -> date:
        """Return the session that lies `count` sessions after (before, if negative) another.

        Raises:
            CalendarError: The day is no session, or the calendar ends before the answer.
        """
        return self._at(bisect_left(self._days, self._require_session(session)) + count, session)

    def settlement_day(self, trade_date: date) -> date:
        """Return the session on which a trade of a session settles.

        Raises:
            CalendarError: The day is no session, or the calendar ends before the answer.
        """
        return self.offset(trade_date, self._settles_after(trade_date))

    def _at(self, position: int, asked: date) -> date:
        if not 0 <= position < len(self._days):
            raise CalendarError(f"{self._name} ends before the session asked for from {asked}")
        return self._days[position]

    def _require_session(self, day: date) -> date:
        if not self.is_session(day):
            raise CalendarError(f"{day} is no session of {self.venue}")
        return day

    def _require_inside(self, day: date) -> None:
        if not self.first <= day <= self.last:
            raise CalendarError(f"{day} lies outside {self._name}")

    @property
    def _name(self) -> str:
        return f"the calendar of {self.venue} ({self.first} to {self.last})"


class ContinuousCalendar:
    """A venue that never closes: every UTC day is a session."""

    timezone = "UTC"
    first = date.min
    last = date.max

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def is_session(self, day: date) -> bool:
        """Return True: the venue trades on every day."""
        return self.first <= day <= self.last

    def sessions(self, start: date, end: date) -> list[date]:
        """Return every day from start to end, both inclusive."""
        return [start + timedelta(days=n) for n in range((end - start).days + 1)]

    def session_date(self, ts_ns: int) -> date:
        """Return the UTC date of an instant (UTC ns)."""
        return date_of(ts_ns)

    def open_close_ns(self, day: date) -> tuple[int, int]:
        """Return midnight to midnight UTC (ns)."""
        return midnight_ns(day), midnight_ns(day) + DAY_NS

    def closed_at_ns(self, day: date) -> int:
        """Return the midnight that ends the day (UTC ns)."""
        return midnight_ns(day) + DAY_NS

    def next_session(self, day: date) -> date:
        """Return the next day."""
        return day + timedelta(days=1)

    def previous_session(self, day: date) -> date:
        """Return the day before."""
        return day - timedelta(days=1)

    def offset(self, session: date, count: int) -> date:
        """Return the day that lies `count` days later."""
        return session + timedelta(days=count)

    def settlement_day(self, trade_date: date) -> date:
        """Return the day itself: trades settle at once."""
        return trade_date


def date_of(ts_ns: int) -> date:
    """Return the UTC date of an instant (UTC ns)."""
    return date.fromordinal(_EPOCH + ts_ns // DAY_NS)


def midnight_ns(day: date) -> int:
    """Return the instant (UTC ns) at which a UTC day begins."""
    return (day.toordinal() - _EPOCH) * DAY_NS
