"""What a trade of the market does to an order on paper. Pure.

Nobody notices an order on paper, so it is filled whole. The first trade that was received after
the order was accepted decides: a market order is filled at its price; a limit order that it meets
or betters is filled at its price too, as one that arrives and crosses would be. A limit order that
is still open then rests behind everybody at its price, so only a trade beyond its limit fills it,
at the limit. An `ioc` or `fok` order that the first trade does not fill is gone; a `day` order is
gone with the first trade of the next day of the venue.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import TradeTick

BROKER = "paper"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOrder:
    """An order that works.

    Attributes:
        number: Unique for ever; grows.
        day: On which it was accepted, in the venue's zone.
        price: Limit; None for a market order.
        accepted_ns: Instance time, UTC ns; trades that were received later count.
        is_resting: A trade has passed since it was accepted.
    """

    number: int
    day: date
    client_order_id: str
    instrument_id: str
    venue: str
    side: OrderSide
    quantity: Decimal
    price: Decimal | None
    time_in_force: str
    currency: str
    accepted_ns: int
    is_resting: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """The whole order was traded at a price."""

    price: Decimal


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The order is gone, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rests:
    """The order has become one that rests."""


Effect = Filled | Lapsed | Rests | None


def meet(order: PaperOrder, trade: TradeTick) -> Effect:
    """Return what a trade does to an order; None for nothing."""
    if trade.instrument_id != order.instrument_id or trade.ts_recv_ns <= order.accepted_ns:
        return None
    if order.time_in_force == "day" and local_date(order.venue, trade.ts_recv_ns) > order.day:
        return Lapsed("its day is over")
    return _resting(order, trade.price) if order.is_resting else _arriving(order, trade.price)


def _arriving(order: PaperOrder, price: Decimal) -> Effect:
    if order.price is None or price == order.price or _is_beyond(order, price):
        return Filled(price)
    if order.time_in_force in {"ioc", "fok"}:
        return Lapsed("it was not filled at once")
    return Rests()


def _resting(order: PaperOrder, price: Decimal) -> Effect:
    return Filled(order.price or price) if _is_beyond(order, price) else None


def _is_beyond(order: PaperOrder, price: Decimal) -> bool:
    limit = order.price
    if limit is None:
        return True
    return price < limit if order.side is OrderSide.BUY else price > limit
