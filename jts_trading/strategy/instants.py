"""What the start of a bar says: session, minutes since its open, local time, auction.

The columns are those of `dsl.grammar.INSTANT_COLUMNS`, in their order. They depend on the instant
and the venue only, so all instruments share them; a backtest looks every instant up once, and live
finds the newest one remembered.
"""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from jts_trading.domain.instruments import Venue
from jts_trading.domain.market.phases import Phase
from jts_trading.domain.sessions import calendar_for, phases_at

Ints = NDArray[np.int64]
Instant = tuple[int, int, int, int]
"""Session, minutes since its open, second of the local day, 1 without continuous trading."""
INSTANT_SIZE = 4

_KOREAN = frozenset({Venue.KRX, Venue.NXT})
_ON = frozenset({Phase.CONTINUOUS, Phase.MAIN_MARKET})


@lru_cache(maxsize=65_536)
def instant(venue: str, day: int, stamp_ms: int, open_ms: int) -> Instant:
    """Return what the start of a bar says.

    Args:
        venue: Where it traded.
        day: Its session, days since 1970-01-01.
        stamp_ms: Its label, UTC ms; a bar of a whole day is taken to start with its session.
        open_ms: Open of its session, UTC ms.

    Raises:
        InstrumentError: The venue is unknown.
        CalendarError: The calendar has no such session.
    """
    at_ms = max(stamp_ms, open_ms)
    zone = ZoneInfo(calendar_for(venue).timezone)
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    second = local.hour * 3600 + local.minute * 60 + local.second
    is_auction = venue in _KOREAN and _ON.isdisjoint(phases_at(venue, at_ms * 1_000_000))
    return day, (at_ms - open_ms) // 60_000, second, int(is_auction)


def instants(venue: str, days: Ints, stamps_ms: Ints, opens_ms: Ints) -> Ints:
    """Return what the starts of many bars say: [bar, column]."""
    rows = zip(days.tolist(), stamps_ms.tolist(), opens_ms.tolist(), strict=True)
    found = [instant(venue, day, stamp, opened) for day, stamp, opened in rows]
    return np.array(found, np.int64).reshape(len(found), INSTANT_SIZE)
