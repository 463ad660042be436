"""Executor, reconciler and a simulated KIS on TCP: whatever gets lost, one order is one order."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jts_trading.domain.feed_messages import ReconciledNote
from jts_trading.domain.journal_events import CashMoved
from jts_trading.domain.orders import OrderState
from jts_trading.guards.kill_switch import KillLevel, KillSwitch
from jts_trading.ports.clock import boottime_ns
from jts_trading.ports.journal import Fact
from jts_trading.ports.state import Kind
from jts_trading.simulation.faults import Fault, FaultKind

pytestmark = pytest.mark.integration
OPEN, FILLED = OrderState.OPEN, OrderState.FILLED


def test_intent_when_recorded_then_it_stands_at_the_venue_with_its_correlation(
    open_house: Any,
) -> None:
    """From the journal to bytes on a socket and back, latency measured in real ms."""

    async def play() -> None:
        async with open_house() as house, house.running("executor", "reconciler") as roles:
            row = await house.until(await house.want(3), OPEN)
            assert house.at_venue() == {3: 1}
            assert row.venue_order_id == "20240603-00950-0000000001"
            assert row.correlation_id == "kis-1:3"
            market = await house.until(await house.want(5, price=None), FILLED)
            assert market.filled == 5
            await house.eventually(lambda: roles["executor"].readiness() == ())
            metrics = roles["executor"].metrics()
            assert metrics["order_latency_count"] == 2
            notes = await house.journal.stream("note/order_sent")
            bodies = [json.loads(json.loads(note.payload)["body"]) for note in notes]
            assert [body["outcome"] for body in bodies] == ["acknowledged"] * 2
            assert all(body["latency_ms"] > 0 for body in bodies)
            assert (await house.journal.verify()).is_good

    asyncio.run(play())


@pytest.mark.parametrize(
    ("kind", "attempts"),
    [
        (FaultKind.TIMEOUT_BEFORE, 2),
        (FaultKind.TIMEOUT_AFTER, 1),
        (FaultKind.HTML_AFTER, 1),
    ],
)
def test_f16_answer_when_lost_then_it_ends_as_one_order(
    open_house: Any, kind: FaultKind, attempts: int
) -> None:
    """UNKNOWN first; evidence then finds the order, or proves that another attempt may start."""

    async def play() -> None:
        async with (
            open_house(Fault(kind=kind, at=1)) as house,
            house.running("executor", "reconciler"),
        ):
            order_id = await house.want(7)
            row = await house.until(order_id, OPEN)
            assert house.at_venue() == {7: 1}
            assert row.attempt == attempts
            events = await house.events(order_id)
            assert "order_lost" in events
            assert ("order_absent" in events) is (attempts == 2)
            names = {each.client_order_id for each in await house.attempts()}
            assert len(names) == attempts

    asyncio.run(play())


@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMIT, FaultKind.TOKEN_EXPIRED])
def test_order_when_the_gateway_refuses_it_then_proven_absent_and_sent_again(
    open_house: Any, kind: FaultKind
) -> None:
    """A limit and a dead token are certain: nothing was done, another attempt follows at once."""

    async def play() -> None:
        async with open_house(Fault(kind=kind, at=1, count=1)) as house:
            async with house.running("executor"):
                await _reconciled(house)
                order_id = await house.want(9)
                row = await house.until(order_id, OPEN)
            assert house.at_venue() == {9: 1}
            assert row.attempt == 2
            assert "order_lost" not in await house.events(order_id)

    asyncio.run(play())


async def _reconciled(house: Any) -> None:
    """Say that the account agrees, and that it holds cash: no query that could meet a fault."""
    cash = CashMoved(
        broker="kis",
        account="5000000101",
        instance="external",
        currency="KRW",
        amount=Decimal(100_000_000),
        reason="deposit",
    )
    await house.journal.record_event([Fact(cash, house.clock.now_ns(), event_id="deposit")])
    note = ReconciledNote(
        broker="kis", account="5000000101", real_ns=boottime_ns(), unknown_orders=0
    )
    await house.state.put(Kind.RECONCILED, "kis/5000000101", msgspec.msgpack.encode(note))


def test_i15_kill_when_all_orders_work_then_they_are_cancelled_at_the_venue(
    open_house: Any,
) -> None:
    """Level ALL ends every order; the reconciler books the cancels from the venue's list."""

    async def play() -> None:
        async with open_house() as house, house.running("executor", "reconciler"):
            orders = [await house.want(number) for number in (2, 3, 4)]
            for order_id in orders:
                await house.until(order_id, OPEN)
            KillSwitch(house.home / "run").latch(KillLevel.ALL, who="kim", why="test")
            for order_id in orders:
                await house.until(order_id, OrderState.CANCELLED)
            denied = await house.until(await house.want(5), OrderState.DENIED)
            assert denied.reason.startswith("KILL")
            rows = house.ready.desk.rows.values()
            assert all(row.remaining == 0 for row in rows if row.quantity in (2, 3, 4))

    asyncio.run(play())


def test_f42_redis_when_wiped_then_orders_are_found_in_the_journal(open_house: Any) -> None:
    """Hints, prices and notes are gone; nothing is lost and nothing is sent twice."""

    async def play() -> None:
        async with open_house() as house, house.running("executor", "reconciler"):
            await house.until(await house.want(2), OPEN)
            await house.state._client.flushall()
            orders = [await house.want(number) for number in (3, 4)]
            # Without a price entries are denied until the collector has put one again.
            for order_id in orders:
                await house.until(order_id, OPEN, OrderState.DENIED)
            await asyncio.sleep(1)
            row = await house.until(await house.want(5), OPEN)
            assert row.attempt == 1
            assert max(house.at_venue().values()) == 1

    asyncio.run(play())
