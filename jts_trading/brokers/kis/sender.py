"""The sender port over KIS: approved orders in the wire's terms, answers in ours.

KIS keeps no id of ours: after an unknown outcome only the day's order list can tell, so the
executor never has two unanswered orders of one account in flight.
"""

from decimal import Decimal

from jts_trading.brokers.kis.codec import BROKER
from jts_trading.brokers.kis.errors import DecodeError, VenueRefusedError
from jts_trading.brokers.kis.fields import instant_ns
from jts_trading.brokers.kis.orders import CashOrder, KisOrders, OrderDivision, PlacedOrder
from jts_trading.brokers.kis.permits import PrepaidPermits
from jts_trading.brokers.kis.settings import KisSettings
from jts_trading.brokers.kis.transport import KisTransport
from jts_trading.domain.account_reports import OrderAnswer, OrderRefusal
from jts_trading.domain.errors import TransientError
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.market.costs import Side
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import local_date
from jts_trading.execution.priority import Priority
from jts_trading.ports.clock import Clock
from jts_trading.ports.sender import Accepted, Gate, Refused
from jts_trading.risk.approval import ApprovedOrder, FinalOrder

SIDES = {OrderSide.BUY: Side.BUY, OrderSide.SELL: Side.SELL}
_DIVISIONS = {
    ("day", True): OrderDivision.LIMIT,
    ("day", False): OrderDivision.MARKET,
    ("ioc", True): OrderDivision.LIMIT_IOC,
    ("ioc", False): OrderDivision.MARKET_IOC,
    ("fok", True): OrderDivision.LIMIT_FOK,
    ("fok", False): OrderDivision.MARKET_FOK,
}


class KisSender:
    """Changes orders of one account at KIS; see `ports.sender.Sender`.

    Args:
        orders: Sends over a transport that acquires from `permits`.
        transport: The same transport.
        settings: The account.
        permits: Paid before an order, taken by the transport.
        clock: Its date in Korea is part of a venue order id.
    """

    def __init__(
        self,
        orders: KisOrders,
        transport: KisTransport,
        settings: KisSettings,
        *,
        permits: PrepaidPermits,
        clock: Clock,
    ) -> None:
        self._orders = orders
        self._transport = transport
        self._settings = settings
        self._permits = permits
        self._clock = clock

    @property
    def broker(self) -> str:
        """Name of the broker."""
        return BROKER

    @property
    def account(self) -> str:
        """The ten digits of the account."""
        return self._settings.account + self._settings.product

    async def prepare(self, priority: Priority) -> None:
        """Sign in if it is due and pay for one call.

        Raises:
            TransientError: Neither can be had now.
        """
        try:
            await self._transport.prepare()
        except VenueRefusedError as error:
            # A wrong key is for a person; the orders wait or expire meanwhile.
            raise TransientError(str(error)) from error
        await self._permits.pay(priority)

    async def submit(self, order: ApprovedOrder, gate: Gate) -> Accepted | Refused:
        """Send a new order once; see `ports.sender.Sender`.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: It may or may not have been accepted.
        """
        final = order.order
        try:
            wanted = cash_order(final)
        except (KeyError, ValueError) as error:
            return Refused(code="unsendable", reason=f"KIS has no such order: {error}")
        # The day on which it is sent: an answer after midnight belongs to it.
        day_ns = self._clock.now_ns()
        return self._read(await self._orders.submit(wanted, gate), day_ns)

    async def cancel(self, order: OrderRow) -> Accepted | Refused:
        """Cancel what remains of an order; see `ports.sender.Sender`.

        Raises:
            TransientError: Nothing was done.
            UnknownOutcome: It may or may not have been accepted.
        """
        placed = placed_order(order.venue_order_id or "")
        if placed is None:
            reason = f"{order.venue_order_id!r} names no order at KIS"
            return Refused(code="unsendable", reason=reason)
        day_ns = self._clock.now_ns()
        return self._read(await self._orders.cancel(placed), day_ns)

    def _read(self, answer: OrderAnswer | OrderRefusal, day_ns: int) -> Accepted | Refused:
        if isinstance(answer, OrderRefusal):
            return Refused(code=answer.code, reason=answer.reason)
        day = local_date("KRX", day_ns)
        try:
            ts_ns = instant_ns(day, answer.ordered_at, "ord_tmd")
        except DecodeError:
            ts_ns = 0
        name = f"{day:%Y%m%d}-{answer.branch}-{answer.order_no}"
        return Accepted(venue_order_id=name, ts_venue_ns=ts_ns)


def cash_order(order: FinalOrder) -> CashOrder:
    """Return an order in the terms of KIS.

    Raises:
        KeyError: KIS has no such time in force.
        ValueError: Quantity or price is not whole, or not above zero.
    """
    return CashOrder(
        symbol=order.instrument_id.partition(":")[2],
        side=SIDES[order.side],
        quantity=_whole(order.quantity),
        price=None if order.price is None else _whole(order.price),
        division=_DIVISIONS[order.time_in_force, order.price is not None],
    )


def placed_order(venue_order_id: str) -> PlacedOrder | None:
    """Return number and branch of `<yyyymmdd>-<branch>-<number>`; None for what is no such id."""
    day, _, rest = venue_order_id.partition("-")
    branch, _, number = rest.rpartition("-")
    if not (len(day) == 8 and day.isdigit() and branch and number.isdigit()):
        return None
    return PlacedOrder(order_no=number, branch=branch)


def _whole(value: Decimal) -> int:
    if value % 1:
        raise ValueError(f"{value} is not whole")
    return int(value)
