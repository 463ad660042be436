"""How the paper broker tells of fills: notices as hints, reports and numbers as the truth."""

import uuid
from decimal import Decimal

import msgspec

from jts_trading.brokers.paper.matching import BROKER, PaperOrder
from jts_trading.domain.account_reports import FillNotice
from jts_trading.domain.feed_messages import NoticesCollected
from jts_trading.domain.market.costs import Side
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderSide
from jts_trading.execution.fill_costs import FillCosts
from jts_trading.ports.bus import Envelope

TOPIC = "orders.notices"
SIDES = {OrderSide.BUY: Side.BUY, OrderSide.SELL: Side.SELL}


def order_name(series: str, number: int) -> str:
    """Return the number of an order as it is told."""
    return f"{series}-{number}"


def trade_name(series: str, number: int) -> str:
    """Return the number of a fill as it is told."""
    return f"{series}-t{number}"


def fill_notice(
    order: PaperOrder,
    *,
    series: str,
    account: str,
    number: int,
    price: Decimal,
    costs: FillCosts,
    ts_event_ns: int,
    ts_recv_ns: int,
) -> FillNotice:
    """Return the notice of the fill of a whole order, costs included."""
    return FillNotice(
        broker=BROKER,
        account=account,
        order_no=order_name(series, order.number),
        branch="",
        instrument_id=order.instrument_id,
        venue=order.venue,
        side=SIDES[order.side],
        quantity=order.quantity,
        price=price,
        order_quantity=order.quantity,
        ts_event_ns=ts_event_ns,
        ts_recv_ns=ts_recv_ns,
        trade_id=trade_name(series, number),
        fee=costs.fee,
        tax=costs.tax,
        fee_quantity=costs.fee_quantity,
    )


def notices_envelope(account: str, notices: tuple[FillNotice, ...], now_ns: int) -> Envelope:
    """Return what tells of fills on the bus."""
    message = NoticesCollected(broker=BROKER, account=account, notices=notices)
    kind, version = MESSAGES.identify(message)
    name = str(uuid.uuid4())
    return Envelope(
        type=kind,
        version=version,
        id=name,
        correlation_id=name,
        causation_id=name,
        source=BROKER,
        ts_event_ns=notices[0].ts_event_ns if notices else now_ns,
        ts_recv_ns=now_ns,
        payload=msgspec.msgpack.encode(message),
    )
