"""The journal port: what was decided, sent and traded, in one order, once, for ever.

A call either commits all of its facts with all of their effects (orders, reservations, fills,
ledger, outbox, consumer offset) or none. Facts are recognised again by their id, and fills by the
venue's trade id, so every call may be repeated after a failure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from jts_trading.domain.errors import TransientError
from jts_trading.domain.journal_events import IntentRecorded, JournalEvent, OrderAdopted
from jts_trading.domain.ledger_rows import BalanceRow, FillRow, OrderRow
from jts_trading.domain.orders import InvariantError


class JournalUnavailableError(TransientError):
    """The journal did not answer; repeat the call, it tells what had been committed."""


class FencedError(InvariantError):
    """The lease was lost: another sender may be active, so nothing was written."""


class UncoveredError(InvariantError):
    """The account does not hold what the order would reserve; nothing was written.

    Attributes:
        order_id: The first order that is not covered.
    """

    def __init__(self, message: str, order_id: str = "") -> None:
        super().__init__(message)
        self.order_id = order_id


@dataclass(frozen=True, slots=True)
class Fact:
    """An event with where it came from.

    Attributes:
        event: What happened.
        ts_ns: When we recorded it, instance time, UTC ns.
        correlation_id: The frame or request that everything began with.
        causation_id: The message that led to it.
        event_id: Unique; worked out from the event when empty, so that the same event twice is
            one. Give one to events that may rightly happen again.
    """

    event: JournalEvent
    ts_ns: int
    correlation_id: str = ""
    causation_id: str = ""
    event_id: str = ""


class Consumed(msgspec.Struct, frozen=True, kw_only=True):
    """The input whose effect a call commits.

    Attributes:
        consumer: Who read it.
        source: Topic or stream that it was read from.
        position: Its place there; grows.
    """

    consumer: str
    source: str
    position: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where a fact stands.

    Attributes:
        seq: Its number in the journal; 0 for what was consumed before without a trace.
        is_new: False when it had been recorded before; then nothing was changed.
    """

    seq: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the journal.

    Attributes:
        seq: Number over all writers, without gaps.
        writer: Whose chain it belongs to.
        position: Number within that chain, from 1.
        stream: What it is about, such as `order/<id>`.
        payload: Canonical bytes of the event.
        prev_hash: Hash of the writer's row before.
        hash: SHA-256 over all of the above.
    """

    seq: int
    writer: str
    position: int
    stream: str
    type: str
    schema_version: int
    event_id: str
    correlation_id: str
    causation_id: str
    ts_ns: int
    consumed: Consumed | None
    payload: bytes
    prev_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """What one event says to the bus; published at least once.

    Attributes:
        seq: Number of the event.
        major_ms: First part of its entry id: never falls.
    """

    seq: int
    major_ms: int
    topic: str
    type: str
    version: int
    payload: bytes
    event_id: str
    correlation_id: str
    causation_id: str
    writer: str
    ts_ns: int

    @property
    def entry_id(self) -> str:
        """Its place on the bus; grows with `seq`."""
        return f"{self.major_ms}-{self.seq}"


@dataclass(frozen=True, slots=True)
class AccountBooks:
    """What the journal knows of one account, at one moment.

    Attributes:
        orders: Those that have not ended and those that were asked for, in order of their intents.
        fills: Of these orders, in the order in which they were booked.
        balances: All of the account, sorted by key.
        newest_seq: Number of the newest event that moved its money or instruments; 0 before any.
    """

    orders: tuple[OrderRow, ...] = ()
    fills: tuple[FillRow, ...] = ()
    balances: tuple[BalanceRow, ...] = ()
    newest_seq: int = 0


@dataclass(frozen=True, slots=True)
class AccountDesk:
    """What the sender needs to know of one account before an order, at one moment.

    Attributes:
        orders: Those that have not ended, in order of their intents.
        wishes: The first event of each of them, by order id.
        balances: All of the account, sorted by key.
    """

    orders: tuple[OrderRow, ...] = ()
    wishes: Mapping[str, IntentRecorded | OrderAdopted] = field(default_factory=dict)
    balances: tuple[BalanceRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send.

    Attributes:
        token: Grows with every new holder.
        seconds: How long it lasts from its last renewal.
    """

    name: str
    holder: str
    token: int
    seconds: float


class Journal(Protocol):
    """Append-only events with their projections."""

    async def record_intent(
        self, facts: Sequence[Fact], consumed: Consumed | None = None
    ) -> list[Recorded]:
        """Commit intents with their reservations and the input that they come from.

        The decisions and signals that led to them belong into the same call, also those that led
        to no intent.

        Raises:
            UncoveredError: The account cannot cover a reservation.
            InvariantError: A fact contradicts what is recorded; nothing was written.
            JournalUnavailableError: Not known to be committed; repeat it.
        """
        ...

    async def record_attempt(self, fact: Fact, notes: Sequence[Fact] = ()) -> Recorded:
        """Commit that bytes are about to be sent; send them only if the answer is new.

        Args:
            fact: The attempt.
            notes: Facts of any kind that are committed before it, such as the risk verdict.

        Raises:
            FencedError: The lease is not held under this token any more.
            InvariantError: An earlier attempt is not proven absent, or the id was used.
            JournalUnavailableError: Not known to be committed; do not send.
        """
        ...

    async def record_event(
        self, facts: Sequence[Fact], consumed: Consumed | None = None
    ) -> list[Recorded]:
        """Commit facts of any kind but intents and attempts.

        Raises:
            InvariantError: A fact contradicts what is recorded; nothing was written.
            JournalUnavailableError: Not known to be committed; repeat it.
        """
        ...

    async def load_open(self) -> list[OrderRow]:
        """Return every order that has not ended, in order of their intents.

        Raises:
            JournalUnavailableError: It did not answer.
        """
        ...

    async def find_order(
        self,
        *,
        order_id: str | None = None,
        client_order_id: str | None = None,
        venue_order_id: tuple[str, str, str] | None = None,
    ) -> OrderRow | None:
        """Return the order of one of its ids; the venue's is (broker, account, id), newest first.

        Raises:
            JournalUnavailableError: It did not answer.
        """
        ...

    async def ledger(self) -> list[BalanceRow]:
        """Return all balances, sorted by key.

        Raises:
            JournalUnavailableError: It did not answer.
        """
        ...

    async def account_books(
        self, broker: str, account: str, venue_order_ids: Sequence[str] = ()
    ) -> AccountBooks:
        """Return what is known of an account, with the orders of these venue ids, ended or not.

        Raises:
            JournalUnavailableError: It did not answer.
        """
        ...

    async def account_desk(self, broker: str, account: str) -> AccountDesk:
        """Return the open orders of an account with their wishes, and its balances.

        Raises:
            JournalUnavailableError: It did not answer.
        """
        ...

    async def events(self, after_seq: int, limit: int) -> list[StoredEvent]:
        """Return events in order.

        Raises:
            JournalUnavailableError: It did not answer.
        """
        ...

    async def stream(self, name: str, newest: int = 1_000) -> list[StoredEvent]:
        """Return the newest events about one thing in order: `order/<id>`, `note/<topic>`, ...

        Raises:
            JournalUnavailableError: It did not answer.
        """
        ...


class Outbox(Protocol):
    """What is committed and waits to be published."""

    async def publish_pending(self, publish: "Publish", limit: int) -> int:
        """Hand unpublished messages to `publish` in order and mark them; return how many.

        One caller at a time: another one gets 0 at once. A message that `publish` raises on stays
        unpublished, and so do those after it.
        """
        ...

    async def wait(self, seconds: float) -> bool:
        """Return True as soon as something was committed, False when nothing was in that time.

        One caller at a time.

        Raises:
            JournalUnavailableError: It cannot be heard.
        """
        ...

    async def newest_published(self) -> dict[str, OutboxMessage]:
        """Return the newest published message of each topic."""
        ...

    async def reopen(self, topic: str, after_seq: int) -> int:
        """Mark the messages of a topic after a number unpublished; return how many."""
        ...

    async def prune(self, before_ms: int) -> int:
        """Forget published messages older than every topic keeps; return how many.

        Args:
            before_ms: Compared with the first part of their entry ids.
        """
        ...


class Publish(Protocol):
    """Puts one message on the bus."""

    async def __call__(self, message: OutboxMessage) -> None:
        """Return when the bus holds it."""
        ...


class Leases(Protocol):
    """Who may send."""

    async def acquire_lease(
        self, name: str, holder: str, seconds: float, *, is_successor: bool = False
    ) -> Lease | None:
        """Return the lease with a new token if it is free or has run out, else None.

        Args:
            name: Of the lease.
            holder: Who asks.
            seconds: How long it lasts.
            is_successor: Earlier processes under the same holder are known to be dead (a file
                lock says so): what they hold counts as free.
        """
        ...

    async def renew_lease(self, lease: Lease) -> bool:
        """Prolong it; False when it is held under another token."""
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Give it back, if it is still held."""
        ...


def require_kind(facts: Sequence[Fact], *kinds: type[JournalEvent]) -> None:
    """Refuse what another call is for.

    Raises:
        InvariantError: A fact is of another kind.
    """
    for fact in facts:
        if not isinstance(fact.event, kinds):
            accepted = " or ".join(kind.__name__ for kind in kinds)
            raise InvariantError(f"{type(fact.event).__name__} is no {accepted}")
