"""Orders whose answer was lost: found at the venue by what was sent, or proven absent. Pure.

A broker that keeps our order id is asked for it. One that keeps none (KIS) is asked for the day's
orders, and an order is the one that we sent when account, instrument, side, quantity and price are
the same, its time lies between our attempt and the venue's window after it, and its number belongs
to no other order of ours. Exactly one pair is evidence; anything else is not, and the order stays
UNKNOWN for a person to see.

Absence needs two complete answers without a candidate, some real seconds apart, both asked for
after the venue's window: until then the request may still be on its way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from jts_trading.domain.account_reports import OrderReport, OrderState
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.market.costs import Side
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.orders import OrderState as Status

NS_PER_S = 1_000_000_000
LOST = frozenset({Status.SENDING, Status.UNKNOWN})
_SIDES = {OrderSide.BUY: Side.BUY, OrderSide.SELL: Side.SELL}


class Sent(NamedTuple):
    """What left us under the newest attempt of an order."""

    quantity: Decimal
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class Window:
    """How far the times of a venue may lie from ours, instance time.

    Attributes:
        early_ns: Its clock may be so far behind, and tells whole seconds only.
        late_ns: It may take an order so long after we lost sight of it.
    """

    early_ns: int
    late_ns: int


@dataclass(frozen=True, slots=True)
class Matches:
    """What a complete list of orders says about the orders that wait for an answer.

    Attributes:
        found: The order at the venue, by id of ours.
        ambiguous: Several could be it, or it could be several of ours: nothing is known.
        taken: Venue ids that could be one of ours, so nobody else's.
    """

    found: Mapping[str, OrderReport]
    ambiguous: Mapping[str, tuple[OrderReport, ...]]
    taken: frozenset[str]


def match_orders(
    waiting: Sequence[OrderRow],
    unclaimed: Sequence[OrderReport],
    window: Window,
    sent: Mapping[str, Sent],
) -> Matches:
    """Pair orders that wait for an answer with orders that nobody claims.

    Args:
        waiting: SENDING and UNKNOWN orders of one account.
        unclaimed: Its orders at the venue whose id belongs to no order of ours.
        window: For a venue that keeps no id of ours.
        sent: What left us, by order id; the order itself counts where it lacks one.
    """
    candidates = {
        order.id: tuple(
            report
            for report in unclaimed
            if _is_candidate(order, report, window, sent.get(order.id))
        )
        for order in waiting
    }
    rivals: dict[str, int] = {}
    for reports in candidates.values():
        for report in reports:
            rivals[report.venue_order_id] = rivals.get(report.venue_order_id, 0) + 1
    found, ambiguous = {}, {}
    for order_id, reports in candidates.items():
        if len(reports) == 1 and rivals[reports[0].venue_order_id] == 1:
            found[order_id] = reports[0]
        elif reports:
            ambiguous[order_id] = reports
    return Matches(found, ambiguous, frozenset(rivals))


def _is_candidate(order: OrderRow, report: OrderReport, window: Window, sent: Sent | None) -> bool:
    if report.is_cancel or report.original_order_no is not None:
        return False
    if not looks_like(order, report, sent):
        return False
    if report.client_order_id is not None:
        return True
    latest_ns = order.updated_ns + window.late_ns
    is_in_time = order.status is Status.SENDING or report.ordered_at_ns <= latest_ns
    return is_in_time and report.ordered_at_ns >= order.created_ns - window.early_ns


def looks_like(order: OrderRow, report: OrderReport, sent: Sent | None = None) -> bool:
    """Return whether an order at the venue could be one of ours, whenever it was entered."""
    if report.client_order_id is not None:
        return report.client_order_id == order.client_order_id
    wanted = sent or Sent(order.quantity, order.price)
    looks = (report.instrument_id, report.side, report.quantity, report.price)
    return looks == (order.instrument_id, _SIDES[order.side], wanted.quantity, wanted.price)


class Answer(Protocol):
    """When a complete list of orders was asked for, and when it had come; boot clock, ns."""

    @property
    def real_ns(self) -> int:
        """When it was asked for."""
        ...

    @property
    def answered_ns(self) -> int:
        """When it had come."""
        ...


class Absences:
    """Remembers which orders complete answers did not contain, in real time (boot clock, ns).

    Args:
        after_s: An answer counts when it was asked for so long after the order was first missed.
        apart_s: Two that count lie so far apart.
    """

    def __init__(self, *, after_s: float, apart_s: float) -> None:
        self._after_ns = int(after_s * NS_PER_S)
        self._apart_ns = int(apart_s * NS_PER_S)
        self._missed: dict[tuple[str, int], int] = {}
        self._asked: dict[tuple[str, int], int] = {}

    def note(self, order: OrderRow, answer: Answer) -> bool:
        """Note an answer without the order; return whether its absence is proven by now.

        Args:
            order: Its newest attempt is meant.
            answer: The order was in the journal after it came.
        """
        key, asked_ns = (order.id, order.attempt), answer.real_ns
        missed_ns = self._missed.setdefault(key, answer.answered_ns)
        if asked_ns - missed_ns < self._after_ns:
            return False
        first_ns = self._asked.setdefault(key, asked_ns)
        return asked_ns - first_ns >= self._apart_ns

    def clear(self, order: OrderRow) -> None:
        """Forget that an order was missed: it was seen."""
        for notes in (self._missed, self._asked):
            notes.pop((order.id, order.attempt), None)

    def keep_only(self, orders: Sequence[OrderRow]) -> None:
        """Forget orders that are not open any more."""
        known = {(order.id, order.attempt) for order in orders}
        for notes in (self._missed, self._asked):
            for key in notes.keys() - known:
                del notes[key]


def is_live(report: OrderReport) -> bool:
    """Return whether something of an order can still be executed."""
    return report.state is OrderState.OPEN and report.remaining_quantity > 0
