"""A small house for the executor: real PostgreSQL and Redis, a simulated KIS on TCP, one clock.

The roles are built by `bootstrap`, as `jts run` does; the reconciler runs beside the executor,
prices are put by the test.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jts_trading.bootstrap.roles import build_role
from jts_trading.bootstrap.settings import DaemonSettings, load_daemon
from jts_trading.brokers.kis.simulator.orders_of_day import RowKind
from jts_trading.brokers.kis.simulator.server import Ready, World, serve
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.bus.redis_state import RedisState
from jts_trading.config.instance import ClockSettings
from jts_trading.config.source import read
from jts_trading.domain.feed_messages import PriceNote
from jts_trading.domain.journal_events import AttemptStarted, IntentRecorded
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import TERMINAL, OrderIntent, OrderSide, OrderState, Reservation
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput, TradingInputs
from jts_trading.journal.chain import open_event
from jts_trading.journal.connection import Database
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.ports.clock import Clock, boottime_ns, write_clock
from jts_trading.ports.inputs import write_inputs
from jts_trading.ports.journal import Fact, UncoveredError
from jts_trading.ports.state import Kind
from jts_trading.simulation.faults import Fault, FaultPlan
from jts_trading.simulation.krx_market import Listing
from jts_trading.simulation.tape import TapeBar
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

START = "2024-06-03T10:00:00+09:00"
START_NS = int(datetime(2024, 6, 3, 1, 0, tzinfo=UTC).timestamp()) * 10**9
SAMSUNG = "KRX:005930"
BROKER, ACCOUNT = "kis", "5000000101"
# One print; then the market stands.
TAPE = [TapeBar("005930", START_NS, 70_000, 70_000, 70_000, 70_000, 1)]
SETTLED = TERMINAL | {OrderState.OPEN, OrderState.PARTIAL}
_PATIENCE = {
    "JTS_LOGGING__LEVEL": "info",
    "JTS_RECONCILER__ORDERS_EVERY_S": "0.2",
    "JTS_RECONCILER__BALANCE_EVERY_S": "0.3",
    "JTS_RECONCILER__GAP_S": "0.05",
    "JTS_RECONCILER__SENDING_GRACE_S": "1.0",
    "JTS_RECONCILER__ABSENT_AFTER_S": "1.0",
    "JTS_RECONCILER__ABSENT_APART_S": "0.2",
    "JTS_EXECUTOR__SUBMIT_S_MAX": "0.5",
    "JTS_EXECUTOR__LOOK_EVERY_S": "0.1",
    "JTS_EXECUTOR__RETRY_AFTER_S": "0.05",
    # Whether a loaded test machine is quick enough is not what these tests ask.
    "JTS_EXECUTOR__REVIEW_MS_MAX": "5000",
    "JTS_EXECUTOR__WRITE_WITHIN_MS": "5000",
}


@dataclass
class House:
    """Stores, the venue, and the roles that a test starts.

    Attributes:
        ready: The inside of the simulator.
        journal: A writer of the test, as the trader is one.
    """

    home: Path
    environ: dict[str, str]
    clock: Clock
    ready: Ready
    journal: PostgresJournal
    state: RedisState
    daemon: DaemonSettings
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[dict[str, Any]]:
        """Some roles in this process, by name."""
        roles: dict[str, Any] = {}
        async with contextlib.AsyncExitStack() as stack:
            tasks = []
            for name in names:
                roles[name] = await stack.enter_async_context(build_role(name, self.daemon))
                tasks.append(asyncio.ensure_future(roles[name].run()))
            try:
                yield roles
                for task in tasks:
                    assert not task.done(), task.exception()
            finally:
                for task in tasks:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    async def start(self, name: str, home: Path | None = None) -> asyncio.subprocess.Process:
        """A role in a process of its own; it ends with the test."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("JTS_")}
        environ = {**kept, **self.environ, "JTS_HOME": str(home or self.home)}
        with (self.home / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "jts_trading", "run", name,
                env=environ, cwd=self.home, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    async def want(self, number: int, **changes: Any) -> str:
        """Record an intent whose quantity names it: `number` shares at a resting price."""
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
            quantity=Decimal(number),
            price=Decimal(68_000),
            currency="KRW",
            triggered_ns=now_ns,
        )
        intent = msgspec.structs.replace(plain, **changes)
        amount = (intent.price or Decimal(91_000)) * intent.quantity * Decimal("1.01")
        reservation = Reservation(asset="KRW", amount=Decimal(int(amount)))
        fact = Fact(
            IntentRecorded(intent=intent, reservation=reservation),
            now_ns,
            correlation_id=f"kis-1:{number}",
            event_id=f"intent/{intent.order_id}",
        )
        async with asyncio.timeout(10):
            while True:
                try:
                    await self.journal.record_intent([fact])
                except UncoveredError:
                    # The reconciler has not found the cash of the account yet.
                    await asyncio.sleep(0.05)
                else:
                    return intent.order_id

    async def row(self, order_id: str) -> OrderRow:
        """The order as the journal has it."""
        found = await self.journal.find_order(order_id=order_id)
        assert found is not None
        return found

    async def until(self, order_id: str, *states: OrderState, seconds: float = 10) -> OrderRow:
        """The order once it is in one of some states."""
        row = await self.row(order_id)
        try:
            async with asyncio.timeout(seconds):
                while row.status not in states:
                    await asyncio.sleep(0.02)
                    row = await self.row(order_id)
        except TimeoutError:
            raise AssertionError(f"{row.status}: {row.reason}; wanted {states}") from None
        return row

    async def eventually(self, holds: Callable[[], Any], seconds: float = 10) -> None:
        """Return once something holds."""
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - what is watched knows no event
                await asyncio.sleep(0.02)

    async def events(self, order_id: str) -> list[str]:
        """The types of everything that happened to an order."""
        return [event.type for event in await self.journal.stream(f"order/{order_id}")]

    async def attempts(self) -> list[AttemptStarted]:
        """Every attempt that was noted."""
        found = [open_event(row) for row in await self.journal.events(0, 100_000)]
        return [event for event in found if isinstance(event, AttemptStarted)]

    def at_venue(self) -> Counter[int]:
        """How often the simulator was sent each order, by quantity."""
        rows = self.ready.desk.rows.values()
        return Counter(row.quantity for row in rows if row.kind is RowKind.NEW)

    def prices_at_venue(self) -> Counter[tuple[int, int]]:
        """How often the simulator was sent each order, by quantity and price."""
        rows = self.ready.desk.rows.values()
        return Counter((row.quantity, row.price) for row in rows if row.kind is RowKind.NEW)

    async def keep_price(self) -> None:
        """Put the newest trade again and again."""
        while True:
            now_ns = self.clock.now_ns()
            note = PriceNote(
                instrument_id=SAMSUNG,
                venue="KRX",
                price=Decimal(70_000),
                ts_event_ns=now_ns,
                ts_recv_ns=now_ns,
                reference=Decimal(70_000),
                upper=Decimal(91_000),
                lower=Decimal(49_000),
            )
            await self.state.put(Kind.PRICE, SAMSUNG, msgspec.msgpack.encode(note))
            await asyncio.sleep(0.5)


def _inputs() -> TradingInputs:
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
        allocation=Decimal(90_000_000),
        currency="KRW",
    )
    limits = RiskLimits(
        position_share_max=Decimal(1),
        price_collar=Decimal("0.3"),
        orders_per_second=10_000,
        orders_per_minute=10_000,
        unknown_orders_max=1_000,
        loop_lag_ms_max=60_000.0,
        price_age_s_max={"KRX": 60.0},
    )
    return TradingInputs(
        version=1, created_ns=0, source="test", instances=(strategy,), risk=limits
    )


@contextlib.asynccontextmanager
async def _simulated(clock: Clock, faults: Sequence[Fault]) -> AsyncIterator[Ready]:
    settings = SimulatorSettings(
        speed=None,
        waits_for_reader=False,
        calls_per_s=100_000,
        ledger_calls_per_s=100_000,
        token_every_s=0.0,
    )
    world = World([Listing("005930", "삼성전자")], TAPE, references={"005930": 70_000})
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    plan = FaultPlan(tuple(faults))
    task = asyncio.ensure_future(
        serve(settings, world, clock=clock, faults=plan, on_ready=ready.set_result)
    )
    try:
        async with asyncio.timeout(10):
            await ready
        yield ready.result()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def open_house(
    tmp_path: Path, postgres_dsn: str, redis_url: str
) -> Callable[..., contextlib.AbstractAsyncContextManager[House]]:
    """Opens a house with some faults of the venue, at an instant."""

    @contextlib.asynccontextmanager
    async def build(
        *faults: Fault,
        epoch: str = START,
        **environ: str,
    ) -> AsyncIterator[House]:
        home = tmp_path / "home"
        (home / "run").mkdir(parents=True)
        clock = write_clock(home / "run", ClockSettings(epoch=epoch))
        write_inputs(home, _inputs())
        migrate(libpq_url(postgres_dsn))
        async with contextlib.AsyncExitStack() as stack:
            ready = await stack.enter_async_context(_simulated(clock, faults))
            variables = {
                "JTS_HOME": str(home),
                "JTS_PORT_BASE": "1044",
                "JTS_HOT__DSN": "http://127.0.0.1:1/jts",
                "JTS_POSTGRES__DSN": postgres_dsn,
                "JTS_REDIS__DSN": redis_url,
                "JTS_BROKERS__KIS__REST_URL": ready.rest_url,
                "JTS_BROKERS__KIS__CALLS_PER_S": "100000",
                "JTS_BROKERS__KIS__LEDGER_CALLS_PER_S": "100000",
                **_PATIENCE,
                **environ,
            }
            database = Database(postgres_dsn)
            stack.push_async_callback(database.close)
            state = RedisState(redis_url, boottime_ns)
            stack.push_async_callback(state.close)
            house = House(
                home=home,
                environ=variables,
                clock=clock,
                ready=ready,
                journal=PostgresJournal(database, "trader"),
                state=state,
                daemon=load_daemon(read(variables)),
            )
            prices = asyncio.ensure_future(house.keep_price())
            try:
                yield house
            finally:
                prices.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await prices
                await _end(house.processes)

    return build


async def _end(processes: Sequence[asyncio.subprocess.Process]) -> None:
    for process in processes:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        await process.wait()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers; a failure prints their seed."""
    seed = random.SystemRandom().randrange(2**32)
    request.node.add_report_section("setup", "seed", str(seed))
    return random.Random(seed)
