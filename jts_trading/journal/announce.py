"""What an event says to the bus: at most one message each."""

import msgspec

from jts_trading.domain.journal_events import (
    AttemptStarted,
    CashMoved,
    DecisionRecorded,
    IntentRecorded,
    JournalEvent,
    NoteRecorded,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    PositionAdopted,
    SignalRecorded,
    StrategyReleased,
)
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.messages import (
    MESSAGES,
    OrderChanged,
    OrderPending,
    PortfolioChanged,
    ReleaseChanged,
)
from jts_trading.journal.books import Books
from jts_trading.journal.chain import open_event
from jts_trading.ports.journal import OutboxMessage, StoredEvent

# Everything that this room publishes goes to one of these.
ANNOUNCED = (
    "orders.pending",
    "orders.executions",
    "orders.failures",
    "portfolio.updates",
    "strategies.releases",
    "signals.entry.buy",
    "signals.entry.sell",
    "signals.exit.all",
)


def announce(stored: StoredEvent, books: Books, major_ms: int) -> OutboxMessage | None:
    """Return the message of an event that was just folded into the books, if it has one."""
    said = _say(open_event(stored), stored, books)
    if said is None:
        return None
    topic, message = said
    kind, version = MESSAGES.identify(message)
    return OutboxMessage(
        seq=stored.seq,
        major_ms=major_ms,
        topic=topic,
        type=kind,
        version=version,
        payload=msgspec.msgpack.encode(message),
        event_id=stored.event_id,
        correlation_id=stored.correlation_id,
        causation_id=stored.causation_id,
        writer=stored.writer,
        ts_ns=stored.ts_ns,
    )


def _say(
    event: JournalEvent, stored: StoredEvent, books: Books
) -> tuple[str, msgspec.Struct] | None:
    match event:
        case IntentRecorded():
            order = books.require_order(event.intent.order_id)
            return "orders.pending", _pending(order, stored.seq)
        case AttemptStarted() | DecisionRecorded() | NoteRecorded():
            return None
        case SignalRecorded():
            return _signal_topic(event), event
        case CashMoved() | PositionAdopted():
            return "portfolio.updates", PortfolioChanged(
                broker=event.broker,
                account=event.account,
                instance=event.instance,
                event=stored.type,
                seq=stored.seq,
            )
        case StrategyReleased():
            return "strategies.releases", ReleaseChanged(
                strategy_id=event.strategy_id,
                name=event.name,
                release=event.release,
                status=event.status,
                seq=stored.seq,
            )
        case OrderRejected() | OrderDenied() | OrderExpired():
            topic = "orders.failures"
        case _:
            topic = "orders.executions"
    order_id = stored.stream.removeprefix("order/")
    return topic, _changed(event, books.require_order(order_id), stored)


def _signal_topic(signal: SignalRecorded) -> str:
    return "signals.exit.all" if signal.kind == "exit" else f"signals.entry.{signal.side}"


def _pending(order: OrderRow, seq: int) -> OrderPending:
    return OrderPending(
        order_id=order.id,
        broker=order.broker,
        account=order.account,
        instance=order.instance,
        instrument_id=order.instrument_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        seq=seq,
    )


def _changed(event: JournalEvent, order: OrderRow, stored: StoredEvent) -> OrderChanged:
    fill = event if isinstance(event, OrderFilled) else None
    return OrderChanged(
        order_id=order.id,
        broker=order.broker,
        account=order.account,
        instance=order.instance,
        instrument_id=order.instrument_id,
        event=stored.type,
        state=order.status,
        quantity=order.quantity,
        filled=order.filled,
        seq=stored.seq,
        reason=order.reason,
        trade_id=fill.trade_id if fill else "",
        fill_quantity=fill.quantity if fill else None,
        fill_price=fill.price if fill else None,
    )
