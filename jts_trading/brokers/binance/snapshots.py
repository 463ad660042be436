"""Asks for the snapshots that order books need, beside a socket that is being read.

Theory of operation. Every change of a book that passes by is followed by its ids. A book without a
snapshot, or one that lost its place, has one asked for; the answer is handed out when it is there
and reaches the changes that wait, else it is asked for again. One question of a symbol is under
way at a time, and all keep a distance, because each costs much of the quota of the address.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from jts_trading.brokers.binance import codec, wire
from jts_trading.brokers.binance.depth import WAITING_MAX, Chain, Step
from jts_trading.brokers.binance.errors import DecodeError, VenueBusyError
from jts_trading.domain.errors import JtsError

Sleep = Callable[[float], Awaitable[None]]
_PAUSE_S_MAX = 30.0
_MARK = f"@{wire.STREAM_DEPTH}".encode()
_HEAD_BYTES = 64


class _DepthFrame(msgspec.Struct, frozen=True):
    data: wire.DepthIds


_DECODER = msgspec.json.Decoder(_DepthFrame)


class Snapshots:
    """Snapshots of one session.

    Args:
        ask: Returns the bytes of a symbol's snapshot.
        pause_s: Least time between two questions.
        sleep: Waits in real seconds.
    """

    def __init__(
        self, ask: Callable[[str], Awaitable[bytes]], *, pause_s: float, sleep: Sleep
    ) -> None:
        self._ask = ask
        self._pause_s = pause_s
        self._sleep = sleep
        self._chains: dict[str, Chain] = {}
        self._waiting: dict[str, deque[tuple[int, int]]] = {}
        self._turn = asyncio.Lock()
        self.pending: dict[asyncio.Future[bytes], str] = {}
        self._given_up: set[str] = set()

    def follow(self, raw: bytes) -> None:
        """Look at a frame that passes by; begins to ask where a snapshot is needed."""
        if _MARK not in raw[:_HEAD_BYTES]:
            return
        try:
            ids = _DECODER.decode(raw).data
        except msgspec.DecodeError:
            # Whoever decodes the frame counts it.
            return
        chain = self._chains.setdefault(ids.symbol, Chain())
        if chain.follow(ids.first_id, ids.last_id) in (Step.WAIT, Step.LOST):
            waiting = self._waiting.setdefault(ids.symbol, deque(maxlen=WAITING_MAX))
            waiting.append((ids.first_id, ids.last_id))
            if ids.symbol not in {*self.pending.values(), *self._given_up}:
                self._begin(ids.symbol)

    def take(self, done: asyncio.Future[bytes]) -> bytes | None:
        """Return the frame of a snapshot that was answered, if it is one that fits."""
        symbol = self.pending.pop(done)
        try:
            body = done.result()
        except JtsError as error:
            structlog.get_logger().warning("snapshot_refused", symbol=symbol, error=str(error))
            self._given_up.add(symbol)
            return None
        last_id = codec.decode_snapshot(body).last_id
        waiting = self._waiting.get(symbol, deque())
        while waiting and waiting[0][1] <= last_id:
            waiting.popleft()
        if waiting and waiting[0][0] > last_id + 1:
            self._begin(symbol)
            return None
        chain = self._chains[symbol]
        chain.reached = last_id
        rest, self._waiting[symbol] = waiting, deque(maxlen=WAITING_MAX)
        still = [ids for ids in rest if chain.follow(*ids) in (Step.WAIT, Step.LOST)]
        if still:
            # A jump among what waited: the book is lost again from there on.
            self._waiting[symbol].extend(still)
            self._begin(symbol)
        return codec.wrap_snapshot(symbol, body)

    async def close(self) -> None:
        """End all questions."""
        asking = list(self.pending)
        for future in asking:
            future.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        self.pending.clear()

    def _begin(self, symbol: str) -> None:
        self.pending[asyncio.ensure_future(self._asked(symbol))] = symbol

    async def _asked(self, symbol: str) -> bytes:
        pause_s = self._pause_s
        while True:
            async with self._turn:
                try:
                    return await self._ask(symbol)
                except (VenueBusyError, DecodeError) as error:
                    structlog.get_logger().info("snapshot_failed", symbol=symbol, error=str(error))
                    wait_s = error.retry_after_s if isinstance(error, VenueBusyError) else 0.0
                    pause_s = max(min(2 * pause_s, _PAUSE_S_MAX), wait_s)
                finally:
                    await self._sleep(self._pause_s)
            await self._sleep(pause_s)
