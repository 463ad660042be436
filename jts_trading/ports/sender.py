"""The sender port: everything that changes an order at a venue. Only the executor may use it.

A call sends its request once. It returns an answer or a refusal, or raises: `TransientError` when
nothing was done, `UnknownOutcome` when the venue may or may not have taken the order. After the
latter nothing may be sent for the order before the reconciler has found evidence.

Between the journalled attempt and the first byte nothing may wait, so whatever takes time (signing
in, permits of a rate limit) happens in `prepare`, before. The gate is asked as the last statement
before bytes leave: a process may have been paused, fenced or killed off since it decided.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.execution.priority import Priority
from jts_trading.risk.approval import ApprovedOrder


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The venue took the request: sent, not filled.

    Attributes:
        venue_order_id: What the journal keeps; enough to cancel the order, in the spelling of the
            broker (`20180226-06010-0000000012` at KIS: day, branch, number).
        ts_venue_ns: Time that the venue gave, UTC ns; 0 where it gives none.
    """

    venue_order_id: str
    ts_venue_ns: int = 0


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The venue refused with a documented code: nothing of the request lives there."""

    code: str
    reason: str


# Raises TransientError when nothing may leave any more; the request is then given up unsent.
Gate = Callable[[], None]


class Sender(Protocol):
    """Changes orders of one account."""

    @property
    def broker(self) -> str:
        """Name of the broker."""
        ...

    @property
    def account(self) -> str:
        """The account, in the broker's spelling."""
        ...

    async def prepare(self, priority: Priority) -> None:
        """Get ready to send one request at once: sign in, take the permits.

        Each call pays for one request; what is not used lapses after some seconds.

        Raises:
            TransientError: The venue cannot be asked now.
        """
        ...

    async def submit(self, order: ApprovedOrder, gate: Gate) -> Accepted | Refused:
        """Send a new order once.

        Args:
            order: What risk has approved.
            gate: Asked as the last statement before bytes leave.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: It may or may not have been accepted.
        """
        ...

    async def cancel(self, order: OrderRow) -> Accepted | Refused:
        """Cancel what remains of an order; it needs no lease and no gate.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: It may or may not have been accepted.
        """
        ...
