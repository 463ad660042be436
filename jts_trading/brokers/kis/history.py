"""What KIS tells of the market when it is asked: quotes, order books and minute bars.

Minute charts come in pages that end at a time of day: 30 bars a page for today, 120 for a past
day, newest first. A chart of today ends with a minute that still runs, and a page that is asked
for later than now repeats the last price; both are left out, so every bar here has closed.
"""

from collections.abc import Sequence
from datetime import date

from jts_trading.brokers.kis.fields import kst_time
from jts_trading.brokers.kis.rest import KisRest
from jts_trading.domain.instruments import InstrumentError, Venue, parse_instrument_id
from jts_trading.domain.sessions import calendar_for, local_date
from jts_trading.domain.ticks import BookTick, HistoryBar, Quote
from jts_trading.ports.clock import Clock

INTERVAL = "1m"
# Ends a chart whose pages never end: a session has 381 minutes.
PAGES_MAX = 20
_BAR_NS = 60_000_000_000
_NS_PER_S = 1_000_000_000


class KisHistory:
    """Asks about the market; see `ports.history.History`.

    Every method raises VenueBusyError (ask again later), VenueRefusedError (the question is
    wrong), DecodeError (the answer cannot be read) and InstrumentError (nothing of KRX).

    Args:
        rest: Asks KIS.
        clock: Says which minutes have closed.
    """

    def __init__(self, rest: KisRest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock

    async def quote(self, instrument_id: str) -> Quote:
        """Return the state of one instrument, with its limits and tick of today."""
        return await self._rest.quote(_symbol(instrument_id))

    async def book(self, instrument_id: str) -> BookTick:
        """Return ten levels a side of the order book."""
        return await self._rest.book(_symbol(instrument_id))

    async def candles(
        self, instrument_id: str, interval: str, start_ns: int, end_ns: int
    ) -> Sequence[HistoryBar]:
        """Return closed minute bars that begin in [start_ns, end_ns), oldest first.

        KIS keeps about a year. Days without a session have none.

        Raises:
            InstrumentError: The interval is not `1m`.
            CalendarError: A day lies outside the calendar.
        """
        if interval != INTERVAL:
            raise InstrumentError(f"KIS has bars of {INTERVAL}; found {interval!r}")
        symbol = _symbol(instrument_id)
        end_ns = min(end_ns, self._clock.now_ns() - _BAR_NS + 1)
        if start_ns >= end_ns:
            return ()
        first, last = local_date(Venue.KRX, start_ns), local_date(Venue.KRX, end_ns - 1)
        bars: list[HistoryBar] = []
        for day in calendar_for(Venue.KRX).sessions(first, last):
            bars += await self._day(symbol, day, start_ns, end_ns)
        return tuple(bars)

    async def _day(self, symbol: str, day: date, start_ns: int, end_ns: int) -> list[HistoryBar]:
        last_ns = min(end_ns, calendar_for(Venue.KRX).closed_at_ns(day)) - 1
        found: dict[int, HistoryBar] = {}
        for _ in range(PAGES_MAX):
            page = await self._page(symbol, day, last_ns)
            found |= {bar.start_ns: bar for bar in page}
            oldest_ns = min((bar.start_ns for bar in page), default=start_ns)
            if oldest_ns <= start_ns or oldest_ns > last_ns:
                break
            # The newest bar of the next page begins before the oldest of this one.
            last_ns = oldest_ns - _NS_PER_S
            if local_date(Venue.KRX, last_ns) != day:
                break
        return [found[at] for at in sorted(found) if start_ns <= at < end_ns]

    async def _page(self, symbol: str, day: date, last_ns: int) -> Sequence[HistoryBar]:
        until = kst_time(last_ns)
        if day == local_date(Venue.KRX, self._clock.now_ns()):
            page = await self._rest.minutes_today(symbol, until)
        else:
            page = await self._rest.minutes_of(symbol, day, until)
        return [bar for bar in page if local_date(Venue.KRX, bar.start_ns) == day]


def _symbol(instrument_id: str) -> str:
    found = parse_instrument_id(instrument_id)
    if found.market is not Venue.KRX:
        raise InstrumentError(f"{instrument_id} is not listed on KRX, which is what KIS knows")
    return found.symbol
