"""One order or decision back to the bytes that it began with: the chain as a document."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from jts_trading.commands import words
from jts_trading.commands.orders import ShownOrder, shown_orders
from jts_trading.commands.reading import LedgerReader
from jts_trading.commands.wire_evidence import ShownFrame, find_frame
from jts_trading.config.settings import Settings
from jts_trading.domain.journal_events import (
    AttemptStarted,
    DecisionRecorded,
    IntentRecorded,
    JournalEvent,
    NoteRecorded,
    SignalRecorded,
)
from jts_trading.domain.ledger_rows import FillRow, OrderRow, StrategyRow
from jts_trading.journal.chain import open_event
from jts_trading.ports.journal import StoredEvent

Json = dict[str, Any]
_EVENTS = """
r.stream = %(order)s OR r.stream = %(decision)s
OR (r.correlation_id = %(correlation)s AND %(correlation)s <> '' AND r.stream LIKE 'note/%%')
"""
_VERDICT, _SENT = "risk_verdict", "order_sent"


class ShownSignal(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that fired."""

    signal_id: str
    rule: int
    kind: str
    side: str
    condition: str


class ShownDecision(msgspec.Struct, frozen=True, kw_only=True):
    """A judged bar.

    Attributes:
        bar: Open, high, low, close, volume, ticks, last tick and feed.
        values: The evaluated condition tree: nodes with their text and value.
        strategy: Name of the strategy; empty when the journal does not know its release.
    """

    decision_id: str
    instance: str
    release: str
    strategy: str
    instrument_id: str
    venue: str
    interval: str
    bar_start: str | None
    decided_at: str | None
    price: Decimal
    fired: int
    outcome: str
    equity: Decimal
    bar: Json
    values: list[Any]
    signals: tuple[ShownSignal, ...]


class ShownSizing(msgspec.Struct, frozen=True, kw_only=True):
    """What the order is worth beside what the instance is worth.

    Attributes:
        value: Quantity at the decision price.
        share: Of the equity at the decision; None without one.
        reserved: What the order keeps from others until it ends.
    """

    quantity: Decimal
    price: Decimal | None
    value: Decimal
    share: Decimal | None
    reserved: Decimal
    reserved_asset: str
    reduces: bool
    valid_until: str | None


class ShownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the journal about the order, without the order's id."""

    seq: int
    at: str | None
    writer: str
    event: str
    causation_id: str
    body: Json


class WhyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts why --json` prints of an order, from its first byte to its fills.

    Attributes:
        frame: The frame that everything began with; None where a person or clock did.
        verdicts: Risk reviews with every check's figures, oldest first.
        sent: What left us, when, and how long everything took; one for each attempt.
        events: Everything that the journal says about the order, in order.
    """

    order: ShownOrder | None
    correlation_id: str
    frame: ShownFrame | None
    decision: ShownDecision | None
    sizing: ShownSizing | None
    verdicts: tuple[Json, ...]
    attempts: tuple[Json, ...]
    sent: tuple[Json, ...]
    events: tuple[ShownEvent, ...]
    fills: tuple[FillRow, ...]


def chain_of_order(
    ledger: LedgerReader, settings: Settings, row: OrderRow, names: words.Names
) -> WhyDocument:
    """Return the chain of an order."""
    stored = ledger.events(
        _EVENTS,
        {
            "order": f"order/{row.id}",
            "decision": f"decision/{row.decision_id}",
            "correlation": row.correlation_id,
        },
    )
    opened = [(each, open_event(each)) for each in stored]
    own = [each for each in opened if each[0].stream == f"order/{row.id}"]
    notes = _notes(opened, row.id)
    decision = _decision(ledger, opened)
    return WhyDocument(
        order=shown_orders(ledger, [row], names)[0],
        correlation_id=row.correlation_id,
        frame=find_frame(settings.instance.root, row.correlation_id, row.venue),
        decision=decision,
        sizing=_sizing(own, decision, row.venue),
        verdicts=tuple(notes[_VERDICT]),
        attempts=tuple(
            msgspec.to_builtins(event) for _, event in own if isinstance(event, AttemptStarted)
        ),
        sent=tuple(notes[_SENT]),
        events=tuple(_shown_event(each, event, row.venue) for each, event in own),
        fills=tuple(
            ledger.rows(FillRow, "r.order_id = %(id)s::uuid", {"id": row.id}, order="r.seq")
        ),
    )


def chain_of_decision(
    ledger: LedgerReader, settings: Settings, stored: StoredEvent
) -> WhyDocument:
    """Return the chain of a decision that no order came of."""
    opened = [
        (each, open_event(each))
        for each in ledger.events("r.stream = %(stream)s", {"stream": stored.stream})
    ]
    decision = _decision(ledger, opened)
    venue = decision.venue if decision else ""
    return WhyDocument(
        order=None,
        correlation_id=stored.correlation_id,
        frame=find_frame(settings.instance.root, stored.correlation_id, venue),
        decision=decision,
        sizing=None,
        verdicts=(),
        attempts=(),
        sent=(),
        events=(),
        fills=(),
    )


def _notes(
    opened: Iterable[tuple[StoredEvent, JournalEvent]], order_id: str
) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {_VERDICT: [], _SENT: []}
    for _, event in opened:
        if isinstance(event, NoteRecorded) and event.subject == order_id:
            found.setdefault(event.topic, []).append(msgspec.json.decode(event.body))
    return found


def _decision(
    ledger: LedgerReader, opened: Sequence[tuple[StoredEvent, JournalEvent]]
) -> ShownDecision | None:
    made = next((event for _, event in opened if isinstance(event, DecisionRecorded)), None)
    if made is None:
        return None
    # The trade that reached a stop may have led to decisions of its own.
    signals = [
        event
        for _, event in opened
        if isinstance(event, SignalRecorded) and event.decision_id == made.decision_id
    ]
    known = ledger.rows(StrategyRow, "r.release = %(release)s", {"release": made.release})
    return ShownDecision(
        decision_id=made.decision_id,
        instance=made.instance,
        release=made.release,
        strategy=known[0].name if known else "",
        instrument_id=made.instrument_id,
        venue=made.venue,
        interval=made.interval,
        bar_start=words.iso(made.bar_start_ns, made.venue),
        decided_at=words.iso(made.decided_ns, made.venue),
        price=made.price,
        fired=made.fired,
        outcome=made.outcome,
        equity=made.equity,
        bar=_json(made.bar, {}),
        values=_json(made.values, []),
        signals=tuple(
            ShownSignal(
                signal_id=signal.signal_id,
                rule=signal.rule,
                kind=signal.kind,
                side=signal.side,
                condition=signal.condition,
            )
            for signal in signals
        ),
    )


def _sizing(
    own: Sequence[tuple[StoredEvent, JournalEvent]], decision: ShownDecision | None, venue: str
) -> ShownSizing | None:
    recorded = next((event for _, event in own if isinstance(event, IntentRecorded)), None)
    if recorded is None:
        return None
    intent = recorded.intent
    at = decision.price if decision else intent.price or Decimal(0)
    value = intent.quantity * at
    share = round(value / decision.equity, 6) if decision and decision.equity else None
    return ShownSizing(
        quantity=intent.quantity,
        price=intent.price,
        value=value,
        share=share,
        reserved=recorded.reservation.amount,
        reserved_asset=recorded.reservation.asset,
        reduces=intent.reduces,
        valid_until=words.iso(intent.valid_until_ns, venue),
    )


def _shown_event(stored: StoredEvent, event: JournalEvent, venue: str) -> ShownEvent:
    body: Json = msgspec.to_builtins(event)
    for name in ("type", "order_id"):
        body.pop(name, None)
    return ShownEvent(
        seq=stored.seq,
        at=words.iso(stored.ts_ns, venue),
        writer=stored.writer,
        event=stored.type,
        causation_id=stored.causation_id,
        body=body,
    )


def _json(text: str, empty: Any) -> Any:
    """Read what a decision kept as JSON; a text that is none is shown as it is."""
    if not text:
        return empty
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {"text": text} if isinstance(empty, dict) else [text]
