"""The newest price of each instrument for the other processes, with the limits of its day.

Prices are shared as fast as the state store takes them: what is overtaken is not sent. Base price
and limits come from a quote of the venue, asked for after the first trade of a day, because before
it a venue may still answer with those of the day before; where the quote has no limits they are
worked out from its base price by the dated rules.
"""

import asyncio
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec
import structlog

from jts_trading.domain.errors import JtsError, TransientError
from jts_trading.domain.feed_messages import PriceNote
from jts_trading.domain.instruments import Asset, Market
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits
from jts_trading.domain.ticks import BookTick, Quote, TradeTick
from jts_trading.ports.history import History
from jts_trading.ports.state import Kind, State, StateUnavailableError
from jts_trading.services.collector.hours import KOREAN
from jts_trading.services.collector.sanity import DayLimits
from jts_trading.telemetry.metrics import Counters

_PAUSE_S = 0.2


class PriceBoard:
    """Newest prices and limits of all instruments of the role.

    Args:
        state: Where prices are shared.
        histories: Who answers quotes, by broker.
        pause_s: Least real time between two rounds.
        retry_s: Real pause after a quote that failed.
        counters: Metrics of the role.
    """

    def __init__(
        self,
        state: State,
        histories: Mapping[str, History],
        *,
        pause_s: float,
        retry_s: float,
        counters: Counters,
    ) -> None:
        self.trouble = ""
        self._state = state
        self._histories = histories
        self._pause_s = pause_s
        self._retry_s = retry_s
        self._counters = counters
        self._limits: dict[str, DayLimits] = {}
        self._books: dict[str, BookTick] = {}
        self._trades: dict[str, tuple[TradeTick, int]] = {}
        self._dirty: dict[str, None] = {}
        self._wanted: dict[str, tuple[str, int]] = {}
        self._price_news = asyncio.Event()
        self._wanted_news = asyncio.Event()

    def limits(self, instrument_id: str, day: int) -> DayLimits | None:
        """Return the limits of an instrument on a trade date (ordinal), if they are known."""
        known = self._limits.get(instrument_id)
        return known if known is not None and known.day == day else None

    def note_trade(self, tick: TradeTick, day: int) -> None:
        """Take the newest trade."""
        self._trades[tick.instrument_id] = tick, day
        self._touch(tick.instrument_id)
        if tick.broker in self._histories and self.limits(tick.instrument_id, day) is None:
            self._want(tick.instrument_id, (tick.broker, day))

    def note_book(self, tick: BookTick) -> None:
        """Take the newest book; its best prices stand beside the last trade."""
        self._books[tick.instrument_id] = tick
        if tick.instrument_id in self._trades:
            self._touch(tick.instrument_id)

    def forget_book(self, instrument_id: str) -> None:
        """Forget a book that is no longer the venue's."""
        self._books.pop(instrument_id, None)

    async def share(self) -> None:
        """Share prices until cancelled."""
        while True:
            await self._price_news.wait()
            self._price_news.clear()
            while self._dirty:
                instrument_id = next(iter(self._dirty))
                del self._dirty[instrument_id]
                try:
                    note = msgspec.msgpack.encode(self._note(instrument_id))
                    await self._state.put(Kind.PRICE, instrument_id, note)
                except StateUnavailableError as error:
                    self._dirty[instrument_id] = None
                    self.trouble = str(error)
                    self._counters.add("prices_failed_total")
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self.trouble = ""
                self._counters.add("prices_total")
            await asyncio.sleep(self._pause_s)

    async def learn_limits(self) -> None:
        """Ask for the limits of instruments that trade, until cancelled."""
        while True:
            await self._wanted_news.wait()
            self._wanted_news.clear()
            for instrument_id, (broker, day) in list(self._wanted.items()):
                try:
                    limits = await self._asked(instrument_id, broker, day)
                except TransientError as error:
                    self._counters.add("quotes_failed_total")
                    structlog.get_logger().info("quote_failed", error=str(error))
                    await asyncio.sleep(self._retry_s)
                    self._wanted_news.set()
                    continue
                if self._wanted.get(instrument_id) == (broker, day):
                    del self._wanted[instrument_id]
                self._limits[instrument_id] = limits
                self._touch(instrument_id)

    async def _asked(self, instrument_id: str, broker: str, day: int) -> DayLimits:
        try:
            quote = await self._histories[broker].quote(instrument_id)
        except TransientError:
            raise
        except JtsError as error:
            # Asking again would end the same way; without limits nothing is outside of them.
            structlog.get_logger().warning("quote_refused", error=str(error))
            return DayLimits(day, None, None, None)
        return _limits(quote, day)

    def _want(self, instrument_id: str, question: tuple[str, int]) -> None:
        if self._wanted.get(instrument_id) != question:
            self._wanted[instrument_id] = question
            self._wanted_news.set()

    def _touch(self, instrument_id: str) -> None:
        self._dirty[instrument_id] = None
        self._price_news.set()

    def _note(self, instrument_id: str) -> PriceNote:
        trade, day = self._trades[instrument_id]
        book = self._books.get(instrument_id)
        limits = self.limits(instrument_id, day)
        is_book_newer = book is not None and book.ts_recv_ns >= trade.ts_recv_ns
        bids = book.bids if book is not None else ()
        asks = book.asks if book is not None else ()
        bid = bids[0].price if bids and (is_book_newer or trade.bid is None) else trade.bid
        ask = asks[0].price if asks and (is_book_newer or trade.ask is None) else trade.ask
        return PriceNote(
            instrument_id=instrument_id,
            venue=trade.venue,
            price=trade.price,
            ts_event_ns=trade.ts_event_ns,
            ts_recv_ns=trade.ts_recv_ns,
            bid=bid,
            ask=ask,
            reference=limits.reference if limits is not None else None,
            upper=limits.upper if limits is not None else None,
            lower=limits.lower if limits is not None else None,
            is_halted=trade.is_halted,
        )


def _limits(quote: Quote, day: int) -> DayLimits:
    if quote.upper is not None and quote.lower is not None:
        return DayLimits(day, quote.reference, quote.upper, quote.lower)
    if quote.venue not in KOREAN:
        return DayLimits(day, quote.reference, None, None)
    market, asset = Market.KOSPI.value, Asset.COMMON.value
    on = date.fromordinal(day)
    ruled = daily_limits(default_table(), on, int(quote.reference), market=market, asset=asset)
    return DayLimits(day, quote.reference, Decimal(ruled.upper), Decimal(ruled.lower))
