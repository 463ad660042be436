"""Orders as data: what is wanted, in which state an order can be, and which moves are legal.

The table `EDGES` is the whole life of an order. A move that is not in it is an error, with two
exceptions that `execution` of fills needs: a fill is a fact and is booked in every state in which
bytes may have left us, and an order that has ended stays ended.

UNKNOWN is a state like the others: it is left by evidence only (acknowledged, rejected, cancelled,
filled, or proven absent). A new attempt starts from INTENT or ABSENT and from nowhere else.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Literal

import msgspec

from jts_trading.domain.errors import TerminalError


class InvariantError(TerminalError):
    """Something that must always hold would not; nothing was written."""


class IllegalMoveError(InvariantError):
    """An order cannot go from its state by this event."""


class OrderSide(StrEnum):
    """Direction of an order."""

    BUY = "buy"
    SELL = "sell"


class OrderState(StrEnum):
    """Where an order is in its life."""

    INTENT = "intent"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    OPEN = "open"
    PARTIAL = "partial"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DENIED = "denied"
    EXPIRED = "expired"


class Move(StrEnum):
    """What can happen to an order, a fill excepted."""

    SEND = "send"
    ACKNOWLEDGE = "acknowledge"
    REJECT = "reject"
    LOSE = "lose"
    PROVE_ABSENT = "prove_absent"
    AMEND = "amend"
    ASK_CANCEL = "ask_cancel"
    REFUSE_CANCEL = "refuse_cancel"
    CANCEL = "cancel"
    DENY = "deny"
    EXPIRE = "expire"


TERMINAL = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.REJECTED,
        OrderState.DENIED,
        OrderState.EXPIRED,
    }
)
# Bytes may have left us, so a fill can be real. After EXPIRED an attempt that was proven absent
# may still turn out to have been there.
FILLABLE = frozenset(OrderState) - {OrderState.INTENT, OrderState.DENIED}

_S, _M = OrderState, Move
EDGES: dict[OrderState, dict[Move, OrderState]] = {
    _S.INTENT: {_M.SEND: _S.SENDING, _M.DENY: _S.DENIED, _M.EXPIRE: _S.EXPIRED},
    _S.SENDING: {
        _M.ACKNOWLEDGE: _S.OPEN,
        _M.REJECT: _S.REJECTED,
        _M.LOSE: _S.UNKNOWN,
        _M.PROVE_ABSENT: _S.ABSENT,
        _M.CANCEL: _S.CANCELLED,
    },
    _S.UNKNOWN: {
        _M.ACKNOWLEDGE: _S.OPEN,
        _M.REJECT: _S.REJECTED,
        _M.LOSE: _S.UNKNOWN,
        _M.PROVE_ABSENT: _S.ABSENT,
        _M.CANCEL: _S.CANCELLED,
    },
    _S.ABSENT: {_M.SEND: _S.SENDING, _M.DENY: _S.DENIED, _M.EXPIRE: _S.EXPIRED},
    _S.OPEN: {
        _M.ACKNOWLEDGE: _S.OPEN,
        _M.AMEND: _S.OPEN,
        _M.ASK_CANCEL: _S.CANCELLING,
        _M.CANCEL: _S.CANCELLED,
        _M.REJECT: _S.REJECTED,
        _M.EXPIRE: _S.EXPIRED,
    },
    _S.PARTIAL: {
        _M.ACKNOWLEDGE: _S.PARTIAL,
        _M.AMEND: _S.PARTIAL,
        _M.ASK_CANCEL: _S.CANCELLING,
        _M.CANCEL: _S.CANCELLED,
        _M.EXPIRE: _S.EXPIRED,
    },
    _S.CANCELLING: {
        _M.ACKNOWLEDGE: _S.CANCELLING,
        _M.ASK_CANCEL: _S.CANCELLING,
        _M.REFUSE_CANCEL: _S.OPEN,
        _M.CANCEL: _S.CANCELLED,
        _M.EXPIRE: _S.EXPIRED,
    },
    **{state: {} for state in (_S.FILLED, _S.CANCELLED, _S.REJECTED, _S.DENIED, _S.EXPIRED)},
}


def next_state(state: OrderState, move: Move, filled: Decimal) -> OrderState:
    """Return where an order goes.

    Args:
        state: Where it is.
        move: What happens.
        filled: What it has filled; an order that is open again after a refused cancel is PARTIAL
            when this is above zero.

    Raises:
        IllegalMoveError: The table has no such edge.
    """
    try:
        there = EDGES[state][move]
    except KeyError:
        accepted = ", ".join(EDGES[state]) or "nothing: it has ended"
        raise IllegalMoveError(
            f"an order that is {state} cannot {move}; accepted: {accepted}"
        ) from (None)
    return OrderState.PARTIAL if there is OrderState.OPEN and filled else there


def state_after_fill(state: OrderState, filled: Decimal, quantity: Decimal) -> OrderState:
    """Return the state after a fill that makes `filled` of `quantity`.

    Raises:
        IllegalMoveError: Nothing was ever sent for the order.
        InvariantError: More would be filled than was ordered.
    """
    if state not in FILLABLE:
        raise IllegalMoveError(f"an order that is {state} was never sent and cannot be filled")
    if filled > quantity:
        raise InvariantError(f"filled {filled} is more than the {quantity} that were ordered")
    if state in TERMINAL:
        return state
    if filled == quantity:
        return OrderState.FILLED
    return state if state is OrderState.CANCELLING else OrderState.PARTIAL


class OrderIntent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A sized wish of a strategy instance, before anything was sent.

    Attributes:
        order_id: UUID, the same in the table `orders`.
        instance: Strategy instance; `external` for what we did not send.
        strategy_id: UUID of the release in the table `strategies`.
        release: Name and digest of the release.
        instrument_id: `MARKET:SYMBOL`.
        venue: Where it is to trade.
        quantity: Of the instrument, above zero.
        price: Limit in the instrument's currency; None for a market order.
        currency: What it is paid in.
        decision_id: The evaluated decision that it comes from.
        valid_until_ns: It is not sent after this; 0 for no limit.
        triggered_ns: When the frame arrived that led to it, instance time, UTC ns; 0 when the
            clock did. What latency is measured from.
        reduces: It makes a position smaller: allowed when entries are not.
        trigger: Stop price that a trade has reached; None for an order without one.
        is_renewed: The strategy's order is good till cancelled; this one is its part for the day.
    """

    order_id: str
    broker: str
    account: str
    instance: str
    instrument_id: str
    venue: str
    side: OrderSide
    quantity: Decimal
    currency: str
    price: Decimal | None = None
    time_in_force: Literal["day", "ioc", "fok", "gtc"] = "day"
    strategy_id: str | None = None
    release: str = ""
    decision_id: str = ""
    valid_until_ns: int = 0
    triggered_ns: int = 0
    reduces: bool = False
    trigger: Decimal | None = None
    is_renewed: bool = False

    @property
    def asked_force(self) -> str:
        """Time in force as its strategy asked for it."""
        return "gtc" if self.is_renewed else self.time_in_force


def order_type(price: Decimal | None, trigger: Decimal | None) -> str:
    """Return the type of an order by its limit and its stop price, in the words of strategies."""
    if trigger is None:
        return "market" if price is None else "limit"
    return "stop" if price is None else "stop_limit"


class Reservation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What an order may use up until it has ended.

    Attributes:
        asset: A currency for a buy, the instrument id for a sale.
        amount: Whole units of it, costs included.
    """

    asset: str
    amount: Decimal
