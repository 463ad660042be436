"""IN40: orders, fills and cancels in any order and any duplication keep the books true."""

import asyncio
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.domain.journal_events import (
    AttemptStarted,
    CancelRefused,
    CancelRequested,
    CashMoved,
    IntentRecorded,
    OrderAbsent,
    OrderAcknowledged,
    OrderAmended,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderLost,
    OrderRejected,
    PositionAdopted,
)
from jts_trading.domain.ledger_rows import (
    BalanceRow,
    FillRow,
    LedgerAccount,
    LedgerRow,
    OrderRow,
    ReservationRow,
)
from jts_trading.domain.orders import (
    TERMINAL,
    InvariantError,
    OrderIntent,
    OrderSide,
    Reservation,
)
from jts_trading.journal.booking import fill_lines
from jts_trading.journal.memory import MemoryJournal, MemoryLeases, MemoryStore
from jts_trading.portfolio.holding import Holding
from jts_trading.ports.journal import Fact

ORDERS = [str(uuid.UUID(int=number)) for number in range(1, 5)]
OWNER = {"broker": "paper", "account": "a", "instance": "i"}
TOKEN = 1


def _intent(number: int) -> IntentRecorded:
    side = OrderSide.BUY if number % 3 else OrderSide.SELL
    asset, amount = ("KRW", 70_000) if side is OrderSide.BUY else ("KRX:005930", 10)
    intent = OrderIntent(
        order_id=ORDERS[number],
        instrument_id="KRX:005930",
        venue="KRX",
        side=side,
        quantity=Decimal(10),
        currency="KRW",
        **OWNER,
    )
    return IntentRecorded(
        intent=intent, reservation=Reservation(asset=asset, amount=Decimal(amount))
    )


def _attempt(order: str, count: int) -> AttemptStarted:
    return AttemptStarted(
        order_id=order,
        client_order_id=f"{order}-{count}",
        attempt=count,
        payload_hash="",
        lease="sender",
        token=TOKEN,
    )


def _fill(order: str, trade: int) -> OrderFilled:
    # The figures of a trade follow from its number: venues do not change their minds.
    return OrderFilled(
        order_id=order,
        trade_id=f"{order}-{trade}",
        quantity=Decimal(1 + trade % 4),
        price=Decimal(6_990 + 7 * trade),
        fee=Decimal(trade % 3),
        tax=Decimal(trade % 2),
    )


_ORDER = st.sampled_from(ORDERS)
_SIMPLE = st.sampled_from(
    [
        lambda order, n: OrderAcknowledged(
            order_id=order, attempt=n, venue_order_id=f"v{order}{n}"
        ),
        lambda order, n: OrderRejected(order_id=order, attempt=n, reason=""),
        lambda order, n: OrderLost(order_id=order, attempt=n, reason=""),
        lambda order, n: OrderAbsent(order_id=order, attempt=n, evidence=""),
        lambda order, n: CancelRequested(order_id=order, number=n),
        lambda order, n: CancelRefused(order_id=order, number=n, reason=""),
        lambda order, _: OrderCancelled(order_id=order),
        lambda order, _: OrderDenied(order_id=order, check="R01", reason=""),
        lambda order, _: OrderExpired(order_id=order),
    ]
)
_EVENT = st.one_of(
    st.builds(_intent, st.integers(0, 3)),
    st.builds(_attempt, _ORDER, st.integers(1, 3)),
    st.builds(_fill, _ORDER, st.integers(1, 6)),
    st.builds(_fill, _ORDER, st.integers(1, 6)),
    st.builds(lambda make, order, n: make(order, n), _SIMPLE, _ORDER, st.sampled_from([1, 1, 2])),
    st.builds(
        lambda order, quantity: OrderAmended(
            order_id=order, quantity=Decimal(quantity), price=None, venue_order_id=f"v{order}"
        ),
        _ORDER,
        st.integers(1, 20),
    ),
)


async def _play(stream: list[tuple[Any, int]]) -> MemoryStore:
    store = MemoryStore(lambda: 0)
    journal = MemoryJournal(store, "w")
    await MemoryLeases(store).acquire_lease("sender", "me", 1)
    opening = [
        CashMoved(currency="KRW", amount=Decimal(200_000), reason="deposit", **OWNER),
        PositionAdopted(
            instrument_id="KRX:005930",
            currency="KRW",
            quantity=Decimal(15),
            cost=Decimal(100_001),
            reason="opening",
            **OWNER,
        ),
    ]
    await journal.record_event([Fact(event, ts_ns=0) for event in opening])
    # Two orders are on their way, so that most streams reach fills; two are not even wanted yet.
    start = [(_intent(0), 1), (_intent(1), 1), (_attempt(ORDERS[0], 1), 1)]
    for number, (event, again) in enumerate([*start, (_attempt(ORDERS[1], 1), 1), *stream]):
        # The same fact may come under one id or, as from another channel, under another.
        ids = [f"{number}-{way}" if way % 2 else "" for way in range(again)]
        for event_id in ids:
            before = (store.books.dump(), len(store.events))
            fact = Fact(event, ts_ns=number, event_id=event_id)
            filled = {row.id: row.filled for row in store.books.rows(OrderRow)}
            ended = {r.id: r.status for r in store.books.rows(OrderRow) if r.status in TERMINAL}
            try:
                (answer,) = await journal.record_event([fact])
            except InvariantError:
                assert (store.books.dump(), len(store.events)) == before
                continue
            assert answer.is_new or (store.books.dump(), len(store.events)) == before
            _check_orders(store, filled, ended)
    verdict = await journal.verify()
    rebuilt = await journal.rebuild()
    assert verdict.is_good
    assert rebuilt.is_identical, rebuilt.difference
    return store


def _check_orders(store: MemoryStore, filled: dict[str, Decimal], ended: dict[str, Any]) -> None:
    """I05: filled within ordered and never falling, an end is an end."""
    for row in store.books.rows(OrderRow):
        assert filled.get(row.id, 0) <= row.filled <= row.quantity
        assert ended.get(row.id, row.status) is row.status


def _check_books(store: MemoryStore) -> None:
    """I04, I06, I09: fills, lines, balances and reservations tell one story."""
    books = store.books
    fills, lines = books.rows(FillRow), books.rows(LedgerRow)
    for order in books.rows(OrderRow):
        total = sum((row.quantity for row in fills if row.order_id == order.id), Decimal(0))
        assert total == order.filled
    for seq in {row.seq for row in lines}:
        own = [row for row in lines if row.seq == seq]
        assert sum(row.debit for row in own) == sum(row.credit for row in own)
    assert all(row.debit % 1 == 0 and row.credit % 1 == 0 for row in lines)
    balances = {row.ledger: row for row in books.rows(BalanceRow)}
    assert sum(row.amount for row in balances.values()) == 0
    signs = {OrderSide.BUY: 1, OrderSide.SELL: -1}
    held = 15 + sum(signs[row.side] * row.quantity for row in fills)
    assert balances[LedgerAccount.POSITION].quantity == held
    cash = 200_000 - sum(signs[row.side] * row.gross + row.fee + row.tax for row in fills)
    assert balances[LedgerAccount.CASH].amount == cash
    for row in books.rows(ReservationRow):
        order = books.require_order(row.order_id)
        assert row.remaining >= 0
        assert row.remaining == 0 or order.status not in TERMINAL


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_EVENT, st.integers(1, 3)), max_size=200))
def test_in40_stream_when_in_any_order_then_the_books_stay_true(
    stream: list[tuple[Any, int]],
) -> None:
    """What contradicts is refused whole, what repeats changes nothing, and replay is identical."""
    store = asyncio.run(_play(stream))

    _check_books(store)


_WON = st.integers(0, 10**9).map(Decimal)
_COIN = st.integers(1, 10**12).map(lambda units: Decimal(units) / 10**8)
_PRICE = st.integers(0, 10**14).map(lambda units: Decimal(units) / 10**8)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(OrderSide), _COIN, _PRICE, _WON, st.sampled_from([0, 1])),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(["KRW", "USDT"]),
)
def test_lines_when_positions_grow_shrink_and_turn_then_each_fill_balances(
    trades: list[tuple[OrderSide, Decimal, Decimal, Decimal, int]], currency: str
) -> None:
    """Debits equal credits to the unit, a flat position costs nothing, quantity is conserved."""
    unit = Decimal(1) if currency == "KRW" else Decimal("0.00000001")
    held, traded = Holding(), Decimal(0)
    for number, (side, quantity, price, fee, in_coins) in enumerate(trades):
        kept = quantity / 1000 if in_coins else Decimal(0)
        kept = kept.quantize(Decimal("0.00000001"))
        fill = OrderFilled(
            order_id="o",
            trade_id=str(number),
            quantity=quantity,
            price=price,
            fee=fee,
            fee_quantity=kept,
        )
        lines = fill_lines(fill, side, currency, held)

        assert sum((line.amount for line in lines), Decimal(0)) == 0
        assert all(Fraction(line.amount) % Fraction(unit) == 0 for line in lines)
        position = [line for line in lines if line.ledger is LedgerAccount.POSITION]
        held = Holding(
            held.quantity + sum(line.quantity for line in position),
            held.cost + sum(line.amount for line in position),
        )
        traded += (quantity if side is OrderSide.BUY else -quantity) - kept
        assert held.quantity == traded
        assert held.cost == 0 or held.quantity * held.cost >= 0
        assert held.quantity or not held.cost
