"""The reconciler role: one watch per account, and the ears that wake it.

It looks at start, on every notice of a broker's stream, when a feed is connected again, when an
order is lost, when new trading inputs come, when somebody asks, and by the clock. Notices are
acknowledged on the bus after a look that began later has ended: until then a successor hears them
again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from fractions import Fraction

import structlog

from jts_trading.domain.account_reports import FillNotice
from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import GapSeen, NoticesCollected, RiskAlert
from jts_trading.domain.messages import MESSAGES, OrderChanged
from jts_trading.domain.schemas import SchemaError
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.execution.fill_costs import CostRules
from jts_trading.execution.reconciling import CHECK, ReconcilingRules
from jts_trading.execution.unknown_orders import Window
from jts_trading.ports.account import Account
from jts_trading.ports.bus import Bus, Entry
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal
from jts_trading.ports.state import State
from jts_trading.services.reconciler.alerts import Alerts
from jts_trading.services.reconciler.closing import day_close_ns
from jts_trading.services.reconciler.settings import ReconcilerSettings
from jts_trading.services.reconciler.watch import AccountWatch
from jts_trading.telemetry.metrics import Counters

GROUP = "reconciler"
NOTICES = "orders.notices"
_GAPS, _INPUTS, _EXECUTIONS = "market-data.gaps", "trading.inputs", "orders.executions"
_CONSUMER = "reconciler"
_COUNT = 256
_WAIT_MS = 500
_HEARD_MAX = 4096
_RETRY_S = 1.0
_NS_PER_S = 1_000_000_000
# After these somebody should look at the venue's list.
_TELLING = frozenset({"order_lost", "order_acknowledged"})
_log = structlog.get_logger(__name__)


class Reconciler:
    """Reconciles accounts; see the module.

    Args:
        accounts: What is watched, each from when the inputs name it or it was traded in.
        journal: What we know, and where findings go.
        bus: Where notices come from and alerts go.
        state: Where others learn how each account stands.
        clock: Time of the instance.
        boottime_ns: Real time.
        costs: Works out costs of fills that brokers do not tell.
        settings: Section `reconciler`.
        inputs: What is traded now; None watches all accounts.
        speed: Instance seconds per real second.
    """

    name = "reconciler"

    def __init__(
        self,
        *,
        accounts: Sequence[Account],
        journal: Journal,
        bus: Bus,
        state: State,
        clock: Clock,
        boottime_ns: Callable[[], int],
        costs: CostRules,
        settings: ReconcilerSettings,
        inputs: TradingInputs | None = None,
        speed: Fraction = Fraction(1),
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._counters = Counters()
        self._alerts = Alerts(bus, self.name, boottime_ns, settings.alert_again_s, self._counters)
        rules = _rules(settings, costs, speed)
        self._watches = {
            (account.broker, account.account): AccountWatch(
                account,
                journal=journal,
                state=state,
                clock=clock,
                boottime_ns=boottime_ns,
                rules=rules,
                settings=settings,
                alerts=self._alerts,
                counters=self._counters,
            )
            for account in accounts
        }
        self._heard: deque[tuple[Entry, AccountWatch, int]] = deque()
        self._version = -1
        self._reasons = {part: f"{part}: not heard yet" for part in ("notices", "news")}
        if inputs is not None:
            self._take_over(inputs)
        else:
            for watch in self._watches.values():
                watch.begin()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._alerts.run())
            tasks.create_task(self._insist("notices", self._hear_notices))
            tasks.create_task(self._insist("news", self._hear_news))
            for watch in self._watches.values():
                tasks.create_task(watch.run())

    def readiness(self) -> tuple[str, ...]:
        """Return why an account is not known to be right; empty when all are."""
        watched = [reason for watch in self._watches.values() for reason in watch.reasons()]
        return (*watched, *self._reasons.values())

    def metrics(self) -> dict[str, float]:
        """Return counters and gauges by sample name."""
        for watch in self._watches.values():
            watch.measure()
        return self._counters.samples()

    async def _insist(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work that does not end; begin again when a store was away."""
        while True:
            try:
                await work()
            except TransientError as error:
                if part not in self._reasons:
                    _log.warning("store_away", part=part, error=str(error))
                self._reasons[part] = f"{part}: {error}"
                await asyncio.sleep(_RETRY_S)

    async def _hear_notices(self) -> None:
        while abandoned := await self._bus.claim(
            NOTICES, GROUP, _CONSUMER, idle_ms=0, count=_COUNT
        ):
            self._hear(abandoned)
            if len(abandoned) < _COUNT:
                break
        self._reasons.pop("notices", None)
        while True:
            wait_ms = _WAIT_MS if not self._heard else _WAIT_MS // 5
            entries = await self._bus.consume(
                [NOTICES], GROUP, _CONSUMER, count=_COUNT, wait_ms=wait_ms
            )
            self._hear(entries)
            await self._acknowledge()

    def _hear(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            watch = self._tell(entry)
            if watch is not None:
                self._heard.append((entry, watch, watch.started))

    def _tell(self, entry: Entry) -> AccountWatch | None:
        """Tell a watch what is in an entry; return which one, None when it concerns nobody."""
        message = _read(entry)
        if not isinstance(message, NoticesCollected):
            self._counters.add("unreadable_entries_total", topic=entry.topic)
            return next(iter(self._watches.values()), None)
        watch = self._watches.get((message.broker, message.account))
        if watch is None:
            return next(iter(self._watches.values()), None)
        if not message.notices:
            # Nothing happened: somebody asks for a whole look.
            watch.wake(with_balance=True)
        watch.hear(tuple(each for each in message.notices if isinstance(each, FillNotice)))
        return watch

    async def _acknowledge(self) -> None:
        """Acknowledge what a later look has taken into account."""
        done = []
        while self._heard:
            entry, watch, number = self._heard[0]
            # Hints are no more than hints: a broker that is away must not fill the memory.
            if watch.finished <= number and len(self._heard) <= _HEARD_MAX:
                break
            done.append(entry)
            self._heard.popleft()
        if done:
            await self._bus.acknowledge(GROUP, done)

    async def _hear_news(self) -> None:
        places = {_INPUTS: "0-0"}
        for topic in (_GAPS, _EXECUTIONS):
            newest = await self._bus.newest(topic) or (0, 0)
            places[topic] = f"{newest[0]}-{newest[1]}"
        self._reasons.pop("news", None)
        while True:
            entries, places = await self._bus.read(places, count=_COUNT, wait_ms=_WAIT_MS)
            for entry in entries:
                self._take_news(entry)

    def _take_news(self, entry: Entry) -> None:
        match _read(entry):
            case TradingInputs() as inputs:
                self._take_over(inputs)
            case GapSeen(kind="disconnected") as gap if gap.end_ns and not gap.instrument_id:
                for watch in self._watches.values():
                    if gap.feed.startswith(watch.broker):
                        watch.wake(with_balance=True)
            case OrderChanged() as change if change.event in _TELLING:
                concerned = self._watches.get((change.broker, change.account))
                if concerned is not None:
                    concerned.wake()
            case _:
                return

    def _take_over(self, inputs: TradingInputs) -> None:
        if inputs.version <= self._version:
            return
        self._version = inputs.version
        self._counters.put("inputs_version", inputs.version)
        named = {(each.broker, each.account) for each in inputs.instances}
        for broker, account in sorted(named - self._watches.keys()):
            text = "the trading inputs name it and this process does not watch it: start it again"
            alert = RiskAlert(
                severity="critical",
                check=CHECK,
                subject=f"{broker}/{account}",
                text=text,
                ts_ns=self._clock.now_ns(),
            )
            self._alerts.tell(alert)
        for watch in self._watches.values():
            watch.take_over(inputs)


def _read(entry: Entry) -> object:
    envelope = entry.envelope
    try:
        return MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
    except SchemaError as error:
        _log.warning("entry_unreadable", topic=entry.topic, entry=entry.entry_id, error=str(error))
        return None


def _rules(settings: ReconcilerSettings, costs: CostRules, speed: Fraction) -> ReconcilingRules:
    # The venue may take an order so long after we lost sight of it; its time runs as ours does.
    late_s = settings.clock_slack_s + settings.absent_after_s * float(max(speed, Fraction(1)))
    grace_ns = int(settings.close_grace_s * _NS_PER_S)

    return ReconcilingRules(
        costs=costs,
        closes_ns=lambda venue, day: day_close_ns(venue, day, grace_ns),
        window=Window(int(settings.clock_slack_s * _NS_PER_S), int(late_s * _NS_PER_S)),
        hint_wait_s=settings.hint_wait_s,
        sending_grace_s=settings.sending_grace_s,
        absent_after_s=settings.absent_after_s,
        absent_apart_s=settings.absent_apart_s,
    )
