"""Many ticks in one entry: at most 256 of them or 2 ms, acknowledged whole.

A batch is a MessagePack array of the encoded items, so a reader that knows the type of one item
knows the type of the batch. The clock is the caller's monotonic one: 2 ms are real milliseconds.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

ITEMS_MAX = 256
AGE_NS_MAX = 2_000_000
_Item = TypeVar("_Item", bound=msgspec.Struct)


class Batcher:
    """Gathers items until a batch is due.

    Args:
        monotonic_ns: Reads real monotonic time.
    """

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._monotonic_ns = monotonic_ns
        self._items: list[msgspec.Struct] = []
        self._first_ns = 0

    def add(self, item: msgspec.Struct) -> bytes | None:
        """Take an item in; return the batch when this one completes it."""
        if not self._items:
            self._first_ns = self._monotonic_ns()
        self._items.append(item)
        return self.take() if len(self._items) >= ITEMS_MAX or self.due_in_ns() == 0 else None

    def due_in_ns(self) -> int | None:
        """Return after how long the batch must go; None when there is nothing to send."""
        if not self._items:
            return None
        return max(0, self._first_ns + AGE_NS_MAX - self._monotonic_ns())

    def take(self) -> bytes | None:
        """Return what was gathered as one payload and begin again; None without an item."""
        if not self._items:
            return None
        payload = encode_batch(self._items)
        self._items = []
        return payload


def encode_batch(items: Sequence[msgspec.Struct]) -> bytes:
    """Return items as one payload."""
    return msgspec.msgpack.encode(items)


def decode_batch(payload: bytes, item: type[_Item]) -> list[_Item]:
    """Return the items of a payload.

    Raises:
        msgspec.DecodeError: It is not a batch of these items.
    """
    batch: Any = list.__class_getitem__(item)
    items: list[_Item] = msgspec.msgpack.decode(payload, type=batch)
    return items
