"""An executor over memory stores and a venue that does what a test tells it to."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jts_trading.bus.memory import MemoryBus
from jts_trading.bus.memory_state import MemoryState
from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.domain.journal_events import CashMoved, IntentRecorded, PositionAdopted
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.orders import OrderIntent, OrderSide, OrderState, Reservation
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput, TradingInputs
from jts_trading.execution.fill_costs import CostRules
from jts_trading.execution.priority import Priority
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryOutbox, MemoryStore
from jts_trading.ports.inputs import write_inputs
from jts_trading.ports.journal import Fact
from jts_trading.ports.sender import Accepted, Gate, Refused
from jts_trading.ports.state import Kind
from jts_trading.risk.approval import ApprovedOrder, FinalOrder
from jts_trading.risk.facts import KrxRules
from jts_trading.services.executor.role import Executor, ExecutorStores, Times
from jts_trading.services.executor.settings import ExecutorSettings

S, MS = 10**9, 10**6
START_NS = int(datetime(2024, 6, 3, 1, 0, tzinfo=UTC).timestamp()) * S
SAMSUNG = "KRX:005930"
BROKER, ACCOUNT = "kis", "5000000101"
OWNER = {"broker": BROKER, "account": ACCOUNT, "currency": "KRW"}


class RunningClock:
    """Korean morning, at the pace of real time."""

    def __init__(self) -> None:
        self._began_ns = time.monotonic_ns()
        self.ahead_ns = 0

    def now_ns(self) -> int:
        """Read it."""
        return START_NS + time.monotonic_ns() - self._began_ns + self.ahead_ns

    async def sleep_until(self, when_ns: int) -> None:
        """Wait."""
        await asyncio.sleep(max(0, when_ns - self.now_ns()) / S)


@dataclass
class FakeSender:
    """A venue that answers as it is told, and remembers what it got.

    Attributes:
        answers: For the next orders, in turn: an answer, an error, or a coroutine function.
        orders: What came through the gate.
        stopped: What the gate stopped.
    """

    broker: str = BROKER
    account: str = ACCOUNT
    answers: list[Any] = field(default_factory=list)
    orders: list[FinalOrder] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    cancel_answers: list[Any] = field(default_factory=list)
    prepared: list[Priority] = field(default_factory=list)
    before_gate: Callable[[], Any] | None = None

    async def prepare(self, priority: Priority) -> None:
        """Note who asked."""
        self.prepared.append(priority)

    async def submit(self, order: ApprovedOrder, gate: Gate) -> Accepted | Refused:
        """Take it, or do as told."""
        if self.before_gate is not None:
            await self.before_gate()
        try:
            gate()
        except Exception as error:
            self.stopped.append(str(error))
            raise
        self.orders.append(order.order)
        answer = self.answers.pop(0) if self.answers else None
        if callable(answer):
            answer = await answer()
        if isinstance(answer, Exception):
            raise answer
        return answer or Accepted(venue_order_id=f"20240603-00950-{len(self.orders):010d}")

    async def cancel(self, order: OrderRow) -> Accepted | Refused:
        """Take it, or do as told."""
        self.cancels.append(order.id)
        answer = self.cancel_answers.pop(0) if self.cancel_answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer or Accepted(venue_order_id=f"cancel-{len(self.cancels)}")


class World:
    """Stores, a sender, and an executor that a test starts and stops."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = RunningClock()
        self.store = MemoryStore(time.monotonic_ns)
        self.journal = self.writer("tester")
        self.bus = MemoryBus(self.clock.now_ns)
        self.state = MemoryState(time.monotonic_ns)
        self.sender = FakeSender()
        # Whether a loaded test machine is quick enough is asked by tests of that name only.
        self.settings = ExecutorSettings(
            review_ms_max=10_000,
            write_within_ms=1_000,
            look_every_s=0.02,
            relay_every_s=0.05,
            kill_every_ms=5,
            retry_after_s=0.01,
        )
        self.rules: Callable[[str], Any] = lambda _: KrxRules("KOSPI")
        self.executors: list[Executor] = []
        self.version = 0
        self.executor_time_ns = 0

    def boottime_ns(self) -> int:
        """The executor's real time, which a test may put forward."""
        return time.monotonic_ns() + self.executor_time_ns

    def writer(self, name: str) -> MemoryJournal:
        """Another journal on the same store."""
        return MemoryJournal(self.store, name)

    def build(self, **changes: Any) -> Executor:
        """An executor of this home."""
        stores = ExecutorStores(
            journal=changes.get("journal") or self.writer("executor"),
            beside=self.writer("executor"),
            leases=changes.get("leases") or MemoryLeases(self.store),
            outbox=MemoryOutbox(self.store),
            bus=changes.get("bus") or self.bus,
            state=changes.get("state") or self.state,
        )
        executor = Executor(
            stores=stores,
            senders=[changes.get("sender") or self.sender],
            home=changes.get("home") or self.home,
            rules=self.rules,
            costs=CostRules(default_table()),
            times=Times(clock=self.clock, speed=Fraction(1), boottime_ns=self.boottime_ns),
            settings=changes.get("settings") or self.settings,
        )
        # A loaded test machine holds up every event loop.
        executor._facts._loop_lag_ms = lambda: 0.0
        return executor

    @contextlib.asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[Executor]:
        """An executor at work."""
        executor = self.build(**changes)
        task = asyncio.ensure_future(executor.run())
        try:
            yield executor
            if task.done():
                task.result()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def open_account(self, cash: int = 100_000_000) -> None:
        """Cash, a price, limits, and a reconciliation of a moment ago."""
        deposit = CashMoved(**OWNER, instance="external", amount=Decimal(cash), reason="deposit")
        await self.journal.record_event([Fact(deposit, START_NS, event_id="deposit")])
        self.set_inputs()
        await self.set_price()
        await self.set_reconciled()

    def set_inputs(self, **limits: Any) -> None:
        """Limits that are in force from the next look on."""
        self.version += 1
        plain = {
            "duplicate_window_s": 0.0,
            "orders_per_second": 10_000,
            "orders_per_minute": 10_000,
        }
        write_inputs(self.home, inputs(self.version, RiskLimits(**(plain | limits))))

    async def set_price(self, price: int = 70_000, **changes: Any) -> None:
        """The newest trade."""
        now_ns = self.clock.now_ns()
        note = PriceNote(
            instrument_id=SAMSUNG,
            venue="KRX",
            price=Decimal(price),
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
            reference=Decimal(70_000),
            upper=Decimal(91_000),
            lower=Decimal(49_000),
        )
        note = msgspec.structs.replace(note, **changes)
        await self.state.put(Kind.PRICE, SAMSUNG, msgspec.msgpack.encode(note))

    async def set_reconciled(self, **changes: Any) -> None:
        """The newest reconciliation."""
        note = ReconciledNote(
            broker=BROKER, account=ACCOUNT, real_ns=time.monotonic_ns(), unknown_orders=0
        )
        note = msgspec.structs.replace(note, **changes)
        name = f"{BROKER}/{ACCOUNT}"
        await self.state.put(Kind.RECONCILED, name, msgspec.msgpack.encode(note))

    async def hold(self, quantity: int) -> None:
        """Shares of the instance."""
        adopted = PositionAdopted(
            **OWNER,
            instance="sma",
            instrument_id=SAMSUNG,
            quantity=Decimal(quantity),
            cost=Decimal(70_000 * quantity),
            reason="opening",
        )
        await self.journal.record_event([Fact(adopted, START_NS, event_id="opening")])

    async def want(self, number: int = 1, **changes: Any) -> str:
        """Record an intent to buy ten shares; return the order's id."""
        order_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"order {number}"))
        now_ns = self.clock.now_ns()
        plain = OrderIntent(
            order_id=order_id,
            broker=BROKER,
            account=ACCOUNT,
            instance="sma",
            instrument_id=SAMSUNG,
            venue="KRX",
            side=OrderSide.BUY,
            quantity=Decimal(10),
            price=Decimal(70_000),
            currency="KRW",
            triggered_ns=now_ns,
            decision_id=f"d{number}",
        )
        intent = msgspec.structs.replace(plain, **changes)
        is_buy = intent.side is OrderSide.BUY
        reservation = Reservation(
            asset="KRW" if is_buy else SAMSUNG,
            amount=Decimal(701_000) if is_buy else intent.quantity,
        )
        fact = Fact(
            IntentRecorded(intent=intent, reservation=reservation),
            now_ns,
            correlation_id=f"kis-1:{number}",
            event_id=f"intent/{order_id}",
        )
        await self.journal.record_intent([fact])
        return order_id

    async def leave(self, number: int = 1, **changes: Any) -> str:
        """Record an exit of ten shares."""
        plain = {"side": OrderSide.SELL, "price": Decimal(71_000), "reduces": True}
        return await self.want(number, **(plain | changes))

    async def row(self, order_id: str) -> OrderRow:
        """The order as the journal has it."""
        found = await self.journal.find_order(order_id=order_id)
        assert found is not None
        return found

    async def until(self, order_id: str, *states: OrderState) -> OrderRow:
        """The order once it is in one of some states."""
        row = await self.row(order_id)
        try:
            async with asyncio.timeout(5):
                while row.status not in states:
                    await asyncio.sleep(0.005)
                    row = await self.row(order_id)
        except TimeoutError:
            raise AssertionError(f"{row.status}: {row.reason}; wanted {states}") from None
        return row

    async def eventually(self, holds: Callable[[], Any]) -> None:
        """Return once something holds."""
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110 - what is watched knows no event
                await asyncio.sleep(0.005)

    async def notes(self, topic: str) -> list[dict[str, Any]]:
        """The bodies of the notes of a topic."""
        rows = await self.journal.stream(f"note/{topic}")
        bodies = [msgspec.json.decode(row.payload)["body"] for row in rows]
        return [msgspec.json.decode(body) for body in bodies]


def inputs(version: int, limits: RiskLimits) -> TradingInputs:
    """One strategy instance on Samsung."""
    strategy = StrategyInput(
        instance="sma",
        strategy_id=str(uuid.UUID(int=1)),
        release="sma@1",
        dsl_code="",
        broker=BROKER,
        account=ACCOUNT,
        venue="KRX",
        interval="1m",
        instrument_ids=(SAMSUNG,),
        allocation=Decimal(100_000_000),
        currency="KRW",
    )
    return TradingInputs(
        version=version, created_ns=START_NS, source="test", instances=(strategy,), risk=limits
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Everything, and nothing started."""
    return World(tmp_path)


@pytest.fixture
def c() -> SimpleNamespace:
    """Names of this file."""
    return SimpleNamespace(**globals())
