"""What to do with each order of the journal: one pure choice, at start and on every look.

`choose` never looks at how the executor got here: a start, a hint and the timer ask the same
question, so that recovery is not a second program.
"""

from dataclasses import dataclass
from enum import StrEnum

from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import TERMINAL, OrderState
from jts_trading.domain.sessions import local_date

ATTEMPTS_MAX = 5


class Step(StrEnum):
    """The next step for an order."""

    SEND = "send"
    EXPIRE = "expire"
    # Bytes may have left and nobody waits for the answer: say that it is UNKNOWN.
    LOSE = "lose"
    # The attempt was noted, but this very process knows that no byte of it left.
    PROVE_UNSENT = "prove_unsent"
    CANCEL = "cancel"
    # The reconciler's, or somebody is at it.
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Choice:
    """A step and why."""

    step: Step
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the executor knows of an order beside its row.

    Attributes:
        is_in_flight: This process is sending it, or waits for the answer.
        is_unsent: This process noted the newest attempt and knows that it did not send it.
        is_cancel_due: A cancel that was asked for has not been sent by this process, or so long
            ago that it may be repeated.
        wants_all_cancelled: The kill switch says that no order shall work.
        attempts_max: After so many attempts that the venue did not take, it is given up.
    """

    is_in_flight: bool = False
    is_unsent: bool = False
    is_cancel_due: bool = False
    wants_all_cancelled: bool = False
    attempts_max: int = ATTEMPTS_MAX


def choose(order: OrderRow, situation: Situation, now_ns: int) -> Choice:
    """Return what to do with an order now.

    Args:
        order: As the journal has it.
        situation: What this process knows beside it.
        now_ns: Instance time, UTC ns.
    """
    if situation.is_in_flight or order.status in TERMINAL:
        return Choice(Step.LEAVE)
    match order.status:
        case OrderState.INTENT | OrderState.ABSENT:
            reason = why_too_late(order, now_ns, attempts_max=situation.attempts_max)
            return Choice(Step.EXPIRE, reason) if reason else Choice(Step.SEND)
        case OrderState.SENDING:
            return _UNSENT if situation.is_unsent else _LOST
        case OrderState.CANCELLING if situation.is_cancel_due:
            return Choice(Step.CANCEL)
        case OrderState.OPEN | OrderState.PARTIAL if situation.wants_all_cancelled:
            return Choice(Step.CANCEL, "kill switch")
        case _:
            return Choice(Step.LEAVE)


_LOST = Choice(Step.LOSE, "whoever sent it did not live to see the answer")
_UNSENT = Choice(Step.PROVE_UNSENT, "this attempt was noted and given up before sending")


def why_too_late(order: OrderRow, now_ns: int, *, attempts_max: int = ATTEMPTS_MAX) -> str:
    """Return why an order may not be sent any more; empty when it may.

    The latest time is checked again with `latest_ns` right before bytes leave.
    """
    if 0 < order.valid_until_ns < now_ns:
        late_s = (now_ns - order.valid_until_ns) / 1e9
        return f"its time to be sent ended {late_s:.1f} s ago"
    if order.attempt >= attempts_max:
        return f"the venue did not take it in {order.attempt} attempts"
    if order.time_in_force == "day":
        wanted, today = (local_date(order.venue, at) for at in (order.created_ns, now_ns))
        if wanted != today:
            return f"it is a day order of {wanted} and today is {today}"
    return ""


def latest_ns(order: OrderRow) -> int | None:
    """Return the instant (UTC ns) after which an order may not be sent; None without one."""
    return order.valid_until_ns or None
