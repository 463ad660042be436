"""What the engine is told, and what it asks of its shell."""

from dataclasses import dataclass

import msgspec

from jts_trading.domain.feed_messages import BarsClosed, RiskAlert, TicksCollected
from jts_trading.domain.journal_events import (
    DecisionRecorded,
    IntentRecorded,
    JournalEvent,
    SignalRecorded,
)
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.engine.bars import Cause, Origin


@dataclass(frozen=True, slots=True)
class TicksArrived:
    """An entry of ticks of one feed, in the order of their numbers.

    Attributes:
        message_id: Of the bus entry; what follows from it names it as its cause.
        is_recorded: It is made of recorded trades: numbers may jump where order books were.
        is_past: It was decided on before: bars and strategies take it in, nothing is decided.
    """

    ticks: TicksCollected
    message_id: str
    is_recorded: bool = False
    is_past: bool = False

    def cause_of(self, at: int) -> Cause:
        """Return where a tick of the entry came from, by its place."""
        return self.origin().cause(at, self.ticks.ticks[at].ts_recv_ns)

    def origin(self) -> Origin:
        """Return where its ticks came from."""
        entry = self.ticks
        return Origin(
            entry.feed, self.message_id, entry.first_tick, entry.first_frame, entry.frames
        )


@dataclass(frozen=True, slots=True)
class ClockRead:
    """Time has passed.

    Attributes:
        reached_ns: Every tick that arrived before this instant has been handed over, UTC ns.
    """

    reached_ns: int


@dataclass(frozen=True, slots=True)
class JournalRead:
    """The next events of the journal.

    Attributes:
        events: Those that move orders or positions: sequence, time of recording (UTC ns), event.
        through_seq: Everything up to this number has been read.
    """

    events: tuple[tuple[int, int, JournalEvent], ...]
    through_seq: int = 0


@dataclass(frozen=True, slots=True)
class IntentRefused:
    """The journal did not take an intent of the last step; nothing of it is recorded."""

    instance: str
    order_id: str


@dataclass(frozen=True, slots=True)
class InputsChanged:
    """Instances are described anew, in all that does not touch what they compute.

    Attributes:
        version: Of the trading inputs.
        instances: Every instance that is to trade.
    """

    version: int
    instances: tuple[StrategyInput, ...]


Event = TicksArrived | ClockRead | JournalRead | IntentRefused | InputsChanged


class Effect(msgspec.Struct, frozen=True, gc=False):
    """One thing that the shell has to record or publish.

    Facts (decisions, signals, intents) of one step belong into one transaction; bars and alerts
    are published.

    Attributes:
        event_id: The same effect worked out again has the same id.
        correlation_id: The frame that everything began with.
        causation_id: The bus entry that led to it.
    """

    event: BarsClosed | DecisionRecorded | SignalRecorded | IntentRecorded | RiskAlert
    event_id: str
    correlation_id: str = ""
    causation_id: str = ""

    @property
    def is_fact(self) -> bool:
        """Whether it belongs into the journal."""
        return isinstance(self.event, DecisionRecorded | SignalRecorded | IntentRecorded)
