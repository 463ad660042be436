"""Asking for a cancel: what to write into the journal, and the numbers of cancels.

Whoever wants an order cancelled (a person, the kill switch, an outside program) records what
`ask` returns; the executor sees it in the state of the order and sends the cancel. Nobody else
talks to the venue.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from jts_trading.domain.journal_events import CancelRequested, JournalEvent, OrderExpired
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import OrderState


@dataclass(frozen=True, slots=True)
class CancelAsk:
    """What to record.

    Attributes:
        event: None when there is nothing to ask for now.
        event_id: Of the fact, so that the same ask twice is one.
        reason: Why there is nothing to ask for; empty when there is.
    """

    event: CancelRequested | OrderExpired | None
    event_id: str = ""
    reason: str = ""


def ask(order: OrderRow, number: int, why: str) -> CancelAsk:
    """Return the event that asks for the cancel of an order.

    Args:
        order: As the journal has it.
        number: See `next_number`.
        why: Kept with an order that was not sent yet.
    """
    match order.status:
        case OrderState.INTENT | OrderState.ABSENT:
            event = OrderExpired(order_id=order.id, reason=f"cancelled before it was sent: {why}")
            return CancelAsk(event, f"expired/{order.id}")
        case OrderState.OPEN | OrderState.PARTIAL:
            return CancelAsk(
                CancelRequested(order_id=order.id, number=number), f"cancel/{order.id}/{number}"
            )
        case OrderState.CANCELLING:
            return CancelAsk(None, reason="its cancel is under way")
        case OrderState.SENDING | OrderState.UNKNOWN:
            return CancelAsk(None, reason=f"it is {order.status}: ask again when evidence is in")
        case _:
            return CancelAsk(None, reason=f"it is {order.status} already")


def next_number(events: Iterable[JournalEvent]) -> int:
    """Return the number of the next cancel, given the events of the order."""
    return newest_number(events) + 1


def newest_number(events: Iterable[JournalEvent]) -> int:
    """Return the number of the newest cancel among the events of an order; 0 without one."""
    numbers = [event.number for event in events if isinstance(event, CancelRequested)]
    return max(numbers, default=0)
