"""Binance spot as a feed: trades, best prices and order books.

Theory of operation. Every connection has books of its own, built by `decode` from the changes and
snapshots among its frames, so whoever decodes the kept frames of a session from its first one gets
the same books. A frame has to be decoded once and in order. A book that lost its place says so
once and is silent until a snapshot fits again; the best prices beside it are whole by themselves.
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from jts_trading.brokers.binance import codec, wire
from jts_trading.brokers.binance.depth import DepthBook, Prices, Step, topped
from jts_trading.brokers.binance.errors import DecodeError
from jts_trading.brokers.binance.settings import BinanceSettings
from jts_trading.brokers.binance.stream import (
    BinanceStream,
    Connected,
    Disconnected,
    ReceivedFrame,
    StreamNews,
)
from jts_trading.domain.errors import TerminalError
from jts_trading.domain.instruments import InstrumentError, Venue, parse_instrument_id
from jts_trading.domain.ticks import BookTick
from jts_trading.ports.feed import (
    BookLost,
    Decoded,
    FeedClosed,
    FeedNews,
    FeedOpened,
    FeedRefused,
    Frame,
    FrameError,
)

SESSIONS_KEPT = 2


@dataclass(slots=True)
class _Session:
    """What one connection has said so far, by symbol."""

    books: dict[str, DepthBook] = field(default_factory=dict)
    quotes: dict[str, wire.Quote] = field(default_factory=dict)


class BinanceFeed:
    """Feed of one socket; see `ports.feed.Feed`.

    Args:
        stream: The socket; nobody else reads it.
        settings: What is asked for and passed on.
    """

    broker = codec.BROKER
    venue = codec.VENUE

    def __init__(self, stream: BinanceStream, settings: BinanceSettings) -> None:
        self._stream = stream
        self._settings = settings
        self._sessions: dict[int, _Session] = {}

    async def subscribe(self, instrument_ids: Sequence[str]) -> None:
        """Ask for trades, best prices and books; see `ports.feed.Feed`.

        Raises:
            StreamsFullError: The socket carries no more.
            TerminalError: An id is not of Binance.
        """
        symbols = [_symbol(instrument_id) for instrument_id in instrument_ids]
        for symbol in symbols:
            names = codec.stream_names(symbol, with_depth=self._settings.with_depth)
            await self._stream.subscribe(names)

    async def news(self) -> AsyncGenerator[FeedNews]:
        """Yield what happens on the socket; see `ports.feed.Feed`."""
        async with contextlib.aclosing(self._stream.events()) as events:
            async for item in events:
                for news in _translated(item):
                    yield news

    def decode(self, frame: Frame) -> tuple[Decoded, ...]:
        """Return what a frame says; each frame once, in order; see `ports.feed.Feed`.

        Raises:
            FrameError: It says nothing that can be understood; the text begins with the reason.
        """
        try:
            message = codec.decode_message(frame.raw)
            return self._said(message, frame)
        except DecodeError as error:
            raise FrameError(str(error)) from error

    def _said(self, message: codec.Message, frame: Frame) -> tuple[Decoded, ...]:
        session = self._session(frame.session)
        match message:
            case wire.Trade():
                quote = session.quotes.get(message.symbol)
                return (codec.trade_tick(message, frame.ts_recv_ns, quote),)
            case wire.Quote():
                return self._quoted(session, message, frame.ts_recv_ns)
            case wire.Depth():
                return self._changed(session, message, frame.ts_recv_ns)
            case codec.SnapshotOf(symbol, snapshot):
                book = session.books.setdefault(symbol, DepthBook())
                if not book.begin(snapshot):
                    return ()
                return (self._book(session, symbol, frame.ts_recv_ns, frame.ts_recv_ns),)
            case _:
                return ()

    def _session(self, number: int) -> _Session:
        found = self._sessions.get(number)
        if found is None:
            found = self._sessions[number] = _Session()
            for old in sorted(self._sessions)[:-SESSIONS_KEPT]:
                del self._sessions[old]
        return found

    def _quoted(
        self, session: _Session, quote: wire.Quote, ts_recv_ns: int
    ) -> tuple[Decoded, ...]:
        before = session.quotes.get(quote.symbol)
        is_same = before is not None and (before.bid, before.ask) == (quote.bid, quote.ask)
        if is_same and self._settings.quotes == "changes":
            session.quotes[quote.symbol] = quote
            return ()
        # Read in any case: a quote that cannot be read is a bad frame, and no trade carries it.
        alone = codec.quote_tick(quote, ts_recv_ns)
        session.quotes[quote.symbol] = quote
        book = session.books.get(quote.symbol)
        if book is None or not book.is_synced:
            return (alone,)
        return (self._book(session, quote.symbol, ts_recv_ns, ts_recv_ns),)

    def _changed(
        self, session: _Session, depth: wire.Depth, ts_recv_ns: int
    ) -> tuple[Decoded, ...]:
        event_ns = codec.depth_ns(depth)
        book = session.books.setdefault(depth.symbol, DepthBook())
        match book.change(depth):
            case Step.APPLY:
                return (self._book(session, depth.symbol, event_ns, ts_recv_ns),)
            case Step.LOST:
                instrument_id = codec.instrument_id(depth.symbol)
                unknown = codec.book_tick(
                    depth.symbol, [], [], ts_event_ns=event_ns, ts_recv_ns=ts_recv_ns
                )
                return (BookLost(instrument_id, book.chain.missing, event_ns), unknown)
            case _:
                return ()

    def _book(self, session: _Session, symbol: str, event_ns: int, recv_ns: int) -> BookTick:
        """Return the book; its best prices are those of a newer quote where there is one."""
        book = session.books[symbol]
        asks, bids = book.best(self._settings.levels)
        quote = session.quotes.get(symbol)
        reached = book.chain.reached
        if quote is not None and reached is not None and quote.update_id > reached:
            ask: Prices = codec.levels([(quote.ask, quote.ask_quantity)])
            bid: Prices = codec.levels([(quote.bid, quote.bid_quantity)])
            asks, bids = topped(asks, bids, ask, bid)
        return codec.book_tick(
            symbol,
            asks[: self._settings.levels],
            bids[: self._settings.levels],
            ts_event_ns=event_ns,
            ts_recv_ns=recv_ns,
        )


def _symbol(instrument_id: str) -> str:
    try:
        instrument = parse_instrument_id(instrument_id)
    except InstrumentError as error:
        raise TerminalError(str(error)) from error
    if instrument.market is not Venue.BINANCE:
        raise TerminalError(f"{instrument_id} is not of Binance; accepted: BINANCE:BTCUSDT")
    return instrument.symbol


def _translated(item: StreamNews) -> list[FeedNews]:
    match item:
        case ReceivedFrame(raw, ts_recv_ns, session):
            return [Frame(raw, ts_recv_ns, session)]
        case Connected(session, ts_ns):
            return [FeedOpened(session, ts_ns)]
        case Disconnected(session, ts_ns, reason):
            return [FeedClosed(session, ts_ns, reason)]
        case _:
            symbols = {stream.partition("@")[0].upper() for stream in item.streams}
            return [
                FeedRefused(f"{Venue.BINANCE}:{symbol}", item.ts_ns, item.reason)
                for symbol in sorted(symbols)
            ]
