"""The executor's own table of open orders: what the journal said last, and what is under way.

The journal is the truth; this is what a cancel needs when the journal is dead, and what a look
must not touch because somebody is at it. Filled by looks, changed by those who send.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from jts_trading.domain.journal_events import IntentRecorded, JournalEvent, OrderAdopted
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import OrderIntent, OrderState, Reservation
from jts_trading.execution.lifecycle import Situation
from jts_trading.journal.chain import open_event
from jts_trading.ports.journal import Journal

WORKING = frozenset({OrderState.OPEN, OrderState.PARTIAL, OrderState.CANCELLING})
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What the journal's first event of an order said, which its row does not keep.

    Attributes:
        intent: The wish itself.
        reservation: None for an order that was adopted.
    """

    intent: OrderIntent
    reservation: Reservation | None


class Board:
    """Open orders of all accounts.

    Args:
        journal: Where wishes are looked up once.
        monotonic_ns: Real time.
        cancel_again_s: See the settings.
        attempts_max: Likewise.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        monotonic_ns: Callable[[], int],
        cancel_again_s: float,
        attempts_max: int,
    ) -> None:
        self._journal = journal
        self._monotonic_ns = monotonic_ns
        self._cancel_again_ns = int(cancel_again_s * _NS_PER_S)
        self._attempts_max = attempts_max
        self._rows: dict[str, OrderRow] = {}
        self._wishes: dict[str, Wish] = {}
        self._in_flight: dict[str, int] = {}
        self._unsent: set[str] = set()
        self._not_before_ns: dict[str, int] = {}
        self._cancelled_ns: dict[str, int] = {}

    @property
    def rows(self) -> Sequence[OrderRow]:
        """Every order as it was seen last, in order of their intents."""
        return list(self._rows.values())

    def find(self, order_id: str) -> OrderRow | None:
        """Return an order as it was seen last."""
        return self._rows.get(order_id)

    def replace(self, rows: Sequence[OrderRow]) -> None:
        """Take what the journal says now."""
        self._rows = {row.id: row for row in rows}
        kept = self._rows.keys() | self._in_flight.keys()
        self._wishes = {name: wish for name, wish in self._wishes.items() if name in kept}
        self._not_before_ns = {n: at for n, at in self._not_before_ns.items() if n in kept}
        self._cancelled_ns = {n: at for n, at in self._cancelled_ns.items() if n in kept}
        names = {row.client_order_id for row in rows}
        self._unsent &= {name for name in names if name}

    def put(self, row: OrderRow) -> None:
        """Take a newer state of one order."""
        known = self._rows.get(row.id)
        if known is None or known.last_seq <= row.last_seq:
            self._rows[row.id] = row

    @property
    def busy(self) -> set[str]:
        """The orders that are being sent."""
        return set(self._in_flight)

    @contextmanager
    def flight(self, order_id: str) -> Iterator[None]:
        """Keep looks away from an order while it is being sent."""
        self._in_flight[order_id] = self._in_flight.get(order_id, 0) + 1
        try:
            yield
        finally:
            self._in_flight[order_id] -= 1
            if not self._in_flight[order_id]:
                del self._in_flight[order_id]

    def note_unsent(self, client_order_id: str) -> None:
        """Note that an attempt may stand in the journal and no byte of it has left."""
        self._unsent.add(client_order_id)

    def hold_back(self, order_id: str, seconds: float) -> None:
        """Let an order rest before it is tried again."""
        self._not_before_ns[order_id] = self._monotonic_ns() + int(seconds * _NS_PER_S)

    def is_resting(self, order_id: str) -> bool:
        """Return whether an order has to wait before it is tried again."""
        return self._not_before_ns.get(order_id, 0) > self._monotonic_ns()

    def note_cancel(self, order_id: str) -> None:
        """Note that a cancel has just been sent, or is about to be."""
        self._cancelled_ns[order_id] = self._monotonic_ns()

    def is_cancel_due(self, order_id: str) -> bool:
        """Return whether a cancel may be sent now."""
        sent_ns = self._cancelled_ns.get(order_id)
        return sent_ns is None or self._monotonic_ns() - sent_ns >= self._cancel_again_ns

    def situation(self, row: OrderRow, busy: set[str], *, is_killed: bool) -> Situation:
        """Return what is known of an order beside its row.

        Args:
            row: The order.
            busy: Orders that were being sent when the rows were asked for.
            is_killed: The kill switch wants all orders cancelled.
        """
        return Situation(
            is_in_flight=row.id in busy or row.id in self._in_flight,
            is_unsent=row.client_order_id in self._unsent,
            is_cancel_due=self.is_cancel_due(row.id),
            wants_all_cancelled=is_killed and self.is_cancel_due(row.id),
            attempts_max=self._attempts_max,
        )

    async def wish(self, order_id: str) -> Wish | None:
        """Return the wish of an order; None if the journal does not know it.

        Raises:
            JournalUnavailableError: It is not known yet and the journal did not answer.
        """
        known = self._wishes.get(order_id)
        if known is None:
            events = await self.events(order_id)
            known = next((wish_of(event) for event in events if _is_first(event)), None)
            if known is not None:
                self._wishes[order_id] = known
        return known

    async def events(self, order_id: str) -> list[JournalEvent]:
        """Return everything that happened to an order.

        Raises:
            JournalUnavailableError: The journal did not answer.
        """
        stored = await self._journal.stream(f"order/{order_id}")
        return [open_event(row) for row in stored]


def wish_of(event: JournalEvent) -> Wish | None:
    """Return the wish of the first event of an order; None for another event."""
    match event:
        case IntentRecorded():
            return Wish(event.intent, event.reservation)
        case OrderAdopted():
            return Wish(event.intent, None)
        case _:
            return None


def _is_first(event: JournalEvent) -> bool:
    return isinstance(event, IntentRecorded | OrderAdopted)
