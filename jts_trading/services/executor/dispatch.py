"""Sending the orders of one account, one at a time: the only place where an order leaves us.

Theory of operation. Two lanes, exits before entries, each waiting for its own permits; one turn,
so that no two orders of the account are unanswered at once (KIS has no id of ours to tell them
apart by). Within its turn an order goes through a fixed line:

    facts and review (100 ms) -> attempt with its verdict in the journal -> gate -> bytes -> answer

The gate is asked by the sender as the last statement before bytes leave; it checks lease, kill
switch, latest time, the hash of the payload and how long ago the attempt was noted. What it stops
has certainly not been sent. Whatever happens after it and is no answer makes the order UNKNOWN,
and nothing here ever sends an UNKNOWN order again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from jts_trading.domain.errors import JtsError, TransientError, UnknownOutcome
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import InvariantError, OrderIntent
from jts_trading.execution.final_order import attempt_of, final_order
from jts_trading.execution.lifecycle import Situation, Step, choose
from jts_trading.execution.priority import Priority
from jts_trading.guards.breaker import Breaker
from jts_trading.guards.deadline import Deadline, DeadlineError
from jts_trading.guards.kill_switch import KillLevel
from jts_trading.ports.journal import Fact, FencedError, JournalUnavailableError
from jts_trading.ports.sender import Accepted, Refused, Sender
from jts_trading.risk.approval import ApprovedOrder, FinalOrder
from jts_trading.risk.facts import RiskFacts
from jts_trading.risk.review import review
from jts_trading.risk.verdict import Denial, Review, Verdict
from jts_trading.services.executor.fact_gathering import Briefing
from jts_trading.services.executor.gate import NotSentError, build_gate
from jts_trading.services.executor.means import Means
from jts_trading.services.executor.outcomes import Outcomes, Sending

_NS_PER_MS = 1_000_000
# A permit that waited longer for its turn is paid again.
_PREPARED_MS_MAX = 500.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An order that is to go, with what its review is told."""

    row: OrderRow
    intent: OrderIntent
    facts: RiskFacts


class Dispatcher:
    """Sends the orders of one account.

    Args:
        sender: Of the account.
        breaker: Of its venue.
        means: What all accounts share.
    """

    def __init__(self, sender: Sender, breaker: Breaker, means: Means) -> None:
        self.sender = sender
        self.breaker = breaker
        self._means = means
        self._turn = asyncio.Lock()
        self._lanes = {
            priority: asyncio.Queue[str]() for priority in (Priority.REDUCE, Priority.ENTRY)
        }
        self._queued: set[str] = set()
        self._outcomes = Outcomes(
            means.journal, clock=means.clock, speed=means.speed, counters=means.counters
        )

    def offer(self, order_id: str, *, reduces: bool) -> None:
        """Line an order up, unless it stands in line already."""
        if order_id not in self._queued:
            self._queued.add(order_id)
            self._lanes[Priority.REDUCE if reduces else Priority.ENTRY].put_nowait(order_id)

    @property
    def waiting(self) -> int:
        """How many orders stand in line or are being sent."""
        return len(self._queued)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            for priority in self._lanes:
                group.create_task(self._run_lane(priority, group))

    async def _run_lane(self, priority: Priority, group: asyncio.TaskGroup) -> None:
        lane = self._lanes[priority]
        while True:
            order_id = await lane.get()
            try:
                with self._means.board.flight(order_id):
                    await self._bring(order_id, priority, group)
            except JournalUnavailableError as error:
                _log.warning("order_waits_for_the_journal", order_id=order_id, error=str(error))
            finally:
                # A trial that was not made, for whatever reason, is for the next order.
                self.breaker.give_back()
                self._queued.discard(order_id)

    async def _bring(self, order_id: str, priority: Priority, group: asyncio.TaskGroup) -> None:
        """Prepare one order and send it in its turn."""
        means = self._means
        if means.keeper.token is None:
            return
        if priority is Priority.ENTRY and not self.breaker.allows():
            means.board.hold_back(order_id, means.settings.retry_after_s)
            return
        for _ in range(means.settings.attempts_max):
            if not await self._prepare(order_id, priority):
                return
            prepared_ns = means.boottime_ns()
            async with self._turn:
                waited_ms = (means.boottime_ns() - prepared_ns) / _NS_PER_MS
                if waited_ms <= _PREPARED_MS_MAX:
                    await self._send(order_id, group)
                    return

    async def _prepare(self, order_id: str, priority: Priority) -> bool:
        settings = self._means.settings
        try:
            async with asyncio.timeout(settings.prepare_s_max):
                await self.sender.prepare(priority)
        except (TransientError, TimeoutError) as error:
            self._means.counters.add("prepare_failed_total", broker=self.sender.broker)
            _log.info("order_not_prepared", order_id=order_id, error=str(error) or "time-out")
            self._means.board.hold_back(order_id, settings.retry_after_s)
            return False
        return True

    async def _send(self, order_id: str, group: asyncio.TaskGroup) -> None:
        means = self._means
        known = means.board.find(order_id)
        if known is None or means.keeper.token is None:
            return
        deadline = Deadline(means.boottime_ns, means.settings.review_ms_max, "facts and review")
        try:
            ready = self._ready(await self._brief(known, deadline, group))
            found = self._review(ready, deadline) if ready else None
        except (TimeoutError, DeadlineError) as error:
            reason = str(error) or f"facts were not known within {deadline.spent_ms:.0f} ms"
            await self._deny(known, Denial("deadline", reason), None)
            return
        except JournalUnavailableError:
            raise
        except (ValueError, JtsError) as error:
            # An order that cannot even be looked at must not stop the others.
            await self._deny(known, Denial("payload", str(error)), None)
            return
        if ready is None or found is None:
            return
        means.review_latency.add(deadline.spent_ms)
        if isinstance(found.outcome, Denial):
            await self._deny(known, found.outcome, found.verdict)
            return
        await self._attempt(ready, found.outcome, found.verdict)

    async def _brief(
        self, order: OrderRow, deadline: Deadline, group: asyncio.TaskGroup
    ) -> Briefing:
        """Return the facts about an order if they are there in time.

        What is late is left to end by itself: cancelling a query costs the journal's connection,
        and the next order would pay for it.

        Raises:
            TimeoutError: They are not there in time.
            JournalUnavailableError: The journal did not answer.
        """
        gathering = group.create_task(self._gather(order))
        done, _ = await asyncio.wait({gathering}, timeout=deadline.left_s)
        if not done:
            raise TimeoutError
        found = gathering.result()
        if isinstance(found, JournalUnavailableError):
            raise found
        return found

    async def _gather(self, order: OrderRow) -> Briefing | JournalUnavailableError:
        try:
            return await self._means.facts.gather(order)
        except JournalUnavailableError as error:
            return error

    def _ready(self, briefing: Briefing) -> _Ready | None:
        """Return the order if the journal's newest state of it still says that it is to go."""
        means, row, wish = self._means, briefing.row, briefing.wish
        if row is None or wish is None:
            return None
        means.board.put(row)
        situation = Situation(attempts_max=means.settings.attempts_max)
        if choose(row, situation, means.clock.now_ns()).step is not Step.SEND:
            return None
        if _could_be_mistaken(row, briefing.facts):
            means.counters.add("held_for_a_twin_total", broker=self.sender.broker)
            means.board.hold_back(row.id, means.settings.retry_after_s)
            return None
        return _Ready(row, wish.intent, briefing.facts)

    def _review(self, ready: _Ready, deadline: Deadline) -> Review:
        means = self._means
        found = review(
            final_order(ready.row),
            ready.facts,
            means.inputs.limits,
            reduces=ready.intent.reduces,
            now_ns=means.clock.now_ns(),
            limits_version=means.inputs.version,
        )
        deadline.check()
        return found

    async def _deny(self, order: OrderRow, denial: Denial, verdict: Verdict | None) -> None:
        self._means.counters.add("risk_denied_total", check=denial.check)
        self._means.alerts.say("warning", denial.check, order.id, denial.reason)
        await self._outcomes.deny(order, denial, verdict)

    async def _attempt(self, ready: _Ready, approved: ApprovedOrder, verdict: Verdict) -> None:
        """Note the attempt, send it, note the answer."""
        means, token = self._means, self._means.keeper.token
        if token is None:
            return
        began_ns = means.boottime_ns()
        if not await self._note_attempt(ready.row, verdict, approved, token):
            return
        noted_ns = means.boottime_ns()
        commit_ms = (noted_ns - began_ns) / _NS_PER_MS
        means.commit_latency.add(commit_ms)
        sending = Sending(
            order=ready.row,
            final=approved.order,
            payload_hash=approved.payload_hash,
            triggered_ns=ready.intent.triggered_ns,
            commit_ms=commit_ms,
            noted_ns=noted_ns,
        )
        gate = build_gate(means, approved, sending, token, reduces=ready.intent.reduces)
        await self._submit(approved, sending, gate)

    async def _note_attempt(
        self, order: OrderRow, verdict: Verdict, approved: ApprovedOrder, token: int
    ) -> bool:
        """Commit attempt and verdict; return whether bytes may leave now."""
        means, final = self._means, approved.order
        fact = Fact(
            attempt_of(approved, lease=means.lease_name, token=token),
            means.clock.now_ns(),
            correlation_id=order.correlation_id,
            causation_id=f"intent/{order.id}",
            event_id=f"attempt/{final.client_order_id}",
        )
        note = self._outcomes.verdict_note(order, verdict)
        try:
            recorded = await means.journal.record_attempt(fact, [note])
        except FencedError as error:
            means.counters.add("fenced_total")
            means.alerts.say("critical", "lease", means.lease_name, str(error))
            return False
        except InvariantError as error:
            _log.warning("attempt_refused", order_id=order.id, error=str(error))
            return False
        except JournalUnavailableError:
            # It may be there after all: then the next look proves it unsent.
            means.board.note_unsent(final.client_order_id)
            raise
        if not recorded.is_new:
            _log.error("attempt_was_noted_before", client_order_id=final.client_order_id)
        return recorded.is_new

    async def _submit(
        self, approved: ApprovedOrder, sending: Sending, gate: Callable[[], None]
    ) -> None:
        means = self._means
        answer: Accepted | Refused | JtsError
        try:
            async with asyncio.timeout(means.settings.submit_s_max):
                answer = await self.sender.submit(approved, gate)
        except (TransientError, UnknownOutcome) as error:
            answer = error
        except TimeoutError:
            answer = UnknownOutcome(f"no answer within {means.settings.submit_s_max} s")
        except Exception as error:  # noqa: BLE001 - logged, and UNKNOWN is the answer
            # Whatever it was, bytes may have left: the order is in doubt, and somebody must look.
            _log.exception("sender_failed", order_id=sending.order.id)
            answer = UnknownOutcome(f"{type(error).__name__}: {error}")
        sending.answered_ns = means.boottime_ns()
        self._judge(answer, sending, approved.order)
        if await self._outcomes.settle(sending, answer):
            text = "the venue took it and the journal says otherwise: entries are stopped"
            means.alerts.say("critical", "two_truths", sending.order.id, text)
            means.kill_switch.latch(KillLevel.ENTRIES, who="executor", why=text)

    def _judge(
        self, answer: Accepted | Refused | JtsError, sending: Sending, final: FinalOrder
    ) -> None:
        """Count the answer: for metrics, the breaker, the rates and people."""
        means = self._means
        if sending.real_sent_ns:
            means.recent.note_sent(
                final, sent_ns=sending.sent_ns, real_sent_ns=sending.real_sent_ns
            )
        match answer:
            case Accepted():
                self.breaker.succeed()
            case Refused():
                self.breaker.succeed()
                means.recent.note_reject(final.broker, final.account)
                means.alerts.say("warning", "rejected", sending.order.id, answer.reason)
            case NotSentError():
                pass
            case _:
                means.board.hold_back(sending.order.id, means.settings.retry_after_s)
                if self.breaker.fail():
                    text = f"{self.sender.broker}: {answer}"
                    means.alerts.say("critical", "breaker", self.sender.broker, text)
        if isinstance(answer, UnknownOutcome):
            means.alerts.say("critical", "unknown", sending.order.id, str(answer))
        latency = self._outcomes.latency_ms(sending)
        if latency is not None:
            means.order_latency.add(latency)


def _could_be_mistaken(row: OrderRow, facts: RiskFacts) -> bool:
    """Return whether an order in doubt looks the same: evidence could not tell the two apart."""
    look = (row.instrument_id, row.side, row.quantity - row.filled, row.price)
    return any(
        other.is_unknown
        and other.order_id != row.id
        and (other.instrument_id, other.side, other.remaining, other.price) == look
        for other in facts.open_orders or ()
    )
