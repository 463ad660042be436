"""The bus port: named topics, groups that each see every entry once, whole acknowledgement.

An entry carries one envelope. A group remembers how far it has read and what its consumers have
not acknowledged; `claim` hands over what a dead consumer left. Delivery is at least once: a
consumer commits its effect and the envelope's id (or its outbox number) together, so that a
second delivery has no effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from jts_trading.domain.errors import TerminalError, TransientError

ENVELOPE_VERSION = 1


class BusUnavailableError(TransientError):
    """The bus did not answer in time; whether an entry landed is not known."""


class BusRefusedError(TerminalError):
    """The topic is unknown or the entry is too large; nothing was published."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What every entry of the bus looks like from outside.

    Attributes:
        type: Registered name of the payload.
        version: Registered version of the payload.
        id: Unique; the same message published again has the same id.
        correlation_id: The frame or request that everything began with.
        causation_id: The message that led to this one; its own id where there is none.
        source: Role and instance that published it.
        ts_event_ns: When it happened, UTC ns.
        ts_recv_ns: When we knew of it, UTC ns.
        payload: The payload in MessagePack.
        sequence: Number of the journal's outbox; None for what is not journalled.
        envelope: Version of the envelope itself.
    """

    type: str
    version: int
    id: str
    correlation_id: str
    causation_id: str
    source: str
    ts_event_ns: int
    ts_recv_ns: int
    payload: bytes
    sequence: int | None = None
    envelope: int = ENVELOPE_VERSION


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery to one consumer of a group.

    Attributes:
        entry_id: Position in the topic, `milliseconds-number`.
        deliveries: 1 at first; more after a claim.
    """

    topic: str
    entry_id: str
    envelope: Envelope
    deliveries: int = 1


class Bus(Protocol):
    """Named topics with consumer groups."""

    async def publish(self, topic: str, envelope: Envelope, entry_id: str | None = None) -> bool:
        """Append an entry; return False when `entry_id` proves that it was appended before.

        Args:
            topic: One of the named topics.
            envelope: What to append.
            entry_id: A growing id of the caller, `milliseconds-number`; then this call may be
                repeated after a failure. Without one the bus numbers the entry.

        Raises:
            BusRefusedError: The topic is unknown or the entry is too large.
            BusUnavailableError: The bus did not answer.
        """
        ...

    async def extend(
        self,
        topic: str,
        entries: "Sequence[tuple[tuple[int, int], Envelope]]",
        *,
        after: tuple[int, int],
    ) -> bool:
        """Append entries right behind the newest one; return False when that is not `after`.

        For the only writer of a topic that keeps its entries elsewhere: it learns in the same step
        that the bus was wiped, or that somebody else writes, and loses nothing. All of them are
        appended, or none.

        Args:
            topic: One of the named topics.
            entries: Ids (milliseconds and number), growing and greater than `after`, with what
                to append.
            after: Id of the newest entry that ever was in the topic; (0, 0) for none.

        Raises:
            BusRefusedError: The topic is unknown or an entry is too large; nothing was appended.
            BusUnavailableError: The bus did not answer; the entries may have landed.
        """
        ...

    async def consume(
        self, topics: Sequence[str], group: str, consumer: str, *, count: int, wait_ms: int
    ) -> list[Entry]:
        """Return entries that no consumer of the group has seen; empty when none came in time.

        Groups are created where they are missing and begin with the oldest entry. An entry that
        cannot be read goes to the dead letters and is not returned.

        Raises:
            BusRefusedError: A topic is unknown.
            BusUnavailableError: The bus did not answer.
        """
        ...

    async def read(
        self, positions: Mapping[str, str], *, count: int, wait_ms: int
    ) -> "tuple[list[Entry], dict[str, str]]":
        """Return entries after some positions, and the positions after them; no group is involved.

        For a reader that keeps its own place: it may read the same entries again. Entries of one
        topic come in their order. What cannot be read is left out, and passed over.

        Args:
            positions: Topic to the id of the last entry that was read; `0-0` for all there are.
            count: Most entries of each topic.
            wait_ms: How long to wait when there is nothing.

        Raises:
            BusRefusedError: A topic is unknown.
            BusUnavailableError: The bus did not answer.
        """
        ...

    async def acknowledge(self, group: str, entries: Sequence[Entry]) -> None:
        """Forget entries for this group: their effect is committed.

        Raises:
            BusUnavailableError: The bus did not answer; they may be delivered again.
        """
        ...

    async def claim(
        self, topic: str, group: str, consumer: str, *, idle_ms: int, count: int
    ) -> list[Entry]:
        """Take over entries that another consumer got and did not acknowledge for `idle_ms`.

        What was delivered too often goes to the dead letters instead.

        Raises:
            BusUnavailableError: The bus did not answer.
        """
        ...

    async def trim(self, topic: str, now_ns: int) -> int:
        """Drop what is older than the topic's retention; return how many entries.

        A money topic keeps what its slowest group has not acknowledged, however old.

        Raises:
            BusUnavailableError: The bus did not answer.
        """
        ...

    async def newest(self, topic: str) -> tuple[int, int] | None:
        """Return the id of the newest entry that ever was in a topic; None if it is not known.

        Raises:
            BusUnavailableError: The bus did not answer.
        """
        ...
