"""The WebSocket of KIS: raw frames with the time of their arrival, over every reconnection.

Theory of operation. `events` yields what arrived, undecoded, so that bytes can be kept before
anybody judges them; it only looks into a frame to echo PINGPONG and to follow the answers to
subscriptions. A socket that is silent for `stale_after_s` is given up. Each end of a session is an
event too: between it and the next `Connected` frames may be missing. KIS bans keys that reconnect
in a storm, so pauses double from 5 s on and only a frame of data resets them.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.access import KisAccess, Sleep
from jts_trading.brokers.kis.errors import DecodeError, StreamOutcome, VenueBusyError
from jts_trading.brokers.kis.frames import (
    PingPong,
    StreamAnswer,
    decode_frame,
    encode_subscription,
)
from jts_trading.brokers.kis.limits import STREAM_REGISTRATIONS_MAX
from jts_trading.brokers.kis.settings import KisSettings
from jts_trading.domain.errors import TerminalError
from jts_trading.ports.clock import Clock
from jts_trading.telemetry.secrets import Secret

FRAME_BYTES_MAX = 1_048_576
QUEUE_FRAMES_MAX = 256


class Registration(NamedTuple):
    """What is subscribed to: a transaction id and a symbol, or the HTS id for own orders."""

    tr_id: str
    tr_key: str


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


class RegistrationRefused(NamedTuple):
    """The server refuses a subscription; it is not asked for again."""

    registration: Registration
    code: str
    ts_ns: int


StreamNews = ReceivedFrame | Connected | Disconnected | RegistrationRefused


class RegistrationsFullError(TerminalError):
    """No registration is left on this socket."""


class KisStream:
    """One socket of one app key.

    Args:
        settings: The account.
        access: Gives approval keys.
        clock: Dates what is received.
        sleep: Waits in real seconds between sessions.
        jitter: Gives a number from 0 to 1 that spreads reconnections.
    """

    def __init__(
        self,
        settings: KisSettings,
        access: KisAccess,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.keys: dict[str, wire.StreamKeys] = {}
        self.registered: set[Registration] = set()
        self._settings = settings
        self._access = access
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._wanted: dict[Registration, None] = {}
        self._capacity = STREAM_REGISTRATIONS_MAX
        self._socket: ClientConnection | None = None
        self._approval: Secret | None = None
        self._session = 0
        self._pause_s = settings.reconnect_after_s

    async def subscribe(self, registration: Registration) -> None:
        """Ask for frames from now on and after every reconnection; twice is once.

        Raises:
            RegistrationsFullError: The socket carries no more.
        """
        if registration in self._wanted:
            return
        if len(self._wanted) >= self._capacity:
            raise RegistrationsFullError(
                f"{registration} would be number {len(self._wanted) + 1};"
                f" accepted: {self._capacity} on one socket"
            )
        self._wanted[registration] = None
        await self._tell(registration, is_end=False)

    async def unsubscribe(self, registration: Registration) -> None:
        """End a subscription; one that is not there is no error."""
        if self._wanted.pop(registration, 0) is None:
            await self._tell(registration, is_end=True)

    async def events(self) -> AsyncGenerator[StreamNews]:
        """Yield what happens on the socket until the caller closes the iterator.

        Raises:
            VenueRefusedError: The app key is refused: no socket will ever open.
        """
        while True:
            self._session += 1
            reason = ""
            try:
                socket = await self._open()
            except (OSError, TimeoutError, WebSocketException, VenueBusyError) as error:
                reason = f"connect: {type(error).__name__}"
            else:
                try:
                    yield Connected(self._session, self._clock.now_ns())
                    async for news in self._session_events(socket):
                        if isinstance(news, str):
                            reason = news
                        else:
                            yield news
                finally:
                    await self._close(socket)
            yield Disconnected(self._session, self._clock.now_ns(), reason)
            await self._wait()

    async def _open(self) -> ClientConnection:
        if self._approval is None:
            self._approval = await self._access.approval_key()
        socket = await connect(
            self._settings.stream_root,
            # The venue answers pings of the protocol with silence.
            ping_interval=None,
            compression=None,
            proxy=None,
            open_timeout=self._settings.connect_timeout_s,
            close_timeout=1,
            max_size=FRAME_BYTES_MAX,
            max_queue=QUEUE_FRAMES_MAX,
        )
        self._socket = socket
        for registration in list(self._wanted):
            await self._tell(registration, is_end=False)
        return socket

    async def _session_events(
        self, socket: ClientConnection
    ) -> AsyncIterator[ReceivedFrame | RegistrationRefused | str]:
        """Yield frames of one session and, last, why it ended."""
        while True:
            try:
                async with asyncio.timeout(self._settings.stale_after_s):
                    # Strict decoding would close the socket at the first broken letter.
                    raw = await socket.recv(decode=False)
            except TimeoutError:
                yield "stale"
                return
            except ConnectionClosed as error:
                yield "closed" if error.rcvd is not None else "dropped"
                return
            now = self._clock.now_ns()
            yield ReceivedFrame(raw, now, self._session)
            if raw[:1] in (b"0", b"1"):
                self._pause_s = self._settings.reconnect_after_s
                continue
            answer = await self._control(socket, raw, now)
            if isinstance(answer, RegistrationRefused):
                yield answer
            elif answer:
                yield answer
                return

    async def _control(
        self, socket: ClientConnection, raw: bytes, now_ns: int
    ) -> RegistrationRefused | str:
        """Follow a control message; returns why the session has to end, if it has."""
        try:
            message = decode_frame(raw, now_ns)
        except DecodeError:
            # Whoever decodes the frame counts it; the stream lives.
            return ""
        if isinstance(message, PingPong):
            with contextlib.suppress(ConnectionClosed):
                await socket.send(message.text)
        elif isinstance(message, StreamAnswer):
            return self._answered(message, now_ns)
        return ""

    def _answered(self, answer: StreamAnswer, now_ns: int) -> RegistrationRefused | str:
        registration = Registration(answer.tr_id, answer.tr_key)
        match answer.outcome:
            case StreamOutcome.REGISTERED:
                self.registered.add(registration)
                if answer.keys is not None:
                    self.keys[answer.tr_id] = answer.keys
            case StreamOutcome.REMOVED:
                self.registered.discard(registration)
            case StreamOutcome.FULL | StreamOutcome.PERMANENT:
                return self._refused(registration, answer, now_ns)
            case StreamOutcome.NEW_KEY:
                self._approval = None
                return "approval key refused"
            case StreamOutcome.IN_USE:
                # Another session holds the key: trying again soon makes it last longer.
                self._pause_s = self._settings.reconnect_after_s_max
                return "app key in use"
            case StreamOutcome.RETRY:
                return "server fault"
        return ""

    def _refused(
        self, registration: Registration, answer: StreamAnswer, now_ns: int
    ) -> RegistrationRefused:
        self._wanted.pop(registration, None)
        if answer.outcome is StreamOutcome.FULL:
            # The server's own count rules, not the published one.
            self._capacity = min(self._capacity, max(1, len(self.registered)))
        return RegistrationRefused(registration, answer.code, now_ns)

    async def _tell(self, registration: Registration, *, is_end: bool) -> None:
        if self._socket is None or self._approval is None:
            return
        message = encode_subscription(self._approval.reveal(), *registration, is_end=is_end)
        # A socket that has just died is noticed by the reader; the wish is kept.
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(message)

    async def _close(self, socket: ClientConnection) -> None:
        self._socket = None
        # A new one: whoever still decodes frames of this session keeps the old.
        self.keys = {}
        self.registered.clear()
        await socket.close()

    async def _wait(self) -> None:
        pause_s = self._pause_s * (1 + self._jitter())
        self._pause_s = min(self._pause_s * 2, self._settings.reconnect_after_s_max)
        await self._sleep(pause_s)
