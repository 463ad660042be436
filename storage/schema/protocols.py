"""What storage needs to know of the market: callers pass objects that satisfy these."""

from datetime import date
from typing import Protocol


class Calendar(Protocol):
    """Sessions of one venue."""

    timezone: str

    def is_session(self, day: date) -> bool:
        """Return whether the venue trades on that day."""
        ...

    def sessions(self, start: date, end: date) -> list[date]:
        """Return the sessions from start to end, both inclusive."""
        ...

    def session_date(self, ts_ns: int) -> date:
        """Return the session to which an instant (UTC ns) belongs."""
        ...
