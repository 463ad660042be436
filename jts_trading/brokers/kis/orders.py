"""Everything that changes an order at KIS. The one file that may.

KIS knows no order id of ours. Each method sends its request once and returns an answer or a
refusal; when it raises UnknownOutcome the caller must look the order up in `KisRest.orders` by
symbol, side, quantity, price and time before anything else happens to it.
"""

from dataclasses import dataclass
from enum import StrEnum

from jts_trading.brokers.kis import codec, wire
from jts_trading.brokers.kis.errors import DecodeError
from jts_trading.brokers.kis.transport import Gate, KisTransport
from jts_trading.domain.account_reports import OrderAnswer, OrderRefusal
from jts_trading.domain.errors import UnknownOutcome
from jts_trading.domain.market.costs import Side

_AMEND, _CANCEL = "01", "02"


class OrderDivision(StrEnum):
    """Order types by the venue's code (ORD_DVSN); the paper host knows the first five only."""

    LIMIT = "00"
    MARKET = "01"
    CONDITIONAL_LIMIT = "02"
    BEST_LIMIT = "03"
    FIRST_PRIORITY = "04"
    LIMIT_IOC = "11"
    LIMIT_FOK = "12"
    MARKET_IOC = "13"
    MARKET_FOK = "14"


_PRICED = {
    OrderDivision.LIMIT,
    OrderDivision.CONDITIONAL_LIMIT,
    OrderDivision.LIMIT_IOC,
    OrderDivision.LIMIT_FOK,
}


@dataclass(frozen=True, slots=True)
class CashOrder:
    """A new order, as risk has approved it.

    Attributes:
        symbol: Six characters.
        side: BUY or SELL.
        quantity: Whole shares, above zero.
        price: Won; None for a type without a price.
    """

    symbol: str
    side: Side
    quantity: int
    price: int | None
    division: OrderDivision = OrderDivision.LIMIT

    def __post_init__(self) -> None:
        """Refuse what the wire could not express.

        Raises:
            ValueError: Side, quantity or price does not fit the type.
        """
        if self.side not in (Side.BUY, Side.SELL) or self.quantity <= 0:
            raise ValueError(f"{self.side} {self.quantity}; accepted: BUY or SELL, above 0")
        _check_price(self.division, self.price)


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order that the venue knows: the number of its day and the branch that gave it."""

    order_no: str
    branch: str


class KisOrders:
    """Sends changes of orders of one account.

    Args:
        transport: Calls REST.
    """

    def __init__(self, transport: KisTransport) -> None:
        self._transport = transport
        self._settings = transport.settings

    async def submit(
        self, order: CashOrder, gate: Gate | None = None
    ) -> OrderAnswer | OrderRefusal:
        """Send a new order once.

        Args:
            order: What to send.
            gate: See `KisTransport.order`.

        Raises:
            VenueBusyError: Nothing was done: a limit, or no connection.
            TokenError: Nothing was done: the token was refused.
            UnknownOutcome: It may or may not have been accepted.
        """
        body = wire.CashOrderRequest(
            cano=self._settings.account,
            acnt_prdt_cd=self._settings.product,
            pdno=order.symbol,
            ord_dvsn=order.division,
            ord_qty=str(order.quantity),
            ord_unpr=str(order.price or 0),
        )
        return await self._send(wire.BUY if order.side is Side.BUY else wire.SELL, body, gate)

    async def amend(
        self,
        placed: PlacedOrder,
        *,
        price: int | None,
        quantity: int | None = None,
        division: OrderDivision = OrderDivision.LIMIT,
    ) -> OrderAnswer | OrderRefusal:
        """Give what remains of an order, or a part, another price or type; it gets a new number.

        Args:
            placed: The order.
            price: New limit in won; None for a type without a price.
            quantity: Shares to change; None is all that remains.
            division: New type.

        Raises:
            ValueError: The price does not fit the type.
            VenueBusyError: Nothing was done: a limit, or no connection.
            TokenError: Nothing was done: the token was refused.
            UnknownOutcome: It may or may not have been accepted.
        """
        _check_price(division, price)
        return await self._change(placed, _AMEND, quantity, price, division)

    async def cancel(
        self, placed: PlacedOrder, *, quantity: int | None = None
    ) -> OrderAnswer | OrderRefusal:
        """Cancel what remains of an order, or a part.

        Raises:
            VenueBusyError: Nothing was done: a limit, or no connection.
            TokenError: Nothing was done: the token was refused.
            UnknownOutcome: It may or may not have been accepted.
        """
        return await self._change(placed, _CANCEL, quantity, None, OrderDivision.LIMIT)

    async def _change(
        self,
        placed: PlacedOrder,
        verb: str,
        quantity: int | None,
        price: int | None,
        division: OrderDivision,
    ) -> OrderAnswer | OrderRefusal:
        body = wire.ChangeRequest(
            cano=self._settings.account,
            acnt_prdt_cd=self._settings.product,
            krx_fwdg_ord_orgno=placed.branch,
            orgn_odno=placed.order_no,
            ord_dvsn=division,
            rvse_cncl_dvsn_cd=verb,
            ord_qty=str(quantity or 0),
            ord_unpr=str(price or 0),
            qty_all_ord_yn="Y" if quantity is None else "N",
        )
        return await self._send(wire.CHANGE, body)

    async def _send(
        self,
        call: wire.Call,
        body: wire.CashOrderRequest | wire.ChangeRequest,
        gate: Gate | None = None,
    ) -> OrderAnswer | OrderRefusal:
        answer = await self._transport.order(call, body, gate)
        if isinstance(answer, OrderRefusal):
            return answer
        try:
            return codec.decode_order_answer(answer.body)
        except DecodeError as error:
            raise UnknownOutcome(f"KIS accepted an order without a number: {error}") from error


def _check_price(division: OrderDivision, price: int | None) -> None:
    is_priced = division in _PRICED
    if is_priced != (price is not None) or (price is not None and price <= 0):
        wanted = "a price above 0" if is_priced else "no price"
        raise ValueError(f"order type {division.name} with price {price}; accepted: {wanted}")
