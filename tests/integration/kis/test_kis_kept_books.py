"""A simulated account that survives its process, as one at a broker does."""

from asyncio import run
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path

import pytest

from jts_trading.brokers.kis.orders import CashOrder, OrderDivision, PlacedOrder
from jts_trading.brokers.kis.simulator.kept_desk import BooksError
from jts_trading.domain.account_reports import OrderAnswer
from jts_trading.domain.market.costs import Side

Open = Callable[..., AbstractAsyncContextManager]
_DAY = date(2024, 6, 3)


def _order(side: Side, quantity: int, price: int | None) -> CashOrder:
    division = OrderDivision.MARKET if price is None else OrderDivision.LIMIT
    return CashOrder(symbol="005930", side=side, quantity=quantity, price=price, division=division)


def test_simulator_when_it_starts_again_then_account_and_open_orders_are_as_they_were(
    open_venue: Open, tmp_path: Path
) -> None:
    """Cash, shares, fills and numbers stay; what rested still holds, and can be cancelled."""
    books = str(tmp_path / "sim" / "books.json")

    async def first() -> tuple[object, object, OrderAnswer]:
        async with open_venue(books=books) as venue:
            await venue.orders.submit(_order(Side.BUY, 10, None))
            resting = await venue.orders.submit(_order(Side.BUY, 5, 60_000))
            assert isinstance(resting, OrderAnswer)
            return await venue.rest.balance(), await venue.rest.orders(_DAY, _DAY), resting

    async def second() -> None:
        async with open_venue(books=books) as venue:
            assert await venue.rest.balance() == before
            assert await venue.rest.orders(_DAY, _DAY) == rows
            assert venue.ready.desk.ledger.is_balanced
            held = venue.ready.desk.ledger.buyable
            placed = PlacedOrder(order_no=resting.order_no, branch=resting.branch)
            cancelled = await venue.orders.cancel(placed)
            assert isinstance(cancelled, OrderAnswer)
            assert int(cancelled.order_no) == 3
            assert venue.ready.desk.ledger.buyable > held
            await venue.orders.submit(_order(Side.SELL, 10, None))
            assert venue.ready.desk.sellable("005930") == 0

    before, rows, resting = run(first())
    run(second())


def test_simulator_when_the_books_are_of_another_account_then_it_does_not_start(
    open_venue: Open, tmp_path: Path
) -> None:
    """Another deposit is another account: nobody guesses which one is meant."""
    books = str(tmp_path / "books.json")

    async def open_with(deposit: int) -> None:
        async with open_venue(books=books, deposit=deposit) as venue:
            await venue.orders.submit(_order(Side.BUY, 1, None))

    run(open_with(1_000_000))
    with pytest.raises(BooksError, match="remove the file"):
        run(open_with(2_000_000))
