"""Positions, cost, results and equity, against figures worked out by hand."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.journal_events import (
    IntentRecorded,
    NoteRecorded,
    OrderAdopted,
    OrderAmended,
    OrderCancelled,
    OrderDenied,
    OrderFilled,
    PositionAdopted,
)
from jts_trading.domain.ledger_rows import BalanceRow, LedgerAccount
from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.portfolio.books import Owner, account_books, read_balances
from jts_trading.portfolio.fills import still_reserved
from jts_trading.portfolio.holding import Holding, trade
from jts_trading.portfolio.instance_account import ENDED_ORDERS_KEPT, InstanceAccount
from jts_trading.portfolio.round_trips import TripRecord
from jts_trading.portfolio.valuation import Mark, follow, value_books

SAMSUNG = "KRX:005930"
D = Decimal


def test_holding_when_bought_twice_and_sold_then_cost_is_the_average() -> None:
    """10 at 70,000 and 10 at 72,000 cost 1,420,000; selling 5 at 75,000 realises 20,000."""
    first = trade(Holding(), D(10), D(700_000), "KRW").held
    second = trade(first, D(10), D(720_000), "KRW").held
    sold = trade(second, D(-5), D(-375_000), "KRW")

    assert second == Holding(D(20), D(1_420_000))
    assert second.average_cost == 71_000
    assert second.unrealised(D(75_000)) == 80_000
    assert (sold.held, sold.realised) == (Holding(D(15), D(1_065_000)), D(20_000))


def test_holding_when_the_last_unit_goes_then_no_cost_stays_behind() -> None:
    """Thirds of a won are never lost: 3 shares for 100 won, sold one by one for 50."""
    held, realised = Holding(D(3), D(100)), D(0)
    for _ in range(3):
        change = trade(held, D(-1), D(-50), "KRW")
        held, realised = change.held, realised + change.realised

    assert (held, realised) == (Holding(), D(50))
    assert held.average_cost is None


def test_holding_when_a_sale_goes_beyond_it_then_a_short_position_opens() -> None:
    """5 held at 100, 8 sold at 120: 100 realised, 3 short for 360."""
    change = trade(Holding(D(5), D(500)), D(-8), D(-960), "KRW")

    assert change.held == Holding(D(-3), D(-360))
    assert change.realised == 100
    assert change.moves == ((D(-500), D(-5)), (D(-360), D(-3)))


@given(st.lists(st.tuples(st.integers(-9, 9).filter(bool), st.integers(1, 999)), max_size=30))
def test_holding_when_traded_at_random_then_cash_and_cost_and_result_add_up(
    trades: list[tuple[int, int]],
) -> None:
    """What was paid is what is left as cost, less what was realised, to the won."""
    held, paid, realised = Holding(), D(0), D(0)
    for quantity, price in trades:
        change = trade(held, D(quantity), D(quantity * price), "KRW")
        held, paid = change.held, paid + quantity * price
        realised += change.realised
        assert held.quantity or not held.cost

    assert held.quantity == sum(quantity for quantity, _ in trades)
    assert held.cost == paid + realised


def intent(order_id: str, side: OrderSide, quantity: int, reserved: int) -> IntentRecorded:
    """Return an intent of the instance `sma` with its reservation."""
    return IntentRecorded(
        intent=OrderIntent(
            order_id=order_id,
            broker="kis",
            account="a1",
            instance="sma",
            instrument_id=SAMSUNG,
            venue="KRX",
            side=side,
            quantity=D(quantity),
            currency="KRW",
        ),
        reservation=Reservation(
            asset="KRW" if side is OrderSide.BUY else SAMSUNG, amount=D(reserved)
        ),
    )


def fill(order_id: str, number: int, quantity: int, price: int, fee: int, *, tax: int = 0):
    """Return a fill of that order."""
    return OrderFilled(
        order_id=order_id,
        trade_id=f"t{number}",
        quantity=D(quantity),
        price=D(price),
        fee=D(fee),
        tax=D(tax),
        ts_event_ns=number,
    )


def new_account(allocation: int = 10_000_000) -> InstanceAccount:
    """Return the account of the instance `sma`."""
    return InstanceAccount(
        broker="kis", account="a1", instance="sma", currency="KRW", allocation=D(allocation)
    )


def test_account_when_a_day_is_traded_then_cash_equity_and_result_are_to_the_won() -> None:
    """Buys 28 at 71,000 in two fills, sells them at 72,000 with fee and tax."""
    account = new_account()
    account.apply(intent("b", OrderSide.BUY, 28, 2_584_763), 1)
    assert (account.reserved, account.cash) == (2_584_763, 10_000_000)
    assert account.working(SAMSUNG) is not None

    account.apply(fill("b", 1, 10, 71_000, 99), 2)
    assert account.reserved == 1_661_634  # 18 of 28, rounded up
    account.apply(fill("b", 2, 18, 71_000, 179), 3)
    assert (account.reserved, account.working(SAMSUNG)) == (0, None)
    assert account.cash == 10_000_000 - 1_988_000 - 278
    assert account.equity({SAMSUNG: D(72_000)}) == 10_000_000 + 28_000 - 278
    assert account.equity({}) == 10_000_000 - 278  # without a price at cost

    account.apply(intent("s", OrderSide.SELL, 28, 28), 4)
    assert account.reserved == 0
    news = account.apply(fill("s", 3, 28, 72_000, 283, tax=4_636), 5)

    assert news is not None
    assert (news.has_left, news.price, news.ts_ns) == (True, D(72_000), 3)
    assert account.cash == 10_000_000 + 28_000 - 278 - 283 - 4_636
    assert account.holding(SAMSUNG) == Holding()
    assert account.record == TripRecord(closed=1, won=1, profit=D(22_803), loss=D(0))


def test_account_when_orders_end_without_a_fill_then_nothing_stays_reserved() -> None:
    """Denied and cancelled orders give their cash back; a late fill is still booked."""
    account = new_account()
    account.apply(intent("b1", OrderSide.BUY, 1, 90_000), 1)
    account.apply(intent("b2", OrderSide.BUY, 1, 90_000), 1)
    assert account.reserved == 180_000
    account.apply(OrderDenied(order_id="b1", check="R03", reason="old price"), 2)
    account.apply(OrderCancelled(order_id="b2"), 3)
    assert (account.reserved, account.working(SAMSUNG)) == (0, None)

    account.apply(fill("b2", 9, 1, 71_000, 10), 4)

    assert account.holding(SAMSUNG).quantity == 1
    assert account.cash == 10_000_000 - 71_010


def test_account_when_events_are_about_others_then_it_does_not_change() -> None:
    """Orders of other instances and unknown orders pass by."""
    account = new_account()
    other = intent("x", OrderSide.BUY, 1, 90_000)
    mine = InstanceAccount(
        broker="kis", account="a1", instance="other", currency="KRW", allocation=D(1)
    )
    mine.apply(other, 1)

    assert mine.apply(fill("unknown", 1, 1, 1, 0), 1) is None
    assert mine.orders == {}
    assert account.apply(fill("x", 1, 1, 71_000, 0), 2) is None


def test_account_when_a_position_is_adopted_then_it_counts_at_its_cost() -> None:
    """Shares that came from elsewhere have a cost and no cash."""
    account = new_account()
    arrived = PositionAdopted(
        broker="kis",
        account="a1",
        instance="sma",
        instrument_id=SAMSUNG,
        currency="KRW",
        quantity=D(5),
        cost=D(350_000),
        reason="moved",
    )
    account.apply(arrived, 1)

    assert account.holding(SAMSUNG) == Holding(D(5), D(350_000))
    assert account.equity({SAMSUNG: D(71_000)}) == 10_355_000


def test_account_when_many_orders_have_ended_then_the_oldest_are_forgotten() -> None:
    """Memory is bounded: only the newest ended orders are kept."""
    account = new_account()
    for number in range(ENDED_ORDERS_KEPT + 5):
        account.apply(intent(f"b{number}", OrderSide.BUY, 1, 1), number)
        account.apply(OrderDenied(order_id=f"b{number}", check="R01", reason=""), number)

    assert len(account.ended) == ENDED_ORDERS_KEPT
    assert "b0" not in account.ended


def test_reservation_of_coins_when_partly_filled_then_the_rest_is_rounded_up() -> None:
    """A third of 0.00000001 coins still reserves the smallest unit."""
    assert still_reserved("BINANCE:BTCUSDT", D("0.00000001"), D(3), D(2)) == D("0.00000001")
    assert still_reserved("KRW", D(100), D(3), D(1)) == 67


def balance(ledger: LedgerAccount, amount: int, quantity: int = 0, instance: str = "sma"):
    """Return a balance in won; positions are in Samsung Electronics."""
    return BalanceRow(
        broker="kis",
        account="a1",
        instance=instance,
        ledger=ledger,
        instrument_id=SAMSUNG if ledger is LedgerAccount.POSITION else "",
        currency="KRW",
        amount=D(amount),
        quantity=D(quantity),
    )


def test_valuation_when_read_from_the_ledger_then_it_is_what_was_put_in_and_earned() -> None:
    """Equity is capital plus result, for the instance and for the account."""
    rows = [
        balance(LedgerAccount.CASH, 8_033_803),
        balance(LedgerAccount.POSITION, 1_988_000, 28),
        balance(LedgerAccount.FEES, 561),
        balance(LedgerAccount.TAX, 4_636),
        balance(LedgerAccount.REALISED, -27_000),
        balance(LedgerAccount.CAPITAL, -10_000_000),
        balance(LedgerAccount.CASH, 500_000, instance="external"),
        balance(LedgerAccount.CAPITAL, -500_000, instance="external"),
    ]
    books = read_balances(rows)
    mine = value_books(books[Owner("kis", "a1", "sma")], {SAMSUNG: Mark(D(71_500), 7)}, "KRW")
    total = value_books(account_books(books, "kis", "a1"), {}, "KRW")

    assert (mine.equity, mine.unrealised, mine.oldest_ns) == (10_035_803, 14_000, 7)
    assert mine.result == 27_000 + 14_000 - 561 - 4_636 == mine.equity - 10_000_000
    assert (total.equity, total.unmarked) == (10_521_803, (SAMSUNG,))
    assert account_books(books, "kis", "other").cash == {}


def test_equity_track_when_days_pass_then_loss_and_drawdown_are_measured() -> None:
    """A day begins with the last equity of the day before; the peak stays."""
    monday, tuesday = date(2024, 6, 3), date(2024, 6, 4)
    track = follow(None, monday, D(100))
    track = follow(track, monday, D(120))
    track = follow(track, tuesday, D(108))

    assert (track.day_start, track.peak, track.equity) == (120, 120, 108)
    assert track.daily_loss == track.drawdown == Fraction(1, 10)
    assert follow(track, monday, D(110)).day == tuesday
    assert follow(None, monday, D(0)).daily_loss == follow(None, monday, D(0)).drawdown == 0


def test_account_when_orders_are_adopted_and_amended_then_it_follows_them() -> None:
    """An order found at the venue counts; an amended quantity decides when it is filled."""
    account = new_account()
    found = intent("x", OrderSide.SELL, 5, 0).intent
    account.apply(OrderAdopted(intent=found, venue_order_id="v"), 1)
    assert account.working(SAMSUNG) is not None
    amended = OrderAmended(order_id="x", quantity=D(3), price=None, venue_order_id="v2")
    account.apply(amended, 2)
    account.apply(amended, 2)
    assert account.apply(OrderAmended(**{**vars_of(amended), "order_id": "unknown"}), 2) is None
    account.apply(fill("x", 1, 3, 71_000, 0), 3)

    assert account.working(SAMSUNG) is None
    assert account.holding(SAMSUNG).quantity == -3
    assert account.apply(OrderDenied(order_id="unknown", check="R01", reason=""), 4) is None
    assert account.apply(NoteRecorded(topic="t", subject="s", body="{}"), 5) is None


def vars_of(struct: OrderAmended) -> dict[str, object]:
    """Return the fields of a struct."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_account_when_an_adopted_position_leaves_again_then_it_is_flat() -> None:
    """Shares that went elsewhere take their cost along; those of others are not ours."""
    account = new_account()
    moved = {
        "broker": "kis",
        "account": "a1",
        "instance": "sma",
        "instrument_id": SAMSUNG,
        "currency": "KRW",
        "reason": "moved",
    }
    account.apply(PositionAdopted(quantity=D(5), cost=D(350_000), **moved), 1)
    news = account.apply(PositionAdopted(quantity=D(-5), cost=D(350_000), **moved), 2)
    others = PositionAdopted(quantity=D(5), cost=D(1), **{**moved, "instance": "other"})

    assert news is not None
    assert (news.has_left, account.holdings) == (True, {})
    assert account.apply(others, 3) is None
