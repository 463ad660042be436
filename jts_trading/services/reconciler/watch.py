"""One account under watch: its orders often, its money and positions less often.

Theory of operation. A pass looks at the orders; when a comparison is due it compares money and
positions too. A difference is judged only when nothing was on its way around it, and is adopted
when the next comparison finds the same. Whatever fails is asked again later; nothing is remembered
that a new process would need.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import structlog

from jts_trading.domain.account_reports import FillNotice
from jts_trading.domain.errors import JtsError, TransientError
from jts_trading.domain.feed_messages import ReconciledNote
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.execution.reconciling import Reconciliation, ReconcilingRules
from jts_trading.ports.account import Account
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal, JournalUnavailableError
from jts_trading.ports.state import Kind, State
from jts_trading.services.reconciler.alerts import Alerts
from jts_trading.services.reconciler.comparing import Comparison, Verdict
from jts_trading.services.reconciler.looking import OrderLooks, Seen
from jts_trading.services.reconciler.recording import Recording
from jts_trading.services.reconciler.settings import ReconcilerSettings
from jts_trading.services.reconciler.tally import Tally
from jts_trading.telemetry.metrics import Counters

_NS_PER_S = 1_000_000_000
_log = structlog.get_logger(__name__)


class AccountWatch:
    """Watches one account.

    Args:
        account: Asks the broker.
        journal: What we know, and where findings go.
        state: Where others learn how the account stands.
        clock: Time of the instance.
        boottime_ns: Real time.
        rules: Of the pure rooms.
        settings: Section `reconciler`.
        alerts: For people.
        counters: Of the role.

    Attributes:
        name: Broker and account.
        started: How many passes have begun.
        finished: Number of the newest one that came to its end.
    """

    def __init__(
        self,
        account: Account,
        *,
        journal: Journal,
        state: State,
        clock: Clock,
        boottime_ns: Callable[[], int],
        rules: ReconcilingRules,
        settings: ReconcilerSettings,
        alerts: Alerts,
        counters: Counters,
    ) -> None:
        self.broker, self.account = account.broker, account.account
        self.name = f"{self.broker}/{self.account}"
        self._owner = (self.broker, self.account)
        self.started = self.finished = 0
        self._account = account
        self._state = state
        self._boottime_ns = boottime_ns
        self._settings = settings
        self._tally = Tally(counters, self.broker, self.account)
        self._reconciliation = Reconciliation(rules)
        recording = Recording(journal, clock, alerts, self._tally)
        self._looks = OrderLooks(
            account,
            journal,
            clock=clock,
            boottime_ns=boottime_ns,
            reconciliation=self._reconciliation,
            recording=recording,
            alerts=alerts,
            lookback_days=settings.lookback_days,
        )
        self._comparison = Comparison(
            account,
            journal,
            clock=clock,
            recording=recording,
            alerts=alerts,
            tally=self._tally,
        )
        self._inputs: TradingInputs | None = None
        self._currency = ""
        self._wake = asyncio.Event()
        self._named = asyncio.Event()
        self._journal = journal
        self._compare_at_ns = 0
        self._right_ns: int | None = None
        self._unknown = 0
        self._failure = "not reconciled yet"

    def hear(self, notices: tuple[FillNotice, ...]) -> None:
        """Keep hints and look at the orders soon."""
        for notice in notices:
            if not self._reconciliation.hear(notice):
                self._tally.count("dup_fills_ignored")
        self.wake()

    def wake(self, *, with_balance: bool = False) -> None:
        """Look at the orders soon, and at money and positions too when asked for."""
        if with_balance:
            self._compare_at_ns = 0
        self._wake.set()

    def begin(self) -> None:
        """Watch from now on: somebody trades in the account."""
        self._named.set()

    def take_over(self, inputs: TradingInputs) -> None:
        """Deal cash by these inputs from now on."""
        self._inputs = inputs
        if any((each.broker, each.account) == self._owner for each in inputs.instances):
            self.begin()
        self.wake(with_balance=True)

    def reasons(self) -> tuple[str, ...]:
        """Return why the account is not known to be right; empty when it is, or not watched."""
        if not self._named.is_set():
            return ()
        if self._right_ns is None:
            return (f"{self.name}: {self._failure}",)
        age_s = self._age_s(self._right_ns)
        if age_s <= self._settings.stale_after_s:
            return ()
        why = f": {self._failure}" if self._failure else ""
        return (f"{self.name}: last found right {age_s:.0f} s ago{why}",)

    def measure(self) -> None:
        """Set the gauges of the account."""
        self._tally.gauge("unknown_orders", self._unknown)
        self._tally.gauge("halted_instruments", len(self._comparison.halted))
        if self._right_ns is not None:
            self._tally.gauge("reconcile_success_age_seconds", self._age_s(self._right_ns))

    async def run(self) -> None:
        """Watch until cancelled, from when the account is traded in."""
        await self._until_named()
        retry_s = self._settings.retry_s
        while True:
            began_ns = self._boottime_ns()
            try:
                pause_s = await self._pass()
            except JtsError as error:
                self._note_failure(error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, self._settings.retry_s_max)
            else:
                retry_s = self._settings.retry_s
                await self._rest(began_ns, pause_s)

    async def _until_named(self) -> None:
        """Wait until the inputs name the account, or the journal knows that it was traded in."""
        while not self._named.is_set():
            with contextlib.suppress(JournalUnavailableError):
                if (await self._journal.account_books(*self._owner)).newest_seq:
                    self.begin()
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.orders_every_s):
                    await self._named.wait()

    def _note_failure(self, error: JtsError) -> None:
        is_new = self._failure != str(error)
        self._failure = str(error)
        self._tally.count("reconcile_failures_total")
        if is_new:
            _log.warning("reconciliation_failed", account=self.name, error=str(error))

    async def _rest(self, began_ns: int, pause_s: float) -> None:
        gap_s = self._settings.gap_s - self._age_s(began_ns)
        if gap_s > 0:
            await asyncio.sleep(gap_s)
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _pass(self) -> float:
        """Look once; return after how many seconds to look again."""
        self.started += 1
        number = self.started
        self._wake.clear()
        if not self._currency:
            self._currency = (await self._account.profile()).currency
        seen = await self._look()
        if self._boottime_ns() >= self._compare_at_ns:
            await self._compare(seen)
        self._failure = ""
        await self._publish()
        self.finished = number
        return self._next_s(seen)

    def _next_s(self, seen: Seen) -> float:
        """Return the pause: short while something is on its way, and never past a comparison."""
        until_s = (self._compare_at_ns - self._boottime_ns()) / _NS_PER_S
        again_s = min(self._settings.orders_every_s, max(until_s, 0.0))
        if seen.unknown and not seen.has_news:
            return min(again_s, self._settings.absent_apart_s)
        if seen.is_settled and not seen.has_news:
            return again_s
        return min(again_s, self._settings.recheck_s)

    async def _look(self) -> Seen:
        seen = await self._looks.look(self._currency)
        self._unknown = seen.unknown
        self._tally.count("looks_total")
        return seen

    async def _compare(self, seen: Seen) -> None:
        asked_ns = self._boottime_ns()
        verdict = await self._comparison.compare(self._currency, seen, self._look)
        self._tally.count(f"comparisons_{verdict}_total")
        # With an order in doubt there is nothing to say before it is found.
        settings = self._settings
        pause_s = settings.orders_every_s if seen.unknown else settings.recheck_s
        if verdict is Verdict.EQUAL:
            self._right_ns = asked_ns
            pause_s = self._settings.balance_every_s
        self._compare_at_ns = asked_ns + int(pause_s * _NS_PER_S)
        if self._inputs is not None and verdict in {Verdict.EQUAL, Verdict.ADOPTED}:
            await self._comparison.allocate(self._currency, self._inputs)

    async def _publish(self) -> None:
        """Tell how the account stands; without a success there is nothing to tell."""
        if self._right_ns is None:
            return
        note = ReconciledNote(
            broker=self.broker,
            account=self.account,
            real_ns=self._right_ns,
            unknown_orders=self._unknown,
            halted=self._comparison.halted,
        )
        try:
            await self._state.put(Kind.RECONCILED, self.name, msgspec.msgpack.encode(note))
        except TransientError:
            # Others then see an older note, and its age.
            self._tally.count("notes_lost_total")

    def _age_s(self, since_ns: int) -> float:
        return (self._boottime_ns() - since_ns) / _NS_PER_S
