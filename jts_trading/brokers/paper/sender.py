"""The sender port over the paper venue; see `ports.sender.Sender`."""

from jts_trading.brokers.paper.matching import BROKER
from jts_trading.brokers.paper.venue import PaperVenue
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.execution.priority import Priority
from jts_trading.ports.sender import Accepted, Gate, Refused
from jts_trading.risk.approval import ApprovedOrder


class PaperSender:
    """Changes orders of the paper account.

    Args:
        venue: In this process.
    """

    def __init__(self, venue: PaperVenue) -> None:
        self._venue = venue

    @property
    def broker(self) -> str:
        """Name of the broker."""
        return BROKER

    @property
    def account(self) -> str:
        """Name of the account."""
        return self._venue.settings.account

    async def prepare(self, priority: Priority) -> None:
        """Nothing has to be prepared."""

    async def submit(self, order: ApprovedOrder, gate: Gate) -> Accepted | Refused:
        """Send a new order once.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: It may or may not have been accepted.
        """
        return await self._venue.submit(order.order, gate)

    async def cancel(self, order: OrderRow) -> Accepted | Refused:
        """Cancel what remains of an order.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: It may or may not have been accepted.
        """
        return await self._venue.cancel(order.venue_order_id or "")
