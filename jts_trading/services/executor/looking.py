"""Looks at all open orders and takes the next step of each; the truth is the journal's.

A hint of the bus says that it is worth looking now. A look that finds nothing to do costs one
query. What cannot be recorded now is done at the next look.
"""

import asyncio
from collections.abc import Mapping

import structlog

from jts_trading.domain.errors import JtsError, TransientError
from jts_trading.domain.journal_events import JournalEvent, OrderAbsent, OrderExpired, OrderLost
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import InvariantError, OrderState
from jts_trading.execution.lifecycle import Choice, Step, choose
from jts_trading.guards.kill_switch import KillLevel, KillSwitch
from jts_trading.journal.lease import LeaseKeeper
from jts_trading.ports.bus import Bus
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Fact, Journal, JournalUnavailableError
from jts_trading.services.executor.accounts import AccountWatch
from jts_trading.services.executor.alerts import Alerts
from jts_trading.services.executor.board import WORKING, Board
from jts_trading.services.executor.cancelling import Canceller
from jts_trading.services.executor.dispatch import Dispatcher
from jts_trading.telemetry.metrics import Counters

HINTS, GROUP = "orders.pending", "executor"
_HINT_WAIT_MS = 1_000
_AGAIN_S = 0.5
_CLAIM_IDLE_MS = 60_000
_POISON_S = 10.0
_log = structlog.get_logger(__name__)


class Looks:
    """Takes the next step of every open order.

    Args:
        journal: Where they are.
        board: The executor's table of them.
        keeper: Without its lease nothing but cancels of the kill switch is done.
        kill_switch: At level ALL every working order is cancelled.
        accounts: Which accounts are reconciled.
        dispatchers: By broker and account.
        cancellers: Likewise.
        alerts: Tells people.
        clock: Instance time.
        counters: Metrics of the role.
        every_s: Pause between two looks without a hint.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        board: Board,
        keeper: LeaseKeeper,
        kill_switch: KillSwitch,
        accounts: AccountWatch,
        dispatchers: Mapping[tuple[str, str], Dispatcher],
        cancellers: Mapping[tuple[str, str], Canceller],
        alerts: Alerts,
        clock: Clock,
        counters: Counters,
        every_s: float,
    ) -> None:
        self._journal = journal
        self._board = board
        self._keeper = keeper
        self._kill_switch = kill_switch
        self._accounts = accounts
        self._dispatchers = dispatchers
        self._cancellers = cancellers
        self._alerts = alerts
        self._clock = clock
        self._counters = counters
        self._every_s = every_s
        self._news = asyncio.Event()
        self.trouble = ""

    def wake(self) -> None:
        """Look again soon."""
        self._news.set()

    async def listen(self, bus: Bus, consumer: str) -> None:
        """Wake up on hints while the lease is held, until cancelled.

        Args:
            bus: Where the hints are.
            consumer: Name of this process within the group.
        """
        while True:
            if self._keeper.token is None:
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                entries = await bus.consume(
                    [HINTS], GROUP, consumer, count=64, wait_ms=_HINT_WAIT_MS
                )
                if not entries:
                    entries = await bus.claim(
                        HINTS, GROUP, consumer, idle_ms=_CLAIM_IDLE_MS, count=64
                    )
                if entries:
                    self.wake()
                    # A hint is done when it was heard: what it is about stands in the journal.
                    await bus.acknowledge(GROUP, entries)
            except TransientError as error:
                _log.info("hints_unheard", error=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._news.clear()
            try:
                await self.look()
                self.trouble = ""
            except JournalUnavailableError as error:
                self.trouble = str(error)
            try:
                async with asyncio.timeout(self._every_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Look once.

        Raises:
            JournalUnavailableError: The journal did not answer.
        """
        busy = self._board.busy
        rows = await self._journal.load_open()
        self._board.replace(rows)
        states = [row.status for row in rows]
        self._counters.put("open_orders", float(len(rows)))
        self._counters.put("unknown_orders", float(states.count(OrderState.UNKNOWN)))
        if self._keeper.token is None:
            return
        is_killed = self._kill_switch.level() is KillLevel.ALL
        for row in rows:
            if self._board.is_resting(row.id):
                continue
            try:
                situation = self._board.situation(row, busy, is_killed=is_killed)
                await self._take(row, choose(row, situation, self._clock.now_ns()))
            except JournalUnavailableError:
                raise
            except JtsError as error:
                # One order that nobody understands must not stop the others.
                self._board.hold_back(row.id, _POISON_S)
                self._alerts.say("critical", "order", row.id, str(error))

    def cancel_all(self) -> tuple[str, ...]:
        """Line up the cancel of every working order in the table; return their ids."""
        found = []
        for row in self._board.rows:
            canceller = self._cancellers.get((row.broker, row.account))
            if canceller and row.status in WORKING and self._board.is_cancel_due(row.id):
                canceller.offer(row.id)
                found.append(row.id)
        return tuple(found)

    async def _take(self, row: OrderRow, choice: Choice) -> None:
        name = row.client_order_id or ""
        match choice.step:
            case Step.SEND:
                await self._offer(row)
            case Step.CANCEL:
                canceller = self._cancellers.get((row.broker, row.account))
                if canceller is not None:
                    canceller.offer(row.id)
            case Step.EXPIRE:
                expired = OrderExpired(order_id=row.id, reason=choice.reason)
                await self._record(row, expired, f"expired/{row.id}")
            case Step.LOSE:
                lost = OrderLost(order_id=row.id, attempt=row.attempt, reason=choice.reason)
                self._alerts.say("critical", "unknown", row.id, choice.reason)
                await self._record(row, lost, f"lost/{name}/after")
            case Step.PROVE_UNSENT:
                absent = OrderAbsent(order_id=row.id, attempt=row.attempt, evidence=choice.reason)
                await self._record(row, absent, f"absent/{name}")
            case Step.LEAVE:
                return

    async def _offer(self, row: OrderRow) -> None:
        dispatcher = self._dispatchers.get((row.broker, row.account))
        if dispatcher is None:
            return
        wish = await self._board.wish(row.id)
        reduces = wish is not None and wish.intent.reduces
        if reduces or self._accounts.is_cleared(row.broker, row.account):
            dispatcher.offer(row.id, reduces=reduces)

    async def _record(self, row: OrderRow, event: JournalEvent, event_id: str) -> None:
        fact = Fact(
            event,
            self._clock.now_ns(),
            correlation_id=row.correlation_id,
            causation_id=f"intent/{row.id}",
            event_id=event_id,
        )
        kind = type(event).__name__
        try:
            await self._journal.record_event([fact])
        except InvariantError as error:
            # Somebody moved the order between the query and now: a later look sees how.
            self._board.hold_back(row.id, _AGAIN_S)
            _log.info("step_overtaken", order_id=row.id, what=kind, error=str(error))
            return
        _log.info("order_moved", order_id=row.id, what=kind, reason=getattr(event, "reason", ""))
