"""From the log of a topic to the bus, each entry once and in order, whatever becomes of the bus.

Theory of operation. While bus and log are in step, entries go from a queue in memory right behind
the one that this shipper published last; the bus checks that in the same step. When it does not
answer, or says that something else is its newest entry, the shipper asks for the newest one and
sends everything behind it from the log. So a lost answer, a restart and a wiped bus are one case.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from jts_trading.bus.topics import find_topic
from jts_trading.ports.bus import Bus, BusRefusedError, BusUnavailableError, Envelope
from jts_trading.services.collector.entry_log import NO_ENTRY, EntryId, EntryLog, LoggedEntry
from jts_trading.telemetry.metrics import Counters, Latency

_PAUSE_S = 0.1
_PAUSE_S_MAX = 2.0
_LOOK_S = 1.0
_SHIPPED_AT_ONCE = 64
_NS_PER_MS = 1_000_000


class _Waiting(NamedTuple):
    entry: LoggedEntry
    began_ns: int


class Shipper:
    """Publishes one topic.

    Args:
        topic: Its name; nobody else publishes on it.
        bus: Where to.
        log: Where from.
        queue_max: Entries in memory; beyond them the log is read.
        now_ns: Instance time, UTC ns.
        monotonic_ns: Real time.
        counters: Metrics of the role.
    """

    def __init__(
        self,
        topic: str,
        bus: Bus,
        log: EntryLog,
        *,
        queue_max: int,
        now_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
        counters: Counters,
    ) -> None:
        self.topic = topic
        self.trouble = ""
        self.lag = Latency()
        self._bus = bus
        self._log = log
        self._queue: deque[_Waiting] = deque()
        self._queue_max = queue_max
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._counters = counters
        self._in_step = False
        self._position: EntryId = NO_ENTRY
        self._news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Entries in memory that the bus does not have yet."""
        return len(self._queue)

    @property
    def is_in_step(self) -> bool:
        """Whether the bus has everything but what waits in memory."""
        return self._in_step

    def offer(self, entry: LoggedEntry, began_ns: int) -> None:
        """Take an entry that was just logged; `began_ns` is when its first frame came (real)."""
        if self._in_step:
            self._queue.append(_Waiting(entry, began_ns))
            if len(self._queue) > self._queue_max:
                self._fall_back()
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        pause_s = _PAUSE_S
        while True:
            try:
                if not self._in_step:
                    await self._catch_up()
                await self._ship_queue()
                await self._idle()
            except BusUnavailableError as error:
                self._fall_back()
                if not self.trouble:
                    structlog.get_logger().warning("bus_lost", topic=self.topic, error=str(error))
                self.trouble = str(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
                continue
            if self.trouble:
                structlog.get_logger().info("bus_back", topic=self.topic)
            self.trouble, pause_s = "", _PAUSE_S

    async def _idle(self) -> None:
        if self._in_step and not self._queue:
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                # A bus that was wiped while nothing happened has to be filled all the same.
                if (await self._newest()) != self._position:
                    self._fall_back()
        self._news.clear()

    async def _newest(self) -> EntryId:
        return await self._bus.newest(self.topic) or NO_ENTRY

    def _fall_back(self) -> None:
        self._in_step = False
        self._queue.clear()
        self._counters.add("bus_resyncs_total", topic=self.topic)

    async def _catch_up(self) -> None:
        """Send what the bus does not have; ends in step, or out of step to begin again."""
        self._position = await self._newest()
        self._log.raise_floor(self._position)
        oldest = self._now_ns() // _NS_PER_MS - find_topic(self.topic).retention_s * 1000
        while self._position < self._log.newest:
            before = self._position
            fresh = (e for e in self._log.after(self._position) if e.entry_id[0] >= oldest)
            while part := list(itertools.islice(fresh, _SHIPPED_AT_ONCE)):
                if not await self._ship(part):
                    return
                self._counters.add("republished_total", len(part), topic=self.topic)
            if self._position == before:
                # All that is left is older than anybody may read.
                break
        self._queue.clear()
        self._in_step = True

    async def _ship_queue(self) -> None:
        while self._in_step and self._queue:
            part = list(itertools.islice(self._queue, _SHIPPED_AT_ONCE))
            if not await self._ship([entry for entry, _ in part]):
                self._fall_back()
                return
            now = self._monotonic_ns()
            for waiting in part:
                # The queue may have been given up for the log while we waited.
                if self._queue and self._queue[0] is waiting:
                    self._queue.popleft()
                self.lag.add((now - waiting.began_ns) / _NS_PER_MS)

    async def _ship(self, entries: Sequence[LoggedEntry]) -> bool:
        if not entries:
            return True
        pairs = [(entry.entry_id, entry.envelope) for entry in entries]
        try:
            landed = await self._bus.extend(self.topic, pairs, after=self._position)
        except BusRefusedError as error:
            return await self._ship_fewer(entries, error)
        if landed:
            self._position = entries[-1].entry_id
            self._counters.add("entries_total", len(entries), topic=self.topic)
        return landed

    async def _ship_fewer(self, entries: Sequence[LoggedEntry], error: BusRefusedError) -> bool:
        """Find the entry that the bus will not take, and leave it out."""
        if len(entries) == 1:
            # Its frames are kept; whoever reads the topic sees a jump in the tick numbers.
            structlog.get_logger().error("entry_refused", topic=self.topic, error=str(error))
            self._counters.add("entries_refused_total", topic=self.topic)
            return True
        middle = len(entries) // 2
        return await self._ship(entries[:middle]) and await self._ship(entries[middle:])


class Hints:
    """Publishes notices and gaps: told as soon as the bus listens, the oldest given up.

    Args:
        bus: Where to.
        hints_max: How many wait.
        counters: Metrics of the role.
    """

    def __init__(self, bus: Bus, hints_max: int, counters: Counters) -> None:
        self._bus = bus
        self._waiting: deque[tuple[str, Envelope]] = deque()
        self._hints_max = hints_max
        self._counters = counters
        self._news = asyncio.Event()

    def tell(self, topic: str, envelope: Envelope) -> None:
        """Take a hint."""
        self._waiting.append((topic, envelope))
        if len(self._waiting) > self._hints_max:
            self._waiting.popleft()
            self._counters.add("hints_dropped_total")
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            while self._waiting:
                hint = self._waiting[0]
                try:
                    await self._bus.publish(*hint)
                except BusUnavailableError:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if self._waiting and self._waiting[0] is hint:
                    self._waiting.popleft()
            self._news.clear()
            await self._news.wait()
