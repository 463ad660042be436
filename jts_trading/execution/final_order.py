"""From an order of the journal to what would be sent: the payload that risk judges."""

from typing import Literal, cast

from jts_trading.domain.journal_events import AttemptStarted
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.execution.order_ids import client_order_id
from jts_trading.risk.approval import ApprovedOrder, FinalOrder

_TimeInForce = Literal["day", "ioc", "fok", "gtc"]


def final_order(order: OrderRow) -> FinalOrder:
    """Return the next attempt of an order, for what has not been filled.

    Raises:
        ValueError: Nothing of it is left, or its id is no UUID.
    """
    left = order.quantity - order.filled
    if left <= 0:
        raise ValueError(f"order {order.id}: {order.filled} of {order.quantity} are filled")
    attempt = order.attempt + 1
    return FinalOrder(
        order_id=order.id,
        client_order_id=client_order_id(order.id, attempt),
        attempt=attempt,
        broker=order.broker,
        account=order.account,
        instance=order.instance,
        instrument_id=order.instrument_id,
        venue=order.venue,
        side=order.side,
        quantity=left,
        price=order.price,
        currency=order.currency,
        time_in_force=cast("_TimeInForce", order.time_in_force),
    )


def attempt_of(approved: ApprovedOrder, *, lease: str, token: int) -> AttemptStarted:
    """Return the event that says that exactly this is about to be sent."""
    order = approved.order
    return AttemptStarted(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        attempt=order.attempt,
        payload_hash=approved.payload_hash,
        lease=lease,
        token=token,
        quantity=order.quantity,
        price=order.price,
    )
