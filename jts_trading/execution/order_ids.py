"""Names of an order at the venue: made from the order and the attempt, so that nobody keeps them.

The same order and attempt always have the same id, and an id is never used for anything else.
"""

import re

CLIENT_ORDER_ID_MAX = 36
_CLIENT_ORDER_ID = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,2})")


def client_order_id(order_id: str, attempt: int) -> str:
    """Return `<32 hexadecimal digits of the order>-<attempt>`.

    Raises:
        ValueError: The order id is no UUID, or the attempt is not from 1 to 999.
    """
    name = f"{order_id.replace('-', '').lower()}-{attempt}"
    if _CLIENT_ORDER_ID.fullmatch(name) is None:
        raise ValueError(f"order {order_id!r}, attempt {attempt}: accepted: a UUID, 1 to 999")
    return name


def order_of(name: str) -> tuple[str, int] | None:
    """Return order and attempt of a client order id of ours; None for what is none."""
    found = _CLIENT_ORDER_ID.fullmatch(name)
    if found is None:
        return None
    digits = found[1]
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts), int(found[2])
