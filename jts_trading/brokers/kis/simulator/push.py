"""The simulated WebSocket: registrations, PINGPONG, data frames, faults of the stream.

Theory of operation. One app key has one socket: a second one is refused at its first subscription.
Frames are sent in order and each send waits until the socket takes it, so a slow reader slows the
tape. At full speed the reader must also answer a PINGPONG after each window of frames: no more
than one window ever lies between it and us.
"""

import asyncio
import contextlib
import secrets
import string
from collections.abc import Callable

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from jts_trading.brokers.kis import frames, wire
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.simulation.faults import Fault, FaultKind, FaultPlan, Stage

_LETTERS = string.ascii_lowercase + string.digits
_TR_IDS = {wire.TR_TRADE, wire.TR_BOOK, *wire.NOTICE_TRS}


class _Input(msgspec.Struct):
    tr_id: str = ""
    tr_key: str = ""


class _InputBody(msgspec.Struct):
    input: _Input


class _SubscriptionHeader(msgspec.Struct):
    approval_key: str = ""
    tr_type: str = ""


class _Subscription(msgspec.Struct):
    header: _SubscriptionHeader
    body: _InputBody


class Session:
    """One connected reader."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.registrations: set[tuple[str, str]] = set()
        self.keys: dict[str, wire.StreamKeys] = {}
        self.answered = asyncio.Event()
        self.frames_since_question = 0

    async def send(self, message: str | bytes) -> None:
        """Send a text frame; bytes are sent as they are, valid text or not."""
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(message, text=True)


class Push:
    """The socket server of one host.

    Args:
        settings: The host.
        is_approved: Whether an approval key is known.
        now_ns: Time of the market (UTC ns).
        faults: What goes wrong on purpose.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        is_approved: Callable[[str], bool],
        now_ns: Callable[[], int],
        faults: FaultPlan,
    ) -> None:
        self._settings = settings
        self._is_approved = is_approved
        self._now_ns = now_ns
        self._faults = faults
        self._owner: Session | None = None
        self._held: tuple[Session, str] | None = None
        self.has_reader = asyncio.Event()
        self.frames_sent = 0

    async def serve(self, socket: ServerConnection) -> None:
        """Serve one connection until it ends."""
        session = Session(socket)
        try:
            async for message in socket:
                text = message if isinstance(message, str) else message.decode(errors="replace")
                if wire.TR_PINGPONG in text[:200]:
                    session.answered.set()
                elif not await self._subscription(session, text):
                    break
        except ConnectionClosed:
            pass
        finally:
            if self._owner is session:
                self._owner = None
                self.has_reader.clear()

    async def broadcast(
        self, tr_id: str, tr_key: str, records: list[list[str]], *, is_encrypted: bool = False
    ) -> None:
        """Send records to the reader if it subscribed to them."""
        session = self._owner
        if session is None or (tr_id, tr_key) not in session.registrations:
            return
        keys = session.keys[tr_id] if is_encrypted else None
        frame = frames.encode_data(tr_id, records, keys)
        self.frames_sent += 1
        fault = self._faults.next(Stage.FRAME)
        for message in await self._spoilt(session, frame, fault):
            await session.send(message)
        await self._keep_window(session)

    async def ask(self) -> None:
        """Send PINGPONG to the reader, without waiting for its answer."""
        if (session := self._owner) is not None:
            await session.send(frames.encode_pingpong(self._now_ns()))

    def is_subscribed(self, tr_id: str, tr_key: str) -> bool:
        """Return whether a reader wants these records."""
        return self._owner is not None and (tr_id, tr_key) in self._owner.registrations

    async def _keep_window(self, session: Session) -> None:
        session.frames_since_question += 1
        window = self._settings.window_frames
        if self._settings.speed != 0 or session.frames_since_question < window:
            return
        session.frames_since_question = 0
        session.answered.clear()
        await session.send(frames.encode_pingpong(self._now_ns()))
        gone = asyncio.ensure_future(session.socket.wait_closed())
        answered = asyncio.ensure_future(session.answered.wait())
        try:
            done, _ = await asyncio.wait(
                {gone, answered},
                timeout=self._settings.reader_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                session.socket.transport.abort()
        finally:
            gone.cancel()
            answered.cancel()

    async def _spoilt(
        self, session: Session, frame: str, fault: Fault | None
    ) -> list[str | bytes]:
        """Return what is sent in place of a frame."""
        held, self._held = self._held, None
        after: list[str | bytes] = [held[1]] if held is not None and held[0] is session else []
        if fault is None:
            return [frame, *after]
        if fault.kind is FaultKind.DISCONNECT:
            session.socket.transport.abort()
        if fault.kind is FaultKind.SILENCE:
            await asyncio.sleep(fault.seconds)
        if fault.kind is FaultKind.REORDER:
            self._held = (session, frame)
        return [*_instead(frame, fault.kind), *after]

    async def _subscription(self, session: Session, text: str) -> bool:
        """Answer one control message; returns whether the socket stays open."""
        try:
            message = msgspec.json.decode(text, type=_Subscription)
        except msgspec.DecodeError:
            await session.send(_answer("", "", "1", "OPSP9999", "JSON PARSING ERROR"))
            return True
        header, wanted = message.header, message.body.input
        if not self._is_approved(header.approval_key):
            text = f"invalid approval : {header.approval_key}"
            await session.send(_answer("(null)", "", "1", "OPSP0011", text))
            return False
        if self._owner not in (None, session):
            await session.send(_answer("(null)", "", "9", "OPSP8996", "ALREADY IN USE appkey"))
            return False
        self._owner = session
        code, result = self._register(session, header.tr_type, wanted.tr_id, wanted.tr_key)
        keys = session.keys.get(wanted.tr_id)
        await session.send(
            _answer(
                wanted.tr_id,
                wanted.tr_key,
                "0" if code in ("OPSP0000", "OPSP0001") else "1",
                code,
                result,
                keys=keys,
            )
        )
        if code == "OPSP0000":
            self.has_reader.set()
        return True

    def _register(
        self, session: Session, tr_type: str, tr_id: str, tr_key: str
    ) -> tuple[str, str]:
        place = (tr_id, tr_key)
        if tr_id not in _TR_IDS:
            return "OPSP8991", "INVALID TR_ID"
        if tr_type == "2":
            return _unregistered(session, place)
        if tr_type != "1":
            return "OPSP8997", "INVALID TR_TYPE"
        return self._registered(session, place)

    def _registered(self, session: Session, place: tuple[str, str]) -> tuple[str, str]:
        if place in session.registrations:
            return "OPSP0002", "ALREADY IN SUBSCRIBE"
        if len(session.registrations) >= self._settings.registrations_max:
            return "OPSP0008", "MAX SUBSCRIBE OVER"
        session.registrations.add(place)
        session.keys.setdefault(place[0], wire.StreamKeys(iv=_letters(16), key=_letters(32)))
        return "OPSP0000", "SUBSCRIBE SUCCESS"


def _unregistered(session: Session, place: tuple[str, str]) -> tuple[str, str]:
    if place not in session.registrations:
        return "OPSP0003", "UNSUBSCRIBE ERROR(not found!)"
    session.registrations.discard(place)
    return "OPSP0001", "UNSUBSCRIBE SUCCESS"


def _letters(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _answer(
    tr_id: str,
    tr_key: str,
    rt_cd: str,
    code: str,
    text: str,
    *,
    keys: wire.StreamKeys | None = None,
) -> str:
    body: dict[str, object] = {"rt_cd": rt_cd, "msg_cd": code, "msg1": text}
    if keys is not None and rt_cd == "0":
        body["output"] = {"iv": keys.iv, "key": keys.key}
    encrypt = "Y" if tr_id in wire.NOTICE_TRS else "N"
    header = {"tr_id": tr_id, "tr_key": tr_key, "encrypt": encrypt}
    return msgspec.json.encode({"header": header, "body": body}).decode()


def _instead(frame: str, kind: FaultKind) -> list[str | bytes]:
    """Return what goes over the wire in place of a frame."""
    wide = f"0|{wire.TR_TRADE}|001|" + "^".join(["7"] * 62)
    instead: dict[FaultKind, list[str | bytes]] = {
        FaultKind.DISCONNECT: [],
        FaultKind.LOSS: [],
        FaultKind.REORDER: [],
        FaultKind.DUPLICATE: [frame, frame],
        FaultKind.INVALID_UTF8: [frame.encode() + b"\xed\xa0\x80"],
        FaultKind.HTML: ["<html><body>502 Bad Gateway</body></html>"],
        FaultKind.UNKNOWN_TR: [frame.replace("|H0ST", "|H0ZZ", 1)],
        FaultKind.WIDE: [wide],
    }
    return instead.get(kind, [frame])
