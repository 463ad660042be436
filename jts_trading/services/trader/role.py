"""The trader: ticks in, bars, signals and sized intents out.

Theory of operation. One loop takes in everything in turn: order news from the journal, entries of
ticks, new inputs, the clock. `engine.step` decides; what it decides is stored with the place of
the input, then committed in one transaction of the journal, before the next event is looked at.
The clock is read only when the bus has nothing more, and a little behind, so that a trade on its
way is not overtaken.

A start is a recovery. With snapshots, what may not have been committed is committed again, and
ticks behind the stored bars are read without deciding; without them, state comes from the lake,
recorded ticks and the journal. Ticks that the bus no longer has come from the store, by number.
"""

import asyncio
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import structlog

from jts_trading.bus.entries import entry_key
from jts_trading.domain.errors import TerminalError
from jts_trading.domain.feed_messages import RiskAlert, TicksCollected
from jts_trading.domain.journal_events import DecisionRecorded
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.schemas import SchemaError
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.engine.events import ClockRead, Effect, TicksArrived
from jts_trading.engine.setup import ListingOf
from jts_trading.engine.state import EngineSettings, EngineState
from jts_trading.engine.step import step
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.ports.bus import Bus, BusUnavailableError, Entry
from jts_trading.ports.clock import Clock
from jts_trading.ports.inputs import read_inputs
from jts_trading.ports.journal import Consumed, Journal, JournalUnavailableError
from jts_trading.ports.market import Market
from jts_trading.services.trader.committing import Keeper
from jts_trading.services.trader.memory import LEFT_ALONE, Memory
from jts_trading.services.trader.patience import Patience
from jts_trading.services.trader.preparing import Compiler, LoadKernel
from jts_trading.services.trader.publishing import Publisher
from jts_trading.services.trader.reading import (
    INPUTS,
    NEWS,
    TICKS,
    TickStore,
    Topics,
    read_journal,
    split_after,
)
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.services.trader.snapshots import PendingFact, Snapshots
from jts_trading.services.trader.starting import Start
from jts_trading.services.trader.taking_over import TakeOver
from jts_trading.telemetry.metrics import Counters, Latency

CONSUMER = "trader"
_NS_PER_S = 1_000_000_000
# While an order works, the journal is asked this often for what became of it, real seconds.
_WORKING_S = 0.02
_log = structlog.get_logger(__name__)


class Trader:
    """Decides; see the module.

    Args:
        bus: Ticks, news and inputs; closed bars and alerts go there.
        journal: Facts go there; what became of orders comes from there.
        market: Bars and ticks for warm-ups and for what the bus lost.
        clock: Of the instance.
        monotonic_ns: Reads real monotonic time.
        home: Data root: inputs, snapshots and kernels are below it.
        load_kernel: Compiles a generated source.
        listing_of: Market and kind of an instrument.
        catalog: The indicators that strategies may call.
        speed: Instance seconds per real second.
        settings: Section `trader`.
        memory: Of the process.

    Attributes:
        name: Of the role.
    """

    name = "trader"

    def __init__(
        self,
        *,
        bus: Bus,
        journal: Journal,
        market: Market,
        clock: Clock,
        monotonic_ns: Callable[[], int],
        home: Path,
        load_kernel: LoadKernel,
        listing_of: ListingOf,
        catalog: Catalog = NATIVE,
        speed: Fraction = Fraction(1),
        settings: TraderSettings | None = None,
        memory: Memory = LEFT_ALONE,
    ) -> None:
        self._memory = memory
        self._settings = settings = settings or TraderSettings()
        self._bus = bus
        self._journal = journal
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._home = home
        self._speed = speed
        self._counters = Counters()
        self._latency = Latency()
        self._waits = {
            store: Patience(
                store, self._counters, pause_s=settings.retry_s, pause_s_max=settings.retry_s_max
            )
            for store in ("bus", "journal", "market store")
        }
        self._topics = Topics(bus, settings, monotonic_ns)
        self._store = TickStore(market, settings)
        self._publisher = Publisher(bus, settings.bars_waiting, self._counters)
        snapshots = Snapshots(home / "trading" / "trader")
        self._keeper = Keeper(
            snapshots,
            journal,
            clock=clock,
            monotonic_ns=monotonic_ns,
            settings=settings,
            patience=self._waits["journal"],
            counters=self._counters,
        )
        self._inputs = TakeOver(
            compiler=Compiler(load_kernel, home / "cache" / "kernels", settings.sizes(), catalog),
            market=market,
            journal=journal,
            listing_of=listing_of,
            clock=clock,
            settings=settings,
            patience=self._waits["market store"],
        )
        self._state: EngineState | None = None
        self._why = "starting"
        self._start = Start(
            snapshots=snapshots,
            keeper=self._keeper,
            inputs=self._inputs,
            listing_of=listing_of,
            clock=clock,
        )
        self._past: Mapping[str, int] = {}
        self._reached_ns = self._asked_ns = 0
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Trade until cancelled.

        Raises:
            InvariantError: The journal refuses what was decided: it contradicts what is recorded.
        """
        async with asyncio.TaskGroup() as self._group:
            inputs = await self._first_inputs()
            self._why = "warming up"
            started = await self._start.begin(inputs, self._engine_settings(inputs))
            self._topics.places.update(started.places)
            self._past, state = started.past, started.state
            for text in started.doubts:
                self._tell("warm_up", text)
            if started.is_incomplete:
                await self._take_inputs(state, inputs)
            if not started.past:
                await self._keeper.note_begin(state, state.instances)
                await self._keeper.store(state, self._topics.places, is_whole=True)
            self._memory.settle()
            self._state, self._why = state, ""
            while True:
                await self._turn(state)

    def readiness(self) -> tuple[str, ...]:
        """Return why it does not trade, or not all that it should."""
        reasons = [self._why] if self._why else []
        reasons += [patience.reason for patience in self._waits.values() if patience.reason]
        if self._inputs.warming:
            reasons.append(f"warming up {', '.join(self._inputs.warming)}")
        reasons += [f"{name} is refused: {why}" for name, why in self._inputs.refused.items()]
        return tuple(reasons)

    def metrics(self) -> dict[str, float]:
        """Return counters, lags and latencies by sample name."""
        samples = self._counters.samples()
        state = self._state
        if state is not None:
            counts = state.counts
            for name in counts.__struct_fields__:
                samples[f"{name}_total"] = float(getattr(counts, name))
            samples["missing_ticks_total"] = float(sum(f.missing for f in state.feeds.values()))
            samples["repeated_ticks_total"] = float(sum(f.repeated for f in state.feeds.values()))
            samples["instances"] = float(len(state.instances))
            accounts = [instance.account for instance in state.instances.values()]
            samples["positions"] = float(
                sum(not each.is_flat(name) for each in accounts for name in each.holdings)
            )
            samples["inputs_version"] = float(state.inputs_version)
            samples["wanted_orders"] = float(len(state.waiting) + len(state.blocked))
            if state.newest_ns:
                lag_ns = self._clock.now_ns() - state.newest_ns
                samples["place_lag_s"] = float(lag_ns / self._speed / _NS_PER_S)
        return {
            **samples,
            **self._latency.samples("decision"),
            **self._keeper.commits.samples("commit"),
        }

    async def _first_inputs(self) -> TradingInputs:
        while True:
            found = read_inputs(self._home)
            if found is not None:
                return found
            self._why = f"no trading inputs below {self._home}"
            await asyncio.sleep(self._settings.retry_s)

    def _engine_settings(self, inputs: TradingInputs) -> EngineSettings:
        risk = inputs.risk
        return self._settings.for_engine(self._speed, risk.latency_allowance_s, risk.price_collar)

    async def _turn(self, state: EngineState) -> None:
        """Take in what has come, in order, and let time pass."""
        try:
            entries, is_drained = await self._topics.read()
        except BusUnavailableError as error:
            await self._read_news(state, is_due=True)
            await self._waits["bus"].wait(str(error))
            return
        self._waits["bus"].answered()
        await self._read_news(state, is_due=any(entry.topic in NEWS for entry in entries))
        for entry in entries:
            if entry.topic in TICKS:
                await self._take_ticks(state, entry)
            elif entry.topic == INPUTS:
                await self._hear_inputs(state, entry)
        self._topics.passed()
        if is_drained:
            await self._read_clock(state)
            await self._look_for_wiped()
            self._memory.tidy()
        await self._join(state)
        await self._publisher.flush()
        if self._publisher.is_empty:
            await self._keeper.store_if_due(state, self._topics.places)

    async def _take_ticks(self, state: EngineState, entry: Entry) -> None:
        message = self._decode(entry)
        place = entry_key(entry.entry_id)
        if isinstance(message, TicksCollected):
            await self._fill(state, message)
            consumed = Consumed(consumer=CONSUMER, source=entry.topic, position=place)
            await self._take(state, message, entry, consumed)
        self._topics.places[entry.topic] = entry.entry_id
        # Others have their turn between two entries.
        await asyncio.sleep(0)

    async def _take(
        self,
        state: EngineState,
        ticks: TicksCollected,
        entry: Entry | None,
        consumed: Consumed | None,
    ) -> None:
        message_id = entry.envelope.id if entry else f"recorded/{ticks.feed}/{ticks.first_tick}"
        last = ticks.first_tick + len(ticks.ticks) - 1
        event = TicksArrived(
            ticks,
            message_id,
            is_recorded=entry is None,
            is_past=last <= self._past.get(ticks.feed, -1),
        )
        effects = step(state, event, self._clock.now_ns())
        if entry is not None:
            self._topics.places[entry.topic] = entry.entry_id
        self._inputs.keep(ticks)
        await self._act(state, effects, consumed)

    async def _fill(self, state: EngineState, entry: TicksCollected) -> None:
        """Take in recorded trades that the bus passed over, before an entry."""
        # A feed that a warm-up did not find begins with its first tick: 1.
        known = state.feeds.get(entry.feed)
        after = known.last_tick if known is not None and known.last_tick > 0 else 0
        before = entry.first_tick
        if before <= after + 1 or not state.instances:
            return
        now_ns = self._clock.now_ns()
        found = await self._store.between(state, entry.feed, after, before, now_ns)
        trades = 0
        for each in found:
            for part in split_after(each, self._past.get(each.feed, -1)):
                trades += len(part.ticks)
                await self._take(state, part, None, None)
        self._counters.add("filled_ticks_total", trades)
        if not (after or trades):
            return
        self._tell(
            "ticks_missing",
            f"{entry.feed}: ticks {after + 1} to {before - 1} are not on the bus; "
            f"{trades} trades among them were recorded and taken in",
        )

    async def _read_news(self, state: EngineState, *, is_due: bool) -> None:
        now_ns = self._monotonic_ns()
        works = any(instance.account.orders for instance in state.instances.values())
        pause_s = _WORKING_S if works else self._settings.journal_s
        if not is_due and now_ns - self._asked_ns < pause_s * 1e9:
            return
        self._asked_ns = now_ns
        try:
            while (page := await read_journal(self._journal, state.journal_seq)) is not None:
                await self._act(state, step(state, page, self._clock.now_ns()), None)
            await self._keeper.call_backs.look(state)
        except JournalUnavailableError as error:
            await self._waits["journal"].wait(str(error))
        else:
            self._waits["journal"].answered()

    async def _read_clock(self, state: EngineState) -> None:
        now_ns = self._clock.now_ns()
        transit_ns = int(Fraction(self._settings.transit_s) * self._speed * _NS_PER_S)
        reached_ns = now_ns - transit_ns
        self._reached_ns = max(self._reached_ns, reached_ns)
        await self._act(state, step(state, ClockRead(self._reached_ns), now_ns), None)

    async def _look_for_wiped(self) -> None:
        try:
            wiped = await self._topics.find_wiped()
        except BusUnavailableError:
            return
        for topic in wiped:
            self._tell("bus_wiped", f"{topic} lost its entries; tick numbers find the rest")

    async def _act(
        self, state: EngineState, effects: list[Effect], consumed: Consumed | None
    ) -> None:
        """Commit facts, then pass on the rest."""
        facts = [PendingFact.of(effect) for effect in effects if effect.is_fact]
        now_ns = self._clock.now_ns()
        for effect in effects:
            self._publisher.add(effect, now_ns)
        if not facts:
            return
        await self._keeper.commit(state, self._topics.places, facts, consumed)
        done_ns = self._clock.now_ns()
        for fact in facts:
            triggered_ns = (
                fact.event.triggered_ns if isinstance(fact.event, DecisionRecorded) else 0
            )
            if triggered_ns:
                self._latency.add(float((done_ns - triggered_ns) / self._speed) / 1e6)

    async def _hear_inputs(self, state: EngineState, entry: Entry) -> None:
        message = self._decode(entry)
        self._topics.places[INPUTS] = entry.entry_id
        if isinstance(message, TradingInputs) and message.version > state.inputs_version:
            await self._take_inputs(state, message)

    async def _take_inputs(self, state: EngineState, inputs: TradingInputs) -> None:
        state.settings = self._engine_settings(inputs)
        if self._group is None:
            raise TerminalError("inputs can be taken over by a running trader only")
        await self._inputs.consider(inputs, state, self._group.create_task)

    async def _join(self, state: EngineState) -> None:
        joined = self._inputs.warming
        try:
            doubts = await self._inputs.join(state, self._reached_ns)
        except JournalUnavailableError as error:
            await self._waits["journal"].wait(str(error))
            return
        if doubts is None:
            return
        await self._keeper.note_begin(state, [name for name in joined if name in state.instances])
        self._memory.settle()
        for doubt in doubts:
            self._tell("warm_up", doubt)
        await self._publisher.flush()
        await self._keeper.store(state, self._topics.places, is_whole=True)

    def _decode(self, entry: Entry) -> object:
        envelope = entry.envelope
        try:
            return MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
        except SchemaError as error:
            _log.warning("entry_unreadable", topic=entry.topic, error=str(error))
            self._counters.add("unreadable_entries_total", topic=entry.topic)
            return None

    def _tell(self, check: str, text: str) -> None:
        _log.warning(check, text=text)
        now_ns = self._clock.now_ns()
        alert = RiskAlert(
            severity="warning", check=check, subject="trader", text=text, ts_ns=now_ns
        )
        self._publisher.add(Effect(alert, f"{check}/{now_ns}"), now_ns)
