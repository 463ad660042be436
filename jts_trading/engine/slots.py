"""Which bar an instant belongs to: the intervals of a session, cut from its open.

A print of the closing auction is dated at or after the close (KRX matches it within 30 seconds
after); it belongs to the last bar of the session. Other instants outside the session belong to
none.
"""

from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from jts_trading.domain.calendars import NS_PER_S, CalendarError, midnight_ns
from jts_trading.domain.instruments import Venue
from jts_trading.domain.market.phases import Phase
from jts_trading.domain.sessions import calendar_for, phases_at
from jts_trading.strategy.frames import DAY_SECONDS

NS_PER_MS = 1_000_000
EPOCH = date(1970, 1, 1)
# The closing auction ends at a random moment within this time after the nominal close.
AUCTION_END_NS = 30 * NS_PER_S
_KOREAN = (Venue.KRX, Venue.NXT)
_KST_OFFSET_NS = 9 * 3600 * NS_PER_S
# In these phases a market order is taken and matched within the session that is on.
_TRADABLE = frozenset({Phase.CONTINUOUS, Phase.CLOSING_AUCTION, Phase.MAIN_MARKET})


class Session(NamedTuple):
    """The regular session of one day.

    Attributes:
        day: Days since 1970-01-01 of its date in the venue's zone.
        open_ns: UTC ns, like the others.
        close_ns: End of continuous trading and auction.
        last_ns: Until when a print can still belong to it.
    """

    day: int
    open_ns: int
    close_ns: int
    last_ns: int


class Slot(NamedTuple):
    """One interval of a session, in which there may be a bar.

    Attributes:
        start_ns: Label of the bar.
        end_ns: First instant after it, the close of the session at the latest.
        stop_ns: First instant whose trades do not belong to it; after `end_ns` for the last bar.
        is_last: It ends its session.
    """

    session: Session
    start_ns: int
    end_ns: int
    stop_ns: int
    is_last: bool


def day_number(day: date) -> int:
    """Return a date as days since 1970-01-01."""
    return (day - EPOCH).days


def date_of_number(day: int) -> date:
    """Return the date of a number of days since 1970-01-01."""
    return EPOCH + timedelta(days=day)


@lru_cache(maxsize=4_096)
def day_after(venue: str, day: int) -> int:
    """Return the session after one, both as days since 1970-01-01.

    Raises:
        InstrumentError: The venue is unknown.
        CalendarError: The calendar ends before.
    """
    return day_number(calendar_for(venue).next_session(date_of_number(day)))


@lru_cache(maxsize=4_096)
def session_of(venue: str, day: date) -> Session | None:
    """Return the session of a day; None when the venue is closed or the calendar has no such day.

    Raises:
        InstrumentError: The venue is unknown.
    """
    calendar = calendar_for(venue)
    try:
        if not calendar.is_session(day):
            return None
    except CalendarError:
        return None
    open_ns, close_ns = calendar.open_close_ns(day)
    last_ns = close_ns + (AUCTION_END_NS if venue in _KOREAN else 0)
    return Session(day_number(day), open_ns, close_ns, last_ns)


def session_at(venue: str, ts_ns: int) -> Session | None:
    """Return the session to which a trade at an instant (UTC ns) belongs, or None."""
    session = session_of(venue, calendar_for(venue).session_date(ts_ns))
    if session is None or not session.open_ns <= ts_ns < session.last_ns:
        return None
    return session


def slot_at(venue: str, ts_ns: int, seconds: int) -> Slot | None:
    """Return the bar of an interval to which a trade at an instant belongs, or None."""
    session = session_at(venue, ts_ns)
    return None if session is None else slot_in(venue, session, ts_ns, seconds)


def slot_in(venue: str, session: Session, ts_ns: int, seconds: int) -> Slot:
    """Return the bar of an interval to which an instant of a session belongs."""
    if seconds >= DAY_SECONDS:
        label_ns = _day_label_ns(venue, session)
        return Slot(session, label_ns, session.close_ns, session.last_ns, is_last=True)
    width = seconds * NS_PER_S
    inside = min(ts_ns, session.close_ns - 1) - session.open_ns
    start_ns = session.open_ns + inside // width * width
    end_ns = min(start_ns + width, session.close_ns)
    is_last = end_ns == session.close_ns
    return Slot(session, start_ns, end_ns, session.last_ns if is_last else end_ns, is_last)


def _day_label_ns(venue: str, session: Session) -> int:
    if venue in _KOREAN:
        return midnight_ns(date_of_number(session.day)) - _KST_OFFSET_NS
    return session.open_ns


def is_tradable(venue: str, now_ns: int) -> bool:
    """Return whether a market order sent now is matched in the session that is on."""
    if venue in _KOREAN:
        try:
            return not _TRADABLE.isdisjoint(phases_at(venue, now_ns))
        except CalendarError:
            return False
    session = session_at(venue, now_ns)
    return session is not None and now_ns < session.close_ns
