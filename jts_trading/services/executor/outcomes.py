"""What became of an attempt, into the journal: the answer and the note of what left, together.

An answer must reach the journal, so a journal that does not answer is asked again until it does;
until then the order counts as being sent. The reconciler may have been faster, from the venue's
own list: then its entry stands and only the note is added.
"""

import asyncio
from dataclasses import dataclass
from fractions import Fraction

import msgspec
import structlog

from jts_trading.domain.errors import JtsError, TransientError
from jts_trading.domain.journal_events import (
    JournalEvent,
    NoteRecorded,
    OrderAbsent,
    OrderAcknowledged,
    OrderDenied,
    OrderLost,
    OrderRejected,
)
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import InvariantError
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Fact, Journal, JournalUnavailableError
from jts_trading.ports.sender import Accepted, Refused
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.verdict import NOTE_TOPIC as VERDICT_TOPIC
from jts_trading.risk.verdict import Denial, Verdict
from jts_trading.services.executor.recent import NOTE_TOPIC as SENT_TOPIC
from jts_trading.services.executor.recent import SentNote
from jts_trading.telemetry.metrics import Counters

_NS_PER_MS = 1_000_000
_FIRST_PAUSE_S, _PAUSE_S_MAX = 0.05, 2.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Sending:
    """One attempt on its way.

    Attributes:
        order: As it was before the attempt.
        final: What is sent.
        payload_hash: Of it.
        triggered_ns: See `OrderIntent`.
        commit_ms: Real ms that the journal took.
        noted_ns: Boot clock when the attempt was committed.
        sent_ns: Instance time right before the first byte; of the last try while the gate is shut.
        real_sent_ns: Boot clock at that moment; 0 as long as the gate let nothing pass.
        answered_ns: Boot clock when the answer, or its lack, was known.
    """

    order: OrderRow
    final: FinalOrder
    payload_hash: str
    triggered_ns: int
    commit_ms: float
    noted_ns: int
    sent_ns: int = 0
    real_sent_ns: int = 0
    answered_ns: int = 0


class Outcomes:
    """Records outcomes.

    Args:
        journal: Where.
        clock: Dates the facts.
        speed: Of the clock.
        counters: Metrics of the role.
    """

    def __init__(
        self, journal: Journal, *, clock: Clock, speed: Fraction, counters: Counters
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._speed = speed
        self._counters = counters

    def latency_ms(self, sending: Sending) -> float | None:
        """Return real ms from the frame to the first byte; None without either."""
        if not sending.triggered_ns or not sending.real_sent_ns:
            return None
        return float((sending.sent_ns - sending.triggered_ns) / self._speed) / _NS_PER_MS

    def verdict_note(self, order: OrderRow, verdict: Verdict) -> Fact:
        """Return the note of a risk verdict."""
        body = msgspec.json.encode(verdict, order="sorted").decode()
        return Fact(
            NoteRecorded(topic=VERDICT_TOPIC, subject=order.id, body=body),
            self._clock.now_ns(),
            correlation_id=order.correlation_id,
            causation_id=f"intent/{order.id}",
            event_id=f"verdict/{verdict.client_order_id}/{verdict.reviewed_ns}",
        )

    async def deny(self, order: OrderRow, denial: Denial, verdict: Verdict | None) -> None:
        """Record that an order is not sent, with its verdict if there is one.

        Raises:
            JournalUnavailableError: It is not known to be recorded; the order is looked at again.
        """
        reason = f"{denial.check}: {denial.reason}"
        event = OrderDenied(order_id=order.id, check=denial.check, reason=reason)
        facts = [] if verdict is None else [self.verdict_note(order, verdict)]
        try:
            await self._journal.record_event(
                [*facts, self._fact(order, event, f"denied/{order.id}")]
            )
        except InvariantError as error:
            _log.warning("denial_refused", order_id=order.id, error=str(error))

    async def settle(self, sending: Sending, answer: Accepted | Refused | JtsError) -> bool:
        """Record an answer, however long the journal takes.

        Returns:
            Whether the venue took an order that the journal has ended, or has under another id:
            somebody must look.
        """
        event, event_id = _event_of(sending.final, answer)
        kind = type(event).__name__.removeprefix("Order").lower()
        self._counters.add(
            "orders_sent_total" if sending.real_sent_ns else "orders_stopped_total", outcome=kind
        )
        note = self._sent_note(sending, kind, answer)
        order = sending.order
        try:
            await self._surely([self._fact(order, event, event_id), note])
        except InvariantError as error:
            # The reconciler found the order at the venue first, and knows more.
            _log.info("answer_was_overtaken", order_id=order.id, error=str(error))
            await self._surely([note])
            return isinstance(answer, Accepted) and not await self._agrees(order.id, answer)
        return False

    async def _agrees(self, order_id: str, answer: Accepted) -> bool:
        """Return whether the journal has the order under the id that the venue gave us."""
        try:
            row = await self._journal.find_order(order_id=order_id)
        except JournalUnavailableError:
            return False
        return row is not None and row.venue_order_id == answer.venue_order_id

    async def _surely(self, facts: list[Fact]) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._journal.record_event(facts)
            except JournalUnavailableError as error:
                _log.warning("answer_waits_for_the_journal", error=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
                continue
            return

    def _fact(self, order: OrderRow, event: JournalEvent, event_id: str) -> Fact:
        return Fact(
            event,
            self._clock.now_ns(),
            correlation_id=order.correlation_id,
            causation_id=f"intent/{order.id}",
            event_id=event_id,
        )

    def _sent_note(
        self, sending: Sending, outcome: str, answer: Accepted | Refused | JtsError
    ) -> Fact:
        final = sending.final
        sent_ns = sending.real_sent_ns or sending.answered_ns
        note = SentNote(
            order_id=final.order_id,
            client_order_id=final.client_order_id,
            attempt=final.attempt,
            payload_hash=sending.payload_hash,
            broker=final.broker,
            account=final.account,
            instance=final.instance,
            instrument_id=final.instrument_id,
            side=final.side,
            quantity=final.quantity,
            price=final.price,
            triggered_ns=sending.triggered_ns,
            sent_ns=sending.sent_ns,
            real_sent_ns=sending.real_sent_ns,
            latency_ms=self.latency_ms(sending),
            commit_ms=sending.commit_ms,
            write_ms=(sent_ns - sending.noted_ns) / _NS_PER_MS,
            answer_ms=(sending.answered_ns - sent_ns) / _NS_PER_MS,
            outcome=outcome,
            venue_order_id=answer.venue_order_id if isinstance(answer, Accepted) else "",
            clock_speed=str(self._speed),
        )
        body = msgspec.json.encode(note, order="sorted").decode()
        event = NoteRecorded(topic=SENT_TOPIC, subject=final.order_id, body=body)
        return self._fact(sending.order, event, f"sent/{final.client_order_id}")


def _event_of(
    final: FinalOrder, answer: Accepted | Refused | JtsError
) -> tuple[JournalEvent, str]:
    """Return the event of an answer and the id of its fact."""
    order_id, attempt, name = final.order_id, final.attempt, final.client_order_id
    match answer:
        case Accepted():
            event: JournalEvent = OrderAcknowledged(
                order_id=order_id, attempt=attempt, venue_order_id=answer.venue_order_id
            )
            return event, f"ack/{name}"
        case Refused():
            reason = f"{answer.code}: {answer.reason}"
            event = OrderRejected(order_id=order_id, attempt=attempt, reason=reason)
            return event, f"rejected/{name}"
        case TransientError():
            evidence = f"not sent: {answer}"
            event = OrderAbsent(order_id=order_id, attempt=attempt, evidence=evidence)
            return event, f"absent/{name}"
        case _:
            event = OrderLost(order_id=order_id, attempt=attempt, reason=str(answer))
            return event, f"lost/{name}"
