"""What the executor does beside: the outbox relay, notes that may come late, the loop's lag."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from jts_trading.domain.errors import TransientError
from jts_trading.domain.orders import InvariantError
from jts_trading.journal.relay import Relay
from jts_trading.ports.bus import Bus
from jts_trading.ports.journal import Fact, Journal, JournalUnavailableError, Outbox

_AGAIN_S = 0.5
# While the bus is away commits go on; it is not asked at each of them.
_TROUBLE_S = 0.1
# A bus can lose its entries without a word (flushed, restored): compare now and then.
_RECOVER_EVERY_S = 5.0
_NOTES_MAX = 1_000
_LAG_EVERY_S = 0.05
_LAG_KEPT = 20
_log = structlog.get_logger(__name__)


class Relaying:
    """Publishes what the journal committed, as soon as it is told of a commit.

    Args:
        outbox: What is committed and waits.
        bus: Where it goes; one caller at a time, elsewhere it does nothing.
        every_s: Longest pause between two looks at the outbox.
        on_news: Called at each commit that announces something, before it is published.
    """

    def __init__(
        self, outbox: Outbox, bus: Bus, every_s: float, on_news: Callable[[], None]
    ) -> None:
        self._outbox = outbox
        self._relay = Relay(outbox, bus)
        self._every_s = every_s
        self._on_news = on_news
        self.published = 0
        self.trouble = ""

    async def run(self) -> None:
        """Publish until cancelled; find out now and then what the bus lost."""
        loop = asyncio.get_running_loop()
        recover_at = loop.time()
        while True:
            try:
                if loop.time() >= recover_at:
                    await self._relay.recover()
                    recover_at = loop.time() + _RECOVER_EVERY_S
                self.published += await self._relay.drain()
                self.trouble = ""
            except TransientError as error:
                recover_at = loop.time()
                self.trouble = str(error)
            await self._wait()

    async def _wait(self) -> None:
        pause_s = _AGAIN_S if self.trouble else self._every_s
        try:
            if await self._outbox.wait(pause_s):
                self._on_news()
                if self.trouble:
                    await asyncio.sleep(_TROUBLE_S)
        except JournalUnavailableError:
            await asyncio.sleep(_AGAIN_S)


class LateNotes:
    """Facts that must not delay anybody: kept until the journal takes them.

    Args:
        journal: Where they go.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: deque[Fact] = deque(maxlen=_NOTES_MAX)
        self._news = asyncio.Event()

    def add(self, fact: Fact) -> None:
        """Keep a fact; the oldest goes when there are too many."""
        self._waiting.append(fact)
        self._news.set()

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                fact = self._waiting[0]
                try:
                    await self._journal.record_event([fact])
                except JournalUnavailableError:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                except InvariantError as error:
                    _log.warning("note_refused", event_id=fact.event_id, error=str(error))
                if self._waiting and self._waiting[0] is fact:
                    self._waiting.popleft()


class LoopLag:
    """How late the event loop comes back to a waiting task, over the last second."""

    def __init__(self) -> None:
        self._lags_ms: deque[float] = deque(maxlen=_LAG_KEPT)
        self._slept_at = 0.0

    def worst_ms(self) -> float:
        """Return the worst lag of the last second, in ms; a present one counts too."""
        now = asyncio.get_running_loop().time()
        present_ms = max(0.0, (now - self._slept_at - _LAG_EVERY_S) * 1000)
        return max([present_ms if self._slept_at else 0.0, *self._lags_ms])

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._slept_at = loop.time()
            await asyncio.sleep(_LAG_EVERY_S)
            self._lags_ms.append(max(0.0, (loop.time() - self._slept_at - _LAG_EVERY_S) * 1000))
