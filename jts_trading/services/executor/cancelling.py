"""Cancels of one account: never behind an order, never behind a database.

An order whose cancel was asked for stands as CANCELLING in the journal, whoever asked. The kill
switch asks for all working orders at once, from the executor's own table, so that cancels leave
with the journal dead; the journal learns of it when it can. A cancel may be sent again: the venue
refuses the second one, which harms nobody.
"""

import asyncio
import contextlib

import structlog

from jts_trading.domain.errors import JtsError, TransientError, UnknownOutcome
from jts_trading.domain.journal_events import CancelRefused, CancelRequested
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import InvariantError, OrderState
from jts_trading.execution.cancels import newest_number
from jts_trading.execution.priority import Priority
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Fact, Journal, JournalUnavailableError
from jts_trading.ports.sender import Refused, Sender
from jts_trading.services.executor.board import WORKING, Board
from jts_trading.telemetry.metrics import Counters

_WORKERS = 4
_PREPARE_S = 2.0
_ANSWER_S = 5.0
# The journal may be dead: what it is told before a cancel of the kill switch must not delay it.
_JOURNAL_S = 0.2
_log = structlog.get_logger(__name__)


class Canceller:
    """Cancels orders of one account.

    Args:
        sender: Of the account.
        board: The executor's table of open orders.
        journal: Learns of cancels and refusals.
        clock: Dates the facts.
        counters: Metrics of the role.
    """

    def __init__(
        self, sender: Sender, board: Board, journal: Journal, *, clock: Clock, counters: Counters
    ) -> None:
        self._sender = sender
        self._board = board
        self._journal = journal
        self._clock = clock
        self._counters = counters
        self._line: asyncio.Queue[str] = asyncio.Queue()

    def offer(self, order_id: str) -> None:
        """Line a cancel up; asked again too soon it is left out."""
        if self._board.is_cancel_due(order_id):
            self._board.note_cancel(order_id)
            self._line.put_nowait(order_id)

    async def run(self) -> None:
        """Cancel until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            order_id = await self._line.get()
            row = self._board.find(order_id)
            if row is not None and row.status in WORKING and row.venue_order_id:
                await self._cancel(row)

    async def _cancel(self, row: OrderRow) -> None:
        if row.status is not OrderState.CANCELLING:
            await self._tell_journal(row)
        try:
            async with asyncio.timeout(_PREPARE_S):
                await self._sender.prepare(Priority.CANCEL)
            async with asyncio.timeout(_ANSWER_S):
                answer = await self._sender.cancel(row)
        except (TransientError, UnknownOutcome, TimeoutError) as error:
            self._count("unanswered")
            _log.warning("cancel_unanswered", order_id=row.id, error=str(error) or "time-out")
            return
        except Exception:  # noqa: BLE001 - one broken cancel must not stop the others
            self._count("failed")
            _log.exception("cancel_failed", order_id=row.id)
            return
        if isinstance(answer, Refused):
            self._count("refused")
            await self._note_refusal(row, f"{answer.code}: {answer.reason}")
            return
        # Taken is not done: the reconciler books the cancel from the venue's own list.
        self._count("accepted")
        _log.info("cancel_sent", order_id=row.id, venue_order_id=row.venue_order_id)

    async def _tell_journal(self, row: OrderRow) -> None:
        """Ask for the cancel in the journal, if it answers at once."""
        with contextlib.suppress(JtsError, TimeoutError):
            async with asyncio.timeout(_JOURNAL_S):
                number = newest_number(await self._board.events(row.id)) + 1
                event = CancelRequested(order_id=row.id, number=number)
                await self._journal.record_event(
                    [self._fact(row, event, f"cancel/{row.id}/{number}")]
                )

    async def _note_refusal(self, row: OrderRow, reason: str) -> None:
        try:
            number = newest_number(await self._board.events(row.id))
            if number:
                event = CancelRefused(order_id=row.id, number=number, reason=reason)
                await self._journal.record_event(
                    [self._fact(row, event, f"cancel-refused/{row.id}/{number}")]
                )
        except (JournalUnavailableError, InvariantError) as error:
            # It has ended meanwhile, or the next refusal is noted.
            _log.info("refusal_not_noted", order_id=row.id, reason=reason, error=str(error))

    def _fact(self, row: OrderRow, event: CancelRequested | CancelRefused, event_id: str) -> Fact:
        return Fact(
            event,
            self._clock.now_ns(),
            correlation_id=row.correlation_id,
            causation_id=f"intent/{row.id}",
            event_id=event_id,
        )

    def _count(self, outcome: str) -> None:
        self._counters.add("cancels_total", broker=self._sender.broker, outcome=outcome)
