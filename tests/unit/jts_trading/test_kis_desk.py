"""The simulated broker under any sequence of requests and trades keeps its promises."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.brokers.kis.settings import Environment
from jts_trading.brokers.kis.simulator.desk import Desk
from jts_trading.brokers.kis.simulator.orders_of_day import NoticeStep, RowKind
from jts_trading.brokers.kis.wire import CashOrderRequest, ChangeRequest
from jts_trading.domain.market.costs import CommissionProfile, Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.simulation.account_ledger import AccountLedger
from jts_trading.simulation.krx_market import Listing, Print

START_NS = int(datetime(2024, 6, 3, 0, 30, tzinfo=UTC).timestamp()) * 10**9
ACCOUNT = ("50000001", "01")


def _desk() -> Desk:
    ledger = AccountLedger(
        5_000_000,
        table=default_table(),
        calendar=calendar_for("KRX"),
        commission=CommissionProfile("kis"),
    )
    return Desk(
        environment=Environment.REAL,
        account="".join(ACCOUNT),
        ledger=ledger,
        table=default_table(),
        listings=[Listing("005930", "삼성전자")],
        references={"005930": 70_000},
        now_ns=START_NS,
        level_quantity=20,
    )


_PRICES = st.integers(690, 710).map(lambda ticks: ticks * 100)
_PLACE = st.tuples(
    st.just("place"),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.sampled_from(["00", "01", "03", "04", "11", "12", "13", "14"]),
    st.integers(1, 60),
    _PRICES,
)
_CHANGE = st.tuples(
    st.just("change"),
    st.integers(1, 12),
    st.sampled_from(["01", "02"]),
    st.integers(0, 30),
    _PRICES,
)
_PRINT = st.tuples(
    st.just("print"), _PRICES, st.integers(1, 80), st.sampled_from([Side.BUY, Side.SELL])
)


def _act(desk: Desk, step: tuple, now_ns: int) -> None:
    match step:
        case ("place", side, division, quantity, price):
            is_priced = division in ("00", "11", "12")
            request = CashOrderRequest(
                cano=ACCOUNT[0],
                acnt_prdt_cd=ACCOUNT[1],
                pdno="005930",
                ord_dvsn=division,
                ord_qty=str(quantity),
                ord_unpr=str(price if is_priced else 0),
            )
            desk.place(request, side, now_ns)
        case ("change", number, verb, quantity, price):
            request = ChangeRequest(
                cano=ACCOUNT[0],
                acnt_prdt_cd=ACCOUNT[1],
                krx_fwdg_ord_orgno="00950",
                orgn_odno=str(number),
                ord_dvsn="00",
                rvse_cncl_dvsn_cd=verb,
                ord_qty=str(quantity),
                ord_unpr=str(price),
                qty_all_ord_yn="N" if quantity else "Y",
            )
            desk.change(request, now_ns)
        case ("print", price, quantity, side):
            desk.play(Print(now_ns, "005930", price, quantity, side))


def _check(desk: Desk) -> None:
    assert desk.ledger.is_balanced
    market = desk.markets["005930"]
    held = sum(
        desk.ledger.cash_needed(desk.day, market.listing, row.hold_price, row.remaining)
        for row in desk.rows.values()
        if row.side is Side.BUY and row.remaining
    )
    assert desk.ledger.buyable == desk.ledger.cash - held >= 0
    assert desk.sellable("005930") >= 0
    book = market.book
    bid, ask = book.best(Side.BUY), book.best(Side.SELL)
    assert bid is None or ask is None or bid < ask
    for row in desk.rows.values():
        assert 0 <= row.remaining <= row.quantity
        resting = book.get(row.book_id)
        assert (resting.remaining if resting else 0) == row.remaining
        if row.kind is RowKind.CANCEL:
            assert row.filled == 0
    filled = sum(row.filled for row in desk.rows.values())
    amount = sum(row.amount for row in desk.rows.values())
    assert filled == sum(row.quantity for row in desk.ledger.rows)
    assert amount == sum(row.gross for row in desk.ledger.rows)


@settings(deadline=None, max_examples=150)
@given(steps=st.lists(_PLACE | _CHANGE | _PRINT, max_size=30))
def test_desk_when_anything_happens_then_books_orders_and_book_agree(steps: list[tuple]):
    """Cash is never overdrawn, shares never oversold, rows and book and ledger never differ."""
    desk = _desk()
    for at, step in enumerate(steps):
        _act(desk, step, START_NS + at * 10**9)
        _check(desk)
    fills = [notice for notice in desk.notices if notice.step is NoticeStep.FILL]
    assert [(n.row.number, n.quantity, n.price) for n in fills] == [
        (row.order_no, row.quantity, row.price) for row in desk.ledger.rows
    ]
