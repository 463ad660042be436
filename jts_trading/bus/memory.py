"""The bus in memory: the same rules as on Redis Streams, for one process and for tests."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jts_trading.bus.entries import (
    DELIVERIES_MAX,
    KEPT_BYTES_MAX,
    DeadLetter,
    Reason,
    decode_entry,
    encode_entry,
    entry_key,
)
from jts_trading.bus.topics import TOPICS, Topic, find_topic
from jts_trading.ports.bus import Entry, Envelope

_Key = tuple[int, int]
_MEMORY_MAX = 256 << 20


@dataclass
class _Pending:
    consumer: str
    delivered_ns: int
    deliveries: int = 1


@dataclass
class _Group:
    last: _Key = (0, 0)
    pending: dict[_Key, _Pending] = field(default_factory=dict)


@dataclass
class _Stream:
    rows: dict[_Key, bytes] = field(default_factory=dict)
    last: _Key = (0, 0)
    groups: dict[str, _Group] = field(default_factory=dict)
    dead: list[DeadLetter] = field(default_factory=list)


class MemoryBus:
    """Topics in memory.

    Args:
        now_ns: Reads the time that numbers entries and measures idleness, UTC ns.
        memory_max: Bytes that all market topics together may take.

    Attributes:
        streams: All there is, by topic; clearing it is what a lost server does.
    """

    def __init__(self, now_ns: Callable[[], int], *, memory_max: int = _MEMORY_MAX) -> None:
        self._now_ns = now_ns
        self._memory_max = memory_max
        self.streams: dict[str, _Stream] = {}
        self._arrived = asyncio.Condition()

    async def publish(self, topic: str, envelope: Envelope, entry_id: str | None = None) -> bool:
        """Append an entry; see `ports.bus.Bus`."""
        stream = self._stream(find_topic(topic).name)
        body = encode_entry(envelope)
        if entry_id is None:
            key = max((self._now_ns() // 1_000_000, 0), (stream.last[0], stream.last[1] + 1))
        else:
            key = entry_key(entry_id)
        if key <= stream.last:
            return False
        await self._append(topic, key, body)
        return True

    async def extend(
        self,
        topic: str,
        entries: Sequence[tuple[_Key, Envelope]],
        *,
        after: _Key,
    ) -> bool:
        """Append entries right behind another; see `ports.bus.Bus`."""
        if self._stream(find_topic(topic).name).last != after:
            return False
        bodies = [(key, encode_entry(envelope)) for key, envelope in entries]
        for key, body in bodies:
            await self._append(topic, key, body)
        return True

    async def _append(self, topic: str, key: _Key, body: bytes) -> None:
        stream = self._stream(find_topic(topic).name)
        stream.rows[key] = body
        stream.last = key
        async with self._arrived:
            self._arrived.notify_all()

    async def consume(
        self, topics: Sequence[str], group: str, consumer: str, *, count: int, wait_ms: int
    ) -> list[Entry]:
        """Return entries that the group has not seen; see `ports.bus.Bus`."""
        names = [find_topic(topic).name for topic in topics]
        found = self._read(names, group, consumer, count)
        if found or not wait_ms:
            return found
        try:
            async with asyncio.timeout(wait_ms / 1000), self._arrived:
                while not (found := self._read(names, group, consumer, count)):
                    await self._arrived.wait()
        except TimeoutError:
            return []
        return found

    async def read(
        self, positions: Mapping[str, str], *, count: int, wait_ms: int
    ) -> tuple[list[Entry], dict[str, str]]:
        """Return entries after some positions; see `ports.bus.Bus`."""
        places = {find_topic(topic).name: entry_key(at) for topic, at in positions.items()}
        found = self._after(places, count)
        if not found and wait_ms:
            try:
                async with asyncio.timeout(wait_ms / 1000), self._arrived:
                    while not (found := self._after(places, count)):
                        await self._arrived.wait()
            except TimeoutError:
                return [], dict(positions)
        entries = []
        for topic, key in found:
            places[topic] = key
            verdict = decode_entry(self._stream(topic).rows.get(key))
            if isinstance(verdict, Envelope):
                entries.append(Entry(topic, f"{key[0]}-{key[1]}", verdict))
        return entries, {topic: f"{key[0]}-{key[1]}" for topic, key in places.items()}

    async def acknowledge(self, group: str, entries: Sequence[Entry]) -> None:
        """Forget entries for the group; see `ports.bus.Bus`."""
        for entry in entries:
            self._group(entry.topic, group).pending.pop(entry_key(entry.entry_id), None)

    async def claim(
        self, topic: str, group: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Entry]:
        """Take over abandoned entries; see `ports.bus.Bus`."""
        known = find_topic(topic)
        before_ns = self._now_ns() - idle_ms * 1_000_000
        waiting = sorted(self._group(known.name, group).pending.items())
        due = [(key, row) for key, row in waiting if row.delivered_ns <= before_ns][:count]
        found = []
        for key, row in due:
            row.consumer, row.delivered_ns = consumer, self._now_ns()
            row.deliveries += 1
            found += self._sort_out(known, group, key, row.deliveries)
        return found

    async def trim(self, topic: str, now_ns: int) -> int:
        """Drop what is too old; see `ports.bus.Bus`."""
        known = find_topic(topic)
        stream = self._stream(known.name)
        oldest = (max(0, now_ns // 1_000_000 - known.retention_s * 1000), 0)
        if not known.is_market:
            for group in stream.groups.values():
                following = (group.last[0], group.last[1] + 1)
                oldest = min(oldest, following, min(group.pending, default=following))
        doomed = [key for key in stream.rows if key < oldest]
        if known.is_market:
            doomed = doomed or self._over_share(stream)
        for key in doomed:
            del stream.rows[key]
        return len(doomed)

    async def newest(self, topic: str) -> tuple[int, int] | None:
        """Return the newest entry id; see `ports.bus.Bus`."""
        return self._stream(find_topic(topic).name).last

    async def dead_letters(self, topic: str, *, count: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters of a topic, oldest first."""
        return self._stream(find_topic(topic).name).dead[-count:]

    async def bury(self, group: str, entry: Entry, reason: Reason = Reason.POISON) -> None:
        """Write an entry that cannot be applied to the dead letters and acknowledge it."""
        self._bury(find_topic(entry.topic), group, entry_key(entry.entry_id), reason)

    async def length(self, topic: str) -> int:
        """Return how many entries a topic holds."""
        return len(self._stream(find_topic(topic).name).rows)

    async def close(self) -> None:
        """Nothing is held open."""

    def _stream(self, name: str) -> _Stream:
        return self.streams.setdefault(name, _Stream())

    def _group(self, name: str, group: str) -> _Group:
        return self._stream(name).groups.setdefault(group, _Group())

    def _after(self, places: Mapping[str, _Key], count: int) -> list[tuple[str, _Key]]:
        found: list[tuple[str, _Key]] = []
        for name, at in places.items():
            fresh = sorted(key for key in self._stream(name).rows if key > at)[:count]
            found += [(name, key) for key in fresh]
        return found

    def _read(self, names: Sequence[str], group: str, consumer: str, count: int) -> list[Entry]:
        found: list[Entry] = []
        for name in names:
            state = self._group(name, group)
            fresh = sorted(key for key in self._stream(name).rows if key > state.last)[:count]
            for key in fresh:
                state.last = key
                state.pending[key] = _Pending(consumer, self._now_ns())
                found += self._sort_out(find_topic(name), group, key, 1)
        return found

    def _sort_out(self, topic: Topic, group: str, key: _Key, deliveries: int) -> list[Entry]:
        verdict = decode_entry(self._stream(topic.name).rows.get(key))
        if isinstance(verdict, Envelope) and deliveries > DELIVERIES_MAX:
            verdict = Reason.POISON
        if isinstance(verdict, Reason):
            self._bury(topic, group, key, verdict)
            return []
        return [Entry(topic.name, f"{key[0]}-{key[1]}", verdict, deliveries)]

    def _bury(self, topic: Topic, group: str, key: _Key, reason: Reason) -> None:
        stream = self._stream(topic.name)
        body = stream.rows.get(key, b"")[:KEPT_BYTES_MAX]
        stream.dead.append(DeadLetter(f"{key[0]}-{key[1]}", group, reason, body))
        self._group(topic.name, group).pending.pop(key, None)

    def _over_share(self, stream: _Stream) -> list[_Key]:
        share = self._memory_max // sum(topic.is_market for topic in TOPICS.values())
        used = sum(len(body) for body in stream.rows.values())
        kept = len(stream.rows) * share // used if used > share else len(stream.rows)
        return sorted(stream.rows)[: len(stream.rows) - kept]
