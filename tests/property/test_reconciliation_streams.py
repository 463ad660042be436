"""IN40 for reconciliation: reports and notices in any order, any number of times, one truth."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.domain.account_reports import (
    BalanceReport,
    FillNotice,
    HeldPosition,
    OrderReport,
    OrderState,
)
from jts_trading.domain.journal_events import (
    AttemptStarted,
    CashMoved,
    IntentRecorded,
    OrderAcknowledged,
    OrderLost,
)
from jts_trading.domain.ledger_rows import FillRow, LedgerAccount, OrderRow
from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.orders import TERMINAL, OrderIntent, OrderSide, Reservation
from jts_trading.execution.differences import Books, adopt, compare
from jts_trading.execution.fill_costs import CostRules, Trade
from jts_trading.execution.findings import Finding, Known, Look
from jts_trading.execution.reconciling import Reconciliation, ReconcilingRules
from jts_trading.execution.unknown_orders import NS_PER_S, Window
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryStore
from jts_trading.ports.journal import Fact

DAY = date(2024, 6, 3)
START_NS = int(datetime(2024, 6, 3, 0, 30, tzinfo=UTC).timestamp()) * NS_PER_S
OWNER = ("kis", "5000000101")
COSTS = CostRules(default_table())


@dataclass
class Order:
    """An order at the venue, its fills to come, and how we know of it."""

    number: int
    quantity: int
    fills: list[tuple[int, int]]
    origin: str

    @property
    def order_id(self) -> str:
        """Ours."""
        return f"00000000-0000-0000-0000-{self.number:012d}"

    @property
    def price(self) -> Decimal:
        """A fingerprint of its own."""
        return Decimal(70_000 + 100 * self.number)

    def report(self, count: int) -> OrderReport:
        """What the venue says after so many fills."""
        done = self.fills[:count]
        filled = sum(quantity for quantity, _ in done)
        return OrderReport(
            broker="kis",
            order_date=DAY,
            branch="00950",
            order_no=f"{self.number:010d}",
            original_order_no=None,
            instrument_id="KRX:005930",
            venue="KRX",
            side=Side.BUY,
            state=OrderState.FILLED if filled == self.quantity else OrderState.OPEN,
            quantity=Decimal(self.quantity),
            price=self.price,
            filled_quantity=Decimal(filled),
            filled_amount=Decimal(sum(quantity * price for quantity, price in done)),
            cancelled_quantity=Decimal(0),
            rejected_quantity=Decimal(0),
            remaining_quantity=Decimal(self.quantity - filled),
            ordered_at_ns=START_NS,
        )

    def notice(self, at: int) -> FillNotice:
        """What the stream says about one of its fills."""
        quantity, price = self.fills[at]
        return FillNotice(
            broker="kis",
            account=OWNER[1],
            order_no=f"{self.number:010d}",
            branch="00950",
            instrument_id="KRX:005930",
            venue="KRX",
            side=Side.BUY,
            quantity=Decimal(quantity),
            price=Decimal(price),
            order_quantity=Decimal(self.quantity),
            ts_event_ns=START_NS + at * NS_PER_S,
            ts_recv_ns=START_NS + at * NS_PER_S,
        )


@st.composite
def _orders(draw: st.DrawFn) -> list[Order]:
    orders = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        fill = st.tuples(st.integers(1, 40), st.integers(690, 710).map(lambda n: n * 100))
        fills = draw(st.lists(fill, max_size=5))
        rest = draw(st.integers(0 if fills else 1, 20))
        quantity = sum(quantity for quantity, _ in fills) + rest
        origin = draw(st.sampled_from(["open", "unknown", "external"]))
        orders.append(Order(number, quantity, fills, origin))
    return orders


def _steps(orders: list[Order]) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    """Notices and looks, each about any order and any moment of its life, in any order."""
    which = st.integers(0, len(orders) - 1)
    kinds = st.sampled_from(["notice", "look", "look, answer lost", "new process"])
    step = st.tuples(kinds, which, st.integers(0, 5))
    return st.lists(step, max_size=40)


class World:
    """A journal, a process that reconciles, and the venue."""

    def __init__(self, orders: list[Order]) -> None:
        self.orders = orders
        self.store = MemoryStore(lambda: 0)
        self.journal = MemoryJournal(self.store, "reconciler")
        self.real_s = 0.0
        self.new_process()

    def new_process(self) -> None:
        """Forget everything but the journal."""
        rules = ReconcilingRules(
            costs=COSTS,
            closes_ns=lambda venue, day: None,
            window=Window(5 * NS_PER_S, 30 * NS_PER_S),
        )
        self.reconciliation = Reconciliation(rules)

    async def begin(self) -> None:
        """Journal the orders that are ours."""
        lease = await MemoryLeases(self.store).acquire_lease("sender", "me", 1e9)
        assert lease is not None
        cash = CashMoved(
            broker="kis",
            account=OWNER[1],
            instance="sma",
            currency="KRW",
            amount=Decimal(10**10),
            reason="deposit",
        )
        await self.journal.record_event([Fact(cash, ts_ns=START_NS)])
        for order in self.orders:
            if order.origin != "external":
                await self._send(order, lease.token)

    async def _send(self, order: Order, token: int) -> None:
        intent = OrderIntent(
            order_id=order.order_id,
            broker="kis",
            account=OWNER[1],
            instance="sma",
            instrument_id="KRX:005930",
            venue="KRX",
            side=OrderSide.BUY,
            quantity=Decimal(order.quantity),
            price=order.price,
            currency="KRW",
        )
        wanted = IntentRecorded(
            intent=intent, reservation=Reservation(asset="KRW", amount=Decimal(0))
        )
        await self.journal.record_intent([Fact(wanted, ts_ns=START_NS)])
        attempt = AttemptStarted(
            order_id=order.order_id,
            client_order_id=f"c{order.number}",
            attempt=1,
            payload_hash="",
            lease="sender",
            token=token,
        )
        await self.journal.record_attempt(Fact(attempt, ts_ns=START_NS))
        answer: Any = OrderLost(order_id=order.order_id, attempt=1, reason="time-out")
        if order.origin == "open":
            answer = OrderAcknowledged(
                order_id=order.order_id,
                attempt=1,
                venue_order_id=order.report(0).venue_order_id,
            )
        await self.journal.record_event([Fact(answer, ts_ns=START_NS)])

    async def look(
        self, counts: list[int], after_s: float, *, is_answer_lost: bool = False
    ) -> None:
        """Reconcile with a list of orders in which each has so many fills.

        A lost answer of the journal means: committed, and nobody here knows.
        """
        self.real_s += after_s
        reports = tuple(
            order.report(min(count, len(order.fills)))
            for order, count in zip(self.orders, counts, strict=True)
        )
        books = await self.journal.account_books(*OWNER, [each.venue_order_id for each in reports])
        real_ns = int(self.real_s * NS_PER_S)
        look = Look(*OWNER, "KRW", reports, DAY, START_NS + NS_PER_S, real_ns, real_ns)
        outcome = self.reconciliation.decide(look, Known(books.orders, books.fills))
        for group in outcome.groups:
            await self.journal.record_event([fact(finding) for finding in group.findings])
            if not is_answer_lost:
                self.reconciliation.committed(group)


def fact(finding: Finding) -> Fact:
    """A finding as the journal takes it."""
    return Fact(
        finding.event,
        ts_ns=START_NS,
        correlation_id=finding.correlation_id,
        causation_id=finding.causation_id,
        event_id=finding.event_id,
    )


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_streams_when_in_any_order_and_number_then_the_books_are_the_venues(data: Any) -> None:
    """I04, I05, I06: every fill once, never more than ordered, exact to the won, rebuildable."""
    orders = data.draw(_orders())
    steps = data.draw(_steps(orders))

    async def run() -> None:
        world = World(orders)
        await world.begin()
        for kind, which, count in steps:
            order = orders[which]
            if kind == "notice" and count < len(order.fills):
                world.reconciliation.hear(order.notice(count))
            elif kind in {"look", "look, answer lost"}:
                counts = [count] * len(orders)
                await world.look(counts, 0.3, is_answer_lost=kind != "look")
            elif kind == "new process":
                world.new_process()
        for _ in range(4):
            await world.look([9] * len(orders), 5.0)
        await _check(world)

    asyncio.run(run())


async def _check(world: World) -> None:
    rows = {row.venue_order_id: row for row in world.store.books.rows(OrderRow)}
    fills = world.store.books.rows(FillRow)
    for order in world.orders:
        truth = order.report(9)
        row = rows.get(truth.venue_order_id)
        if order.origin != "external":
            assert row is not None
            assert row.id == order.order_id
        if row is not None:
            booked = [fill for fill in fills if fill.order_id == row.id]
            assert row.filled == truth.filled_quantity
            assert sum(fill.gross for fill in booked) == truth.filled_amount
            assert (row.status in TERMINAL) == (truth.state is OrderState.FILLED)
            assert row.instance == ("external" if order.origin == "external" else "sma")
            _check_costs(order, booked)
    balances = await world.journal.ledger()
    assert sum(row.amount for row in balances) == 0
    cash = sum(row.amount for row in balances if row.ledger is LedgerAccount.CASH)
    assert cash == 10**10 - sum(fill.gross + fill.fee for fill in fills)
    assert (await world.journal.rebuild()).is_identical
    assert (await world.journal.verify()).is_good


def _check_costs(order: Order, booked: list[FillRow]) -> None:
    single = sum(
        COSTS.of(
            Trade("kis", "KRX:005930", "KRW", OrderSide.BUY, DAY, Decimal(q), Decimal(q * p))
        ).fee
        for q, p in order.fills
    )
    fee = sum(fill.fee for fill in booked)
    # Flooring once instead of for each fill can only leave more, by less than a won each.
    assert single <= fee <= single + len(order.fills)
    if len(booked) == len(order.fills):
        assert fee == single


_HOLDINGS = st.dictionaries(
    st.sampled_from(["KRX:005930", "KRX:000660"]),
    st.tuples(st.integers(0, 500), st.integers(0, 10**7)),
)


@settings(max_examples=200, deadline=None)
@given(first=_HOLDINGS, second=_HOLDINGS, cash=st.tuples(*[st.integers(0, 10**9)] * 2))
def test_difference_when_adopted_then_books_are_equal_and_balanced(
    first: dict[str, tuple[int, int]], second: dict[str, tuple[int, int]], cash: tuple[int, int]
) -> None:
    """Whatever the broker shows, one adoption makes the account equal, and repeats add nothing."""

    async def run() -> None:
        journal = MemoryJournal(MemoryStore(lambda: 0), "reconciler")
        for holdings, money in ((first, cash[0]), (second, cash[1])):
            report = _balance(holdings, money)
            known = await journal.account_books(*OWNER)
            books = Books(*OWNER, "KRW", known.balances, known.newest_seq)
            findings = adopt(books, report, "test")
            facts = [fact(finding) for finding in findings]
            answers = await journal.record_event(facts)
            again = await journal.record_event(facts)
            assert all(answer.is_new for answer in answers)
            assert not any(answer.is_new for answer in again)
            balances = await journal.ledger()
            assert not compare(balances, report, "KRW")
            assert sum(row.amount for row in balances) == 0

    asyncio.run(run())


def _balance(holdings: dict[str, tuple[int, int]], cash: int) -> BalanceReport:
    positions = tuple(
        HeldPosition(
            instrument_id=name,
            quantity=Decimal(quantity),
            sellable=Decimal(quantity),
            cost=Decimal(cost),
            last=Decimal(1),
        )
        for name, (quantity, cost) in sorted(holdings.items())
        if quantity
    )
    money = Decimal(cash)
    report = BalanceReport(
        broker="kis",
        account=OWNER[1],
        ts_recv_ns=0,
        settled_cash=money,
        next_day_cash=money,
        cash=money,
        costs_today=Decimal(0),
        positions=positions,
    )
    return msgspec.structs.replace(report)
