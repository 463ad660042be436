"""The money, positions and working orders of one strategy instance, folded from journal events.

Theory of operation. The journal is the only source: events go in in their order, each once, and
whoever folds the same events has the same account. `cash` is the allocation and what trades have
brought since, so it does not matter on which instance a deposit was booked. What an order may
still use up is reserved until it has ended. Ended orders are remembered for a while, because a
fill may come late.
"""

from decimal import Decimal

import msgspec

from jts_trading.domain.journal_events import (
    CancelRequested,
    IntentRecorded,
    JournalEvent,
    OrderAdopted,
    OrderAmended,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    PositionAdopted,
)
from jts_trading.domain.orders import OrderIntent, OrderSide
from jts_trading.portfolio.fills import cash_of, gross_of, quantity_of, still_reserved
from jts_trading.portfolio.holding import Holding, trade
from jts_trading.portfolio.round_trips import OpenTrip, TripRecord, join

_ZERO = Decimal(0)
_NOTHING = Holding()
ENDED_ORDERS_KEPT = 2_000


class WorkingOrder(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An order of the instance, as far as its account needs it.

    Attributes:
        asset: What is reserved for it: a currency, or the instrument id.
        reserved: How much for the whole order.
        has_ended: Nothing more will be filled, except late.
        is_called_back: Its cancel was asked for, by whomever.
    """

    order_id: str
    instrument_id: str
    side: OrderSide
    quantity: Decimal
    asset: str
    reserved: Decimal
    filled: Decimal = _ZERO
    has_ended: bool = False
    is_called_back: bool = False


class OrderNews(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an event changed for an instrument of the instance.

    Attributes:
        order: After the event; None for a position that came or left without one.
        has_left: The position became flat.
        ts_ns: When, UTC ns.
        price: Of the fill; None for other events.
        is_first_fill: The order had none before.
    """

    instrument_id: str
    order: WorkingOrder | None
    has_left: bool
    ts_ns: int
    price: Decimal | None = None
    is_first_fill: bool = False


class InstanceAccount(msgspec.Struct, kw_only=True):
    """The account of one instance; changed by `apply` only.

    Attributes:
        currency: Of the allocation; everything is in it.
        steps: Smallest tradable quantity by instrument: less than that counts as flat.
        flow: Cash that trades brought, after fees and tax.
        orders: Those that work, by id.
        ended: The newest of those that do not.
        record: Closed round trips.
    """

    broker: str
    account: str
    instance: str
    currency: str
    allocation: Decimal
    steps: dict[str, Decimal] = {}
    flow: Decimal = _ZERO
    holdings: dict[str, Holding] = {}
    orders: dict[str, WorkingOrder] = {}
    ended: dict[str, WorkingOrder] = {}
    trips: dict[str, OpenTrip] = {}
    record: TripRecord = TripRecord()

    @property
    def cash(self) -> Decimal:
        """Allocation and what trades brought, whether it is reserved or not."""
        return self.allocation + self.flow

    @property
    def reserved(self) -> Decimal:
        """Cash that working orders may still use up."""
        return sum(
            (
                still_reserved(order.asset, order.reserved, order.quantity, order.filled)
                for order in self.orders.values()
                if order.asset == self.currency
            ),
            _ZERO,
        )

    def holding(self, instrument_id: str) -> Holding:
        """Return the position in an instrument; empty when there is none."""
        return self.holdings.get(instrument_id, _NOTHING)

    def is_flat(self, instrument_id: str) -> bool:
        """Return whether nothing is held that could be sold."""
        quantity = abs(self.holding(instrument_id).quantity)
        return quantity == 0 or quantity < self.steps.get(instrument_id, _ZERO)

    def working(self, instrument_id: str) -> WorkingOrder | None:
        """Return the order that works in an instrument, if one does."""
        for order in self.orders.values():
            if order.instrument_id == instrument_id:
                return order
        return None

    def equity(self, marks: dict[str, Decimal]) -> Decimal:
        """Return cash and positions at these prices; at cost where a price is missing."""
        value = _ZERO
        for instrument_id, held in self.holdings.items():
            mark = marks.get(instrument_id)
            value += held.cost if mark is None else held.quantity * mark
        return self.cash + value

    def apply(self, event: JournalEvent, ts_ns: int) -> OrderNews | None:
        """Fold one event in; return what it changed, or None when it is about others.

        Args:
            event: The next one of the journal.
            ts_ns: When it was recorded, UTC ns.

        Raises:
            InvariantError: A fill has amounts that the journal would never have booked.
        """
        news: OrderNews | None = None
        match event:
            case IntentRecorded():
                news = self._open(event.intent, event.reservation.asset, event.reservation.amount)
            case OrderAdopted():
                news = self._open(event.intent, event.intent.instrument_id, _ZERO)
            case OrderFilled():
                news = self._fill(event, ts_ns)
            case OrderAmended():
                news = self._amend(event, ts_ns)
            case CancelRequested():
                self._call_back(event.order_id)
            case PositionAdopted():
                news = self._adopt(event, ts_ns)
            case OrderRejected() | OrderDenied() | OrderExpired() | OrderCancelled():
                news = self._end(event.order_id, ts_ns)
            case _:
                pass
        return news

    def _open(self, intent: OrderIntent, asset: str, amount: Decimal) -> OrderNews | None:
        owner = (intent.broker, intent.account, intent.instance)
        if owner != (self.broker, self.account, self.instance) or self._find(intent.order_id):
            return None
        order = WorkingOrder(
            order_id=intent.order_id,
            instrument_id=intent.instrument_id,
            side=intent.side,
            quantity=intent.quantity,
            asset=asset,
            reserved=amount,
        )
        self.orders[intent.order_id] = order
        return OrderNews(instrument_id=intent.instrument_id, order=order, has_left=False, ts_ns=0)

    def _fill(self, event: OrderFilled, ts_ns: int) -> OrderNews | None:
        order = self._find(event.order_id)
        if order is None:
            return None
        instrument_id, at_ns = order.instrument_id, event.ts_event_ns or ts_ns
        gross = gross_of(event, self.currency)
        paid = gross if order.side is OrderSide.BUY else -gross
        change = quantity_of(event, order.side)
        held = trade(self.holding(instrument_id), change, paid, self.currency).held
        cash = cash_of(event, order.side, self.currency)
        self.flow += cash
        has_left = self._hold(instrument_id, held, cash, at_ns)
        is_first, filled = order.filled == 0, order.filled + event.quantity
        order = msgspec.structs.replace(
            order, filled=filled, has_ended=order.has_ended or filled >= order.quantity
        )
        self._put(order)
        return OrderNews(
            instrument_id=instrument_id,
            order=order,
            has_left=has_left,
            ts_ns=at_ns,
            price=event.price,
            is_first_fill=is_first,
        )

    def _hold(self, instrument_id: str, held: Holding, cash: Decimal, ts_ns: int) -> bool:
        """Keep a changed position; return whether a round trip ended with it."""
        before = self.holding(instrument_id)
        trip = join(self.trips.get(instrument_id), cash, ts_ns)
        if held.quantity:
            self.holdings[instrument_id] = held
        else:
            self.holdings.pop(instrument_id, None)
        if self.is_flat(instrument_id):
            self.trips.pop(instrument_id, None)
            # A purchase whose fee left nothing to sell is a trip too: it lost what it cost.
            self.record = self.record.count(trip.net)
            return abs(before.quantity) > abs(held.quantity)
        self.trips[instrument_id] = trip
        return False

    def _amend(self, event: OrderAmended, ts_ns: int) -> OrderNews | None:
        order = self._find(event.order_id)
        if order is None:
            return None
        order = msgspec.structs.replace(order, quantity=event.quantity)
        self._put(order)
        return OrderNews(
            instrument_id=order.instrument_id, order=order, has_left=False, ts_ns=ts_ns
        )

    def _call_back(self, order_id: str) -> None:
        order = self._find(order_id)
        if order is not None:
            self._put(msgspec.structs.replace(order, is_called_back=True))

    def _adopt(self, event: PositionAdopted, ts_ns: int) -> OrderNews | None:
        owner = (event.broker, event.account, event.instance)
        if owner != (self.broker, self.account, self.instance):
            return None
        held = self.holding(event.instrument_id)
        cost = event.cost if event.quantity >= 0 else -event.cost
        after = Holding(held.quantity + event.quantity, held.cost + cost)
        if after.quantity:
            self.holdings[event.instrument_id] = after
        else:
            self.holdings.pop(event.instrument_id, None)
            self.trips.pop(event.instrument_id, None)
        has_left = bool(held.quantity) and not after.quantity
        return OrderNews(
            instrument_id=event.instrument_id, order=None, has_left=has_left, ts_ns=ts_ns
        )

    def _end(self, order_id: str, ts_ns: int) -> OrderNews | None:
        order = self._find(order_id)
        if order is None:
            return None
        order = msgspec.structs.replace(order, has_ended=True)
        self._put(order)
        return OrderNews(
            instrument_id=order.instrument_id, order=order, has_left=False, ts_ns=ts_ns
        )

    def _find(self, order_id: str) -> WorkingOrder | None:
        return self.orders.get(order_id) or self.ended.get(order_id)

    def _put(self, order: WorkingOrder) -> None:
        if not order.has_ended:
            self.orders[order.order_id] = order
            return
        self.orders.pop(order.order_id, None)
        self.ended[order.order_id] = order
        while len(self.ended) > ENDED_ORDERS_KEPT:
            del self.ended[next(iter(self.ended))]
