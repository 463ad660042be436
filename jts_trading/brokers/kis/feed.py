"""KIS as a feed: trades, order books and own-order notices of one socket.

Theory of operation. `KisStream` keeps the socket alive; this only translates. The key and iv of
encrypted notices come with the answers to subscriptions and belong to one connection, so they are
kept by its number: a frame is decoded with the keys of the session that it came on, also when the
next session has begun. Of older sessions nothing can be decrypted any more.
"""

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence

from jts_trading.brokers.kis import frames, wire
from jts_trading.brokers.kis.errors import DecodeError
from jts_trading.brokers.kis.settings import KisSettings
from jts_trading.brokers.kis.stream import (
    Connected,
    Disconnected,
    KisStream,
    ReceivedFrame,
    Registration,
    RegistrationRefused,
    StreamNews,
)
from jts_trading.domain.errors import TerminalError
from jts_trading.domain.instruments import InstrumentError, Venue, parse_instrument_id
from jts_trading.ports.feed import (
    Decoded,
    FeedClosed,
    FeedNews,
    FeedOpened,
    FeedRefused,
    Frame,
    FrameError,
)

SESSIONS_KEPT = 2


class KisFeed:
    """Feed of one app key; see `ports.feed.Feed`.

    Args:
        stream: The socket; nobody else reads it.
        settings: The account; with a user id its notices are subscribed to.
        with_books: Whether order books are asked for beside trades: they take a second
            registration of the 41 for each instrument.
    """

    broker = frames.BROKER
    venue = Venue.KRX.value

    def __init__(
        self, stream: KisStream, settings: KisSettings, *, with_books: bool = True
    ) -> None:
        self._stream = stream
        self._tr_ids = (wire.TR_TRADE, wire.TR_BOOK) if with_books else (wire.TR_TRADE,)
        self._keys: dict[int, Mapping[str, wire.StreamKeys]] = {}
        self._notices: Registration | None = None
        if settings.user_id:
            tr_id = wire.TR_NOTICE_PAPER if settings.is_paper else wire.TR_NOTICE_REAL
            self._notices = Registration(tr_id, settings.user_id)

    async def subscribe(self, instrument_ids: Sequence[str]) -> None:
        """Ask for trades and books; see `ports.feed.Feed`.

        Raises:
            RegistrationsFullError: The socket carries no more; what came before is subscribed.
            TerminalError: An id is not of KRX.
        """
        symbols = [_symbol(instrument_id) for instrument_id in instrument_ids]
        if self._notices is not None:
            await self._stream.subscribe(self._notices)
        for symbol in symbols:
            for tr_id in self._tr_ids:
                await self._stream.subscribe(Registration(tr_id, symbol))

    async def news(self) -> AsyncGenerator[FeedNews]:
        """Yield what happens on the socket; see `ports.feed.Feed`.

        Raises:
            VenueRefusedError: The app key is refused: no socket will ever open.
        """
        async with contextlib.aclosing(self._stream.events()) as events:
            async for item in events:
                if isinstance(item, Connected):
                    self._keys[item.session] = self._stream.keys
                    for old in sorted(self._keys)[:-SESSIONS_KEPT]:
                        del self._keys[old]
                yield _translated(item)

    def decode(self, frame: Frame) -> tuple[Decoded, ...]:
        """Return what a frame says; see `ports.feed.Feed`.

        Raises:
            FrameError: It says nothing that can be understood; the text begins with the reason.
        """
        keys = self._keys.get(frame.session)
        try:
            found = frames.decode_frame(frame.raw, frame.ts_recv_ns, keys=keys)
        except DecodeError as error:
            raise FrameError(str(error)) from error
        return found if isinstance(found, tuple) else ()


def _symbol(instrument_id: str) -> str:
    try:
        instrument = parse_instrument_id(instrument_id)
    except InstrumentError as error:
        raise TerminalError(str(error)) from error
    if instrument.market is not Venue.KRX:
        raise TerminalError(f"{instrument_id} is not of KRX; accepted: KRX:<six characters>")
    return instrument.symbol


def _translated(item: StreamNews) -> FeedNews:
    match item:
        case ReceivedFrame(raw, ts_recv_ns, session):
            return Frame(raw, ts_recv_ns, session)
        case Connected(session, ts_ns):
            return FeedOpened(session, ts_ns)
        case Disconnected(session, ts_ns, reason):
            return FeedClosed(session, ts_ns, reason)
        case RegistrationRefused(registration, code, ts_ns):
            is_notice = registration.tr_id in wire.NOTICE_TRS
            subject = "" if is_notice else f"{Venue.KRX}:{registration.tr_key}"
            return FeedRefused(subject, ts_ns, f"{registration.tr_id} refused: {code}")
