"""When day orders end by themselves."""

from datetime import date

from jts_trading.domain.calendars import DAY_NS, CalendarError, midnight_ns
from jts_trading.domain.instruments import Venue, parse_venue
from jts_trading.domain.sessions import KST_OFFSET_NS, calendar_for


def day_close_ns(venue: str, day: date, grace_ns: int) -> int | None:
    """Return when day orders of a session have ended for certain (UTC ns).

    Orders of the regular session of KRX end with it: those after hours are other orders. Nextrade
    takes orders until its evening ends.

    Args:
        venue: Where the order is.
        day: Its trading day.
        grace_ns: Added to the close, for an auction that ends late and an answer on its way.

    Returns:
        None where orders live until somebody ends them.
    """
    match parse_venue(venue):
        case Venue.KRX | Venue.NXT as korean:
            calendar = calendar_for(korean)
            try:
                if korean is Venue.NXT:
                    return calendar.closed_at_ns(day) + grace_ns
                return calendar.open_close_ns(day)[1] + grace_ns
            except CalendarError:
                # No session of ours: whatever it was ended with its day.
                return midnight_ns(day) - KST_OFFSET_NS + DAY_NS
        case _:
            return None
