"""What orders take from books: never more than was shown, never beyond their limit."""

from collections import Counter
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from jts_pipelines.backtest.book_walk import Taken, walk
from jts_pipelines.backtest.quote_levels import Book
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.ticks import BookLevel

STEP = Decimal("0.5")
# Few prices and quantities, so that levels stay, change, go and come back.
ASKS = st.dictionaries(st.integers(101, 104), st.integers(1, 6), max_size=4)
BIDS = st.dictionaries(st.integers(97, 100), st.integers(1, 6), max_size=4)
ORDERS = st.lists(
    st.tuples(
        st.sampled_from(OrderSide),
        st.integers(1, 24),
        st.one_of(st.none(), st.integers(97, 104)),
    ),
    max_size=3,
)


def levels(found: dict[int, int], *, is_ask: bool) -> tuple[BookLevel, ...]:
    """Return levels, best first; quantities in quarters, so that half a step may stay."""
    return tuple(
        BookLevel(Decimal(price), Decimal(found[price]) / 4)
        for price in sorted(found, reverse=not is_ask)
    )


@given(st.lists(st.tuples(ASKS, BIDS, ORDERS), max_size=12))
def test_orders_when_they_walk_books_then_a_level_gives_what_it_showed_once(
    moments: list[tuple[dict[int, int], dict[int, int], list[tuple[OrderSide, int, int | None]]]],
) -> None:
    """A plain count beside it: what was taken of each level since it came as it is."""
    taken, count, before = Taken(), Counter[tuple[OrderSide, BookLevel]](), set()
    for asks, bids, orders in moments:
        book = Book(levels(asks, is_ask=True), levels(bids, is_ask=False))
        taken.see("X", book)
        shown = {(OrderSide.BUY, level) for level in book.asks}
        shown |= {(OrderSide.SELL, level) for level in book.bids}
        for key in list(count):
            if key not in shown & before:
                del count[key]
        before = shown
        for side, halves, limit in orders:
            opposite = book.asks if side is OrderSide.BUY else book.bids
            offered = [(level.price, taken.left("X", side, level)) for level in opposite]
            wanted, bound = halves * STEP, None if limit is None else Decimal(limit)

            parts = walk(offered, wanted, side, bound, STEP)

            taken.take("X", side, opposite, parts)
            of_price = {level.price: level for level in opposite}
            for part in parts:
                assert part.quantity > 0
                assert part.quantity % STEP == 0
                count[side, of_price[part.price]] += part.quantity
            within = [
                level
                for level in opposite
                if bound is None
                or (level.price <= bound if side is OrderSide.BUY else level.price >= bound)
            ]
            assert [part.price for part in parts] == [
                level.price for level in within if level.price in {part.price for part in parts}
            ]
            assert all(count[side, level] <= level.quantity for level in opposite)
            total = sum(part.quantity for part in parts)
            assert total <= wanted
            if total < wanted:
                # It took whatever could be taken.
                assert all(level.quantity - count[side, level] < STEP for level in within)


@given(ASKS)
def test_books_when_a_session_ends_then_nothing_is_taken_from_the_next(
    asks: dict[int, int],
) -> None:
    """Orders of a book end with their day."""
    taken, opposite = Taken(), levels(asks, is_ask=True)
    offered = [(level.price, level.quantity) for level in opposite]
    taken.take("X", OrderSide.BUY, opposite, walk(offered, Decimal(9), OrderSide.BUY, None, STEP))

    taken.clear()

    assert taken.levels == {}
    assert [taken.left("X", OrderSide.BUY, level) for level in opposite] == [
        level.quantity for level in opposite
    ]
