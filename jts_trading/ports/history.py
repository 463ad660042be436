"""The history port: quotes, bars and order books that are asked for, not streamed."""

from collections.abc import Sequence
from typing import Protocol

from jts_trading.domain.ticks import BookTick, HistoryBar, Quote


class History(Protocol):
    """Asks a venue about the market; every method raises TransientError to be asked again."""

    async def quote(self, instrument_id: str) -> Quote:
        """Return the state of one instrument, with its limits of today where there are some."""
        ...

    async def candles(
        self, instrument_id: str, interval: str, start_ns: int, end_ns: int
    ) -> Sequence[HistoryBar]:
        """Return closed bars that begin in [start_ns, end_ns), oldest first."""
        ...

    async def book(self, instrument_id: str) -> BookTick:
        """Return the order book as far as the venue shows it."""
        ...
