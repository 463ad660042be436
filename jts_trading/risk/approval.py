"""The approved order: the only thing that a sender takes, and only a review can make one.

The review (`risk.review`) judges exactly the values in here; `payload_hash` names them, is
journalled with the verdict and with the attempt, and is checked again by the executor before bytes
leave. So no path reaches a venue without a verdict for what is sent.
"""

import hashlib
from decimal import Decimal
from typing import Literal

import msgspec

from jts_trading.domain.orders import OrderSide


class FinalOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order after rounding and routing, as it would be sent.

    Attributes:
        client_order_id: Unique for ever; with the attempt in it.
        price: Limit in the instrument's currency; None for a market order.
    """

    order_id: str
    client_order_id: str
    attempt: int
    broker: str
    account: str
    instance: str
    instrument_id: str
    venue: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    currency: str
    time_in_force: Literal["day", "ioc", "fok", "gtc"] = "day"

    @property
    def payload_hash(self) -> str:
        """SHA-256 of every field."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


_SEAL = object()


class ApprovedOrder:
    """An order that the review allowed.

    Args:
        order: What was judged.
        seal: Known to this room only.

    Raises:
        TypeError: Somebody else than the review tries to make one.
    """

    __slots__ = ("order", "payload_hash")

    def __init__(self, order: FinalOrder, *, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("an approved order is made by risk.review and by nobody else")
        self.order = order
        self.payload_hash = order.payload_hash


def approve(order: FinalOrder) -> ApprovedOrder:
    """Seal an order; for `risk.review` alone, after every check has passed."""
    return ApprovedOrder(order, seal=_SEAL)
