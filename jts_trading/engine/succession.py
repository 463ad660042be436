"""Whether trades were lost before a trade, by what recorded ticks themselves say.

Where a venue tells the quantity of the day with each trade, trades that follow each other touch: a
quantity that is further than the trade itself reaches tells of lost ones. Where it does not, a
trade that comes through another connection than the one before may follow lost ones. Both are
recorded with a tick, so a replay finds the same.
"""

from decimal import Decimal

from jts_trading.domain.ticks import TradeTick

_NONE = Decimal(0)
_DAY_NS = 86_400 * 10**9
# Venues that tell the quantity of the day are Korean.
_ZONE_NS = 9 * 3_600 * 10**9
Stored = tuple[str, int, int, str]
"""Feed, session, day and quantity, see `Succession`."""


class Succession:
    """Follows the trades of one instrument."""

    __slots__ = ("_day", "_feed", "_reached", "_session")

    def __init__(self) -> None:
        self._feed, self._session, self._day = "", -1, -1
        self._reached = _NONE

    def is_broken_by(self, tick: TradeTick, feed: str, session: int) -> bool:
        """Return whether trades were lost before a trade, as far as is known, and move on.

        Args:
            tick: The trade.
            feed: That brought it.
            session: Number of the connection.
        """
        is_known = self._session >= 0
        is_other = (feed, session) != (self._feed, self._session)
        self._feed, self._session = feed, session
        reached = tick.cumulative_quantity
        if not reached:
            return is_known and is_other
        day = (tick.ts_event_ns + _ZONE_NS) // _DAY_NS
        if day < self._day:
            return False  # A late one of the day before.
        if day > self._day:
            self._day, self._reached = day, _NONE
        is_broken = reached - tick.quantity > self._reached
        self._reached = max(self._reached, reached)
        return is_broken

    def stored(self) -> Stored:
        """Return where it is."""
        return self._feed, self._session, self._day, str(self._reached)

    def load(self, stored: Stored) -> None:
        """Go on from there."""
        self._feed, self._session, self._day = stored[:3]
        self._reached = Decimal(stored[3])
