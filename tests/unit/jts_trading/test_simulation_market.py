"""The simulated market: price then time, the tape's volume conserved, books exact to the won."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.domain.market.admission import Admission
from jts_trading.domain.market.costs import CommissionProfile, Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.simulation.account_ledger import AccountLedger
from jts_trading.simulation.krx_market import KrxMarket, Listing, Print
from jts_trading.simulation.matching import OrderBook, Resting
from jts_trading.simulation.tape import TapeBar, merged, prints_of

DAY = date(2024, 6, 3)
SAMSUNG = Listing("005930", "삼성전자")


def _book(*orders: tuple[str, Side, int, int]) -> OrderBook:
    book = OrderBook()
    for order in orders:
        book.rest(Resting(*order))
    return book


def test_book_when_taken_then_best_price_first_and_oldest_at_a_price():
    """Price, then time; the price is that of the order that rested."""
    book = _book(
        ("late", Side.SELL, 100, 5), ("high", Side.SELL, 101, 5), ("later", Side.SELL, 100, 5)
    )

    got = book.take(Side.SELL, 101, 12, "us")

    assert [(e.maker_id, e.price, e.quantity) for e in got] == [
        *(("late", 100, 5), ("later", 100, 5)),
        ("high", 101, 2),
    ]
    assert book.depth(Side.SELL, 5) == [(101, 3)]


def test_book_when_reduced_then_place_is_kept():
    """Fewer shares do not cost the place in the queue."""
    book = _book(("a", Side.BUY, 100, 5), ("b", Side.BUY, 100, 5))

    assert book.reduce("a", 3) == 3
    assert [e.maker_id for e in book.take(Side.BUY, 100, 3, "us")] == ["a", "b"]
    assert book.reduce("unknown", 1) == 0


_ORDERS = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(90, 110), st.integers(1, 50)),
    max_size=40,
)


@settings(deadline=None)
@given(orders=_ORDERS)
def test_book_when_orders_meet_then_shares_are_conserved_and_never_crossed(orders):
    """What was sent is executed or rests; the book never shows a bid at or above an ask."""
    book = OrderBook()
    executed = 0
    for at, (side, price, quantity) in enumerate(orders):
        other = Side.SELL if side is Side.BUY else Side.BUY
        met = book.take(other, price, quantity, str(at))
        rest = quantity - sum(e.quantity for e in met)
        executed += quantity - rest
        if rest:
            book.rest(Resting(str(at), side, price, rest))
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is None or ask is None or bid < ask
    resting = sum(
        q for side in Side if side in (Side.BUY, Side.SELL) for _, q in book.depth(side, 99)
    )
    assert resting + 2 * executed == sum(quantity for _, _, quantity in orders)


def _market(reference: int = 70_000, level: int = 100) -> KrxMarket:
    return KrxMarket(SAMSUNG, default_table(), DAY, reference, level_quantity=level)


def test_market_when_opened_then_crowd_shows_ten_levels_a_side():
    """The book is there before the first trade, on the ladder, not crossed."""
    market = _market()

    asks, bids = market.book.depth(Side.SELL, 20), market.book.depth(Side.BUY, 20)
    assert [price for price, _ in asks[:2]] == [70_000, 70_100]
    assert [price for price, _ in bids[:2]] == [69_900, 69_800]
    assert (len(asks), len(bids)) == (10, 10)


def test_market_when_our_order_crosses_then_levels_are_walked():
    """A market order larger than the best level pays the next."""
    placed = _market().place("o1", Side.BUY, 150, None)

    assert [(e.price, e.quantity) for e in placed.executions] == [(70_000, 100), (70_100, 50)]


def test_market_when_fill_or_kill_cannot_fill_then_nothing_is_executed():
    """All or none; a limit that must not rest lapses."""
    market = _market()

    killed = market.place("o1", Side.BUY, 500, 70_000, stays=False, all_or_none=True)
    part = market.place("o2", Side.BUY, 500, 70_000, stays=False)

    assert (killed.executions, killed.lapsed) == ([], 500)
    assert (sum(e.quantity for e in part.executions), part.lapsed) == (100, 400)


def test_market_when_print_is_at_our_price_then_crowd_ahead_goes_first():
    """We stand behind what rested before us at the same price."""
    market = _market()
    market.place("o1", Side.BUY, 10, 69_900)

    first = market.print_trade(Print(0, "005930", 69_900, 100, Side.SELL))
    second = market.print_trade(Print(1, "005930", 69_900, 4, Side.SELL))

    assert first == []
    assert [(e.maker_id, e.price, e.quantity) for e in second] == [("o1", 69_900, 4)]


def test_market_when_print_goes_through_us_then_we_fill_at_our_price_up_to_its_size():
    """A trade beyond our limit must have met us first."""
    market = _market()
    market.place("o1", Side.BUY, 10, 69_900)

    got = market.print_trade(Print(0, "005930", 69_500, 6, Side.SELL))

    assert [(e.price, e.quantity) for e in got] == [(69_900, 6)]
    assert market.book.get("o1").remaining == 4
    assert market.figures.volume == 6


def test_market_when_auction_collects_then_one_price_for_all():
    """Orders of a call auction are executed at the price of the next print."""
    market = _market()
    placed = market.place("o1", Side.BUY, 10, None, in_auction=True)
    assert placed.executions == []

    got = market.print_trade(Print(0, "005930", 70_300, 50, Side.BUY))

    assert [(e.price, e.quantity) for e in got] == [(70_300, 10)]


@pytest.mark.parametrize(
    ("price", "verdict"),
    [
        (70_050, Admission.TICK),
        (91_000, Admission.ACCEPT),
        (91_100, Admission.LIMIT),
        (48_950, Admission.LIMIT),
    ],
)
def test_market_when_price_is_judged_then_the_rule_table_decides(price: int, verdict: Admission):
    """Ticks and the daily limits of 30 % come from the dated rules."""
    assert _market().admission(Side.BUY, 1, price) is verdict


@st.composite
def _bars(draw: st.DrawFn) -> TapeBar:
    prices = [draw(st.integers(500, 900)) * 100 for _ in range(4)]
    low, high = min(prices), max(prices)
    return TapeBar("005930", 0, prices[0], high, low, prices[3], draw(st.integers(0, 5000)))


@settings(deadline=None)
@given(bar=_bars(), prints_max=st.integers(4, 60))
def test_tape_when_a_bar_is_walked_then_volume_and_prices_are_conserved(
    bar: TapeBar, prints_max: int
):
    """The prints of a bar add up to it: volume always, all four prices when shares suffice."""
    prints = prints_of(bar, 100, prints_max=prints_max)

    assert sum(trade.quantity for trade in prints) == bar.volume
    assert prints == prints_of(bar, 100, prints_max=prints_max)
    assert all(trade.quantity > 0 and 0 <= trade.ts_ns < 60 * 10**9 for trade in prints)
    assert [t.ts_ns for t in prints] == sorted(t.ts_ns for t in prints)
    if bar.volume >= 4:
        prices = [trade.price for trade in prints]
        assert (prices[0], prices[-1]) == (bar.open, bar.close)
        assert (max(prices), min(prices)) == (bar.high, bar.low)
        assert all(price % 100 == 0 for price in prices)


def test_tape_when_merged_then_times_ascend():
    """Several instruments make one tape."""
    bars = [TapeBar(code, 0, 100, 110, 90, 105, 50) for code in ("B", "A")]
    tape = list(merged(prints_of(bar, 5) for bar in bars))

    assert [t.ts_ns for t in tape] == sorted(t.ts_ns for t in tape)
    assert tape[0].symbol == "A"


def _ledger(deposit: int = 10_000_000) -> AccountLedger:
    return AccountLedger(
        deposit,
        table=default_table(),
        calendar=calendar_for("KRX"),
        commission=CommissionProfile("kis"),
    )


def test_ledger_when_bought_and_sold_then_costs_are_exact():
    """Worked by hand: 0.0140527 % a side and 0.18 % tax in 2024, each floored."""
    ledger = _ledger()
    buy = ledger.book_fill(DAY, "1", SAMSUNG, Side.BUY, price=71_000, quantity=10)
    sell = ledger.book_fill(DAY, "2", SAMSUNG, Side.SELL, price=72_000, quantity=4)

    assert (buy.commission, buy.tax, buy.net) == (99, 0, -710_099)
    # 288,000 x 0.000140527 = 40.47; taxes 0.03 % = 86.4 and 0.15 % = 432.
    assert (sell.commission, sell.tax, sell.net) == (40, 518, 287_442)
    assert (sell.realised, ledger.positions["005930"].cost) == (4_000, 426_000)
    assert ledger.is_balanced


def test_ledger_when_not_settled_then_deposit_waits_two_sessions():
    """A trade of Monday settles on Wednesday; 6 June is a holiday."""
    ledger = _ledger()
    ledger.book_fill(date(2024, 6, 4), "1", SAMSUNG, Side.BUY, price=71_000, quantity=10)

    assert ledger.settled_cash(date(2024, 6, 5)) == 10_000_000
    assert ledger.settled_cash(date(2024, 6, 7)) == ledger.cash == 9_289_901


def test_ledger_when_cash_is_reserved_then_buyable_falls():
    """An open order holds its cash until it is released."""
    ledger = _ledger()
    ledger.reserve("1", 400)
    ledger.reserve("1", 300)

    assert ledger.buyable == 9_999_700
    ledger.reserve("1", 0)
    assert ledger.buyable == ledger.cash


@settings(deadline=None)
@given(
    fills=st.lists(
        st.tuples(st.booleans(), st.integers(1, 10_000), st.integers(1, 500)), max_size=40
    )
)
def test_ledger_when_any_fills_then_books_close_to_the_won(fills):
    """Cash + positions at cost + costs = deposits + realised result, after every row."""
    ledger = _ledger(10**12)
    for at, (wants_sale, price, quantity) in enumerate(fills):
        held = ledger.quantity("005930")
        is_sale = wants_sale and held > 0
        size = min(quantity, held) if is_sale else quantity
        side = Side.SELL if is_sale else Side.BUY
        ledger.book_fill(DAY, str(at), SAMSUNG, side, price=price, quantity=size)
        assert ledger.is_balanced
        position = ledger.positions["005930"]
        assert position.quantity > 0 or position.cost == 0
    assert Fraction(ledger.cash).denominator == 1


def test_ledger_when_more_is_sold_than_held_then_refused():
    """The simulated broker does not lend shares."""
    with pytest.raises(ValueError, match="5 shares are sold, 0 are held"):
        _ledger().book_fill(DAY, "1", SAMSUNG, Side.SELL, price=100, quantity=5)
