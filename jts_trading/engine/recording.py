"""What comes of a judged bar, drafted and then recorded: a decision, its signals, an intent."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

import msgspec

from jts_trading.domain.journal_events import DecisionRecorded, IntentRecorded, SignalRecorded
from jts_trading.domain.orders import OrderSide
from jts_trading.dsl.tracing import Evaluated
from jts_trading.engine.bars import Bar
from jts_trading.engine.columns import Floats
from jts_trading.engine.events import Effect
from jts_trading.engine.identity import signal_id
from jts_trading.engine.outcomes import Outcome
from jts_trading.engine.program import Signal
from jts_trading.engine.state import EngineState, Instance, SymbolBook
from jts_trading.engine.words import bar_text, condition_of


class Seen(NamedTuple):
    """What a step saw: the state before the bar, its arguments, and the mask that it returned."""

    before: Floats
    arguments: tuple[float, ...]
    fired: int


@dataclass(slots=True)
class Draft:
    """One judged bar of one instance, and what comes of it.

    Attributes:
        book: The account half of the instance in the instrument.
        decision_id: Of the decision on this bar.
        fired: Mask of the rules that fired; the guard takes out what the account does not allow.
        values: The evaluated conditions, of rules and of the risk block.
        reasons: What signals are recorded for, beside the rules.
        outcomes: Why an order was given or not, of exit and entry.
        numbers: What the step left for the guard and for order prices, see `dsl.plan`.
        seen: Kept where the values are still to be looked up.
        facts: Of the account, where the guard was asked.
    """

    instance: Instance
    bar: Bar
    book: SymbolBook
    decision_id: str
    fired: int
    numbers: Floats
    values: list[Evaluated] = field(default_factory=list)
    reasons: list[int] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    intent: IntentRecorded | None = None
    seen: Seen | None = None
    facts: Floats | None = None
    signal_ids: dict[int, str] = field(default_factory=dict)

    @property
    def symbol(self) -> str:
        """The instrument."""
        return self.bar.instrument_id

    def signal_id(self, reason: int) -> str:
        """Return the id of the signal that is recorded for a rule, or reason, of this decision."""
        found = self.signal_ids.get(reason)
        if found is None:
            found = self.signal_ids[reason] = signal_id(self.decision_id, reason)
        return found

    @property
    def triggered_ns(self) -> int:
        """When the trade arrived that closed the bar or was judged; 0 when the clock did."""
        return self.bar.trigger.ts_recv_ns if self.bar.closed_by in ("event", "trade") else 0


def record(state: EngineState, draft: Draft, now_ns: int, equity: Decimal) -> list[Effect]:
    """Return the facts of a bar: the decision first, then its signals, then the intent."""
    bar, spec, counts = draft.bar, draft.instance.spec, state.counts
    units = draft.instance.units[bar.instrument_id]
    price = units.price(bar.close)
    if not draft.outcomes:
        draft.outcomes.append(Outcome.SHORT)
    # Arguments that come in a mapping take several times as long.
    decision = DecisionRecorded(
        decision_id=draft.decision_id,
        instance=spec.instance,
        release=spec.release,
        instrument_id=bar.instrument_id,
        venue=bar.venue,
        interval=bar.interval,
        bar_start_ns=bar.start_ns,
        decided_ns=now_ns,
        price=price,
        fired=draft.fired,
        outcome="; ".join(draft.outcomes),
        values=msgspec.json.encode(draft.values).decode() if draft.values else "",
        bar=bar_text(bar, units),
        equity=equity,
        triggered_ns=draft.triggered_ns,
    )
    frame, entry = bar.trigger.correlation_id, bar.trigger.message_id
    effects = [Effect(decision, f"decision/{draft.decision_id}", frame, entry)]
    for reason, kind, side, condition in _signals(draft):
        found = SignalRecorded(
            signal_id=draft.signal_id(reason),
            decision_id=draft.decision_id,
            instance=spec.instance,
            release=spec.release,
            instrument_id=bar.instrument_id,
            venue=bar.venue,
            interval=bar.interval,
            bar_start_ns=bar.start_ns,
            decided_ns=now_ns,
            rule=reason,
            kind=kind,
            side=side,
            price=price,
            condition=condition,
        )
        effects.append(Effect(found, f"signal/{found.signal_id}", frame, entry))
    counts.decisions += 1
    counts.signals += len(effects) - 1
    if draft.intent is not None:
        order_id = draft.intent.intent.order_id
        effects.append(Effect(draft.intent, f"intent/{order_id}", frame, entry))
        counts.intents += 1
    return effects


def _signals(draft: Draft) -> list[Signal]:
    program = draft.instance.program
    fired = [signal for signal in program.signals if draft.fired >> signal[0] & 1]
    return fired + [
        (reason, "exit", OrderSide.SELL, condition_of(program.plan, reason))
        for reason in draft.reasons
    ]
