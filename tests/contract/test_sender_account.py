"""What every sender and account promise: over KIS on TCP and over the paper broker."""

import asyncio
import contextlib
import importlib.util
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from jts_trading.brokers.kis.account import KisAccount
from jts_trading.brokers.kis.orders import KisOrders
from jts_trading.brokers.kis.permits import KisPermits
from jts_trading.brokers.kis.sender import KisSender
from jts_trading.brokers.kis.transport import KisTransport
from jts_trading.brokers.paper.account import PaperAccount
from jts_trading.brokers.paper.sender import PaperSender
from jts_trading.brokers.paper.settings import PaperSettings
from jts_trading.brokers.paper.venue import PaperVenue
from jts_trading.bus.memory import MemoryBus
from jts_trading.bus.memory_state import MemoryState
from jts_trading.domain.account_reports import OrderReport, OrderState
from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.orders import OrderState as Status
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.execution.fill_costs import CostRules
from jts_trading.execution.priority import Priority
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.sender import Accepted, Refused
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.approval import approve as approved

pytestmark = pytest.mark.integration
D = Decimal
S = 10**9


@dataclass
class Bench:
    """One broker: its two ports, and how its market is moved.

    Attributes:
        order: An order that the broker would take, for what trades there.
        far: A limit that no trade reaches.
        day: Of the market.
        trade: Lets the market trade once, if it does not trade by itself.
    """

    sender: Any
    account: Any
    order: FinalOrder
    far: Decimal
    day: date
    trade: Callable[[], Awaitable[None]]

    async def send(self, **changes: Any) -> Accepted | Refused:
        """Send an order with some things changed."""
        await self.sender.prepare(Priority.ENTRY)
        order = msgspec.structs.replace(self.order, **changes)
        return await self.sender.submit(approved(order), lambda: None)

    async def report(self, answer: Any) -> OrderReport:
        """The report of an order."""
        reports = await self.account.orders(self.day, self.day)
        (found,) = [each for each in reports if each.venue_order_id == answer.venue_order_id]
        return found

    async def filled(self, answer: Any) -> OrderReport:
        """The report of an order once it is filled."""
        async with asyncio.timeout(5):
            while True:
                found = await self.report(answer)
                if found.state is OrderState.FILLED:
                    return found
                await asyncio.sleep(0.01)

    def row(self, answer: Any) -> OrderRow:
        """The order as the journal would have it."""
        order = self.order
        return OrderRow(
            id="o",
            strategy_id=None,
            symbol="",
            side=order.side,
            quantity=order.quantity,
            price=order.price,
            status=Status.OPEN,
            broker=order.broker,
            account=order.account,
            instance="i",
            instrument_id=order.instrument_id,
            venue=order.venue,
            currency=order.currency,
            time_in_force="day",
            release="",
            decision_id="",
            correlation_id="",
            valid_until_ns=0,
            created_ns=0,
            updated_ns=0,
            intent_seq=1,
            last_seq=1,
            venue_order_id=answer.venue_order_id,
        )


def _final(**values: Any) -> FinalOrder:
    return FinalOrder(
        order_id="o", client_order_id="o-1", attempt=1, instance="i", side=OrderSide.BUY, **values
    )


def _kis_fixtures() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "integration" / "kis" / "conftest.py"
    spec = importlib.util.spec_from_file_location("contract_kis", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@contextlib.asynccontextmanager
async def _kis(_: Path) -> AsyncIterator[Bench]:
    async with _kis_fixtures()._open() as venue:
        settings = msgspec.structs.replace(
            venue.settings, calls_per_s=100_000, ledger_calls_per_s=100_000
        )
        state = MemoryState(time.monotonic_ns)
        permits = KisPermits(settings, venue.keys, state, monotonic_ns=time.monotonic_ns).prepaid()
        transport = KisTransport(settings, venue.access, venue.http, acquire=permits.acquire)
        sender = KisSender(
            KisOrders(transport), transport, settings, permits=permits, clock=venue.clock
        )

        async def trade() -> None:
            """The crowd quotes: a market order is filled on arrival."""

        order = _final(
            broker="kis",
            account="5000000101",
            instrument_id="KRX:005930",
            venue="KRX",
            quantity=D(10),
            price=None,
            currency="KRW",
        )
        account = KisAccount(venue.rest, settings)
        yield Bench(sender, account, order, D(60_000), date(2024, 6, 3), trade)


@contextlib.asynccontextmanager
async def _paper(path: Path) -> AsyncIterator[Bench]:
    start_ns = int(datetime(2024, 8, 8, 13, tzinfo=UTC).timestamp()) * S
    clock, settings = VirtualClock(start_ns), PaperSettings()
    bus = MemoryBus(clock.now_ns)

    async def trade() -> None:
        clock.advance(S)
        tick = TradeTick(
            instrument_id="BINANCE:BTCUSDT",
            venue="BINANCE",
            broker="binance",
            ts_event_ns=clock.now_ns(),
            ts_recv_ns=clock.now_ns(),
            price=D("60000.00"),
            quantity=D(1),
            aggressor=Aggressor.BUY,
            cumulative_quantity=D(1),
        )
        message = TicksCollected(
            feed="b", session=1, first_frame=1, first_tick=1, ticks=(tick,), frames=(0,)
        )
        kind, version = MESSAGES.identify(message)
        envelope = Envelope(
            type=kind,
            version=version,
            id=str(clock.now_ns()),
            correlation_id="",
            causation_id="",
            source="c",
            ts_event_ns=0,
            ts_recv_ns=0,
            payload=msgspec.msgpack.encode(message),
        )
        await bus.publish("market-data.crypto.ticks", envelope)

    order = _final(
        broker="paper",
        account="paper",
        instrument_id="BINANCE:BTCUSDT",
        venue="BINANCE",
        quantity=D("0.1"),
        price=None,
        currency="USDT",
    )
    file = path / "paper.sqlite"
    async with PaperVenue(
        file, settings, CostRules(default_table()), bus=bus, clock=clock
    ) as venue:
        matching = asyncio.ensure_future(venue.match())
        try:
            account = PaperAccount(file, settings, clock=clock)
            day = date(2024, 8, 8)
            yield Bench(PaperSender(venue), account, order, D("50000.00"), day, trade)
        finally:
            matching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await matching


@pytest.fixture(params=["kis", "paper"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Run a scenario with a broker."""
    opened = _kis if request.param == "kis" else _paper

    def run(scenario: Callable[[Bench], Awaitable[None]]) -> None:
        async def go() -> None:
            async with opened(tmp_path) as bench:
                await scenario(bench)

        asyncio.run(go())

    return run


def test_account_when_asked_who_it_is_then_it_is_the_senders(play: Any) -> None:
    """Broker and account are spelled alike in both ports and in the reports."""

    async def scenario(bench: Bench) -> None:
        assert (bench.sender.broker, bench.sender.account) == (
            bench.account.broker,
            bench.account.account,
        )
        balance = await bench.account.balance()
        assert (balance.broker, balance.account) == (bench.sender.broker, bench.sender.account)
        profile = await bench.account.profile()
        assert profile.currency == bench.order.currency

    play(scenario)


def test_order_when_taken_then_the_account_reports_it_under_its_id(play: Any) -> None:
    """Sent is not filled; what was asked for is what stands there."""

    async def scenario(bench: Bench) -> None:
        answer = await bench.send(price=bench.far)
        report = await bench.report(answer)
        assert report.state is OrderState.OPEN
        assert (report.instrument_id, report.quantity, report.price) == (
            bench.order.instrument_id,
            bench.order.quantity,
            bench.far,
        )
        assert (report.filled_quantity, report.remaining_quantity) == (0, bench.order.quantity)

    play(scenario)


def test_order_when_the_market_fills_it_then_money_and_position_agree(play: Any) -> None:
    """The report's amount is what the cash fell by, costs aside; the position is at cost."""

    async def scenario(bench: Bench) -> None:
        before = await bench.account.balance()
        answer = await bench.send()
        await bench.trade()
        report = await bench.filled(answer)
        after = await bench.account.balance()
        (held,) = after.positions
        assert held.cost == report.filled_amount
        assert held.quantity <= report.filled_quantity == bench.order.quantity
        assert after.cash + after.costs_today == before.cash - report.filled_amount

    play(scenario)


def test_order_when_sold_again_then_nothing_is_held(play: Any) -> None:
    """The way back: cash is what it was, less costs and the spread."""

    async def scenario(bench: Bench) -> None:
        bought = await bench.send()
        await bench.trade()
        await bench.filled(bought)
        (held,) = (await bench.account.balance()).positions
        assert held.sellable == held.quantity
        quantity = held.quantity if bench.order.broker == "kis" else D("0.0999")
        sold = await bench.send(
            side=OrderSide.SELL, quantity=quantity, order_id="p", client_order_id="p-1"
        )
        await bench.trade()
        await bench.filled(sold)
        assert (await bench.account.balance()).positions == ()

    play(scenario)


def test_cancel_when_sent_then_the_rest_is_gone_and_a_second_is_refused(play: Any) -> None:
    """A cancel of what has ended is a refusal, never doubt."""

    async def scenario(bench: Bench) -> None:
        answer = await bench.send(price=bench.far)
        await bench.sender.prepare(Priority.CANCEL)
        assert isinstance(await bench.sender.cancel(bench.row(answer)), Accepted)
        report = await bench.report(answer)
        assert report.state is OrderState.CANCELLED
        assert report.cancelled_quantity == bench.order.quantity
        await bench.sender.prepare(Priority.CANCEL)
        assert isinstance(await bench.sender.cancel(bench.row(answer)), Refused)

    play(scenario)


def test_cancel_when_the_order_has_no_id_there_then_refused(play: Any) -> None:
    """Nothing is guessed."""

    async def scenario(bench: Bench) -> None:
        await bench.sender.prepare(Priority.CANCEL)
        row = bench.row(Accepted(venue_order_id="nonsense"))
        assert isinstance(await bench.sender.cancel(row), Refused)

    play(scenario)


def test_order_when_refused_then_a_code_and_nothing_is_left(play: Any) -> None:
    """More than the account has, and shares that it does not hold."""

    async def scenario(bench: Bench) -> None:
        await bench.trade()
        before = await bench.account.balance()
        wanted = {"price": bench.far, "quantity": bench.order.quantity * 100_000}
        dear = await bench.send(**wanted)
        short = await bench.send(side=OrderSide.SELL)
        assert isinstance(dear, Refused)
        assert isinstance(short, Refused)
        assert dear.code
        assert await bench.account.orders(bench.day, bench.day) in ([], ())
        assert (await bench.account.balance()).cash == before.cash

    play(scenario)


def test_gate_when_shut_then_no_byte_leaves(play: Any) -> None:
    """What the gate raises comes out, and the venue knows of nothing."""

    async def scenario(bench: Bench) -> None:
        asked = []

        def shut() -> None:
            asked.append(True)
            raise TransientError("the lease is gone")

        await bench.sender.prepare(Priority.ENTRY)
        with pytest.raises(TransientError, match="the lease is gone"):
            await bench.sender.submit(approved(bench.order), shut)
        assert asked
        assert await bench.account.orders(bench.day, bench.day) in ([], ())

    play(scenario)
