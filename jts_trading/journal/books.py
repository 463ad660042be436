"""The projections as one pure fold: event in, changed rows out.

Memory, PostgreSQL and a rebuild all fold with this code, so they cannot disagree. A journal in a
database puts the rows that an event can touch on the shelf first, folds, and writes what changed.

Everything here is a function of the events alone: no clock, no randomness, no order of sets.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from jts_trading.domain.journal_events import (
    AttemptStarted,
    CancelRefused,
    CancelRequested,
    CashMoved,
    DecisionRecorded,
    IntentRecorded,
    JournalEvent,
    NoteRecorded,
    OrderAbsent,
    OrderAcknowledged,
    OrderAdopted,
    OrderAmended,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderLost,
    OrderRejected,
    PositionAdopted,
    SignalRecorded,
    StrategyReleased,
)
from jts_trading.domain.ledger_rows import (
    AttemptRow,
    BalanceRow,
    FillRow,
    LedgerAccount,
    LedgerRow,
    OffsetRow,
    OrderRow,
    ReservationRow,
    StrategyRow,
)
from jts_trading.domain.orders import (
    TERMINAL,
    InvariantError,
    Move,
    OrderState,
    next_state,
    state_after_fill,
)
from jts_trading.journal.booking import (
    Line,
    adoption_lines,
    cash_lines,
    fill_lines,
)
from jts_trading.journal.chain import open_event
from jts_trading.journal.rowset import RowSet
from jts_trading.portfolio.fills import gross_of, still_reserved
from jts_trading.portfolio.holding import Holding
from jts_trading.ports.journal import StoredEvent, UncoveredError

_ZERO = Decimal(0)
_MOVES: dict[type, Move] = {
    OrderAcknowledged: Move.ACKNOWLEDGE,
    OrderRejected: Move.REJECT,
    OrderLost: Move.LOSE,
    OrderAbsent: Move.PROVE_ABSENT,
    OrderAmended: Move.AMEND,
    CancelRequested: Move.ASK_CANCEL,
    CancelRefused: Move.REFUSE_CANCEL,
    OrderCancelled: Move.CANCEL,
    OrderDenied: Move.DENY,
    OrderExpired: Move.EXPIRE,
}


class Books(RowSet):
    """The rows, and what each event does to them."""

    def apply(self, stored: StoredEvent) -> None:
        """Fold one event in.

        Raises:
            InvariantError: It contradicts the rows; some may have changed, so roll back.
        """
        event = open_event(stored)
        if stored.consumed is not None:
            major, minor = stored.consumed.position
            consumer, source = stored.consumed.consumer, stored.consumed.source
            self.put(OffsetRow(consumer=consumer, source=source, major=major, minor=minor))
        match event:
            case IntentRecorded():
                self._record_intent(event, stored)
            case OrderAdopted():
                self._open_order(event, stored, OrderState.OPEN, event.venue_order_id)
            case AttemptStarted():
                self._start_attempt(event, stored)
            case OrderFilled():
                self._fill(event, stored)
            case CashMoved():
                self._book(event, cash_lines(event), stored.seq)
            case PositionAdopted():
                lines = adoption_lines(event)
                self._book(event, lines, stored.seq, event.instrument_id)
            case StrategyReleased():
                self._release(event, stored)
            case DecisionRecorded() | SignalRecorded() | NoteRecorded():
                pass
            case _:
                self._move(event, stored)

    def require_order(self, order_id: str) -> OrderRow:
        """Return an order that must be there.

        Raises:
            InvariantError: It is not.
        """
        order = self.find(OrderRow, order_id)
        if order is None:
            raise InvariantError(f"order {order_id} is not in the journal")
        return order

    def _record_intent(self, event: IntentRecorded, stored: StoredEvent) -> None:
        intent, wanted = event.intent, event.reservation
        free = self.free(intent.broker, intent.account, wanted.asset)
        if not wanted.amount >= 0 or wanted.amount > free:
            raise UncoveredError(
                f"order {intent.order_id} would reserve {wanted.amount} {wanted.asset}; account"
                f" {intent.broker}/{intent.account} has {free} free",
                intent.order_id,
            )
        self._open_order(event, stored, OrderState.INTENT, None)
        self.put(
            ReservationRow(
                order_id=intent.order_id,
                broker=intent.broker,
                account=intent.account,
                asset=wanted.asset,
                amount=wanted.amount,
                remaining=wanted.amount,
            )
        )

    def _open_order(
        self,
        event: IntentRecorded | OrderAdopted,
        stored: StoredEvent,
        status: OrderState,
        venue_order_id: str | None,
    ) -> None:
        intent = event.intent
        if self.find(OrderRow, intent.order_id) is not None:
            raise InvariantError(f"order {intent.order_id} is in the journal already")
        if not intent.quantity > 0 or not intent.quantity.is_finite():
            raise InvariantError(f"order {intent.order_id}: quantity {intent.quantity}")
        self.put(
            OrderRow(
                id=intent.order_id,
                strategy_id=intent.strategy_id,
                symbol=intent.instrument_id.partition(":")[2],
                side=intent.side,
                quantity=intent.quantity,
                price=intent.price,
                status=status,
                broker=intent.broker,
                account=intent.account,
                instance=intent.instance,
                instrument_id=intent.instrument_id,
                venue=intent.venue,
                currency=intent.currency,
                time_in_force=intent.time_in_force,
                release=intent.release,
                decision_id=intent.decision_id,
                correlation_id=stored.correlation_id,
                valid_until_ns=intent.valid_until_ns,
                created_ns=stored.ts_ns,
                updated_ns=stored.ts_ns,
                intent_seq=stored.seq,
                last_seq=stored.seq,
                venue_order_id=venue_order_id,
            )
        )

    def _start_attempt(self, event: AttemptStarted, stored: StoredEvent) -> None:
        order = self.require_order(event.order_id)
        status = next_state(order.status, Move.SEND, order.filled)
        if event.attempt != order.attempt + 1:
            raise InvariantError(
                f"order {order.id}: attempt {event.attempt} cannot follow {order.attempt}"
            )
        if self.find(AttemptRow, event.client_order_id) is not None:
            raise InvariantError(f"client order id {event.client_order_id} was used before")
        self.put(
            AttemptRow(
                client_order_id=event.client_order_id,
                order_id=order.id,
                attempt=event.attempt,
                payload_hash=event.payload_hash,
                lease=event.lease,
                token=event.token,
                status=status,
                seq=stored.seq,
            )
        )
        changes = {"attempt": event.attempt, "client_order_id": event.client_order_id}
        self._change(order, stored, status=status, venue_order_id=None, **changes)

    def _move(self, event: JournalEvent, stored: StoredEvent) -> None:
        order = self.require_order(getattr(event, "order_id", ""))
        attempt = getattr(event, "attempt", order.attempt)
        if attempt != order.attempt:
            raise InvariantError(
                f"order {order.id}: {stored.type} is about attempt {attempt}, the newest is"
                f" {order.attempt}"
            )
        status = next_state(order.status, _MOVES[type(event)], order.filled)
        changes: dict[str, object] = {"status": status, "reason": getattr(event, "reason", "")}
        match event:
            case OrderAcknowledged():
                if order.venue_order_id not in {None, event.venue_order_id}:
                    raise InvariantError(
                        f"order {order.id} is {order.venue_order_id} at the venue and cannot be"
                        f" {event.venue_order_id} too"
                    )
                changes["venue_order_id"] = event.venue_order_id
            case OrderAmended():
                if event.quantity <= order.filled:
                    raise InvariantError(
                        f"order {order.id}: {order.filled} are filled, so it cannot be amended"
                        f" to {event.quantity}"
                    )
                changes["quantity"], changes["price"] = event.quantity, event.price
                changes["venue_order_id"] = event.venue_order_id
            case _:
                pass
        self._change(order, stored, **changes)

    def _fill(self, event: OrderFilled, stored: StoredEvent) -> None:
        order = self.require_order(event.order_id)
        where = (order.venue, order.account, order.instrument_id, event.trade_id)
        if self.find(FillRow, *where) is not None:
            raise InvariantError(f"trade {event.trade_id} is booked already")
        key = (order.broker, order.account, order.instance)
        held = self.find(
            BalanceRow, *key, LedgerAccount.POSITION, order.instrument_id, order.currency
        )
        holding = Holding(held.quantity, held.amount) if held else Holding()
        lines = fill_lines(event, order.side, order.currency, holding)
        filled = order.filled + event.quantity
        if event.cumulative not in {None, filled}:
            raise InvariantError(
                f"order {order.id}: trade {event.trade_id} makes {event.cumulative} filled, and"
                f" {order.filled} and {event.quantity} are {filled}"
            )
        status = state_after_fill(order.status, filled, order.quantity)
        self.put(
            FillRow(
                venue=order.venue,
                account=order.account,
                instrument_id=order.instrument_id,
                trade_id=event.trade_id,
                broker=order.broker,
                instance=order.instance,
                order_id=order.id,
                side=order.side,
                quantity=event.quantity,
                price=event.price,
                gross=gross_of(event, order.currency),
                fee=event.fee,
                tax=event.tax,
                fee_quantity=event.fee_quantity,
                currency=order.currency,
                ts_event_ns=event.ts_event_ns or stored.ts_ns,
                seq=stored.seq,
            )
        )
        self._change(order, stored, status=status, filled=filled)
        self._book(order, lines, stored.seq, order.instrument_id)

    def _release(self, event: StrategyReleased, stored: StoredEvent) -> None:
        known = self.find(StrategyRow, event.strategy_id)
        self.put(
            StrategyRow(
                id=event.strategy_id,
                name=event.name,
                dsl_code=event.dsl_code,
                status=event.status,
                release=event.release,
                created_ns=known.created_ns if known else stored.ts_ns,
                updated_ns=stored.ts_ns,
                last_seq=stored.seq,
            )
        )

    def _change(self, order: OrderRow, stored: StoredEvent, **changes: object) -> None:
        row = msgspec.structs.replace(
            order, updated_ns=stored.ts_ns, last_seq=stored.seq, **changes
        )
        self.put(row)
        if row.client_order_id is not None:
            attempt = self.find(AttemptRow, row.client_order_id)
            if attempt is not None and attempt.status is not row.status:
                self.put(msgspec.structs.replace(attempt, status=row.status))
        reservation = self.find(ReservationRow, row.id)
        if reservation is not None:
            left = _left(reservation, row)
            self.put(msgspec.structs.replace(reservation, remaining=left))

    def _book(
        self,
        owner: OrderRow | CashMoved | PositionAdopted,
        lines: Sequence[Line],
        seq: int,
        instrument_id: str = "",
    ) -> None:
        total = sum((line.amount for line in lines), _ZERO)
        if total != 0:
            raise InvariantError(f"journal row {seq}: its lines are out of balance by {total}")
        key = (owner.broker, owner.account, owner.instance)
        for number, line in enumerate(lines, 1):
            is_position = line.ledger is LedgerAccount.POSITION
            about = instrument_id if is_position else ""
            row = LedgerRow(
                seq=seq,
                line=number,
                broker=owner.broker,
                account=owner.account,
                instance=owner.instance,
                ledger=line.ledger,
                instrument_id=about,
                currency=owner.currency,
                debit=max(line.amount, _ZERO),
                credit=max(-line.amount, _ZERO),
                quantity=line.quantity,
            )
            self.put(row)
            before = self.find(BalanceRow, *key, line.ledger, about, owner.currency)
            self.put(
                BalanceRow(
                    broker=owner.broker,
                    account=owner.account,
                    instance=owner.instance,
                    ledger=line.ledger,
                    instrument_id=about,
                    currency=owner.currency,
                    amount=(before.amount if before else _ZERO) + line.amount,
                    quantity=(before.quantity if before else _ZERO) + line.quantity,
                )
            )


def fold(events: Iterable[StoredEvent]) -> Books:
    """Return the books that the events add up to, from the first one on."""
    books = Books()
    for event in events:
        books.apply(event)
        books.keep()
    return books


def _left(reservation: ReservationRow, order: OrderRow) -> Decimal:
    if order.status in TERMINAL:
        return _ZERO
    return still_reserved(reservation.asset, reservation.amount, order.quantity, order.filled)
