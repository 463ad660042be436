"""Deterministic ids: the same judgement, worked out again anywhere, has the same ids."""

import uuid

_NAMESPACE = uuid.UUID("3f1c6d0e-6d0b-5b6e-9f5e-0a4f6f1f7d21")


def decision_id(
    instance: str, release: str, instrument_id: str, interval: str, bar_start_ns: int
) -> str:
    """Return the id of the judgement of one bar by one release of an instance."""
    return _made_of(instance, release, instrument_id, interval, str(bar_start_ns))


def signal_id(decision: str, reason: int) -> str:
    """Return the id of a rule, or a reason of the risk block, that fired in a decision."""
    return _made_of(decision, str(reason))


def order_id(signal: str, tries: int) -> str:
    """Return the id of the order that is given for a signal, after so many earlier tries."""
    return _made_of(signal, "order") if not tries else _made_of(signal, "order", str(tries))


def bar_id(instrument_id: str, venue: str, interval: str, start_ns: int) -> str:
    """Return the id under which a bar is published."""
    return _made_of("bar", instrument_id, venue, interval, str(start_ns))


def _made_of(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "|".join(parts)))
