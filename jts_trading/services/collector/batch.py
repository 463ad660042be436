"""Ticks of one feed on their way into an entry: gathered, numbered, logged, offered to the bus."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.ports.bus import Envelope
from jts_trading.services.collector.entry_log import EntryLog, FeedPlace, Lines, LoggedEntry
from jts_trading.services.collector.shipping import Shipper

_NS_PER_MS = 1_000_000


class Found(NamedTuple):
    """One accepted tick and where it came from.

    Attributes:
        frame: Number of its frame.
        item: Which of the decoded items of the frame it is, from 0.
        is_last: Whether nothing follows it in its frame.
        session: Number of the connection.
    """

    tick: TradeTick | BookTick
    frame: int
    item: int
    is_last: bool
    session: int


class Batch:
    """Gathers the ticks of one feed into entries.

    Args:
        feed: Its name.
        source: Who publishes.
        log: The entries of the topic.
        shipper: Publishes them.
        lines: Where the trades of all feeds of the topic are, for checkpoints.
        ticks_max: Most ticks of an entry.
        age_s_max: Longest that a tick waits, real seconds.
        monotonic_ns: Real time.
    """

    def __init__(
        self,
        feed: str,
        source: str,
        log: EntryLog,
        shipper: Shipper,
        *,
        lines: Callable[[], Lines],
        ticks_max: int,
        age_s_max: float,
        monotonic_ns: Callable[[], int],
    ) -> None:
        self.feed = feed
        self._source = source
        self._log = log
        self._shipper = shipper
        self._lines = lines
        self._ticks_max = ticks_max
        self._age_s_max = age_s_max
        self._monotonic_ns = monotonic_ns
        self._found: list[Found] = []
        self._began_ns = 0
        self._since_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, found: Found, began_ns: int) -> None:
        """Take a tick; the entry goes when it is full or its first tick has waited long enough.

        Args:
            found: The tick.
            began_ns: When its frame came, real monotonic ns.
        """
        if self._found and self._found[-1].session != found.session:
            self.cut()
        now = self._monotonic_ns()
        if not self._found:
            self._began_ns, self._since_ns = began_ns, now
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._age_s_max, self.cut)
        self._found.append(found)
        is_old = now - self._since_ns >= self._age_s_max * 1e9
        if len(self._found) >= self._ticks_max or is_old:
            self.cut()

    def cut(self) -> None:
        """Let what was gathered go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._found:
            return
        found, self._found = self._found, []
        entry = self._entry(found)
        self._log.append(entry, self._lines)
        self._shipper.offer(entry, self._began_ns)

    def _entry(self, found: list[Found]) -> LoggedEntry:
        first, last = found[0], found[-1]
        place = self._log.place(self.feed)
        payload = TicksCollected(
            feed=self.feed,
            session=first.session,
            first_frame=first.frame,
            first_tick=place.next_tick,
            ticks=tuple(item.tick for item in found),
            frames=tuple(item.frame - first.frame for item in found),
        )
        kind, version = MESSAGES.identify(payload)
        origin = f"{self.feed}:{first.frame}"
        envelope = Envelope(
            type=kind,
            version=version,
            id=f"ticks/{self.feed}/{place.next_tick}",
            correlation_id=origin,
            causation_id=origin,
            source=self._source,
            ts_event_ns=first.tick.ts_event_ns,
            ts_recv_ns=first.tick.ts_recv_ns,
            payload=msgspec.msgpack.encode(payload),
        )
        after = FeedPlace(
            last.frame if last.is_last else last.frame - 1,
            0 if last.is_last else last.item + 1,
            place.next_tick + len(found),
        )
        entry_id = self._log.next_id(last.tick.ts_recv_ns // _NS_PER_MS)
        return LoggedEntry(entry_id, self.feed, after, envelope)
