"""The combined stream of Binance: raw frames with the time of their arrival, for ever.

Theory of operation. `events` yields what arrived, undecoded; it only follows the ids of order
books, whose snapshots it asks for beside reading and yields as frames of their own, and the
answers to control messages. A socket that is silent for `stale_after_s` is given up, pauses
between sessions double and are jittered. The venue ends every connection after 24 hours: before
that, or when the server says that it shuts down, a new one is opened and both are read for a
moment, so that nothing is missed; what comes twice has the same trade number.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from jts_trading.brokers.binance import codec, wire
from jts_trading.brokers.binance.errors import DecodeError
from jts_trading.brokers.binance.limits import CONTROL_MESSAGES_PER_S, STREAMS_MAX
from jts_trading.brokers.binance.settings import BinanceSettings
from jts_trading.brokers.binance.snapshots import Sleep, Snapshots
from jts_trading.domain.errors import TerminalError
from jts_trading.ports.clock import Clock

FRAME_BYTES_MAX = 4 << 20
QUEUE_FRAMES_MAX = 1024
# A request line has to stay short; the rest is subscribed to by messages.
_IN_URL_MAX = 50
_IN_MESSAGE_MAX = 100
_RENEW_AGAIN_S = 60.0
_SHUTDOWN = f'"{wire.SHUTDOWN_STREAM}"'.encode()


class ReceivedFrame(NamedTuple):
    """Bytes of one message and when they arrived (UTC ns)."""

    raw: bytes
    ts_recv_ns: int
    session: int


class Connected(NamedTuple):
    """A session began (UTC ns); its subscriptions have been sent."""

    session: int
    ts_ns: int


class Disconnected(NamedTuple):
    """A session ended or could not begin (UTC ns)."""

    session: int
    ts_ns: int
    reason: str


class SubscriptionRefused(NamedTuple):
    """The server refuses some streams; they are not asked for again."""

    streams: tuple[str, ...]
    reason: str
    ts_ns: int


StreamNews = ReceivedFrame | Connected | Disconnected | SubscriptionRefused


class StreamsFullError(TerminalError):
    """No stream is left on this socket."""


class BinanceStream:
    """One socket for many streams.

    Args:
        settings: Where it is, and how patient.
        snapshot: Returns the bytes of a symbol's order book.
        clock: Dates what is received.
        sleep: Waits in real seconds.
        jitter: Gives a number from 0 to 1 that spreads reconnections.
    """

    def __init__(
        self,
        settings: BinanceSettings,
        snapshot: Callable[[str], Awaitable[bytes]],
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._wanted: dict[str, None] = {}
        self._is_wanted = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._session = 0
        self._pause_s = settings.reconnect_after_s
        self._number = 0
        self._asked: dict[int, tuple[str, ...]] = {}
        self._renew = False

    async def subscribe(self, streams: Iterable[str]) -> None:
        """Ask for streams from now on and after every reconnection; twice is once.

        Raises:
            StreamsFullError: The socket carries no more; none of these is subscribed to.
        """
        new = [stream for stream in streams if stream not in self._wanted]
        if len(self._wanted) + len(new) > STREAMS_MAX:
            raise StreamsFullError(
                f"{len(self._wanted) + len(new)} streams; accepted: {STREAMS_MAX} on one socket"
            )
        self._wanted |= dict.fromkeys(new)
        if new and self._socket is not None:
            await self._tell(self._socket, new)
        if self._wanted:
            self._is_wanted.set()

    async def events(self) -> AsyncGenerator[StreamNews]:
        """Yield what happens until the caller closes the iterator."""
        socket: ClientConnection | None = None
        try:
            while True:
                await self._is_wanted.wait()
                if socket is None:
                    opened = await self._opened()
                    if isinstance(opened, str):
                        self._session += 1
                        yield Disconnected(self._session, self._clock.now_ns(), opened)
                        await self._wait()
                        continue
                    socket = opened
                self._session += 1
                self._socket = socket
                yield Connected(self._session, self._clock.now_ns())
                reason, following = "", None
                async with contextlib.aclosing(self._lived(socket)) as life:
                    async for news in life:
                        if isinstance(news, str):
                            reason = news
                        elif isinstance(news, ClientConnection):
                            following = news
                        else:
                            yield news
                self._socket = None
                await socket.close()
                socket = following
                if following is None:
                    yield Disconnected(self._session, self._clock.now_ns(), reason)
                    await self._wait()
        finally:
            self._socket = None
            if socket is not None:
                await socket.close()

    async def _opened(self) -> ClientConnection | str:
        """Return a socket with its subscriptions, or why there is none."""
        streams = list(self._wanted)
        address = f"{self._settings.stream_root}/stream?streams="
        try:
            socket = await connect(
                address + "/".join(streams[:_IN_URL_MAX]),
                # The server pings; our own pings would count as messages.
                ping_interval=None,
                compression=None,
                proxy=None,
                open_timeout=self._settings.connect_timeout_s,
                close_timeout=1,
                max_size=FRAME_BYTES_MAX,
                max_queue=QUEUE_FRAMES_MAX,
            )
        except InvalidStatus as error:
            wait = error.response.headers.get("Retry-After", "")
            if wait.isdigit():
                self._pause_s = max(self._pause_s, float(wait))
            return f"connect: HTTP {error.response.status_code}"
        except (OSError, TimeoutError, WebSocketException) as error:
            return f"connect: {type(error).__name__}"
        await self._tell(socket, streams[_IN_URL_MAX:])
        return socket

    async def _lived(
        self, socket: ClientConnection
    ) -> AsyncGenerator[ReceivedFrame | SubscriptionRefused | ClientConnection | str]:
        """Yield the news of one session and, last, why it ended or what follows it."""
        settings, loop = self._settings, asyncio.get_running_loop()
        snapshots = Snapshots(self._snapshot, pause_s=settings.snapshot_every_s, sleep=self._sleep)
        renew_at, self._renew = loop.time() + settings.life_s, False
        following: ClientConnection | None = None
        ends_at = float("inf")
        received = self._received(socket, snapshots)
        try:
            async for raw in received:
                if isinstance(raw, str):
                    yield raw
                    break
                yield ReceivedFrame(raw, self._clock.now_ns(), self._session)
                for refused in self._controlled(raw):
                    yield refused
                if loop.time() >= ends_at:
                    break
                if following is None and (self._renew or loop.time() >= renew_at):
                    opened = await self._opened()
                    self._renew = False
                    if isinstance(opened, str):
                        renew_at = loop.time() + _RENEW_AGAIN_S
                        continue
                    following, ends_at = opened, loop.time() + settings.overlap_s
            if following is not None:
                yield following
                following = None
        finally:
            await received.aclose()
            await snapshots.close()
            if following is not None:
                await following.close()

    async def _received(
        self, socket: ClientConnection, snapshots: Snapshots
    ) -> AsyncGenerator[bytes | str]:
        """Yield messages and snapshots of a session and, last, why it ended."""
        reading: asyncio.Future[bytes] | None = None
        try:
            while True:
                if reading is None and not snapshots.pending:
                    # The straight way: nothing else is waited for.
                    async with asyncio.timeout(self._settings.stale_after_s):
                        raw = await socket.recv(decode=False)
                else:
                    reading = reading or asyncio.ensure_future(socket.recv(decode=False))
                    done, _ = await asyncio.wait(
                        {reading, *snapshots.pending},
                        timeout=self._settings.stale_after_s,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    if not done:
                        yield "stale"
                        return
                    for answered in done - {reading}:
                        frame = snapshots.take(answered)
                        if frame is not None:
                            yield frame
                    if reading not in done:
                        continue
                    raw, reading = reading.result(), None
                self._pause_s = self._settings.reconnect_after_s
                snapshots.follow(raw)
                yield raw
        except TimeoutError:
            yield "stale"
        except ConnectionClosed as error:
            yield "closed" if error.rcvd is not None else "dropped"
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    def _controlled(self, raw: bytes) -> list[SubscriptionRefused]:
        """Follow a control message."""
        if _SHUTDOWN in raw[:64]:
            self._renew = True
        if raw.startswith(b'{"stream"'):
            return []
        try:
            answer = codec.decode_message(raw)
        except DecodeError:
            # Whoever decodes the frame counts it; the stream lives.
            return []
        if not isinstance(answer, wire.Control) or answer.id is None:
            return []
        streams = self._asked.pop(answer.id, ())
        if answer.error is None:
            return []
        for stream in streams:
            self._wanted.pop(stream, None)
        reason = f"{answer.error.code}: {answer.error.msg}"
        return [SubscriptionRefused(streams, reason, self._clock.now_ns())]

    async def _tell(self, socket: ClientConnection, streams: list[str]) -> None:
        for at in range(0, len(streams), _IN_MESSAGE_MAX):
            part = tuple(streams[at : at + _IN_MESSAGE_MAX])
            self._number += 1
            self._asked[self._number] = part
            message = codec.encode_control("SUBSCRIBE", part, self._number)
            # A socket that has just died is noticed by the reader; the wish is kept.
            with contextlib.suppress(ConnectionClosed):
                await socket.send(message)
            if at + _IN_MESSAGE_MAX < len(streams):
                await self._sleep(2 / CONTROL_MESSAGES_PER_S)

    async def _wait(self) -> None:
        pause_s = self._pause_s * (0.5 + self._jitter())
        self._pause_s = min(self._pause_s * 2, self._settings.reconnect_after_s_max)
        await self._sleep(pause_s)
