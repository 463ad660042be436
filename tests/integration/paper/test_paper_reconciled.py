"""The reconciler over the paper broker's file: fills by number, coins kept, lost answers found."""

import asyncio
import contextlib
import time
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jts_trading.brokers.paper.account import PaperAccount
from jts_trading.brokers.paper.books import PaperBooks
from jts_trading.brokers.paper.desk import PaperDesk
from jts_trading.brokers.paper.settings import PaperSettings
from jts_trading.bus.memory import MemoryBus
from jts_trading.bus.memory_state import MemoryState
from jts_trading.domain.journal_events import (
    AttemptStarted,
    IntentRecorded,
    OrderAcknowledged,
    OrderLost,
)
from jts_trading.domain.ledger_rows import BalanceRow, FillRow, LedgerAccount, OrderRow
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.orders import OrderIntent, OrderSide, OrderState, Reservation
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.execution.fill_costs import CostRules
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryStore
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.journal import Fact
from jts_trading.ports.sender import Accepted
from jts_trading.risk.approval import FinalOrder
from jts_trading.services.reconciler.role import Reconciler
from jts_trading.services.reconciler.settings import ReconcilerSettings

S = 10**9
START_NS = int(datetime(2024, 8, 8, 13, 0, tzinfo=UTC).timestamp()) * S
BITCOIN = "BINANCE:BTCUSDT"
D = Decimal
QUICK = ReconcilerSettings(
    orders_every_s=0.05,
    balance_every_s=0.05,
    gap_s=0.01,
    recheck_s=0.02,
    sending_grace_s=0.2,
    absent_after_s=0.2,
    absent_apart_s=0.05,
)


class Bench:
    """The paper broker over a file, a journal in memory, and a running reconciler."""

    def __init__(self, path: Path) -> None:
        settings, costs = PaperSettings(), CostRules(default_table())
        books = PaperBooks(
            path, account=settings.account, currency=settings.currency, deposit=settings.deposit
        )
        self.desk = PaperDesk(books, settings, costs)
        self.books = books
        self.clock = VirtualClock(START_NS)
        self.store = MemoryStore(time.monotonic_ns)
        self.journal = MemoryJournal(self.store, "executor")
        self.account = PaperAccount(path, settings, clock=self.clock)
        self.entry = 0
        self.role = Reconciler(
            accounts=[self.account],
            journal=MemoryJournal(self.store, "reconciler"),
            bus=MemoryBus(time.time_ns),
            state=MemoryState(time.monotonic_ns),
            clock=self.clock,
            boottime_ns=time.monotonic_ns,
            costs=costs,
            settings=QUICK,
            inputs=_inputs(),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> Any:
        """Run the role for the time of a block; at its end both books are equal."""
        task = asyncio.ensure_future(self.role.run())
        try:
            await self.until(lambda: self.role.readiness() == ())
            yield
            await self.until_equal()
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self.books.close()
        assert (await self.journal.rebuild()).is_identical
        assert sum(row.amount for row in await self.journal.ledger()) == 0

    async def until(self, predicate: Any) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(5):
            while not predicate():  # noqa: ASYNC110 - the world under test has no event
                await asyncio.sleep(0.005)

    async def until_equal(self) -> None:
        """Wait until cash and positions are the paper broker's, to the last unit."""
        balance = await self.account.balance()
        theirs = {each.instrument_id: each.quantity for each in balance.positions}

        def is_equal() -> bool:
            rows = self.store.books.rows(BalanceRow)
            cash = sum(row.amount for row in rows if row.ledger is LedgerAccount.CASH)
            ours: dict[str, Decimal] = {}
            for row in rows:
                if row.ledger is LedgerAccount.POSITION:
                    ours[row.instrument_id] = ours.get(row.instrument_id, D(0)) + row.quantity
            held = {name: quantity for name, quantity in ours.items() if quantity}
            return (cash, held) == (balance.cash, theirs)

        await self.until(is_equal)

    async def place(self, side: OrderSide, quantity: str, *, answer: str = "ack") -> str:
        """Journal and send an order; its answer arrives, is lost, or it is never sent."""
        order_id = str(uuid.uuid4())
        owner = {"broker": "paper", "account": "paper", "instance": "btc"}
        shape: dict[str, Any] = {
            "order_id": order_id,
            "instrument_id": BITCOIN,
            "venue": "BINANCE",
            "side": side,
            "quantity": D(quantity),
            "currency": "USDT",
            **owner,
        }
        wanted = IntentRecorded(
            intent=OrderIntent(**shape), reservation=Reservation(asset="USDT", amount=D(0))
        )
        await self.journal.record_intent([self._fact(wanted)])
        lease = await MemoryLeases(self.store).acquire_lease(order_id, "me", 60)
        assert lease is not None
        name = f"{order_id.replace('-', '')}-1"
        attempt = AttemptStarted(
            order_id=order_id,
            client_order_id=name,
            attempt=1,
            payload_hash="",
            lease=order_id,
            token=lease.token,
        )
        await self.journal.record_attempt(self._fact(attempt))
        final = FinalOrder(client_order_id=name, attempt=1, price=None, **shape)
        event: Any = OrderLost(order_id=order_id, attempt=1, reason="time-out")
        if answer != "unsent":
            taken = self.desk.take(final, self.clock.now_ns(), lambda: None)
            assert isinstance(taken, Accepted)
        if answer == "ack":
            event = OrderAcknowledged(
                order_id=order_id, attempt=1, venue_order_id=taken.venue_order_id
            )
        await self.journal.record_event([self._fact(event)])
        return order_id

    def trade(self, second: int, price: str) -> None:
        """Let the market trade."""
        self.entry += 1
        at_ns = START_NS + second * S
        tick = TradeTick(
            instrument_id=BITCOIN,
            venue="BINANCE",
            broker="binance",
            ts_event_ns=at_ns,
            ts_recv_ns=at_ns,
            price=D(price),
            quantity=D("0.01"),
            aggressor=Aggressor.BUY,
            cumulative_quantity=D(1),
        )
        self.desk.apply(f"{self.entry}-0", [tick])

    def status(self, order_id: str) -> OrderState:
        """Where an order is."""
        return next(row.status for row in self.store.books.rows(OrderRow) if row.id == order_id)

    def _fact(self, event: Any) -> Fact:
        return Fact(event, ts_ns=self.clock.now_ns(), correlation_id="binance-1:9")


def _inputs() -> TradingInputs:
    only = StrategyInput(
        instance="btc",
        strategy_id="",
        release="",
        dsl_code="",
        broker="paper",
        account="paper",
        venue="BINANCE",
        interval="1s",
        instrument_ids=(BITCOIN,),
        allocation=D(10_000),
        currency="USDT",
    )
    return TradingInputs(version=1, created_ns=0, source="test", instances=(only,))


def test_orders_when_filled_then_are_booked_by_number_with_the_told_costs(tmp_path: Path) -> None:
    """Coins that the venue keeps of a purchase, and money of a sale, to the last unit."""

    async def run() -> None:
        bench = Bench(tmp_path / "paper.sqlite")
        async with bench.running():
            bought = await bench.place(OrderSide.BUY, "0.1")
            bench.trade(1, "60100.10")
            await bench.until(lambda: bench.status(bought) is OrderState.FILLED)
            bench.clock.advance(5 * S)
            sold = await bench.place(OrderSide.SELL, "0.0999")
            bench.trade(9, "61000.33")
            await bench.until(lambda: bench.status(sold) is OrderState.FILLED)
            await bench.until_equal()
            first, second = sorted(bench.store.books.rows(FillRow), key=lambda row: row.seq)
            assert (first.fee, first.fee_quantity) == (0, D("0.0001"))
            assert (second.fee, second.fee_quantity) == (D("6.09393296"), 0)
            assert first.trade_id != second.trade_id

    asyncio.run(run())


def test_answer_when_lost_then_the_order_is_found_by_our_id(tmp_path: Path) -> None:
    """Two orders alike are told apart: the broker keeps our ids."""

    async def run() -> None:
        bench = Bench(tmp_path / "paper.sqlite")
        async with bench.running():
            orders = [await bench.place(OrderSide.BUY, "0.01", answer="lost") for _ in range(2)]
            bench.trade(1, "60000.00")
            for order_id in orders:
                await bench.until(lambda name=order_id: bench.status(name) is OrderState.FILLED)
            assert {row.instance for row in bench.store.books.rows(OrderRow)} == {"btc"}

    asyncio.run(run())


def test_order_when_it_never_arrived_then_is_proven_absent(tmp_path: Path) -> None:
    """Complete lists without our id, twice, after the window."""

    async def run() -> None:
        bench = Bench(tmp_path / "paper.sqlite")
        async with bench.running():
            order_id = await bench.place(OrderSide.BUY, "0.01", answer="unsent")
            await bench.until(lambda: bench.status(order_id) is OrderState.ABSENT)

    asyncio.run(run())
