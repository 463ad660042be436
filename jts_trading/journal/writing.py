"""One commit of the journal as a pure function: facts in; rows, messages and answers out.

Both journals run this under their lock, so that numbers have no gaps and follow the order of
commits. Nothing here touches a store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jts_trading.domain.journal_events import OrderFilled
from jts_trading.domain.ledger_rows import FillRow, OffsetRow, OrderRow, Row
from jts_trading.domain.orders import InvariantError
from jts_trading.journal.announce import announce
from jts_trading.journal.books import Books
from jts_trading.journal.chain import Head, head_of, identify, link
from jts_trading.ports.journal import Consumed, Fact, OutboxMessage, Recorded, StoredEvent


@dataclass(frozen=True, slots=True)
class Written:
    """One new event with its effects.

    Attributes:
        rows: Rows that it changed, in the order in which they can be written.
    """

    stored: StoredEvent
    rows: Sequence[Row]
    message: OutboxMessage | None


@dataclass(slots=True)
class Desk:
    """What a commit begins with and moves on.

    Attributes:
        seq: Newest number of the journal.
        major_ms: Newest first part of an entry id.
        head: Newest row of the writer's chain.
        books: At least the rows that the facts can touch.
        known: Numbers of events that are recorded, by id.
    """

    writer: str
    seq: int
    major_ms: int
    head: Head
    books: Books
    known: Mapping[str, int]
    fresh: dict[str, int] = field(default_factory=dict)

    def write(self, fact: Fact, consumed: Consumed | None) -> Recorded | Written:
        """Fold one fact in, or say where it is recorded already.

        Raises:
            InvariantError: It contradicts what is recorded.
        """
        event_id = identify(fact)
        seq = self.fresh.get(event_id) or self.known.get(event_id) or self._booked(fact)
        if seq is not None:
            return Recorded(seq, is_new=False)
        stored = link(fact, consumed, writer=self.writer, seq=self.seq + 1, head=self.head)
        self.books.apply(stored)
        self.seq, self.head = stored.seq, head_of(stored)
        self.major_ms = max(self.major_ms, fact.ts_ns // 1_000_000)
        self.fresh[event_id] = stored.seq
        message = announce(stored, self.books, self.major_ms)
        return Written(stored, self.books.take_changes(), message)

    def is_consumed(self, consumed: Consumed | None) -> bool:
        """Return whether the effect of this input is committed already."""
        if consumed is None:
            return False
        row = self.books.find(OffsetRow, consumed.consumer, consumed.source)
        return row is not None and consumed.position <= (row.major, row.minor)

    def _booked(self, fact: Fact) -> int | None:
        """Return the number of a fill that came before by another way, under another id."""
        event = fact.event
        if not isinstance(event, OrderFilled):
            return None
        order = self.books.find(OrderRow, event.order_id)
        if order is None:
            return None
        where = (order.venue, order.account, order.instrument_id, event.trade_id)
        booked = self.books.find(FillRow, *where)
        if booked is None:
            return None
        found = (booked.order_id, booked.quantity, booked.price)
        if found != (event.order_id, event.quantity, event.price):
            raise InvariantError(
                f"trade {event.trade_id} of {order.instrument_id} is booked as {booked.quantity}"
                f" at {booked.price} of order {booked.order_id}, and now comes as"
                f" {event.quantity} at {event.price} of order {event.order_id}"
            )
        return booked.seq


def write_all(
    desk: Desk, facts: Sequence[Fact], consumed: Consumed | None
) -> tuple[list[Recorded], list[Written]]:
    """Fold facts in, in order; return an answer for each, and what is new.

    Raises:
        InvariantError: One of them contradicts what is recorded; none may be kept.
    """
    if desk.is_consumed(consumed):
        known = [desk.known.get(identify(fact), 0) for fact in facts]
        return [Recorded(seq, is_new=False) for seq in known], []
    answers, written = [], []
    for fact in facts:
        outcome = desk.write(fact, consumed)
        if isinstance(outcome, Written):
            written.append(outcome)
            outcome = Recorded(outcome.stored.seq, is_new=True)
        answers.append(outcome)
    return answers, written
