"""New trading inputs: what can be described anew at once, and what has to be warmed up first.

Theory of operation. While new instances are compiled and warmed up beside the running ones, the
entries that those take in are kept. When the warm-up is there, it reads the kept entries, is told
the journal up to the same event and the same time, and its instances join between two entries.
An instance whose release changed keeps its money and positions; one that is not named any more
stops then.
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.engine.events import ClockRead, InputsChanged, TicksArrived
from jts_trading.engine.setup import ListingOf, Prepared, take_over
from jts_trading.engine.state import EngineState
from jts_trading.engine.step import step
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal, JournalUnavailableError
from jts_trading.ports.market import Market, MarketUnavailableError
from jts_trading.services.trader.patience import Patience
from jts_trading.services.trader.preparing import Compiler, Preparation
from jts_trading.services.trader.reading import read_journal
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.services.trader.warming import Warmed, warm_up

KEPT_TICKS_MAX = 1_000_000
Spawn = Callable[..., asyncio.Task[Warmed]]
_log = structlog.get_logger(__name__)


class TakeOver:
    """Takes new inputs over.

    Args:
        compiler: Makes programs.
        market: For warm-ups.
        journal: For the accounts of new instances.
        listing_of: Market and kind of an instrument.
        clock: Of the instance.
        settings: Of the role.
        patience: With the market store.

    Attributes:
        refused: Instances that cannot run, with the reason.
        warming: Instances that are being warmed up.
    """

    def __init__(
        self,
        *,
        compiler: Compiler,
        market: Market,
        journal: Journal,
        listing_of: ListingOf,
        clock: Clock,
        settings: TraderSettings,
        patience: Patience,
    ) -> None:
        self._compiler = compiler
        self._market = market
        self._journal = journal
        self._listing_of = listing_of
        self._clock = clock
        self._settings = settings
        self._patience = patience
        self._task: asyncio.Task[Warmed] | None = None
        self._inputs: TradingInputs | None = None
        self._spawn: Spawn | None = None
        self._kept: list[TicksCollected] = []
        self._kept_ticks = 0
        self._doubts: list[str] = []
        self.refused: dict[str, str] = {}
        self.warming: tuple[str, ...] = ()

    async def prepare(self, inputs: TradingInputs) -> Preparation:
        """Compile all instances of the inputs, in a thread."""
        found = await asyncio.to_thread(
            self._compiler.prepare, inputs.instances, self._clock.now_ns()
        )
        for name, reason in found.refused.items():
            if self.refused.get(name) != reason:
                _log.error("instance_refused", instance=name, reason=reason)
        self.refused = found.refused
        return found

    async def warm(self, prepared: list[Prepared], state: EngineState) -> Warmed:
        """Warm instances up, waiting for the store as long as it takes; accounts included."""
        while True:
            now_ns = self._clock.now_ns()
            try:
                warmed = await warm_up(
                    prepared,
                    self._market,
                    settings=state.settings,
                    listing_of=self._listing_of,
                    now_ns=now_ns,
                    history_days=self._settings.history_days,
                )
                await self._fold(warmed.state)
            except (MarketUnavailableError, JournalUnavailableError) as error:
                await self._patience.wait(str(error))
            else:
                self._patience.answered()
                return warmed

    async def _fold(self, state: EngineState) -> None:
        while (page := await read_journal(self._journal, state.journal_seq)) is not None:
            step(state, page, self._clock.now_ns())

    async def consider(self, inputs: TradingInputs, state: EngineState, spawn: Spawn) -> None:
        """Describe running instances anew, and begin to warm up what is new.

        Args:
            inputs: Newer than those that run.
            state: The running engine; changed.
            spawn: Starts a task in the role's group.
        """
        self.forget()
        prepared = await self.prepare(inputs)
        ready = {each.spec.instance: each for each in prepared.ready}
        new = [each for name, each in ready.items() if not _is_same(state, each.spec)]
        old = tuple(each.spec for each in prepared.ready if _is_same(state, each.spec))
        step(state, InputsChanged(inputs.version, old), self._clock.now_ns())
        self._inputs, self._spawn = inputs, spawn
        _log.info(
            "inputs_taken",
            version=inputs.version,
            source=inputs.source,
            new=[each.spec.instance for each in new],
        )
        if new:
            self.warming = tuple(each.spec.instance for each in new)
            self._task = spawn(self.warm(new, state), name="trader-warm-up")
        else:
            self._settle(state, None)

    def keep(self, entry: TicksCollected) -> None:
        """Remember an entry that the running engine took in, while a warm-up is on."""
        if self._task is None:
            return
        self._kept.append(entry)
        self._kept_ticks += len(entry.ticks)
        if self._kept_ticks > KEPT_TICKS_MAX:
            # By now they are recorded: a new warm-up needs fewer of them.
            self._task.cancel()

    def forget(self) -> None:
        """Give up a warm-up that newer inputs have overtaken."""
        if self._task is not None:
            self._task.cancel()
        self._task, self._kept, self._kept_ticks, self.warming = None, [], 0, ()

    async def join(self, state: EngineState, reached_ns: int) -> list[str] | None:
        """Let warmed-up instances join if they are there.

        Args:
            state: The running engine; changed.
            reached_ns: Up to where its clock was read.

        Returns:
            What a person should know; None when nothing joined.

        Raises:
            JournalUnavailableError: The journal did not answer; call again.
        """
        if self._task is None or not self._task.done():
            return self._take_doubts()
        if self._task.cancelled():
            if self._inputs is not None and self._spawn is not None:
                await self.consider(self._inputs, state, self._spawn)
            return None
        warmed = self._task.result()
        self._doubts += [*warmed.doubts, *self._catch_up(warmed.state)]
        await self._fold(warmed.state)
        await self._fold(state)
        step(warmed.state, ClockRead(reached_ns), reached_ns)
        self._settle(state, warmed.state)
        self.forget()
        return self._take_doubts() or []

    def _take_doubts(self) -> list[str] | None:
        doubts, self._doubts = self._doubts, []
        return doubts or None

    def _catch_up(self, ready: EngineState) -> list[str]:
        doubts = []
        for entry in self._kept:
            place = ready.feeds.get(entry.feed)
            if place is not None and 0 <= place.last_tick < entry.first_tick - 1:
                doubts.append(
                    f"{entry.feed}: ticks {place.last_tick + 1} to {entry.first_tick - 1} were"
                    " not recorded yet and are missing in the warm-up"
                )
            arrived_ns = entry.ticks[-1].ts_recv_ns if entry.ticks else 0
            step(ready, TicksArrived(entry, "", is_recorded=True), arrived_ns)
        return doubts

    def _settle(self, state: EngineState, ready: EngineState | None) -> None:
        inputs = self._inputs
        if inputs is None:
            return
        specs: dict[str, StrategyInput] = {}
        for spec in inputs.instances:
            is_there = spec.instance in state.instances
            is_ready = ready is not None and spec.instance in ready.instances
            if is_ready or (is_there and _is_same(state, spec)):
                specs[spec.instance] = spec
            elif is_there:
                # Its new release is refused: the one that runs goes on.
                specs[spec.instance] = state.instances[spec.instance].spec
        self._doubts += _left_behind(state, specs)
        now_ns = self._clock.now_ns()
        if ready is not None:
            for instance in ready.instances.values():
                instance.decides_from_ns = now_ns
            take_over(state, ready, specs)
        else:
            take_over(state, EngineState(state.settings), specs)
        state.inputs_version = inputs.version


def _left_behind(state: EngineState, specs: Mapping[str, StrategyInput]) -> list[str]:
    """Return the positions that nobody will leave any more."""
    return [
        f"{name} holds {instance.account.holding(symbol).quantity} {symbol}, which the inputs"
        " do not name any more: nothing sells it"
        for name, instance in state.instances.items()
        for symbol in instance.account.holdings
        if not instance.account.is_flat(symbol)
        and (name not in specs or symbol not in specs[name].instrument_ids)
    ]


def _is_same(state: EngineState, spec: StrategyInput) -> bool:
    """Return whether an instance runs already, in all that decides what it computes."""
    running = state.instances.get(spec.instance)
    return running is not None and _computed(running.spec) == _computed(spec)


def _computed(spec: StrategyInput) -> tuple[object, ...]:
    return (
        spec.release,
        spec.interval,
        spec.venue,
        spec.instrument_ids,
        spec.broker,
        spec.account,
        spec.currency,
        spec.epoch,
    )
