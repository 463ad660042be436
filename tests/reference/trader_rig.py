"""A trader between stores in memory: ticks go onto the bus, facts come out of the journal."""

import asyncio
import importlib.util
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from jts_trading.bus.memory import MemoryBus
from jts_trading.domain.journal_events import (
    AttemptStarted,
    CashMoved,
    OrderAcknowledged,
    OrderFilled,
)
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.journal.chain import open_event
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryStore
from jts_trading.market_store.memory import MemoryMarket
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.inputs import write_inputs
from jts_trading.ports.journal import Fact
from jts_trading.services.recorder.rows import tick_rows
from jts_trading.services.trader.memory import Memory
from jts_trading.services.trader.role import Trader
from jts_trading.services.trader.settings import TraderSettings

TICKS = "market-data.krx.ticks"
QUICK = TraderSettings(
    wait_s=0.005, snapshot_s=0.05, retry_s=0.01, retry_s_max=0.05, look_s=0.05, fill_wait_s=0.4,
    journal_s=0.02,
)  # fmt: skip


def engine_rig() -> ModuleType:
    """Return the module of the engine's rig."""
    name = "engine_rig"
    if name not in sys.modules:
        path = Path(__file__).with_name("engine_rig.py")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class Trial:
    """The stores of one instance, which outlive the traders that run on them.

    Args:
        home: Data root.
        begins: Instance time at the start, ISO.
    """

    def __init__(self, home: Path, begins: str = "2024-06-03T08:59:00+09:00") -> None:
        self.rigs = engine_rig()
        self.home = home
        self.clock = VirtualClock(self.rigs.instant(begins))
        self.bus = MemoryBus(time.monotonic_ns)
        self.store = MemoryStore(time.monotonic_ns)
        self.market = MemoryMarket()
        self.journal = MemoryJournal(self.store, "trader")
        self.desk = MemoryJournal(self.store, "desk")
        self.leases = MemoryLeases(self.store)
        self.feed = self.rigs.Rig(self.rigs.describe(NEVER), fills=False)
        self.trader: Trader | None = None
        self.seen = 0
        self.settled: list[int] = []
        self._entry = 0
        self._is_running = False

    def make(self, settings: TraderSettings = QUICK) -> Trader:
        """Return a trader on these stores."""
        return Trader(
            bus=self.bus,
            journal=self.journal,
            market=self.market,
            clock=self.clock,
            monotonic_ns=time.monotonic_ns,
            home=self.home,
            load_kernel=lambda source, _: self.rigs.plain_kernel(source),
            listing_of=lambda _: self.rigs.KOSPI,
            settings=settings,
            memory=Memory(settle=lambda: self.settled.append(self.clock.now_ns())),
        )

    @asynccontextmanager
    async def running(
        self, settings: TraderSettings = QUICK, *, is_awaited: bool = True
    ) -> AsyncIterator[Trader]:
        """Run a trader for the time of a block, and kill it at the end without a warning."""
        self.trader = trader = self.make(settings)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(trader.run())
            try:
                if is_awaited:
                    await self.until(lambda: trader._state is not None)
                    self._is_running = True
                yield trader
            finally:
                self._is_running = False
                task.cancel()

    def inputs(self, *specs: StrategyInput, version: int = 1) -> TradingInputs:
        """Write inputs as Dagster would."""
        found = TradingInputs(version=version, created_ns=0, source="test", instances=specs)
        write_inputs(self.home, found)
        return found

    async def announce(self, inputs: TradingInputs) -> None:
        """Publish inputs."""
        await self.publish("trading.inputs", inputs)

    async def deposit(self, amount: int = 1_000_000_000, currency: str = "KRW") -> None:
        """Let the account have cash."""
        moved = CashMoved(
            broker="kis",
            account="a1",
            instance="external",
            currency=currency,
            amount=Decimal(amount),
            reason="deposit",
        )
        await self.desk.record_event([Fact(moved, ts_ns=self.clock.now_ns())])

    async def publish(self, topic: str, message: msgspec.Struct) -> None:
        """Put a message on the bus."""
        kind, version = MESSAGES.identify(message)
        self._entry += 1
        now_ns = self.clock.now_ns()
        envelope = Envelope(
            type=kind,
            version=version,
            id=f"entry-{self._entry}",
            correlation_id="",
            causation_id="",
            source="collector",
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            payload=msgspec.msgpack.encode(message),
        )
        await self.bus.publish(topic, envelope)

    async def trade(self, *prints: Any, is_recorded: bool = False, is_lost: bool = False) -> None:
        """Let trades arrive now, in one entry; recorded as well, or lost on the bus."""
        self.clock.advance(max(0, prints[-1].at_ns - self.clock.now_ns()))
        entry = self.feed.entry(prints, recv_ns=self.clock.now_ns())
        if is_recorded:
            await self.market.append("ticks", list(tick_rows(entry, TICKS)))
        if not is_lost:
            await self.publish(TICKS, entry)
            # The clock moves on when the trader has seen it: nothing is late by accident.
            if self._is_running:
                await self.settle()

    async def minutes(self, first: str, closes: list[int], **how: Any) -> None:
        """Let a share trade twice in each of some minutes: at the close before, at the close."""
        at = self.rigs.instant(first)
        for before, close in zip([closes[0], *closes], closes, strict=False):
            for second, price in ((0, before), (30, close)):
                each = self.rigs.Print("KRX:005930", at + second * 10**9, str(price), "10")
                await self.trade(each, **how)
            at += 60 * 10**9

    async def until(self, is_so: Callable[[], bool], seconds: float = 5.0) -> None:
        """Wait for something to become true.

        Raises:
            TimeoutError: It did not.
        """
        async with asyncio.timeout(seconds):
            while not is_so():  # noqa: ASYNC110 - whatever is waited for says nothing
                await asyncio.sleep(0.005)

    async def settle(self, seconds: float = 5.0) -> None:
        """Wait until the trader has taken in everything that was published."""
        trader = self.trader
        newest = await self.bus.newest(TICKS) or (0, 0)

        def is_there() -> bool:
            assert trader is not None
            state = trader._state
            place = trader._topics.places[TICKS]
            return state is not None and place == "{}-{}".format(*newest)

        await self.until(is_there, seconds)

    def facts(self, *kinds: str) -> list[Any]:
        """Return the events of the journal, of some types."""
        rows = [row for row in self.store.events if not kinds or row.type in kinds]
        return [open_event(row) for row in rows]

    async def fill_orders(self, price: int = 71_000) -> None:
        """Let the venue fill every order that waits."""
        for order in await self.desk.load_open():
            await self._take_order(order)
            await self._fill(order, order.quantity, Decimal(price))

    async def rest(self, filled: int = 0) -> OrderRow:
        """Let the venue take the order that waits, and fill a part of it at its limit."""
        (order,) = await self.desk.load_open()
        await self._take_order(order)
        assert order.price is not None
        await self._fill(order, Decimal(filled), order.price)
        return order

    async def tell(self, *events: Any) -> None:
        """Let the venue's side record what became of orders."""
        await self.desk.record_event([Fact(event, ts_ns=self.clock.now_ns()) for event in events])

    async def _take_order(self, order: OrderRow) -> None:
        lease = await self.leases.acquire_lease(f"sender-{order.id}", "desk", 60)
        assert lease is not None
        started = AttemptStarted(
            order_id=order.id,
            client_order_id=order.id,
            attempt=1,
            payload_hash="00",
            lease=lease.name,
            token=lease.token,
        )
        await self.desk.record_attempt(Fact(started, ts_ns=self.clock.now_ns()))
        await self.tell(OrderAcknowledged(order_id=order.id, attempt=1, venue_order_id=order.id))

    async def _fill(self, order: OrderRow, quantity: Decimal, price: Decimal) -> None:
        done = OrderFilled(
            order_id=order.id,
            trade_id=f"t-{order.id}",
            quantity=quantity,
            price=price,
            ts_event_ns=self.clock.now_ns(),
        )
        await self.tell(done)


NEVER = 'strategy("Never") { entry.long { when (close < 0) { buy(quantity: "1%") } } }'
Play = Callable[[Trial], Awaitable[None]]
