"""The bus on Redis Streams.

Theory of operation. One stream per topic, one field `e` per entry. The client never repeats a
command by itself: an XADD that timed out may have landed, and only the caller knows whether its
entry has an id that makes a repetition harmless. Groups start at the oldest entry, so that a group
which is created again after Redis was wiped sees everything that is published again.

An entry that a consumer did not acknowledge stays in the list of its group; `claim` moves it on.
Entries that cannot be read, or that came back too often, are written to `<topic>.dead` and
acknowledged in one transaction.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jts_trading.bus.asking import ask_within
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
from jts_trading.ports.bus import BusRefusedError, BusUnavailableError, Entry, Envelope

_FIELD = b"e"
_TIMEOUT_S = 5.0
_DEAD_LETTERS_MAX = 10_000
_MEMORY_MAX = 256 << 20
_WAIT_MS_MAX = 2_000
_Answer = TypeVar("_Answer")
# The id of the newest entry that ever was outlives trimming, but not the loss of the stream.
_EXTEND = """
local stream = redis.pcall('XINFO', 'STREAM', KEYS[1])
local newest = '0-0'
if not stream.err then
    for at = 1, #stream, 2 do
        if stream[at] == 'last-generated-id' then newest = stream[at + 1] end
    end
end
if newest ~= ARGV[1] then return 0 end
for at = 2, #ARGV, 2 do redis.call('XADD', KEYS[1], ARGV[at], 'e', ARGV[at + 1]) end
return 1
"""


class RedisBus:
    """Topics as Redis Streams; one instance per event loop.

    Args:
        url: `unix:///path` or `redis://host:port`.
        memory_max: Bytes that all market topics together may take.
    """

    def __init__(self, url: str, *, memory_max: int = _MEMORY_MAX) -> None:
        self._client = redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self._memory_max = memory_max

    async def publish(self, topic: str, envelope: Envelope, entry_id: str | None = None) -> bool:
        """Append an entry; see `ports.bus.Bus`."""
        name = find_topic(topic).name
        body = encode_entry(envelope)
        if entry_id is not None:
            entry_key(entry_id)
        try:
            await self._ask(lambda: self._client.xadd(name, {_FIELD: body}, id=entry_id or "*"))
        except exceptions.ResponseError as error:
            if entry_id is not None and "equal or smaller" in str(error):
                return False
            raise _unavailable(error) from error
        return True

    async def extend(
        self,
        topic: str,
        entries: Sequence[tuple[tuple[int, int], Envelope]],
        *,
        after: tuple[int, int],
    ) -> bool:
        """Append entries right behind another; see `ports.bus.Bus`."""
        name = find_topic(topic).name
        values: list[str | bytes] = [f"{after[0]}-{after[1]}"]
        for key, envelope in entries:
            values += [f"{key[0]}-{key[1]}", encode_entry(envelope)]
        script: Any = self._client.eval
        try:
            return bool(await self._ask(lambda: script(_EXTEND, 1, name, *values)))
        except exceptions.ResponseError as error:
            raise _unavailable(error) from error

    async def consume(
        self, topics: Sequence[str], group: str, consumer: str, *, count: int, wait_ms: int
    ) -> list[Entry]:
        """Return entries that the group has not seen; see `ports.bus.Bus`."""
        streams: dict[Any, Any] = {find_topic(topic).name: ">" for topic in topics}
        wait = min(wait_ms, _WAIT_MS_MAX)

        async def read() -> Any:
            return await self._ask(
                lambda: self._client.xreadgroup(
                    group, consumer, dict(streams), count=count, block=wait or None
                )
            )

        try:
            answer = await read()
        except exceptions.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise _unavailable(error) from error
            await self._create_groups(tuple(streams), group)
            answer = await read()
        found: list[Entry] = []
        for name, rows in _pairs(answer):
            topic = find_topic(name.decode())
            numbered = [(entry_id, fields, 1) for entry_id, fields in rows]
            found += await self._sort_out(topic, group, numbered)
        return found

    async def read(
        self, positions: Mapping[str, str], *, count: int, wait_ms: int
    ) -> tuple[list[Entry], dict[str, str]]:
        """Return entries after some positions; see `ports.bus.Bus`."""
        places = {find_topic(topic).name: at for topic, at in positions.items()}
        for at in places.values():
            entry_key(at)
        streams: dict[Any, Any] = dict(places)
        wait = min(wait_ms, _WAIT_MS_MAX)
        answer = await self._ask(
            lambda: self._client.xread(streams, count=count, block=wait or None)
        )
        entries: list[Entry] = []
        for name, rows in _pairs(answer):
            topic = name.decode()
            for entry_id, fields in rows:
                places[topic] = entry_id.decode()
                verdict = decode_entry(fields.get(_FIELD))
                if isinstance(verdict, Envelope):
                    entries.append(Entry(topic, places[topic], verdict))
        return entries, places

    async def acknowledge(self, group: str, entries: Sequence[Entry]) -> None:
        """Forget entries for the group; see `ports.bus.Bus`."""
        by_topic: dict[str, list[str]] = {}
        for entry in entries:
            by_topic.setdefault(entry.topic, []).append(entry.entry_id)
        if not by_topic:
            return
        pipe = self._client.pipeline(transaction=False)
        for topic, ids in by_topic.items():
            pipe.xack(topic, group, *ids)
        await self._ask(pipe.execute)

    async def claim(
        self, topic: str, group: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Entry]:
        """Take over abandoned entries; see `ports.bus.Bus`."""
        known = find_topic(topic)
        try:
            pending = await self._ask(
                lambda: self._client.xpending_range(
                    known.name, group, min="-", max="+", count=count, idle=idle_ms or None
                )
            )
        except exceptions.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise _unavailable(error) from error
            await self._create_groups((known.name,), group)
            return []
        if not pending:
            return []
        counts = {row["message_id"]: int(row["times_delivered"]) + 1 for row in pending}
        rows = await self._take(known.name, group, consumer, idle_ms, list(counts))
        claimed = [(entry_id, fields, counts[entry_id]) for entry_id, fields in rows]
        return await self._sort_out(known, group, claimed)

    async def trim(self, topic: str, now_ns: int) -> int:
        """Drop what is too old; see `ports.bus.Bus`."""
        known = find_topic(topic)
        oldest = (max(0, now_ns // 1_000_000 - known.retention_s * 1000), 0)
        if not known.is_market:
            oldest = min(oldest, await self._slowest(known.name) or oldest)
        keep_from = f"{oldest[0]}-{oldest[1]}"
        dropped = await self._ask(
            lambda: self._client.xtrim(known.name, minid=keep_from, approximate=False)
        )
        if known.is_market:
            dropped += await self._shed(known.name)
        return int(dropped)

    async def newest(self, topic: str) -> tuple[int, int] | None:
        """Return the newest entry id; see `ports.bus.Bus`."""
        name = find_topic(topic).name
        try:
            stream = await self._ask(lambda: self._client.xinfo_stream(name))
        except exceptions.ResponseError:
            return None
        return entry_key(stream["last-generated-id"].decode())

    async def dead_letters(self, topic: str, *, count: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters of a topic, oldest first."""
        name = find_topic(topic).dead_letters
        rows = await self._ask(lambda: self._client.xrevrange(name, count=count))
        return [
            DeadLetter(
                fields[b"entry_id"].decode(),
                fields[b"group"].decode(),
                Reason(fields[b"reason"].decode()),
                fields[b"body"],
            )
            for _, fields in reversed(rows)
        ]

    async def bury(self, group: str, entry: Entry, reason: Reason = Reason.POISON) -> None:
        """Write an entry that cannot be applied to the dead letters and acknowledge it."""
        body = encode_entry(entry.envelope)
        await self._bury(find_topic(entry.topic), group, entry.entry_id.encode(), reason, body)

    async def length(self, topic: str) -> int:
        """Return how many entries a topic holds."""
        name = find_topic(topic).name
        return int(await self._ask(lambda: self._client.xlen(name)))

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _create_groups(self, names: Sequence[str], group: str) -> None:
        for name in names:
            create = partial(self._client.xgroup_create, name, group, id="0", mkstream=True)
            try:
                await self._ask(create)
            except exceptions.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise _unavailable(error) from error

    async def _take(
        self, name: str, group: str, consumer: str, idle_ms: int, ids: list[bytes]
    ) -> list[tuple[bytes, dict[bytes, bytes] | None]]:
        # XCLAIM leaves out what was trimmed away, or answers it as null, by version; we want to
        # know of it: a pending entry that is gone is a dead letter too.
        wanted: Any = ids
        answer = await self._ask(
            lambda: self._client.xclaim(name, group, consumer, idle_ms, wanted)
        )
        there = {row[0]: row[1] for row in answer if row and row[0] is not None}
        found: list[tuple[bytes, dict[bytes, bytes] | None]] = []
        for entry_id in ids:
            if entry_id in there:
                found.append((entry_id, there[entry_id]))
            elif not await self._exists(name, entry_id):
                found.append((entry_id, None))
        return found

    async def _exists(self, name: str, entry_id: bytes) -> bool:
        at = entry_id.decode()
        rows = await self._ask(lambda: self._client.xrange(name, at, at, count=1))
        return bool(rows)

    async def _sort_out(
        self,
        topic: Topic,
        group: str,
        rows: Sequence[tuple[bytes, dict[bytes, bytes] | None, int]],
    ) -> list[Entry]:
        found = []
        for entry_id, fields, deliveries in rows:
            body = (fields or {}).get(_FIELD)
            verdict = decode_entry(body)
            if isinstance(verdict, Envelope) and deliveries > DELIVERIES_MAX:
                verdict = Reason.POISON
            if isinstance(verdict, Reason):
                await self._bury(topic, group, entry_id, verdict, body or b"")
            else:
                found.append(Entry(topic.name, entry_id.decode(), verdict, deliveries))
        return found

    async def _bury(
        self, topic: Topic, group: str, entry_id: bytes, reason: Reason, body: bytes
    ) -> None:
        letter = {
            "entry_id": entry_id,
            "group": group,
            "reason": reason.value,
            "body": body[:KEPT_BYTES_MAX],
        }
        pipe = self._client.pipeline(transaction=True)
        pipe.xadd(topic.dead_letters, cast("dict[Any, Any]", letter), maxlen=_DEAD_LETTERS_MAX)
        pipe.xack(topic.name, group, entry_id)
        await self._ask(pipe.execute)

    async def _slowest(self, name: str) -> tuple[int, int] | None:
        """Return the oldest entry that some group still needs; None without a group."""
        try:
            groups = await self._ask(lambda: self._client.xinfo_groups(name))
        except exceptions.ResponseError:
            return None
        needed = []
        for group in groups:
            first, number = entry_key(group["last-delivered-id"].decode())
            needed.append((first, number + 1))
            summary = await self._ask(partial(self._client.xpending, name, group["name"]))
            if summary["pending"]:
                needed.append(entry_key(summary["min"].decode()))
        return min(needed, default=None)

    async def _shed(self, name: str) -> int:
        """Cut a market topic to its share of the memory that all of them may take."""
        share = self._memory_max // sum(topic.is_market for topic in TOPICS.values())
        used = await self._ask(lambda: self._client.memory_usage(name)) or 0
        if used <= share:
            return 0
        entries = await self._ask(lambda: self._client.xlen(name))
        kept = entries * share // used
        return int(
            await self._ask(lambda: self._client.xtrim(name, maxlen=kept, approximate=False))
        )

    async def _ask(self, command: Callable[[], Awaitable[_Answer]]) -> Any:
        try:
            return await ask_within(2 * _TIMEOUT_S, command)
        except (exceptions.ConnectionError, exceptions.TimeoutError, TimeoutError) as error:
            raise _unavailable(error) from error
        except exceptions.OutOfMemoryError as error:
            raise BusRefusedError(f"bus is full: {error}") from error


def _pairs(answer: Any) -> list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
    """Return streams with their rows, whichever protocol version the server spoke."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [(name, rows[0]) for name, rows in answer.items()]
    return [(name, rows) for name, rows in answer]


def _unavailable(error: Exception) -> BusUnavailableError:
    return BusUnavailableError(f"bus: {' '.join(str(error).split()) or type(error).__name__}")
