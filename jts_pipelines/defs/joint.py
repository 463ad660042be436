"""The joint between Dagster and the bus: connections for one tick, and envelopes of ours.

Pure of Dagster. A sensor is called again and again from a process that also does other things, so
it opens a connection for one look and closes it; a bus that is not there raises, the tick is
red, and the next one tries again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.bus import Entry, Envelope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jts_pipelines.defs.house import House
    from jts_trading.bus.redis_streams import RedisBus

SOURCE = "dagster"
_READ_MAX = 500
_Answer = TypeVar("_Answer")


def ask_bus(house: "House", question: "Callable[[RedisBus], Awaitable[_Answer]]") -> _Answer:
    """Open the bus of an instance, ask it, and close it again.

    Raises:
        BusUnavailableError: It does not answer.
    """

    async def ask() -> _Answer:
        async with _open(house.settings.redis_dsn) as bus:
            return await question(bus)

    return asyncio.run(ask())


def envelope_of(
    message: msgspec.Struct,
    *,
    message_id: str,
    now_ns: int,
    correlation_id: str = "",
    causation_id: str = "",
) -> Envelope:
    """Return the envelope of a registered message.

    Args:
        message: The payload.
        message_id: Unique, and the same whenever this message is published again.
        now_ns: Instance time, UTC ns.
        correlation_id: What everything began with; the message itself if empty.
        causation_id: The message that led to this one, likewise.
    """
    name, version = MESSAGES.identify(message)
    return Envelope(
        type=name,
        version=version,
        id=message_id,
        correlation_id=correlation_id or message_id,
        causation_id=causation_id or message_id,
        source=SOURCE,
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
        payload=msgspec.msgpack.encode(message),
    )


async def publish_once(
    bus: "RedisBus", topic: str, envelope: Envelope, *, since: str = "0-0"
) -> bool:
    """Publish unless the topic holds the message already; return whether it was published now.

    Args:
        bus: Where to.
        topic: One of the named topics.
        envelope: What.
        since: Entry id after which an earlier publication would stand.
    """
    at: Mapping[str, str] = {topic: since}
    while True:
        entries, then = await bus.read(at, count=_READ_MAX, wait_ms=0)
        if any(_is_same(entry, envelope) for entry in entries):
            return False
        if then == at:
            break
        at = then
    await bus.publish(topic, envelope)
    return True


def _is_same(entry: Entry, envelope: Envelope) -> bool:
    return entry.envelope.id == envelope.id


@asynccontextmanager
async def _open(dsn: str) -> "AsyncIterator[RedisBus]":
    from jts_trading.bus.redis_streams import RedisBus

    bus = RedisBus(dsn)
    try:
        yield bus
    finally:
        await bus.close()
