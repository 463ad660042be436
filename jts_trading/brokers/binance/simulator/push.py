"""The simulated streams: combined and single ones, live subscriptions, limits, faults.

Messages go out in the order of the tape and each send waits until the socket takes it, so that at
full speed a slow reader slows the tape.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from jts_trading.brokers.binance import wire
from jts_trading.brokers.binance.simulator.capture import Line
from jts_trading.brokers.binance.simulator.settings import SimulatorSettings
from jts_trading.simulation.faults import Fault, FaultKind, FaultPlan, Stage

_DATA = b'"data":'
_SEND_S_MAX = 30.0
_NS_PER_S = 1_000_000_000
_GOING_AWAY, _POLICY = 1001, 1008


class _Order(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: list[str | bool] = []


class Session:
    """One connected reader."""

    def __init__(self, socket: ServerConnection, *, is_combined: bool) -> None:
        self.socket = socket
        self.streams: dict[str, None] = {}
        self.is_combined = is_combined
        self.orders: deque[int] = deque()

    async def send(self, raw: bytes) -> None:
        """Send a text frame; bytes are sent as they are, valid text or not."""
        try:
            async with asyncio.timeout(_SEND_S_MAX):
                await self.socket.send(raw, text=True)
        except ConnectionClosed:
            pass
        except TimeoutError:
            self.socket.transport.abort()


class Push:
    """The socket server of one host.

    Args:
        settings: The host.
        symbols: What trades.
        real_ns: Time in which control messages are counted.
        faults: What goes wrong on purpose.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        symbols: frozenset[str],
        real_ns: Callable[[], int],
        faults: FaultPlan,
    ) -> None:
        self._settings = settings
        self._symbols = symbols
        self._real_ns = real_ns
        self._faults = faults
        self._sessions: list[Session] = []
        self._held: tuple[Session, bytes] | None = None
        self.has_reader = asyncio.Event()
        self.frames_sent = 0

    async def serve(self, socket: ServerConnection) -> None:
        """Serve one connection until it ends or its life is over."""
        request = socket.request
        target = urlsplit(request.path if request is not None else "/")
        session = Session(socket, is_combined=target.path.startswith("/stream"))
        named = parse_qs(target.query).get("streams", [""])[0]
        if target.path.startswith("/ws/"):
            named = target.path.removeprefix("/ws/")
        # The venue takes unknown names and never sends anything for them.
        session.streams |= dict.fromkeys(name for name in named.split("/") if name)
        self._sessions.append(session)
        self._note_readers()
        try:
            async with asyncio.timeout(self._settings.life_s):
                async for message in socket:
                    text = (
                        message if isinstance(message, str) else message.decode(errors="replace")
                    )
                    if not await self._ordered(session, text):
                        await socket.close(_POLICY, "Too many requests")
                        break
        except TimeoutError:
            await socket.close(_GOING_AWAY, "24 hours")
        except ConnectionClosed:
            pass
        finally:
            self._sessions.remove(session)
            self._note_readers()

    async def broadcast(self, line: Line) -> None:
        """Send a line of the tape to whoever subscribed to its stream."""
        for session in list(self._sessions):
            if line.stream not in session.streams:
                continue
            raw = line.raw if session.is_combined else _data_of(line.raw)
            self.frames_sent += 1
            fault = self._faults.next(Stage.FRAME)
            for message in await self._spoilt(session, raw, fault):
                await session.send(message)

    async def close_all(self) -> None:
        """End every connection, as the venue does when it restarts."""
        for session in list(self._sessions):
            await session.send(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown"}}')
            await session.socket.close(_GOING_AWAY, "server restarts")

    def _note_readers(self) -> None:
        if any(session.streams for session in self._sessions):
            self.has_reader.set()
        else:
            self.has_reader.clear()

    async def _spoilt(self, session: Session, raw: bytes, fault: Fault | None) -> list[bytes]:
        """Return what is sent in place of a message."""
        held, self._held = self._held, None
        after = [held[1]] if held is not None and held[0] is session else []
        if fault is None:
            return [raw, *after]
        if fault.kind is FaultKind.DISCONNECT:
            session.socket.transport.abort()
        if fault.kind is FaultKind.SILENCE:
            await asyncio.sleep(fault.seconds)
        if fault.kind is FaultKind.REORDER:
            self._held = (session, raw)
        return [*_instead(raw, fault.kind), *after]

    async def _ordered(self, session: Session, text: str) -> bool:
        """Answer one control message; returns whether the connection stays open."""
        now = self._real_ns()
        session.orders.append(now)
        while session.orders[0] <= now - _NS_PER_S:
            session.orders.popleft()
        if len(session.orders) > self._settings.messages_per_s:
            return False
        try:
            order = msgspec.json.decode(text, type=_Order)
        except msgspec.DecodeError as error:
            await session.send(_json({"code": 3, "msg": f"Invalid JSON: {error}"}))
            return True
        answer = self._answered(session, order)
        self._note_readers()
        await session.send(_json(answer))
        return True

    def _answered(self, session: Session, order: _Order) -> dict[str, object]:
        names = [str(name) for name in order.params]
        match order.method:
            case "SUBSCRIBE":
                fresh = dict.fromkeys(names)
                if len(session.streams | fresh) > self._settings.streams_max:
                    return _refused(order, "Invalid request: too many streams")
                session.streams |= fresh
            case "UNSUBSCRIBE":
                for name in names:
                    session.streams.pop(name, None)
            case "LIST_SUBSCRIPTIONS":
                return {"result": list(session.streams), "id": order.id}
            case "SET_PROPERTY" if names[:1] == ["combined"] and len(names) == 2:
                session.is_combined = order.params[1] is True
            case "GET_PROPERTY" if names == ["combined"]:
                return {"result": session.is_combined, "id": order.id}
            case _:
                return _refused(order, f"Invalid request: unknown method {order.method}")
        return {"result": None, "id": order.id}


def _refused(order: _Order, text: str) -> dict[str, object]:
    return {"error": {"code": 2, "msg": text}, "id": order.id}


def _data_of(raw: bytes) -> bytes:
    return raw[raw.index(_DATA) + len(_DATA) : -1]


def _instead(raw: bytes, kind: FaultKind) -> list[bytes]:
    """Return what goes over the wire in place of a message."""
    wide = b'{"stream":"btcusdt@%s","data":{"e":"trade","p":1}}' % wire.STREAM_TRADE.encode()
    instead: dict[FaultKind, list[bytes]] = {
        FaultKind.DISCONNECT: [],
        FaultKind.LOSS: [],
        FaultKind.REORDER: [],
        FaultKind.DUPLICATE: [raw, raw],
        FaultKind.INVALID_UTF8: [raw[:-1] + b'"\xed\xa0\x80"}'],
        FaultKind.HTML: [b"<html><body>502 Bad Gateway</body></html>"],
        FaultKind.UNKNOWN_TR: [raw.replace(b"@", b"@unknown_", 1)],
        FaultKind.WIDE: [wide],
    }
    return instead.get(kind, [raw])


def _json(body: object) -> bytes:
    return msgspec.json.encode(body)
