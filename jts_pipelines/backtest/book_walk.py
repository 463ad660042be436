"""What an order takes from an order book: level after level, each part at the price of its level.

Our orders move nobody else: what they took stays in the recorded book. So it is remembered, and is
not there again for us while the book shows the same quantity at that price.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from jts_pipelines.backtest.quote_levels import Book
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.ticks import BookLevel

_ZERO = Decimal(0)


class Part(NamedTuple):
    """What an order gets at one price."""

    price: Decimal
    quantity: Decimal


class Taken:
    """What our orders took from the books of a session.

    Attributes:
        levels: Quantity by level and side of the orders, of each instrument that has such levels.
    """

    def __init__(self) -> None:
        self.levels: dict[str, dict[tuple[OrderSide, BookLevel], Decimal]] = {}

    def clear(self) -> None:
        """Forget everything: a session has ended, and its books with it."""
        self.levels.clear()

    def see(self, instrument_id: str, book: Book | None) -> None:
        """Forget the levels that a newer book does not show, or shows with another quantity."""
        before = self.levels.pop(instrument_id, None)
        if before is None or book is None:
            return
        shown = {(OrderSide.BUY, level) for level in book.asks}
        shown |= {(OrderSide.SELL, level) for level in book.bids}
        after = {key: taken for key, taken in before.items() if key in shown}
        if after:
            self.levels[instrument_id] = after

    def left(self, instrument_id: str, side: OrderSide, level: BookLevel) -> Decimal:
        """Return what a level still has for our orders."""
        taken = self.levels.get(instrument_id, {}).get((side, level), _ZERO)
        return level.quantity - taken

    def take(
        self, instrument_id: str, side: OrderSide, levels: Iterable[BookLevel], parts: list[Part]
    ) -> None:
        """Note that an order of a side took parts of the newest book."""
        if not parts:
            return
        by_price = {level.price: level for level in levels}
        taken = self.levels.setdefault(instrument_id, {})
        for part in parts:
            key = side, by_price[part.price]
            taken[key] = taken.get(key, _ZERO) + part.quantity


def walk(
    available: Iterable[tuple[Decimal, Decimal]],
    wanted: Decimal,
    side: OrderSide,
    limit: Decimal | None,
    step: Decimal,
) -> list[Part]:
    """Return the parts that an order takes.

    Args:
        available: Price and quantity by level of the opposite side, best first.
        wanted: By the order.
        side: Of the order.
        limit: Worst price that it takes; None takes any.
        step: Smallest quantity that can be traded; less than that of a level stays.
    """
    parts = list[Part]()
    for price, quantity in available:
        if wanted <= 0 or (limit is not None and is_worse(price, limit, side)):
            break
        part = min(wanted, quantity - quantity % step)
        if part > 0:
            parts.append(Part(price, part))
            wanted -= part
    return parts


def is_worse(price: Decimal, limit: Decimal, side: OrderSide) -> bool:
    """Return whether a price is one that an order with a limit does not take."""
    return price > limit if side is OrderSide.BUY else price < limit
