"""When a venue speaks: what the collector asks calendars and phases. Pure."""

from datetime import UTC, datetime, timedelta

from jts_trading.domain.calendars import CalendarError
from jts_trading.domain.instruments import Venue
from jts_trading.domain.market.phases import Phase
from jts_trading.domain.sessions import calendar_for, local_date, phases_at

KOREAN = frozenset({Venue.KRX.value, Venue.NXT.value})
_ORDERLY = {Phase.OPENING_AUCTION, Phase.CONTINUOUS, Phase.CLOSING_AUCTION, Phase.MAIN_MARKET}
_CONTINUOUS = {Phase.CONTINUOUS, Phase.MAIN_MARKET}
_KST = timedelta(hours=9)


def is_open(venue: str, ts_ns: int) -> bool:
    """Return whether a venue is in its session, call auctions included; False off its calendar."""
    return _is_in(venue, ts_ns, _ORDERLY)


def is_continuous(venue: str, ts_ns: int) -> bool:
    """Return whether trades may come at any moment: silence then means something."""
    return _is_in(venue, ts_ns, _CONTINUOUS)


def _is_in(venue: str, ts_ns: int, wanted: set[Phase]) -> bool:
    try:
        if venue in KOREAN:
            return not wanted.isdisjoint(phases_at(venue, ts_ns))
        calendar = calendar_for(venue)
        day = local_date(venue, ts_ns)
        if not calendar.is_session(day):
            return False
        opens, closes = calendar.open_close_ns(day)
    except CalendarError:
        return False
    return opens <= ts_ns < closes


def opened_ns(venue: str, ts_ns: int) -> int:
    """Return when the session of an instant began (UTC ns); the instant itself without one."""
    calendar, day = calendar_for(venue), local_date(venue, ts_ns)
    try:
        return calendar.open_close_ns(day)[0] if calendar.is_session(day) else ts_ns
    except CalendarError:
        return ts_ns


def next_open_ns(venue: str, ts_ns: int) -> int | None:
    """Return when a venue that is closed opens next (UTC ns); None beyond its calendar."""
    calendar = calendar_for(venue)
    day = local_date(venue, ts_ns)
    try:
        if calendar.is_session(day) and ts_ns < calendar.open_close_ns(day)[0]:
            return calendar.open_close_ns(day)[0]
        return calendar.open_close_ns(calendar.next_session(day))[0]
    except CalendarError:
        return None


def was_open_between(venue: str, start_ns: int, end_ns: int) -> bool:
    """Return whether some session of a venue lies between two instants."""
    calendar = calendar_for(venue)
    first, last = (local_date(venue, ts_ns) for ts_ns in (start_ns, end_ns))
    try:
        spans = [calendar.open_close_ns(day) for day in calendar.sessions(first, last)]
    except CalendarError:
        return False
    return any(opens < end_ns and start_ns < closes for opens, closes in spans)


def in_words(venue: str, ts_ns: int) -> str:
    """Return an instant as a person at the venue reads it."""
    at = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC)
    if venue in KOREAN:
        return f"{(at + _KST).replace(tzinfo=None):%Y-%m-%d %H:%M:%S} KST"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
