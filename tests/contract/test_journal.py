"""What every journal promises, in PostgreSQL and in memory."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jts_trading.bus.memory import MemoryBus
from jts_trading.domain.journal_events import (
    AttemptStarted,
    CancelRequested,
    CashMoved,
    DecisionRecorded,
    IntentRecorded,
    NoteRecorded,
    OrderAbsent,
    OrderAcknowledged,
    OrderAdopted,
    OrderCancelled,
    OrderDenied,
    OrderFilled,
    OrderLost,
    OrderRejected,
    PositionAdopted,
    SignalRecorded,
    StrategyReleased,
)
from jts_trading.domain.ledger_rows import LedgerAccount
from jts_trading.domain.messages import MESSAGES, OrderPending
from jts_trading.domain.orders import (
    IllegalMoveError,
    InvariantError,
    OrderIntent,
    OrderSide,
    OrderState,
    Reservation,
)
from jts_trading.journal.connection import Database
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryOutbox, MemoryStore
from jts_trading.journal.outbox import PostgresOutbox
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.journal.relay import Relay
from jts_trading.ports.bus import BusUnavailableError
from jts_trading.ports.journal import AccountDesk, Consumed, Fact, FencedError, UncoveredError
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
NOW_NS = 1_717_372_800_000_000_000
OWNER = {"broker": "paper", "account": "a1", "instance": "sma"}
Scenario = Callable[[Any], Awaitable[None]]


class MemoryTrial:
    """Journals in memory over one store."""

    def __init__(self) -> None:
        self._store = MemoryStore(time.monotonic_ns)
        self.leases = MemoryLeases(self._store)
        self.outbox = MemoryOutbox(self._store)

    def journal(self, writer: str) -> Any:
        """Another writer on the same store."""
        return MemoryJournal(self._store, writer)

    async def close(self) -> None:
        """Nothing is open."""


class PostgresTrial:
    """Journals in a database of their own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        migrate(libpq_url(dsn))
        self._databases: list[Database] = []
        self.leases = self.outbox = PostgresOutbox(self._database())

    def _database(self) -> Database:
        self._databases.append(Database(self._dsn))
        return self._databases[-1]

    def journal(self, writer: str) -> Any:
        """Another writer on the same database."""
        return PostgresJournal(self._database(), writer)

    async def close(self) -> None:
        """Give all connections back."""
        await self.outbox.close()
        for database in self._databases:
            await database.close()


@pytest.fixture(params=["memory", "postgres"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Run a scenario with a journal of its own; at its end live and rebuilt rows are equal."""
    dsn = request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None

    def go(scenario: Scenario) -> None:
        async def play() -> None:
            trial = PostgresTrial(dsn) if dsn else MemoryTrial()
            try:
                await scenario(trial)
                rebuilt = await trial.journal("checker").rebuild()
                assert rebuilt.is_identical, rebuilt.difference
                assert (await trial.journal("checker").verify()).is_good
            finally:
                await trial.close()

        asyncio.run(play())

    return go


def order_id(number: int) -> str:
    """A UUID that says its number."""
    return str(uuid.UUID(int=number))


def intent(
    number: int,
    *,
    side: OrderSide = OrderSide.BUY,
    quantity: str = "10",
    instrument: str = "KRX:005930",
    venue: str = "KRX",
    currency: str = "KRW",
) -> OrderIntent:
    """An order of ten shares."""
    return OrderIntent(
        order_id=order_id(number),
        instrument_id=instrument,
        venue=venue,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(70_000),
        currency=currency,
        **OWNER,
    )


def fact(event: Any, **stamp: Any) -> Fact:
    """An event with the stamp of a frame."""
    return Fact(event, ts_ns=stamp.pop("ts_ns", NOW_NS), correlation_id="frame-1", **stamp)


def wanted(number: int, amount: int = 701_000, **options: Any) -> Fact:
    """An intent with its reservation."""
    asset = options.pop("asset", "KRW")
    reservation = Reservation(asset=asset, amount=Decimal(amount))
    return fact(IntentRecorded(intent=intent(number, **options), reservation=reservation))


def deposit(amount: int = 10_000_000, event_id: str = "") -> Fact:
    """Cash for the account."""
    event = CashMoved(currency="KRW", amount=Decimal(amount), reason="deposit", **OWNER)
    return fact(event, event_id=event_id)


def attempt(number: int, token: int, count: int = 1) -> Fact:
    """The sending of an order."""
    return fact(
        AttemptStarted(
            order_id=order_id(number),
            client_order_id=f"c{number}-{count}",
            attempt=count,
            payload_hash="00",
            lease="sender",
            token=token,
        )
    )


def filled(number: int, trade: str, quantity: str, price: str = "70000", **costs: str) -> Fact:
    """A trade of the venue."""
    return fact(
        OrderFilled(
            order_id=order_id(number),
            trade_id=trade,
            quantity=Decimal(quantity),
            price=Decimal(price),
            **{name: Decimal(value) for name, value in costs.items()},
        )
    )


async def sent(trial: Any, number: int, **options: Any) -> Any:
    """A journal in which an order was sent and acknowledged."""
    journal = trial.journal("executor")
    lease = await trial.leases.acquire_lease("sender", "me", 30)
    await journal.record_event([deposit()])
    await journal.record_intent([wanted(number, **options)])
    await journal.record_attempt(attempt(number, lease.token))
    await journal.record_event(
        [
            fact(
                OrderAcknowledged(
                    order_id=order_id(number), attempt=1, venue_order_id=f"v{number}"
                )
            )
        ]
    )
    return journal


async def amounts(journal: Any) -> dict[str, tuple[Decimal, Decimal]]:
    """Balances as amount and quantity by account."""
    return {row.ledger.value: (row.amount, row.quantity) for row in await journal.ledger()}


def test_order_when_bought_and_sold_then_the_ledger_is_exact(run: Any) -> None:
    """Cash, cost, fees, tax and result are right to the won, uneven lots included."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        await journal.record_event([filled(1, "t1", "3", "70000", fee="31")])
        await journal.record_event([filled(1, "t2", "7", "70100", fee="73")])
        bought = await journal.find_order(order_id=order_id(1))
        lease = await trial.leases.acquire_lease("second", "me", 30)
        sale = wanted(2, 10, asset="KRX:005930", side=OrderSide.SELL)
        await journal.record_intent([sale])
        event = attempt(2, lease.token).event

        await journal.record_attempt(fact(msgspec.structs.replace(event, lease="second")))
        await journal.record_event([filled(2, "t3", "3", "71000", fee="32", tax="319")])
        await journal.record_event([filled(2, "t4", "7", "71000", fee="74", tax="745")])
        found = await amounts(journal)

        assert (bought.status, bought.filled) == (OrderState.FILLED, Decimal(10))
        cost, proceeds, fees, tax = 700_700, 710_000, 31 + 73 + 32 + 74, 319 + 745
        assert found["cash"][0] == 10_000_000 - cost + proceeds - fees - tax
        assert found["position"] == (0, 0)
        assert found["fees"][0] == fees
        assert found["tax"][0] == tax
        assert found["realised"][0] == -(proceeds - cost)
        assert found["capital"][0] == -10_000_000
        assert sum(amount for amount, _ in found.values()) == 0

    run(scenario)


def test_fill_when_ten_times_by_two_ways_then_booked_once(run: Any) -> None:
    """The same trade by socket and by query, ten times each, has one effect."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        seen = []
        for number in range(10):
            seen += await journal.record_event([filled(1, "t1", "4")])
            other = filled(1, "t1", "4").event
            seen += await journal.record_event([fact(other, event_id=f"rest-{number}")])

        assert [answer.is_new for answer in seen] == [True] + [False] * 19
        assert len({answer.seq for answer in seen}) == 1
        assert (await amounts(journal))["position"] == (280_000, 4)

    run(scenario)


def test_fill_when_a_known_trade_differs_then_it_is_refused(run: Any) -> None:
    """A trade id that comes back with other figures halts; the books stay as they are."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        await journal.record_event([filled(1, "t1", "4")])
        with pytest.raises(InvariantError, match="is booked as 4"):
            await journal.record_event([filled(1, "t1", "5")])

        assert (await amounts(journal))["position"] == (280_000, 4)

    run(scenario)


def test_call_when_one_fact_is_refused_then_none_is_written(run: Any) -> None:
    """A call is all or nothing, ledger and orders alike."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        before = await journal.ledger()
        with pytest.raises(InvariantError, match="more than"):
            await journal.record_event([filled(1, "t1", "9"), filled(1, "t2", "2")])

        assert await journal.ledger() == before
        assert (await journal.find_order(order_id=order_id(1))).filled == 0
        assert (await journal.record_event([filled(1, "t1", "9")]))[0].is_new

    run(scenario)


def test_intent_when_cash_is_reserved_then_a_second_one_is_uncovered(run: Any) -> None:
    """Reservations and cash are judged in one transaction; an ended order gives its back."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("trader")
        await journal.record_event([deposit(1_000_000)])
        await journal.record_intent([wanted(1, 700_000)])
        with pytest.raises(UncoveredError, match="has 300000"):
            await journal.record_intent([wanted(2, 300_001)])
        await journal.record_intent([wanted(3, 300_000)])

        denied = OrderDenied(order_id=order_id(1), check="R05", reason="too late")
        await journal.record_event([fact(denied)])
        await journal.record_intent([wanted(4, 700_000)])

        assert [row.id for row in await journal.load_open()] == [order_id(3), order_id(4)]

    run(scenario)


def decided(number: int) -> list[Fact]:
    """A decision with the signal that fired in it."""
    about = {
        "decision_id": f"d{number}",
        "instance": "sma",
        "release": "SMA@1",
        "instrument_id": "KRX:005930",
        "venue": "KRX",
        "interval": "1m",
        "bar_start_ns": NOW_NS,
        "decided_ns": NOW_NS,
        "price": Decimal(70_000),
    }
    decision = DecisionRecorded(
        fired=1, outcome="ordered", values="[]", bar="{}", equity=Decimal(1), **about
    )
    signal = SignalRecorded(
        signal_id=f"s{number}",
        rule=0,
        kind="entry",
        side=OrderSide.BUY,
        condition="close > open",
        **about,
    )
    return [
        fact(decision, event_id=f"decision/d{number}"),
        fact(signal, event_id=f"signal/s{number}"),
    ]


def test_intent_when_committed_with_its_decision_then_all_is_recorded_once_or_nothing(
    run: Any,
) -> None:
    """Decision, signal, intent and input are one commit; what is refused leaves no trace."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("trader")
        await journal.record_event([deposit(1_000_000)])
        read = Consumed(consumer="trader", source="ticks", position=(7, 1))
        good = [*decided(1), wanted(1, 700_000)]
        poor = [*decided(2), wanted(2, 700_000)]

        first = await journal.record_intent(good, read)
        again = await journal.record_intent(good, read)
        with pytest.raises(UncoveredError) as refused:
            await journal.record_intent(
                poor, Consumed(consumer="trader", source="ticks", position=(7, 2))
            )

        assert [found.is_new for found in first] == [True] * 3
        assert [(f.seq, f.is_new) for f in again] == [(f.seq, False) for f in first]
        assert refused.value.order_id == order_id(2)
        kinds = [event.type for event in await journal.events(1, 10)]
        assert kinds == ["decision_recorded", "signal_recorded", "intent_recorded"]
        assert [event.consumed for event in await journal.events(1, 10)] == [read] * 3
        # Without the order, what was decided is recorded at the same place of the input.
        late = Consumed(consumer="trader", source="ticks", position=(7, 2))
        assert all(found.is_new for found in await journal.record_intent(poor[:2], late))

    run(scenario)


def test_intent_call_when_given_other_facts_then_it_refuses_them(run: Any) -> None:
    """Only intents and what led to them go this way."""

    async def scenario(trial: Any) -> None:
        with pytest.raises(InvariantError, match="CashMoved is no IntentRecorded or Decision"):
            await trial.journal("trader").record_intent([deposit()])

    run(scenario)


@pytest.mark.parametrize(
    ("currency", "reserved", "free"), [("KRW", "700001", "299999"), ("USDT", "1", "789999.3")]
)
def test_reservation_when_filled_in_part_then_only_the_rest_is_kept(
    run: Any, currency: str, reserved: str, free: str
) -> None:
    """Three of ten filled: seven tenths stay reserved, rounded up to the currency's unit."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        lease = await trial.leases.acquire_lease("sender", "me", 30)
        cash = CashMoved(currency=currency, amount=Decimal(1_000_000), reason="d", **OWNER)
        await journal.record_event([fact(cash)])

        def order(number: int, amount: str) -> Fact:
            reservation = Reservation(asset=currency, amount=Decimal(amount))
            wish = intent(number, currency=currency)
            return fact(IntentRecorded(intent=wish, reservation=reservation))

        await journal.record_intent([order(1, reserved)])
        await journal.record_attempt(attempt(1, lease.token))
        await journal.record_event([filled(1, "t1", "3")])
        unit = Decimal(1) if currency == "KRW" else Decimal("0.00000001")
        with pytest.raises(UncoveredError, match=f"has {free}"):
            await journal.record_intent([order(2, str(Decimal(free) + unit))])
        await journal.record_intent([order(3, free)])

    run(scenario)


def test_intent_when_shares_are_reserved_then_they_cannot_be_sold_twice(run: Any) -> None:
    """A sale reserves shares of the account; more than it has is refused."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("trader")
        adopted = PositionAdopted(
            instrument_id="KRX:005930",
            currency="KRW",
            quantity=Decimal(10),
            cost=Decimal(650_000),
            reason="opening",
            **OWNER,
        )
        await journal.record_event([fact(adopted)])
        sale = {"asset": "KRX:005930", "side": OrderSide.SELL}
        await journal.record_intent([wanted(1, 6, **sale)])
        with pytest.raises(UncoveredError, match="has 4"):
            await journal.record_intent([wanted(2, 5, **sale)])

    run(scenario)


def test_attempt_when_the_lease_moved_on_then_it_is_fenced(run: Any) -> None:
    """A paused sender that wakes up cannot write SENDING; the new holder can."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        old = await trial.leases.acquire_lease("sender", "old", 30)
        refused = await trial.leases.acquire_lease("sender", "new", 30)
        await trial.leases.release_lease(old)
        new = await trial.leases.acquire_lease("sender", "new", 30)
        with pytest.raises(FencedError, match="sender"):
            await journal.record_attempt(attempt(1, old.token))

        assert refused is None
        assert new.token > old.token
        assert not await trial.leases.renew_lease(old)
        assert await trial.leases.renew_lease(new)
        assert (await journal.record_attempt(attempt(1, new.token))).is_new

    run(scenario)


def test_attempt_when_the_lease_ran_out_then_it_is_fenced(run: Any) -> None:
    """A lease ends by itself; its token is worth nothing afterwards."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        lease = await trial.leases.acquire_lease("sender", "old", 0.0)
        with pytest.raises(FencedError):
            await journal.record_attempt(attempt(1, lease.token))

        assert not await trial.leases.renew_lease(lease)

    run(scenario)


def test_f07_lease_when_the_holder_is_known_to_be_dead_then_its_successor_need_not_wait(
    run: Any,
) -> None:
    """Only the same holder inherits, and under a token that fences the old one off."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        old = await trial.leases.acquire_lease("sender", "me", 30)
        assert await trial.leases.acquire_lease("sender", "me", 30) is None
        other = await trial.leases.acquire_lease("sender", "you", 30, is_successor=True)
        assert other is None
        new = await trial.leases.acquire_lease("sender", "me", 30, is_successor=True)
        assert new.token > old.token
        with pytest.raises(FencedError):
            await journal.record_attempt(attempt(1, old.token))
        assert (await journal.record_attempt(attempt(1, new.token))).is_new

    run(scenario)


def test_desk_when_asked_then_open_orders_come_with_their_wishes_and_the_balances(
    run: Any,
) -> None:
    """One moment: what is open, what was wanted of it, what the account has."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        await journal.record_event([filled(1, "t1", "10")])
        await journal.record_intent([wanted(2)])
        desk = await journal.account_desk("paper", "a1")
        books = await journal.account_books("paper", "a1")

        assert [row.id for row in desk.orders] == [order_id(2)]
        assert desk.wishes == {order_id(2): wanted(2).event}
        assert desk.balances == books.balances
        assert await journal.account_desk("paper", "nobody") == AccountDesk()

    run(scenario)


def test_outbox_when_something_is_committed_then_who_waits_is_told_at_once(run: Any) -> None:
    """A commit that announces something ends the wait; silence ends it by its time."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("trader")
        await journal.record_event([deposit()])
        while await trial.outbox.wait(0.05):
            pass
        async with asyncio.timeout(5):
            waiting = asyncio.ensure_future(trial.outbox.wait(30))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await journal.record_intent([wanted(1)])
            assert await waiting
        assert not await trial.outbox.wait(0.01)

    run(scenario)


def test_f03_answer_when_it_comes_after_the_lease_moved_on_then_it_is_recorded(run: Any) -> None:
    """The fence keeps attempts from starting; what became of one may be known much later."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        old = await trial.leases.acquire_lease("sender", "me", 30)
        await journal.record_attempt(attempt(1, old.token))
        await trial.leases.acquire_lease("sender", "me", 30, is_successor=True)
        lost = OrderLost(order_id=order_id(1), attempt=1, reason="its sender died")
        await journal.record_event([fact(lost)])
        found = OrderAcknowledged(order_id=order_id(1), attempt=1, venue_order_id="v1")
        await journal.record_event([fact(found)])

        assert (await journal.find_order(order_id=order_id(1))).status is OrderState.OPEN

    run(scenario)


def test_attempt_when_it_carries_notes_then_both_or_neither_are_committed(run: Any) -> None:
    """The verdict is in the journal whenever its attempt is, and never without it."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        verdict = NoteRecorded(topic="risk_verdict", subject=order_id(1), body="{}")
        with pytest.raises(FencedError):
            await journal.record_attempt(attempt(1, 77), [fact(verdict)])
        assert await journal.stream("note/risk_verdict") == []
        lease = await trial.leases.acquire_lease("sender", "me", 30)
        recorded = await journal.record_attempt(attempt(1, lease.token), [fact(verdict)])

        assert recorded.is_new
        (note,) = await journal.stream("note/risk_verdict")
        assert note.seq == recorded.seq - 1
        again = await journal.record_attempt(attempt(1, lease.token), [fact(verdict)])
        assert (again.seq, again.is_new) == (recorded.seq, False)

    run(scenario)


def test_stream_when_asked_then_the_newest_events_about_one_thing_in_order(run: Any) -> None:
    """Events of other orders and topics are left out."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        lease = await trial.leases.acquire_lease("sender", "me", 30)
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1), wanted(2)])
        await journal.record_attempt(attempt(1, lease.token))
        events = await journal.stream(f"order/{order_id(1)}")

        assert [event.type for event in events] == ["intent_recorded", "attempt_started"]
        newest = await journal.stream(f"order/{order_id(1)}", newest=1)
        assert newest == events[1:]
        assert await journal.stream("order/none") == []

    run(scenario)


def test_attempt_when_the_first_is_not_proven_absent_then_no_second(run: Any) -> None:
    """UNKNOWN never leads to another attempt; proof of absence does, with another id."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        lease = await trial.leases.acquire_lease("sender", "me", 30)
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        await journal.record_attempt(attempt(1, lease.token))
        await journal.record_event(
            [fact(OrderLost(order_id=order_id(1), attempt=1, reason="time-out"))]
        )
        with pytest.raises(IllegalMoveError, match="unknown cannot send"):
            await journal.record_attempt(attempt(1, lease.token, 2))
        absent = OrderAbsent(order_id=order_id(1), attempt=1, evidence="two empty order lists")
        await journal.record_event([fact(absent)])
        again = msgspec.structs.replace(attempt(1, lease.token).event, attempt=2)
        with pytest.raises(InvariantError, match="used before"):
            await journal.record_attempt(fact(again))
        second = await journal.record_attempt(attempt(1, lease.token, 2))
        late = OrderAcknowledged(order_id=order_id(1), attempt=1, venue_order_id="v1")
        with pytest.raises(InvariantError, match="is about attempt 1, the newest is 2"):
            await journal.record_event([fact(late)])
        row = await journal.find_order(client_order_id="c1-2")

        assert second.is_new
        assert (row.status, row.attempt) == (OrderState.SENDING, 2)

    run(scenario)


def test_attempt_when_recorded_again_then_it_is_not_new(run: Any) -> None:
    """After a lost answer the sender asks again and learns that bytes may have gone out."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        lease = await trial.leases.acquire_lease("sender", "me", 30)
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        first = await journal.record_attempt(attempt(1, lease.token))
        second = await journal.record_attempt(attempt(1, lease.token))

        assert (first.is_new, second.is_new) == (True, False)
        assert first.seq == second.seq

    run(scenario)


def test_order_when_it_has_ended_then_only_late_fills_are_taken(run: Any) -> None:
    """A fill after the cancel is booked and the order stays cancelled; nothing else moves it."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        await journal.record_event([filled(1, "t1", "4")])
        await journal.record_event([fact(CancelRequested(order_id=order_id(1), number=1))])
        await journal.record_event([fact(OrderCancelled(order_id=order_id(1)))])
        await journal.record_event([filled(1, "t2", "1")])
        with pytest.raises(IllegalMoveError, match="it has ended"):
            await journal.record_event(
                [fact(OrderRejected(order_id=order_id(1), attempt=1, reason="x"))]
            )
        row = await journal.find_order(venue_order_id=("paper", "a1", "v1"))

        assert (row.status, row.filled) == (OrderState.CANCELLED, Decimal(5))
        assert await journal.load_open() == []

    run(scenario)


def test_fill_when_it_comes_before_the_acknowledgement_then_it_is_booked(run: Any) -> None:
    """The socket may be quicker than the answer to the order."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        lease = await trial.leases.acquire_lease("sender", "me", 30)
        await journal.record_event([deposit()])
        await journal.record_intent([wanted(1)])
        await journal.record_attempt(attempt(1, lease.token))
        await journal.record_event([filled(1, "t1", "4")])
        acknowledged = OrderAcknowledged(order_id=order_id(1), attempt=1, venue_order_id="v1")
        await journal.record_event([fact(acknowledged)])
        row = await journal.find_order(order_id=order_id(1))

        assert (row.status, row.venue_order_id) == (OrderState.PARTIAL, "v1")

    run(scenario)


def test_order_when_not_ours_then_it_is_adopted_with_its_fills(run: Any) -> None:
    """An external order is known, open, and its fills are booked in the same call."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("reconciler")
        event = OrderAdopted(intent=intent(9), venue_order_id="v9")
        await journal.record_event([fact(event), filled(9, "t9", "2")])
        row = await journal.find_order(order_id=order_id(9))

        assert (row.status, row.filled) == (OrderState.PARTIAL, Decimal(2))
        assert (await amounts(journal))["position"] == (140_000, 2)

    run(scenario)


def test_coins_when_the_fee_is_taken_in_them_then_the_ledger_balances(run: Any) -> None:
    """Fractions of coins and of money are exact to 1e-8, a fee in coins reduces the position."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("executor")
        event = OrderAdopted(
            intent=intent(
                1,
                quantity="0.3",
                instrument="BINANCE:BTCUSDT",
                venue="BINANCE",
                currency="USDT",
            ),
            venue_order_id="b1",
        )
        await journal.record_event([fact(event)])
        await journal.record_event(
            [
                filled(1, "t1", "0.1", "67123.45678901", fee_quantity="0.0001"),
                filled(1, "t2", "0.2", "67123.4", gross="13424.68", fee="0.00000007"),
            ]
        )
        found = await amounts(journal)

        cost = Decimal("6712.34567890") + Decimal("13424.68")
        assert found["position"] == (cost, Decimal("0.2999"))
        assert found["cash"][0] == -cost - Decimal("0.00000007")

    run(scenario)


@pytest.mark.parametrize("costs", [{"fee": "0.5"}, {"tax": "1.1"}, {"gross": "280000.5"}])
def test_fill_when_an_amount_is_no_whole_won_then_it_is_refused(run: Any, costs: Any) -> None:
    """Nobody can book half a won."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        with pytest.raises(InvariantError, match="multiples of 1"):
            await journal.record_event([filled(1, "t1", "4", **costs)])

    run(scenario)


def test_input_when_delivered_again_then_its_effect_is_not(run: Any) -> None:
    """The offset of the input is committed with the intents that it caused."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("trader")
        await journal.record_event([deposit()])

        def read(position: tuple[int, int]) -> Consumed:
            return Consumed(consumer="trader", source="ticks", position=position)

        first = await journal.record_intent([wanted(1)], read((5, 1)))
        again = await journal.record_intent([wanted(1)], read((5, 1)))
        older = await journal.record_intent([wanted(2)], read((5, 0)))
        newer = await journal.record_intent([wanted(2)], read((5, 2)))

        assert [answer.is_new for answer in (*first, *again, *older, *newer)] == [
            True,
            False,
            False,
            True,
        ]
        assert again[0].seq == first[0].seq
        assert len(await journal.load_open()) == 2

    run(scenario)


def test_c29_order_when_placed_then_it_appears_on_orders_pending(run: Any) -> None:
    """An order of 100 AAPL to buy is on `orders.pending` for every group."""

    async def scenario(trial: Any) -> None:
        bus = MemoryBus(time.time_ns)
        journal = trial.journal("gateway")
        await journal.record_event([deposit(1)])
        order = intent(1, quantity="100", instrument="US:AAPL", venue="US", currency="USD")
        nothing = Reservation(asset="USD", amount=Decimal(0))
        await journal.record_intent([fact(IntentRecorded(intent=order, reservation=nothing))])
        await Relay(trial.outbox, bus).drain()

        (entry,) = await bus.consume(["orders.pending"], "executor", "e1", count=9, wait_ms=0)
        sealed = entry.envelope
        message = MESSAGES.decode(sealed.type, sealed.version, sealed.payload)

        assert isinstance(message, OrderPending)
        assert (message.symbol, message.quantity, message.side) == ("AAPL", 100, "buy")
        assert entry.envelope.correlation_id == "frame-1"
        assert message.seq == entry.envelope.sequence == 2

    run(scenario)


def test_relay_when_run_again_then_nothing_is_published_twice(run: Any) -> None:
    """Messages follow the order of commits, once, also when marking them was lost."""

    async def scenario(trial: Any) -> None:
        bus = MemoryBus(time.time_ns)
        journal = await sent(trial, 1)
        for number in range(5):
            await journal.record_event([filled(1, f"t{number}", "1")])
        relay = Relay(trial.outbox, bus)
        assert await relay.drain() == 8
        assert await relay.drain() == 0
        await trial.outbox.reopen("orders.executions", 0)
        await relay.drain()
        entries = await bus.consume(["orders.executions"], "g", "c", count=99, wait_ms=0)

        numbers = [entry.envelope.sequence for entry in entries]
        assert numbers == sorted(set(numbers))
        assert len(numbers) == 6

    run(scenario)


def test_relay_when_the_bus_is_down_then_messages_wait(run: Any) -> None:
    """What could not be published stays, in order, with what came before it marked."""

    async def scenario(trial: Any) -> None:
        bus = MemoryBus(time.time_ns)
        journal = await sent(trial, 1)
        for number in range(3):
            await journal.record_event([filled(1, f"t{number}", "1")])
        published: list[int] = []

        async def fail_on_third(message: Any) -> None:
            if len(published) == 2:
                raise BusUnavailableError("bus: gone")
            published.append(message.seq)

        with pytest.raises(BusUnavailableError):
            await trial.outbox.publish_pending(fail_on_third, 100)
        rest = await Relay(trial.outbox, bus).drain()

        assert rest == 4

    run(scenario)


def test_f42_bus_when_wiped_then_it_is_filled_again_without_effects(run: Any) -> None:
    """A wiped bus gets everything again; consumers know it by its number."""

    async def scenario(trial: Any) -> None:
        bus = MemoryBus(time.time_ns)
        journal = await sent(trial, 1)
        await journal.record_event([filled(1, "t1", "1")])
        relay = Relay(trial.outbox, bus)
        await relay.drain()
        assert await relay.recover() == 0
        bus.streams.clear()
        await journal.record_event([filled(1, "t2", "1")])

        assert await relay.recover() == 4
        assert await relay.drain() == 5
        entries = await bus.consume(["orders.executions"], "g", "c", count=99, wait_ms=0)
        assert [entry.envelope.sequence for entry in entries] == [4, 5, 6]

    run(scenario)


def test_outbox_when_pruned_then_only_old_published_messages_go(run: Any) -> None:
    """What waits stays, however old; what is young can still be published again."""

    async def scenario(trial: Any) -> None:
        bus = MemoryBus(time.time_ns)
        journal = trial.journal("w")
        amount = {"currency": "KRW", "amount": Decimal(1), "reason": "d", **OWNER}
        for ms in (10, 20, 30):
            moved = fact(CashMoved(**amount), ts_ns=ms * 10**6, event_id=f"at-{ms}")
            await journal.record_event([moved])
            if ms < 30:
                await Relay(trial.outbox, bus).drain()

        assert await trial.outbox.prune(20) == 1
        assert await trial.outbox.prune(1_000) == 1
        assert await trial.outbox.newest_published() == {}
        assert await Relay(trial.outbox, bus).drain() == 1

    run(scenario)


def test_writers_when_several_then_one_order_and_a_chain_each(run: Any) -> None:
    """Numbers have no gaps over all writers; each writer's rows follow each other."""

    async def scenario(trial: Any) -> None:
        journals = [trial.journal(name) for name in ("a", "b", "c")]
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                note = NoteRecorded(topic="t", subject=str(number), body="{}")
                group.create_task(journals[number % 3].record_event([fact(note)]))
        rows = await journals[0].events(0, 100)

        assert [row.seq for row in rows] == list(range(1, 31))
        for name in ("a", "b", "c"):
            chain = [row for row in rows if row.writer == name]
            assert [row.position for row in chain] == list(range(1, 11))
            assert [row.prev_hash for row in chain[1:]] == [row.hash for row in chain[:-1]]

    run(scenario)


def test_events_when_read_back_then_they_are_what_was_recorded(run: Any) -> None:
    """Stamps, offsets and payload survive, and the path of a correlation id can be followed."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("w")
        released = StrategyReleased(
            strategy_id=order_id(7), name="SMA 5/20", dsl_code="strategy", status="released"
        )
        read = Consumed(consumer="c", source="s", position=(1, 2))
        await journal.record_event([fact(released, causation_id="x", event_id="e1")], read)
        (row,) = await journal.events(0, 10)

        assert (row.type, row.schema_version, row.event_id) == ("strategy_released", 1, "e1")
        assert (row.correlation_id, row.causation_id) == ("frame-1", "x")
        assert row.consumed == read
        assert row.stream == f"strategy/{order_id(7)}"
        assert b'"name":"SMA 5/20"' in row.payload

    run(scenario)


def test_balances_when_cash_leaves_then_capital_follows(run: Any) -> None:
    """A withdrawal is the mirror of a deposit; equal movements need ids of their own."""

    async def scenario(trial: Any) -> None:
        journal = trial.journal("w")
        await journal.record_event([deposit(100, "d1"), deposit(100, "d2"), deposit(-50, "w1")])

        assert {row.ledger: row.amount for row in await journal.ledger()} == {
            LedgerAccount.CASH: 150,
            LedgerAccount.CAPITAL: -150,
        }

    run(scenario)


def test_fill_when_it_does_not_follow_the_cumulative_quantity_then_it_is_refused(run: Any) -> None:
    """Two readers of one cumulative report cannot book overlapping steps of it."""

    async def scenario(trial: Any) -> None:
        journal = await sent(trial, 1)
        first, late = filled(1, "d-1-4", "4").event, filled(1, "d-1-6", "6").event

        def step(event: OrderFilled, cumulative: int) -> Fact:
            return fact(msgspec.structs.replace(event, cumulative=Decimal(cumulative)))

        await journal.record_event([step(first, 4)])
        with pytest.raises(InvariantError, match="makes 6 filled, and 4 and 6 are 10"):
            await journal.record_event([step(late, 6)])
        await journal.record_event([step(late, 10)])

        assert (await journal.find_order(order_id=order_id(1))).filled == 10

    run(scenario)


def test_account_books_when_asked_then_open_and_named_orders_come_with_their_fills(
    run: Any,
) -> None:
    """Ended orders come when their venue id is named; others of the account and all else stay."""

    async def scenario(trial: Any) -> None:
        nothing = await trial.journal("reader").account_books("paper", "a1")
        journal = await sent(trial, 1)
        await journal.record_event([filled(1, "t1", "4"), filled(1, "t2", "6", fee="9")])
        await journal.record_intent([wanted(2)])
        other = CashMoved(
            broker="kis", account="a1", instance="i", currency="KRW", amount=Decimal(5), reason="d"
        )
        await journal.record_event([fact(other)])
        by_default = await journal.account_books("paper", "a1")
        named = await journal.account_books("paper", "a1", ["v1", "v9"])

        assert (nothing.orders, nothing.fills, nothing.balances) == ((), (), ())
        assert nothing.newest_seq == 0
        assert [row.id for row in by_default.orders] == [order_id(2)]
        assert by_default.fills == ()
        assert [row.id for row in named.orders] == [order_id(1), order_id(2)]
        assert [row.trade_id for row in named.fills] == ["t1", "t2"]
        assert named.newest_seq == named.fills[-1].seq
        assert sum(row.amount for row in named.balances) == 0
        assert {row.broker for row in named.balances} == {"paper"}

    run(scenario)
