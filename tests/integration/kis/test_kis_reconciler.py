"""The reconciler over a real journal and a simulated KIS on TCP: both ledgers, row by row."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import redis

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.account import KisAccount
from jts_trading.brokers.kis.frames import decode_frame
from jts_trading.brokers.kis.orders import CashOrder, OrderDivision, PlacedOrder
from jts_trading.brokers.kis.stream import KisStream, ReceivedFrame, Registration
from jts_trading.bus.memory import MemoryBus
from jts_trading.bus.memory_state import MemoryState
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.domain.account_reports import FillNotice, OrderAnswer, OrderNotice
from jts_trading.domain.errors import UnknownOutcome
from jts_trading.domain.feed_messages import NoticesCollected, ReconciledNote, RiskAlert
from jts_trading.domain.journal_events import (
    AttemptStarted,
    CancelRequested,
    IntentRecorded,
    OrderAcknowledged,
    OrderLost,
)
from jts_trading.domain.ledger_rows import FillRow, LedgerAccount, OrderRow
from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderIntent, OrderSide, OrderState, Reservation
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.execution.fill_costs import CostRules
from jts_trading.journal.connection import Database
from jts_trading.journal.outbox import PostgresOutbox
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.journal.tables import read_row, select
from jts_trading.ports.bus import Envelope
from jts_trading.ports.journal import Fact
from jts_trading.ports.state import Kind
from jts_trading.services.reconciler.role import Reconciler
from jts_trading.services.reconciler.settings import ReconcilerSettings
from jts_trading.simulation.faults import Fault, FaultKind
from jts_trading.simulation.krx_market import Print
from jts_trading.simulation.tape import TapeBar
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
DAY = date(2024, 6, 3)
START_NS = int(datetime(2024, 6, 3, 0, 30, tzinfo=UTC).timestamp()) * 10**9
ACCOUNT = "5000000101"
OWNER = {"broker": "kis", "account": ACCOUNT, "instance": "sma"}
ALLOCATION = 30_000_000
QUICK = ReconcilerSettings(
    orders_every_s=0.2,
    balance_every_s=0.2,
    gap_s=0.02,
    recheck_s=0.05,
    retry_s=0.05,
    hint_wait_s=0.3,
    sending_grace_s=0.8,
    absent_after_s=0.3,
    absent_apart_s=0.1,
    alert_again_s=0.0,
)
# Below the ten levels of the crowd.
RESTING = 68_000
# One print, so that the market then stands until a test moves it.
STILL = [TapeBar("005930", START_NS, 70_000, 70_000, 70_000, 70_000, 1)]


def inputs(version: int = 1, allocation: int = ALLOCATION) -> TradingInputs:
    """One instance on the account."""
    only = StrategyInput(
        instance="sma",
        strategy_id=str(uuid.UUID(int=1)),
        release="SMA@1",
        dsl_code="",
        broker="kis",
        account=ACCOUNT,
        venue="KRX",
        interval="1m",
        instrument_ids=("KRX:005930",),
        allocation=Decimal(allocation),
        currency="KRW",
    )
    return TradingInputs(version=version, created_ns=0, source="test", instances=(only,))


@dataclass
class Bench:
    """One account at the simulator, a journal, a running reconciler, and an executor of sorts."""

    venue: Any
    dsn: str
    journal: PostgresJournal
    database: Database
    bus: Any
    state: MemoryState
    token: int
    databases: list[Database] = field(default_factory=list)
    count: int = 0

    def role(self, **changes: Any) -> Reconciler:
        """Another process of the role."""
        database = Database(self.dsn)
        self.databases.append(database)
        given: dict[str, Any] = {
            "accounts": [KisAccount(self.venue.rest, self.venue.settings)],
            "journal": PostgresJournal(database, "reconciler"),
            "bus": self.bus,
            "state": self.state,
            "clock": self.venue.clock,
            "boottime_ns": time.monotonic_ns,
            "costs": CostRules(default_table()),
            "settings": QUICK,
            "inputs": inputs(),
        }
        return Reconciler(**(given | changes))

    @contextlib.asynccontextmanager
    async def running(self, **changes: Any) -> AsyncIterator[Reconciler]:
        """Run the role for the time of a block."""
        role = self.role(**changes)
        task = asyncio.ensure_future(role.run())
        try:
            yield role
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @contextlib.asynccontextmanager
    async def collecting(self, *, repeats: int = 1, keeps: Callable[[int], bool] = bool) -> Any:
        """Bring notices of the socket to the bus, each so often, some perhaps not."""
        stream = self.venue.stream()
        registration = Registration(wire.TR_NOTICE_PAPER, "jtsdemo")
        await stream.subscribe(registration)
        task = asyncio.ensure_future(self._collect(stream, repeats, keeps))
        try:

            async def is_open() -> bool:
                return registration in stream.registered

            await self.until(is_open, "notices are subscribed to")
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _collect(
        self, stream: KisStream, repeats: int, keeps: Callable[[int], bool]
    ) -> None:
        number = 0
        async for news in stream.events():
            if not isinstance(news, ReceivedFrame):
                continue
            found = decode_frame(news.raw, news.ts_recv_ns, keys=stream.keys, day=DAY)
            if not isinstance(found, tuple):
                continue
            for notice in found:
                number += 1
                if isinstance(notice, FillNotice | OrderNotice) and keeps(number):
                    await self.tell(notice, repeats)

    async def tell(self, notice: Any, repeats: int = 1) -> None:
        """Put a notice on the bus."""
        message = NoticesCollected(broker="kis", account=ACCOUNT, notices=(notice,))
        for _ in range(repeats):
            self.count += 1
            await self.bus.publish("orders.notices", envelope(message, f"notice-{self.count}"))

    async def place(
        self, side: Side, quantity: int, price: int | None = None, *, answers: bool = True
    ) -> str:
        """Journal, send and journal the answer, as the executor does; return our order id."""
        order_id = await self.wish(side, quantity, price)
        division = OrderDivision.MARKET if price is None else OrderDivision.LIMIT
        try:
            answer = await self.venue.orders.submit(
                CashOrder("005930", side, quantity, price, division)
            )
        except UnknownOutcome as error:
            await self.record(OrderLost(order_id=order_id, attempt=1, reason=str(error)))
            return order_id
        assert isinstance(answer, OrderAnswer), answer
        if answers:
            name = f"20240603-{answer.branch}-{answer.order_no}"
            await self.record(OrderAcknowledged(order_id=order_id, attempt=1, venue_order_id=name))
        return order_id

    async def wish(self, side: Side, quantity: int, price: int | None) -> str:
        """Journal an order and its attempt."""
        self.count += 1
        order_id = str(uuid.UUID(int=1000 + self.count))
        intent = OrderIntent(
            order_id=order_id,
            instrument_id="KRX:005930",
            venue="KRX",
            side=OrderSide.BUY if side is Side.BUY else OrderSide.SELL,
            quantity=Decimal(quantity),
            price=None if price is None else Decimal(price),
            currency="KRW",
            **OWNER,
        )
        reservation = Reservation(asset="KRW", amount=Decimal(0))
        await self.journal.record_intent(
            [self._fact(IntentRecorded(intent=intent, reservation=reservation))]
        )
        attempt = AttemptStarted(
            order_id=order_id,
            client_order_id=f"c{self.count}",
            attempt=1,
            payload_hash="",
            lease="sender",
            token=self.token,
            quantity=intent.quantity,
            price=intent.price,
        )
        await self.journal.record_attempt(self._fact(attempt))
        return order_id

    async def record(self, event: Any) -> None:
        """Journal one event."""
        await self.journal.record_event([self._fact(event)])

    def _fact(self, event: Any) -> Fact:
        now_ns = self.venue.clock.now_ns()
        return Fact(event, ts_ns=now_ns, correlation_id=f"kis-1:{self.count}")

    def trade(self, price: int, quantity: int, side: Side = Side.SELL, second: int = 1) -> None:
        """Let the market trade."""
        at_ns = START_NS + second * 10**9
        self.venue.ready.desk.play(Print(at_ns, "005930", price, quantity, side))

    # What became of it

    async def order(self, order_id: str) -> OrderRow:
        """An order as the journal has it."""
        found = await self.journal.find_order(order_id=order_id)
        assert found is not None
        return found

    async def fills(self) -> list[FillRow]:
        """All fills, in the order in which they were booked."""
        async with self.database.transaction() as connection:
            cursor = await connection.execute(select(FillRow))
            rows = [read_row(FillRow, row) for row in await cursor.fetchall()]
        return sorted(rows, key=lambda row: row.seq)

    async def amounts(self, ledger: LedgerAccount) -> dict[str, int]:
        """Balances of one kind by instance."""
        rows = await self.journal.ledger()
        return {row.instance: int(row.amount) for row in rows if row.ledger is ledger}

    async def alerts(self) -> list[RiskAlert]:
        """What people were told."""
        entries, _ = await self.bus.read({"risk.alerts": "0-0"}, count=100, wait_ms=0)
        return [MESSAGES.decode("risk_alert", 1, entry.envelope.payload) for entry in entries]  # type: ignore[misc]

    async def until(self, predicate: Any, what: str = "", timeout_s: float = 8.0) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + timeout_s
        while not await predicate():
            assert time.monotonic() < deadline, f"never: {what}"
            await asyncio.sleep(0.01)

    async def until_equal(self) -> None:
        """Wait until our cash and positions are those of the simulator, to the won."""

        async def is_equal() -> bool:
            cash = sum((await self.amounts(LedgerAccount.CASH)).values())
            held = sum(
                row.quantity
                for row in await self.journal.ledger()
                if row.ledger is LedgerAccount.POSITION
            )
            ledger = self.venue.ready.desk.ledger
            return (cash, held) == (ledger.cash, ledger.quantity("005930"))

        await self.until(is_equal, "our books are the simulator's")

    async def check_rows(self) -> None:
        """Every row of the simulator's ledger is one fill of ours, to the won."""
        answer = await self.venue.http.get(self.venue.ready.rest_url + "/_simulator/ledger")
        named = ("order_no", "side", "quantity", "price", "gross", "commission", "tax")
        theirs = [tuple(row[name] for name in named) for row in answer.json()["rows"]]
        ours = []
        for fill in await self.fills():
            number = ((await self.order(fill.order_id)).venue_order_id or "").rpartition("-")[2]
            money = (fill.quantity, fill.price, fill.gross, fill.fee, fill.tax)
            ours.append((number, fill.side.value.upper(), *money))
        assert ours == theirs
        assert answer.json()["cash"] == sum((await self.amounts(LedgerAccount.CASH)).values())


def envelope(message: Any, name: str) -> Envelope:
    """A message as the bus carries it."""
    kind, version = MESSAGES.identify(message)
    return Envelope(
        type=kind,
        version=version,
        id=name,
        correlation_id=name,
        causation_id=name,
        source="test",
        ts_event_ns=START_NS,
        ts_recv_ns=START_NS,
        payload=msgspec.msgpack.encode(message),
    )


@pytest.fixture
def bench(open_venue: Any, postgres_dsn: str) -> Callable[..., Any]:
    """Open a bench; at its end chains are good and the projections are what the events say."""
    migrate(libpq_url(postgres_dsn))

    @contextlib.asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[Bench]:
        given = {"bars": STILL, "level_quantity": 100, "timeout_s": 0.5} | changes
        async with open_venue(**given) as venue:
            database, leases = Database(postgres_dsn), Database(postgres_dsn)
            lease = await PostgresOutbox(leases).acquire_lease("sender", "test", 60)
            assert lease is not None
            made = Bench(
                venue,
                postgres_dsn,
                PostgresJournal(database, "executor"),
                Database(postgres_dsn),
                MemoryBus(time.time_ns),
                MemoryState(time.monotonic_ns),
                lease.token,
            )
            try:
                yield made
                assert (await made.journal.verify()).is_good
                rebuilt = await made.journal.rebuild()
                assert rebuilt.is_identical, rebuilt.difference
                assert sum(row.amount for row in await made.journal.ledger()) == 0
            finally:
                for each in (database, leases, made.database, *made.databases):
                    await each.close()

    return opened


def test_start_when_the_account_is_new_then_opens_and_deals_cash(bench: Any) -> None:
    """The opening balance lands in external; the instance gets its allocation from it."""

    async def run() -> None:
        async with bench() as desk, desk.running() as role:
            assert role.readiness()[0] == f"kis/{ACCOUNT}: not reconciled yet"

            async def is_ready() -> bool:
                return not role.readiness() and "sma" in await desk.amounts(LedgerAccount.CASH)

            await desk.until(is_ready, "ready")
            cash = await desk.amounts(LedgerAccount.CASH)
            assert cash == {"external": 100_000_000 - ALLOCATION, "sma": ALLOCATION}
            note = msgspec.msgpack.decode(
                await desk.state.get(Kind.RECONCILED, f"kis/{ACCOUNT}"), type=ReconciledNote
            )
            assert (note.unknown_orders, note.halted) == (0, ())

    asyncio.run(run())


def test_inputs_when_new_ones_come_then_are_taken_over_without_a_restart(bench: Any) -> None:
    """More cash moves, an older version does not count."""

    async def run() -> None:
        async with bench() as desk, desk.running():
            for message in (inputs(3, 40_000_000), inputs(2, 10_000_000)):
                await desk.bus.publish(
                    "trading.inputs", envelope(message, f"inputs-{message.version}")
                )

            async def is_dealt() -> bool:
                return (await desk.amounts(LedgerAccount.CASH)).get("sma") == 40_000_000

            await desk.until(is_dealt, "dealt anew")

    asyncio.run(run())


@pytest.mark.parametrize("repeats", [1, 3])
def test_fills_when_notices_come_then_are_the_simulators_rows(bench: Any, repeats: int) -> None:
    """F24: each execution one fill with its price, fee and tax, once, however often it is told."""

    async def run() -> None:
        async with bench() as desk, desk.running() as role, desk.collecting(repeats=repeats):
            await desk.until_equal()
            await desk.place(Side.BUY, 230)
            await desk.until_equal()
            resting = await desk.place(Side.BUY, 30, RESTING)
            desk.trade(RESTING - 100, 12)
            desk.trade(RESTING - 200, 50, second=2)
            await desk.until_equal()
            await desk.place(Side.SELL, 150)
            await desk.until_equal()
            await desk.check_rows()
            assert (await desk.order(resting)).status is OrderState.FILLED
            assert len(await desk.fills()) >= 6
            metrics = role.metrics()
            label = f'{{account="{ACCOUNT}",broker="kis"}}'
            assert metrics[f"fills_total{label}"] == len(await desk.fills())
            repeated = metrics.get(f"dup_fills_ignored{label}", 0)
            assert repeated == (repeats - 1) * len(await desk.fills())
            assert f"reconcile_mismatch{label}" not in metrics

    asyncio.run(run())


def test_fills_when_no_notice_comes_then_are_found_by_asking(bench: Any) -> None:
    """F23: one execution between two looks is a row of the simulator; several are one step."""

    async def run() -> None:
        async with bench() as desk, desk.running():
            await desk.until_equal()
            resting = await desk.place(Side.BUY, 30, RESTING)
            for second in (1, 2):
                desk.trade(RESTING - 100, 12, second=second)
                await desk.until_equal()
            await desk.check_rows()
            desk.trade(RESTING - 100, 3, second=3)
            desk.trade(RESTING - 200, 3, second=4)
            await desk.until_equal()
            order = await desk.order(resting)
            assert (order.status, order.filled) == (OrderState.FILLED, 30)
            assert sum(fill.gross for fill in await desk.fills()) == 30 * RESTING

    asyncio.run(run())


def test_fills_when_some_notices_are_lost_then_money_is_exact_all_the_same(bench: Any) -> None:
    """Half of the notices never come: steps are booked whole, and roundings are adopted."""

    async def run() -> None:
        async with bench() as desk, desk.running():
            async with desk.collecting(keeps=lambda number: number % 2 == 0):
                await desk.until_equal()
                await desk.place(Side.BUY, 350)
                await desk.place(Side.SELL, 350)
                await desk.until_equal()
            fills = await desk.fills()
            assert sum(fill.quantity for fill in fills) == 700

    asyncio.run(run())


@pytest.mark.parametrize("price", [None, 69_000])
def test_time_out_when_after_acceptance_then_ends_as_one_order(
    bench: Any, price: int | None
) -> None:
    """F16, F18: the answer is lost; the order is found by what was sent, with its fills."""

    async def run() -> None:
        fault = Fault(kind=FaultKind.TIMEOUT_AFTER, at=1)
        async with bench(faults=[fault]) as desk, desk.running(), desk.collecting():
            await desk.until_equal()
            order_id = await desk.place(Side.BUY, 120, price)
            wanted = OrderState.FILLED if price is None else OrderState.OPEN

            async def is_found() -> bool:
                return (await desk.order(order_id)).status is wanted

            await desk.until(is_found, "found")
            await desk.until_equal()
            assert len(desk.venue.ready.desk.rows) == 1
            await desk.check_rows()
            orders = (await desk.journal.account_books("kis", ACCOUNT)).orders
            assert {order.instance for order in orders} <= {"sma"}

    asyncio.run(run())


def test_time_out_when_before_acceptance_then_is_proven_absent(bench: Any) -> None:
    """F17: nothing went in; two complete lists without it are the proof."""

    async def run() -> None:
        fault = Fault(kind=FaultKind.TIMEOUT_BEFORE, at=1)
        async with bench(faults=[fault]) as desk, desk.running():
            order_id = await desk.place(Side.BUY, 10, 69_000)

            async def is_absent() -> bool:
                return (await desk.order(order_id)).status is OrderState.ABSENT

            await desk.until(is_absent, "absent")
            assert not desk.venue.ready.desk.rows

    asyncio.run(run())


def test_sender_when_it_died_after_sending_then_its_order_is_found(bench: Any) -> None:
    """The attempt is journalled, the bytes left, nobody noted the answer."""

    async def run() -> None:
        async with bench() as desk, desk.running(), desk.collecting():
            await desk.until_equal()
            order_id = await desk.place(Side.BUY, 40, answers=False)

            async def is_filled() -> bool:
                return (await desk.order(order_id)).status is OrderState.FILLED

            await desk.until(is_filled, "filled")
            await desk.check_rows()

    asyncio.run(run())


def test_stranger_when_somebody_trades_by_hand_then_is_adopted_as_external(bench: Any) -> None:
    """F36, I12: a manual order is counted, in external, with its fills, and people are told."""

    async def run() -> None:
        async with bench() as desk, desk.running():
            await desk.until_equal()
            by_hand = CashOrder("005930", Side.BUY, 50, None, OrderDivision.MARKET)
            assert isinstance(await desk.venue.orders.submit(by_hand), OrderAnswer)
            await desk.until_equal()
            (fill,) = await desk.fills()
            assert (fill.instance, fill.quantity) == ("external", 50)
            assert (await desk.amounts(LedgerAccount.CASH))["sma"] == ALLOCATION
            assert any("none of ours" in alert.text for alert in await desk.alerts())
            await desk.check_rows()

    asyncio.run(run())


def test_money_when_it_comes_from_elsewhere_then_is_adopted_after_two_reads(bench: Any) -> None:
    """I11: a deposit and shares that nobody ordered land in external, with an alert."""

    async def run() -> None:
        async with bench() as desk, desk.running() as role:
            await desk.until_equal()
            ledger = desk.venue.ready.desk.ledger
            ledger.deposit += 12_345
            ledger.book_fill(
                DAY,
                "9999999999",
                desk.venue.ready.desk.markets["005930"].listing,
                Side.BUY,
                price=70_000,
                quantity=3,
            )
            await desk.until_equal()
            assert not await desk.fills()
            assert any("twice in a row" in alert.text for alert in await desk.alerts())
            label = f'{{account="{ACCOUNT}",broker="kis"}}'
            assert role.metrics()[f"reconcile_mismatch{label}"] == 1

            async def is_clear() -> bool:
                return role.metrics()[f"halted_instruments{label}"] == 0

            await desk.until(is_clear, "not halted any more")

    asyncio.run(run())


def test_cancel_when_the_venue_confirms_then_the_order_is_cancelled(bench: Any) -> None:
    """Evidence is the report, whoever asked for the cancel; what filled before is booked."""

    async def run() -> None:
        async with bench() as desk, desk.running(), desk.collecting():
            await desk.until_equal()
            order_id = await desk.place(Side.BUY, 30, RESTING)
            desk.trade(RESTING - 100, 10)
            await desk.until_equal()
            order = await desk.order(order_id)
            number = (order.venue_order_id or "").rpartition("-")[2]
            await desk.record(CancelRequested(order_id=order_id, number=1))
            await desk.venue.orders.cancel(PlacedOrder(number, "00950"))

            async def is_cancelled() -> bool:
                return (await desk.order(order_id)).status is OrderState.CANCELLED

            await desk.until(is_cancelled, "cancelled")
            assert (await desk.order(order_id)).filled == 10
            await desk.check_rows()

    asyncio.run(run())


def test_close_when_the_session_is_over_then_day_orders_expire_and_late_fills_count(
    bench: Any,
) -> None:
    """The venue shows the order as open for ever; the calendar and its list end it."""

    async def run() -> None:
        async with bench() as desk, desk.running():
            await desk.until_equal()
            order_id = await desk.place(Side.BUY, 30, RESTING)
            desk.venue.clock.advance(6 * 3600 * 10**9)

            async def is_open() -> bool:
                return (await desk.order(order_id)).status is OrderState.OPEN

            await desk.until(is_open, "still open in the closing auction's grace")
            desk.venue.clock.advance(10 * 60 * 10**9)

            async def is_expired() -> bool:
                return (await desk.order(order_id)).status is OrderState.EXPIRED

            await desk.until(is_expired, "expired")
            desk.trade(RESTING - 100, 10)
            await desk.until_equal()
            order = await desk.order(order_id)
            assert (order.status, order.filled) == (OrderState.EXPIRED, 10)
            await desk.check_rows()

    asyncio.run(run())


def test_process_when_killed_and_doubled_then_nothing_is_booked_twice(bench: Any) -> None:
    """Two at once, and a third after both are gone: the books are those of one."""

    async def run() -> None:
        async with bench() as desk:
            async with desk.running(), desk.running(), desk.collecting():
                await desk.until_equal()
                await desk.place(Side.BUY, 230)
                await desk.place(Side.BUY, 20, RESTING)
                await desk.until_equal()
            desk.trade(RESTING - 100, 20)
            async with desk.running():
                await desk.until_equal()
            await desk.check_rows()
            cash = await desk.amounts(LedgerAccount.CAPITAL)
            assert cash == {"external": ALLOCATION - 100_000_000, "sma": -ALLOCATION}

    asyncio.run(run())


def test_redis_when_wiped_then_nothing_is_lost_or_doubled(bench: Any, redis_url: str) -> None:
    """F42: groups are made anew, notices are heard again, and what was missed is asked for."""

    async def run() -> None:
        async with bench() as desk:
            desk.bus = RedisBus(redis_url)
            async with desk.running() as role, desk.collecting(repeats=2):
                await desk.until_equal()
                await desk.place(Side.BUY, 120)
                await desk.until_equal()
                with redis.Redis.from_url(redis_url) as client:
                    client.flushall()
                await desk.place(Side.SELL, 120)
                await desk.until_equal()
                await desk.place(Side.BUY, 130)
                await desk.until_equal()

                async def is_ready() -> bool:
                    return not role.readiness()

                await desk.until(is_ready, "ready again")
                bought = sum(
                    fill.quantity for fill in await desk.fills() if fill.side is OrderSide.BUY
                )
                assert bought == 250
            await desk.bus.close()

    asyncio.run(run())


def test_venue_when_it_does_not_answer_then_says_why_and_comes_back(bench: Any) -> None:
    """A limit and a dead token are failures of one look, not of the role."""

    async def run() -> None:
        faults = [
            Fault(kind=FaultKind.RATE_LIMIT, at=1, count=3),
            Fault(kind=FaultKind.TOKEN_EXPIRED, at=6),
        ]
        async with bench(faults=faults) as desk, desk.running() as role:
            await desk.until_equal()

            async def is_ready() -> bool:
                return not role.readiness()

            await desk.until(is_ready, "ready")
            label = f'{{account="{ACCOUNT}",broker="kis"}}'
            assert role.metrics()[f"reconcile_failures_total{label}"] >= 1

    asyncio.run(run())
