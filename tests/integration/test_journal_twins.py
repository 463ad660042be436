"""PostgreSQL and memory are twins: the same facts, the same answers, the same bytes."""

import asyncio
import random
import time
import uuid
from decimal import Decimal
from typing import Any

import pytest

from jts_trading.domain.journal_events import (
    AttemptStarted,
    CancelRefused,
    CancelRequested,
    CashMoved,
    IntentRecorded,
    OrderAbsent,
    OrderAcknowledged,
    OrderAdopted,
    OrderAmended,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderLost,
    OrderRejected,
    PositionAdopted,
    StrategyReleased,
)
from jts_trading.domain.orders import InvariantError, OrderIntent, OrderSide, Reservation
from jts_trading.journal.connection import Database
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryStore
from jts_trading.journal.outbox import PostgresOutbox
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.ports.journal import Consumed, Fact
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
FACTS = 600
ORDERS = 60
INSTRUMENTS = {"KRX:005930": ("KRX", "KRW"), "BINANCE:BTCUSDT": ("BINANCE", "USDT")}


def _intent(number: int, rng: random.Random) -> OrderIntent:
    instrument = sorted(INSTRUMENTS)[number % 2]
    venue, currency = INSTRUMENTS[instrument]
    return OrderIntent(
        order_id=str(uuid.UUID(int=number)),
        broker="paper",
        account=f"a{number % 2}",
        instance=f"i{number % 3}",
        instrument_id=instrument,
        venue=venue,
        side=OrderSide.BUY if number % 5 else OrderSide.SELL,
        quantity=Decimal(rng.randint(1, 9)),
        currency=currency,
    )


def _events(rng: random.Random) -> Any:
    """One random event about one of a few orders."""
    number = rng.randint(1, ORDERS)
    order = str(uuid.UUID(int=number))
    count = rng.choice([1, 1, 1, 2])
    intent = _intent(number, random.Random(number))
    asset = intent.currency if intent.side is OrderSide.BUY else intent.instrument_id
    amount = Decimal(rng.randint(0, 900))
    trade = rng.randint(1, 4)
    filled = OrderFilled(
        order_id=order,
        trade_id=f"{number}-{trade}",
        quantity=Decimal(trade) / (1 if number % 2 else 2),
        price=Decimal(100 + trade),
        fee=Decimal(trade),
        gross=Decimal(50 * trade),
    )
    attempt = AttemptStarted(
        order_id=order,
        client_order_id=f"{order}-{count}",
        attempt=count,
        payload_hash="",
        lease="sender",
        token=1,
    )
    owner = {"broker": "paper", "account": intent.account, "instance": intent.instance}
    makers: list[tuple[int, Any]] = [
        (
            6,
            lambda: IntentRecorded(
                intent=intent, reservation=Reservation(asset=asset, amount=amount)
            ),
        ),
        (6, lambda: attempt),
        (5, lambda: OrderAcknowledged(order_id=order, attempt=count, venue_order_id=f"v{order}")),
        (8, lambda: filled),
        (1, lambda: OrderRejected(order_id=order, attempt=count, reason="r")),
        (3, lambda: OrderLost(order_id=order, attempt=count, reason="l")),
        (3, lambda: OrderAbsent(order_id=order, attempt=count, evidence="e")),
        (2, lambda: CancelRequested(order_id=order, number=count)),
        (2, lambda: CancelRefused(order_id=order, number=count, reason="c")),
        (1, lambda: OrderCancelled(order_id=order)),
        (1, lambda: OrderDenied(order_id=order, check="R01", reason="d")),
        (1, lambda: OrderExpired(order_id=order)),
        (
            2,
            lambda: OrderAmended(
                order_id=order, quantity=Decimal(trade + 4), price=None, venue_order_id="w"
            ),
        ),
        (1, lambda: OrderAdopted(intent=intent, venue_order_id=f"v{order}")),
        (2, lambda: CashMoved(currency=intent.currency, amount=amount, reason="d", **owner)),
        (
            1,
            lambda: PositionAdopted(
                instrument_id=intent.instrument_id,
                currency=intent.currency,
                quantity=Decimal(trade),
                cost=Decimal(100),
                reason="opening",
                **owner,
            ),
        ),
        (1, lambda: StrategyReleased(strategy_id=order, name="n", dsl_code="d", status="active")),
    ]
    weights = [weight for weight, _ in makers]
    return rng.choices([make for _, make in makers], weights)[0]()


def _opening() -> list[Fact]:
    """Money in every account, and two orders of three on their way."""
    events: list[Any] = []
    for number in range(1, 7):
        intent = _intent(number, random.Random(number))
        owner = {"broker": "paper", "account": intent.account, "instance": intent.instance}
        currency = intent.currency
        events.append(CashMoved(currency=currency, amount=Decimal(10**6), reason="o", **owner))
    for number in range(1, ORDERS):
        intent = _intent(number, random.Random(number))
        if intent.side is OrderSide.BUY and number % 3:
            reservation = Reservation(asset=intent.currency, amount=Decimal(number))
            events.append(IntentRecorded(intent=intent, reservation=reservation))
            events.append(
                AttemptStarted(
                    order_id=intent.order_id,
                    client_order_id=f"{intent.order_id}-1",
                    attempt=1,
                    payload_hash="",
                    lease="sender",
                    token=1,
                )
            )
    return [Fact(event, ts_ns=0) for event in events]


async def _answer(journal: Any, facts: list[Fact], consumed: Consumed | None) -> Any:
    try:
        return await journal.record_event(facts, consumed)
    except InvariantError as error:
        return type(error).__name__


@pytest.mark.parametrize("seed", [1, 2])
def test_twins_when_given_the_same_facts_then_answers_and_bytes_agree(
    postgres_dsn: str, seed: int
) -> None:
    """Random facts, alone and in groups, again and again: no difference anywhere.

    A difference would mean that a constraint of the database refuses what the program allows, or
    that a row was folded over without what it depends on.
    """
    migrate(libpq_url(postgres_dsn))
    rng = random.Random(seed)

    async def play() -> None:
        store = MemoryStore(time.monotonic_ns)
        memory = MemoryJournal(store, "w")
        real = PostgresJournal(Database(postgres_dsn), "w")
        outbox = PostgresOutbox(Database(postgres_dsn))
        for leases in (MemoryLeases(store), outbox):
            await leases.acquire_lease("sender", "me", 600)
        for journal in (memory, real):
            await journal.record_event(_opening())
        refused = 0
        for number in range(FACTS):
            facts = [Fact(_events(rng), ts_ns=number) for _ in range(rng.choice([1] * 8 + [2, 3]))]
            consumed = None
            if rng.random() < 0.1:
                position = (number - rng.randint(0, 5), 0)
                consumed = Consumed(consumer="c", source="s", position=position)
            expected = await _answer(memory, facts, consumed)
            found = await _answer(real, facts, consumed)
            assert found == expected, f"seed {seed}, fact {number}: {facts}"
            refused += isinstance(found, str)
        rows = await real.events(0, 10_000)
        rebuilt = await real.rebuild()

        assert rows == store.events
        assert len(rows) > 180
        assert refused > 50
        assert rebuilt.is_identical, rebuilt.difference
        assert rebuilt.live_digest == (await memory.rebuild()).live_digest
        assert [row.id for row in await real.load_open()] == [
            row.id for row in await memory.load_open()
        ]
        await real.close()
        await outbox.close()

    asyncio.run(play())
