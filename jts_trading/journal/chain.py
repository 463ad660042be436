"""Canonical bytes, and one hash chain per writer.

What is hashed: the hash of the writer's row before, the header as canonical JSON, the payload. A
changed, exchanged, inserted or missing row therefore breaks the chain at the first row that it
touches; a cut tail shows against the noted head.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from jts_trading.domain.journal_events import EVENTS, JournalEvent
from jts_trading.domain.schemas import SchemaError
from jts_trading.ports.journal import Consumed, Fact, StoredEvent

GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row of a chain."""

    position: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a verification.

    Attributes:
        rows: How many rows are good, counted from the first.
        bad_seq: The first bad row; None when all are good.
        problem: What is wrong with it; empty when all are good.
    """

    rows: int
    bad_seq: int | None = None
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether every row is as it was written."""
        return not self.problem


def canonical(event: msgspec.Struct) -> bytes:
    """Return the one spelling of a struct: JSON, keys sorted, decimals as text."""
    return msgspec.json.encode(event, order="sorted")


def identify(fact: Fact) -> str:
    """Return the fact's id, or the digest of its event where it has none."""
    if fact.event_id:
        return fact.event_id
    return hashlib.sha256(canonical(fact.event)).hexdigest()[:32]


def stream_of(event: JournalEvent) -> str:
    """Return what an event is about."""
    for field, kind in (
        ("order_id", "order"),
        ("strategy_id", "strategy"),
        ("topic", "note"),
        ("decision_id", "decision"),
    ):
        if hasattr(event, field):
            return f"{kind}/{getattr(event, field)}"
    intent = getattr(event, "intent", None)
    if intent is not None:
        return f"order/{intent.order_id}"
    return f"account/{getattr(event, 'broker', '')}/{getattr(event, 'account', '')}"


def link(
    fact: Fact, consumed: Consumed | None, *, writer: str, seq: int, head: Head
) -> StoredEvent:
    """Return the next row of a writer's chain.

    Raises:
        SchemaError: The event is not registered.
    """
    kind, version = EVENTS.identify(fact.event)
    row = StoredEvent(
        seq=seq,
        writer=writer,
        position=head.position + 1,
        stream=stream_of(fact.event),
        type=kind,
        schema_version=version,
        event_id=identify(fact),
        correlation_id=fact.correlation_id,
        causation_id=fact.causation_id,
        ts_ns=fact.ts_ns,
        consumed=consumed,
        payload=canonical(fact.event),
        prev_hash=head.hash,
        hash=b"",
    )
    return _sealed(row)


def head_of(row: StoredEvent) -> Head:
    """Return the head of a chain that ends with this row."""
    return Head(row.position, row.hash)


def open_event(row: StoredEvent) -> JournalEvent:
    """Return the event in a row.

    Raises:
        SchemaError: Type or version is unknown, or the payload is not of its shape.
    """
    try:
        return read_event_of(row.type, row.schema_version, row.payload)
    except SchemaError as error:
        raise SchemaError(f"journal row {row.seq}: {error}") from error


def read_event_of(kind: str, version: int, payload: bytes) -> JournalEvent:
    """Return the event of a payload.

    Raises:
        SchemaError: Type or version is unknown, or the payload is not of its shape.
    """
    struct = EVENTS.find(kind, version)
    try:
        event: JournalEvent = msgspec.json.decode(payload, type=struct)  # type: ignore[assignment]
    except msgspec.DecodeError as error:
        raise SchemaError(str(error)) from error
    return event


class Verification:
    """Checks rows as they come, in order, each against the chain of its writer."""

    def __init__(self) -> None:
        self._seen: dict[str, Head] = {}
        self._count = 0

    def add(self, row: StoredEvent) -> Verdict | None:
        """Check the next row; return the verdict if it is bad, and stop then."""
        problem = _problem(row, self._count + 1, self._seen.get(row.writer, Head()))
        if problem:
            return Verdict(self._count, row.seq, problem)
        self._seen[row.writer] = head_of(row)
        self._count += 1
        return None

    def finish(self, heads: Mapping[str, Head], newest_seq: int) -> Verdict:
        """Return the verdict after the last row.

        Args:
            heads: The newest row of each writer, noted apart.
            newest_seq: The newest number that was given out, noted apart.
        """
        following = self._count + 1
        for writer in sorted({*self._seen, *heads}):
            found = self._seen.get(writer, Head())
            if found != heads.get(writer, Head()):
                missing = f"the chain of {writer} lacks its row {found.position + 1}"
                return Verdict(self._count, following, missing)
        if newest_seq != self._count:
            return Verdict(self._count, following, f"rows up to {newest_seq} were written")
        return Verdict(self._count)


def verify_rows(
    rows: Iterable[StoredEvent], heads: Mapping[str, Head], newest_seq: int
) -> Verdict:
    """Check a whole journal; see `Verification`."""
    verification = Verification()
    for row in rows:
        verdict = verification.add(row)
        if verdict is not None:
            return verdict
    return verification.finish(heads, newest_seq)


def _problem(row: StoredEvent, seq: int, head: Head) -> str:
    if row.seq != seq:
        return f"row {seq} is missing before row {row.seq}"
    if (row.position, row.prev_hash) != (head.position + 1, head.hash):
        return f"it does not follow row {head.position} of the chain of {row.writer}"
    if _sealed(row).hash != row.hash:
        return "its content is not what was hashed"
    return ""


def _sealed(row: StoredEvent) -> StoredEvent:
    fields = {name: getattr(row, name) for name in row.__slots__}
    header = {
        name: value
        for name, value in fields.items()
        if name not in {"payload", "prev_hash", "hash"}
    }
    content = msgspec.json.encode(header, order="sorted")
    digest = hashlib.sha256(row.prev_hash + len(content).to_bytes(8) + content + row.payload)
    return StoredEvent(**{**fields, "hash": digest.digest()})
