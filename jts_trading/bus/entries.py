"""Entries as bytes: one field of MessagePack each, judged before anybody sees them.

Whatever cannot be read becomes a `Refusal` with a reason from a closed set, never an exception:
an entry that is not from us must not stop a group.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from jts_trading.ports.bus import ENVELOPE_VERSION, BusRefusedError, Envelope

ENTRY_BYTES_MAX = 1 << 20
DELIVERIES_MAX = 5
# So much of a refused entry is kept for a person to look at.
KEPT_BYTES_MAX = 64 << 10


class Reason(StrEnum):
    """Why an entry went to the dead letters."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    WRONG_VERSION = "wrong_version"
    POISON = "poison"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry that no consumer of a group will see.

    Attributes:
        entry_id: Its position in the topic.
        group: The group that gave it up.
        body: The first bytes of it.
    """

    entry_id: str
    group: str
    reason: Reason
    body: bytes


def encode_entry(envelope: Envelope) -> bytes:
    """Return the bytes of an envelope.

    Raises:
        BusRefusedError: They are more than an entry may have.
    """
    body = msgspec.msgpack.encode(envelope)
    if len(body) > ENTRY_BYTES_MAX:
        raise BusRefusedError(
            f"{envelope.type} {envelope.id} has {len(body)} bytes; accepted: {ENTRY_BYTES_MAX}"
        )
    return body


def decode_entry(body: bytes | None) -> Envelope | Reason:
    """Return the envelope in an entry, or why there is none."""
    if not body:
        return Reason.EMPTY
    if len(body) > ENTRY_BYTES_MAX:
        return Reason.TOO_LARGE
    try:
        envelope = msgspec.msgpack.decode(body, type=Envelope)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Reason.UNREADABLE
    if envelope.envelope != ENVELOPE_VERSION:
        return Reason.WRONG_VERSION
    return envelope


def entry_key(entry_id: str) -> tuple[int, int]:
    """Return an entry id as numbers, which order as the bus orders entries.

    Raises:
        BusRefusedError: It is not of the form `milliseconds-number`.
    """
    first, dash, second = entry_id.partition("-")
    if not (dash and first.isdecimal() and second.isdecimal()):
        raise BusRefusedError(f"entry id {entry_id!r}; accepted: milliseconds-number")
    return int(first), int(second)
