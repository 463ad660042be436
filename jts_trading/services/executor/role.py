"""The executor role: the only process that may change orders at a venue.

Theory of operation. One process per home (a file lock) and one per account set (a lease with a
fencing token); all others stand by. It looks at all open orders of the journal at its start, every
few seconds and on every hint, and takes the one next step of each (`looking`): start-up is
recovery. Orders leave through one `Dispatcher` per account, cancels through one `Canceller`. The
kill switch is looked at many times a second and at every send; its cancels need neither journal
nor bus nor shared state.

Beside its own work it runs what has to live where orders are sent: the outbox relay, and
`companions` such as the matching of the paper broker.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import structlog

from jts_trading.execution.fill_costs import CostRules
from jts_trading.guards.audit_trail import AuditTrail
from jts_trading.guards.breaker import Breaker, BreakerState
from jts_trading.guards.kill_switch import AUDIT_NAME, KillLevel, KillSwitch
from jts_trading.guards.sole_owner import SoleOwner
from jts_trading.journal.lease import LeaseKeeper
from jts_trading.ports.bus import Bus
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal, JournalUnavailableError, Leases, Outbox
from jts_trading.ports.sender import Sender
from jts_trading.ports.state import State
from jts_trading.services.executor.accounts import AccountWatch
from jts_trading.services.executor.alerts import Alerts
from jts_trading.services.executor.board import Board
from jts_trading.services.executor.cancelling import Canceller
from jts_trading.services.executor.chores import LateNotes, LoopLag, Relaying
from jts_trading.services.executor.dispatch import Dispatcher
from jts_trading.services.executor.equity import EquityBook
from jts_trading.services.executor.fact_gathering import FactGatherer, RulesOf
from jts_trading.services.executor.inputs import InputsWatch
from jts_trading.services.executor.kill_watch import KillWatch
from jts_trading.services.executor.looking import Looks
from jts_trading.services.executor.means import Means
from jts_trading.services.executor.prices import SharedNotes
from jts_trading.services.executor.recent import Recent
from jts_trading.services.executor.settings import ExecutorSettings
from jts_trading.services.executor.warming import warm_up
from jts_trading.telemetry.metrics import Counters, Latency

LEASE = "executor"
_LOCK_FILE = "executor.lock"
_AGAIN_S = 0.5
_LEASE_LOOK_S = 0.1
_log = structlog.get_logger(__name__)

Companion = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The two times of the executor.

    Attributes:
        clock: Instance time.
        speed: Instance seconds per real second.
        boottime_ns: Reads the boot clock, which is real time.
    """

    clock: Clock
    speed: Fraction
    boottime_ns: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStores:
    """Where the executor reads and writes.

    Attributes:
        journal: Its own writer, for what orders wait for.
        beside: The same writer on a connection of its own, for what must not delay orders.
        leases: Beside the journal's connection.
        outbox: On a connection of its own: the relay waits for the bus in it.
        bus: Topics.
        state: Shared prices and reconciliations.
    """

    journal: Journal
    beside: Journal
    leases: Leases
    outbox: Outbox
    bus: Bus
    state: State


class Executor:
    """Sends orders; see the module.

    Args:
        stores: Where it reads and writes.
        senders: One per account.
        home: Data root: `trading/inputs.json`, `run/KILL`, the file lock.
        rules: Rules of an instrument at its venue; None where they are not known, which denies.
        costs: Commissions by the dated rules.
        times: Instance time and real time.
        settings: Section `executor`.
        companions: Other loops that live in this process while it is the only one.
    """

    name = "executor"

    def __init__(
        self,
        *,
        stores: ExecutorStores,
        senders: Sequence[Sender],
        home: Path,
        rules: RulesOf,
        costs: CostRules,
        times: Times,
        settings: ExecutorSettings | None = None,
        companions: Sequence[Companion] = (),
    ) -> None:
        self._settings = settings or ExecutorSettings()
        self._stores = stores
        self._times = times
        self._companions = companions
        self._holder = f"{socket.gethostname()}:{home.absolute()}"
        self._counters = Counters()
        self._latencies = {name: Latency() for name in ("order", "journal_commit", "risk_review")}
        self._lag = LoopLag()
        run_directory = home / "run"
        run_directory.mkdir(parents=True, exist_ok=True)
        self._sole = SoleOwner(run_directory / _LOCK_FILE)
        self._switch = KillSwitch(run_directory)
        self._keeper = LeaseKeeper(stores.leases, LEASE, self._holder, times.boottime_ns)
        self._inputs = InputsWatch(home, stores.bus)
        self._notes = SharedNotes(stores.state, times.boottime_ns)
        self._recent = Recent(times.boottime_ns)
        self._late = LateNotes(stores.beside)
        self._equity = EquityBook(self._late.add)
        self._alerts = Alerts(
            stores.bus, source=self.name, clock=times.clock, monotonic_ns=times.boottime_ns
        )
        self._board = Board(
            stores.journal,
            monotonic_ns=times.boottime_ns,
            cancel_again_s=self._settings.cancel_again_s,
            attempts_max=self._settings.attempts_max,
        )
        self._accounts = self._watch_accounts(senders)
        self._wire(senders, self._means(rules, costs))
        self._relaying = Relaying(
            stores.outbox, stores.bus, self._settings.relay_every_s, self._looks.wake
        )
        self._kill_watch = KillWatch(
            self._switch,
            AuditTrail(run_directory / AUDIT_NAME),
            cancel_all=self._looks.cancel_all,
            record=self._late.add,
            alerts=self._alerts,
            clock=times.clock,
            counters=self._counters,
            every_s=self._settings.kill_every_ms / 1000,
        )

    def _watch_accounts(self, senders: Sequence[Sender]) -> AccountWatch:
        return AccountWatch(
            senders,
            journal=self._stores.beside,
            notes=self._notes,
            inputs=self._inputs,
            equity=self._equity,
            kill_switch=self._switch,
            alerts=self._alerts,
            clock=self._times.clock,
            boottime_ns=self._times.boottime_ns,
            counters=self._counters,
        )

    def _means(self, rules: RulesOf, costs: CostRules) -> Means:
        """Build what all accounts share."""
        times = self._times
        self._facts = FactGatherer(
            journal=self._stores.journal,
            notes=self._notes,
            inputs=self._inputs,
            equity=self._equity,
            recent=self._recent,
            kill_switch=self._switch,
            rules=rules,
            costs=costs,
            clock=times.clock,
            speed=times.speed,
            boottime_ns=times.boottime_ns,
            loop_lag_ms=self._lag.worst_ms,
            prices_max=self._settings.prices_max,
        )
        return Means(
            journal=self._stores.journal,
            keeper=self._keeper,
            lease_name=LEASE,
            board=self._board,
            facts=self._facts,
            inputs=self._inputs,
            recent=self._recent,
            kill_switch=self._switch,
            alerts=self._alerts,
            clock=times.clock,
            speed=times.speed,
            boottime_ns=times.boottime_ns,
            settings=self._settings,
            counters=self._counters,
            order_latency=self._latencies["order"],
            commit_latency=self._latencies["journal_commit"],
            review_latency=self._latencies["risk_review"],
        )

    def _wire(self, senders: Sequence[Sender], means: Means) -> None:
        """Build what exists once per account, and what looks at all of them."""
        journal, clock = self._stores.journal, self._times.clock
        by_name = {(sender.broker, sender.account): sender for sender in senders}
        self._dispatchers = {
            name: Dispatcher(sender, Breaker(self._times.boottime_ns), means)
            for name, sender in by_name.items()
        }
        self._cancellers = {
            name: Canceller(sender, self._board, journal, clock=clock, counters=self._counters)
            for name, sender in by_name.items()
        }
        self._looks = Looks(
            journal=journal,
            board=self._board,
            keeper=self._keeper,
            kill_switch=self._switch,
            accounts=self._accounts,
            dispatchers=self._dispatchers,
            cancellers=self._cancellers,
            alerts=self._alerts,
            clock=clock,
            counters=self._counters,
            every_s=self._settings.look_every_s,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        self._kill_watch.listen()
        self._inputs.look()
        warm_up(self._facts, self._inputs.strategies, self._times.clock.now_ns())
        try:
            async with asyncio.TaskGroup() as group:
                for work in (
                    self._kill_watch.watch,
                    self._lag.watch,
                    self._relaying.run,
                    self._alerts.publish,
                    self._inputs.watch,
                ):
                    group.create_task(work())
                await self._become_sole()
                group.create_task(self._keeper.keep())
                await self._remember()
                for work in (
                    self._late.run,
                    self._accounts.watch,
                    self._lead,
                    self._listen,
                    *(each.run for each in self._cancellers.values()),
                    *(each.run for each in self._dispatchers.values()),
                ):
                    group.create_task(work())
                for companion in self._companions:
                    group.create_task(_run(companion))
                await self._looks.run()
        finally:
            self._sole.give_back()

    def readiness(self) -> tuple[str, ...]:
        """Return why orders do not leave; empty when they do."""
        reasons = [
            self._inputs.trouble,
            self._looks.trouble,
            self._relaying.trouble,
            *self._accounts.troubles(),
            *(
                f"{dispatcher.sender.broker} does not answer: its breaker is open"
                for dispatcher in self._dispatchers.values()
                if dispatcher.breaker.state is BreakerState.OPEN
            ),
        ]
        if not self._sole.is_held:
            reasons.insert(0, "standby: another executor runs in this home")
        elif self._keeper.token is None:
            reasons.insert(0, "standby: the lease is held by another executor")
        level = self._switch.level()
        if level is not KillLevel.NONE:
            reasons.insert(0, f"the kill switch is latched at level {level.name}")
        return tuple(reason for reason in reasons if reason)

    def metrics(self) -> dict[str, float]:
        """Return counters, gauges and latencies."""
        gauges = {
            "lease_state": float(self._keeper.token is not None),
            "orders_waiting": float(sum(each.waiting for each in self._dispatchers.values())),
            "outbox_published_total": float(self._relaying.published),
            "trading_inputs_version": float(self._inputs.version),
        }
        with contextlib.suppress(RuntimeError):
            gauges["loop_lag_ms"] = self._lag.worst_ms()
        found = {**self._counters.samples(), **gauges}
        for name, latency in self._latencies.items():
            found |= latency.samples(f"{name}_latency" if name == "order" else name)
        return found

    async def _become_sole(self) -> None:
        """Wait until no other process of this home is an executor."""
        while not self._sole.acquire():  # noqa: ASYNC110 - a file lock has no event
            await asyncio.sleep(_AGAIN_S)
        # The lock proves that whoever held the lease under our name is dead.
        self._keeper.is_successor = True

    async def _remember(self) -> None:
        """Read what an earlier life noted, as soon as the journal answers."""
        while True:
            try:
                await self._recent.restore(self._stores.beside)
                await self._equity.restore(self._stores.beside)
            except JournalUnavailableError as error:
                self._looks.trouble = str(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            return

    async def _lead(self) -> None:
        """Look at once when the lease is new: what an earlier holder left is for us."""
        token: int | None = None
        while True:
            newest = self._keeper.token
            if newest != token:
                _log.info("lease", token=newest)
                self._looks.wake()
            token = newest
            await asyncio.sleep(_LEASE_LOOK_S)

    async def _listen(self) -> None:
        await self._looks.listen(self._stores.bus, self._holder)


async def _run(companion: Companion) -> None:
    await companion()
