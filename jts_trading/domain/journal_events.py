"""What the journal records: one struct per event, in the past tense, each with a version.

Their canonical bytes are hashed into the chain of the writer, so a struct may never change within
its version except by a new optional field.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.domain.schemas import Registry


class IntentRecorded(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="intent_recorded"):
    """An order is wanted; its reservation is made in the same transaction."""

    intent: OrderIntent
    reservation: Reservation


class OrderAdopted(msgspec.Struct, frozen=True, kw_only=True, tag="order_adopted"):
    """An order that we did not send was found at the venue; it counts as open."""

    intent: OrderIntent
    venue_order_id: str


class AttemptStarted(msgspec.Struct, frozen=True, kw_only=True, tag="attempt_started"):
    """Bytes are about to be sent.

    Attributes:
        client_order_id: Unique for ever.
        attempt: 1, 2, ... within the order.
        payload_hash: SHA-256 of the final payload that the risk verdict was given for.
        lease: Name of the lease under which it is sent.
        token: Fencing token of that lease.
        quantity: As it is sent, after rounding; None where it is that of the order.
        price: As it is sent, when `quantity` is given: None for a market order.
    """

    order_id: str
    client_order_id: str
    attempt: int
    payload_hash: str
    lease: str
    token: int
    quantity: Decimal | None = None
    price: Decimal | None = None


class OrderAcknowledged(msgspec.Struct, frozen=True, kw_only=True, tag="order_acknowledged"):
    """The venue has the order.

    Attributes:
        attempt: Which attempt it is about; 0 for an adopted order.
    """

    order_id: str
    attempt: int
    venue_order_id: str


class OrderRejected(msgspec.Struct, frozen=True, kw_only=True, tag="order_rejected"):
    """The venue refused it with a documented code."""

    order_id: str
    attempt: int
    reason: str


class OrderLost(msgspec.Struct, frozen=True, kw_only=True, tag="order_lost"):
    """Whether the venue has the order is not known."""

    order_id: str
    attempt: int
    reason: str


class OrderAbsent(msgspec.Struct, frozen=True, kw_only=True, tag="order_absent"):
    """The attempt was proven not to be at the venue."""

    order_id: str
    attempt: int
    evidence: str


class OrderAmended(msgspec.Struct, frozen=True, kw_only=True, tag="order_amended"):
    """The venue confirmed another price or quantity."""

    order_id: str
    quantity: Decimal
    price: Decimal | None
    venue_order_id: str


class CancelRequested(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_requested"):
    """A cancel is about to be sent.

    Attributes:
        number: 1, 2, ... within the order.
    """

    order_id: str
    number: int


class CancelRefused(msgspec.Struct, frozen=True, kw_only=True, tag="cancel_refused"):
    """The venue refused the cancel of this number; the order works on."""

    order_id: str
    number: int
    reason: str


class OrderCancelled(msgspec.Struct, frozen=True, kw_only=True, tag="order_cancelled"):
    """The venue confirmed that the rest is gone."""

    order_id: str
    reason: str = ""


class OrderDenied(msgspec.Struct, frozen=True, kw_only=True, tag="order_denied"):
    """Risk said no; nothing was sent."""

    order_id: str
    check: str
    reason: str


class OrderExpired(msgspec.Struct, frozen=True, kw_only=True, tag="order_expired"):
    """It was too late to send it, or its session ended."""

    order_id: str
    reason: str = ""


class OrderFilled(msgspec.Struct, frozen=True, kw_only=True, tag="order_filled"):
    """The venue traded a part of the order or all of it.

    Attributes:
        trade_id: The venue's own; unique per venue, account and instrument.
        quantity: Of this fill.
        gross: Price times quantity as the venue booked it; worked out and rounded to the
            currency's unit when None.
        fee: In the currency of the order, at most the currency's unit fine.
        tax: Likewise.
        fee_quantity: What the venue kept of the instrument itself.
        ts_event_ns: When the venue traded; when we recorded it if 0.
        cumulative: Filled of the order after this fill, where a cumulative report is the source:
            the journal refuses a fill that does not follow what it has booked.
    """

    order_id: str
    trade_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    gross: Decimal | None = None
    fee_quantity: Decimal = Decimal(0)
    ts_event_ns: int = 0
    cumulative: Decimal | None = None


class CashMoved(msgspec.Struct, frozen=True, kw_only=True, tag="cash_moved"):
    """Money came into an account or left it, other than by a trade.

    Attributes:
        amount: Above zero for a deposit, below for a withdrawal.
        reason: Such as deposit, dividend, or difference found by reconciliation.
    """

    broker: str
    account: str
    instance: str
    currency: str
    amount: Decimal
    reason: str


class PositionAdopted(msgspec.Struct, frozen=True, kw_only=True, tag="position_adopted"):
    """Instruments came into an account or left it, other than by a trade of ours.

    Attributes:
        quantity: Above zero for what came in.
        cost: Total cost of what came in, or of what left; at least 0.
    """

    broker: str
    account: str
    instance: str
    instrument_id: str
    currency: str
    quantity: Decimal
    cost: Decimal
    reason: str


class StrategyReleased(msgspec.Struct, frozen=True, kw_only=True, tag="strategy_released"):
    """A strategy release is known or has another status."""

    strategy_id: str
    name: str
    dsl_code: str
    status: Literal["draft", "released", "active", "paused", "retired"]
    release: str = ""


class NoteRecorded(msgspec.Struct, frozen=True, kw_only=True, tag="note_recorded"):
    """A fact that moves no money: a verdict, a decision, the kill switch, an operator's word.

    Attributes:
        topic: Such as risk_verdict or kill_switch.
        subject: The order, account or person that it is about.
        body: Canonical JSON text.
    """

    topic: str
    subject: str
    body: str


class DecisionRecorded(
    msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="decision_recorded"
):
    """A strategy instance judged a bar, closed or on a trade of it, and something came of it.

    Attributes:
        decision_id: Made from instance, release, instrument and bar, or trade: the same judgement
            again has the same id.
        interval: Of the bar.
        bar_start_ns: Label of the bar, UTC ns.
        decided_ns: When it was judged, instance time, UTC ns.
        price: Close of the bar, or price of the trade, in the instrument's currency.
        fired: Mask of the rules that fired.
        outcome: `ordered`, or why no order came of it, such as `position held`.
        values: The evaluated conditions as JSON: a list with one node for each rule of the text,
            in its order, whether it fired or not (on a trade only of those that are judged there),
            one for each part of the risk block that hit, and one for a stop price that an order is
            held for. A node is `{"text": "sma5 > sma20", "value": true, "children": [...]}`: the
            value is true, false, null (not defined) or a number, prices in the instrument's
            currency; children are left out where there are none. Top nodes also have `rule` (the
            bit, or 100 and above for the risk block); a crossing also has `before`, its comparison
            on the bar before. Numbers have 14 digits; the step that decided compared whole ticks.
        bar: The judged bar as JSON: open, high, low, close, volume (texts), ticks, last_tick,
            feed, closed_by (`trade` for a bar in the making).
        equity: Equity of the instance at the decision, in its currency.
        triggered_ns: When the frame arrived that closed the bar, or brought the trade, instance
            time; 0 by the clock.
    """

    decision_id: str
    instance: str
    release: str
    instrument_id: str
    venue: str
    interval: str
    bar_start_ns: int
    decided_ns: int
    price: Decimal
    fired: int
    outcome: str
    values: str
    bar: str
    equity: Decimal
    triggered_ns: int = 0


class SignalRecorded(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="signal_recorded"):
    """A rule of a strategy fired. Announced on `signals.entry.*` or `signals.exit.all`.

    Attributes:
        signal_id: Made from the decision and the rule.
        rule: Bit of the rule.
        kind: Entry or exit.
        side: Of the order that the rule asks for.
        condition: The rule as text.
    """

    signal_id: str
    decision_id: str
    instance: str
    release: str
    instrument_id: str
    venue: str
    interval: str
    bar_start_ns: int
    decided_ns: int
    rule: int
    kind: Literal["entry", "exit"]
    side: OrderSide
    price: Decimal
    condition: str


JournalEvent = (
    IntentRecorded
    | OrderAdopted
    | AttemptStarted
    | OrderAcknowledged
    | OrderRejected
    | OrderLost
    | OrderAbsent
    | OrderAmended
    | CancelRequested
    | CancelRefused
    | OrderCancelled
    | OrderDenied
    | OrderExpired
    | OrderFilled
    | CashMoved
    | PositionAdopted
    | StrategyReleased
    | DecisionRecorded
    | SignalRecorded
    | NoteRecorded
)

EVENTS = Registry((1, struct) for struct in JournalEvent.__args__)
