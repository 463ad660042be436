"""An order book that matches by price, then time. Whole won and shares, no clock, no I/O.

An execution takes the price of the order that rested. Who may order what is decided elsewhere
(`krx_market`); the book itself only refuses what would make no sense.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from jts_trading.domain.market.costs import Side

OPPOSITE = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


class Execution(NamedTuple):
    """Part of two orders met; the price is that of the maker, who rested."""

    maker_id: str
    taker_id: str
    price: int
    quantity: int


@dataclass(slots=True)
class Resting:
    """An order in the book; `remaining` falls as it is executed."""

    order_id: str
    side: Side
    price: int
    remaining: int


class OrderBook:
    """All resting orders of one instrument."""

    def __init__(self) -> None:
        # Orders of one price stand in the order of their arrival: dicts keep it.
        self._sides: dict[Side, dict[int, dict[str, Resting]]] = {Side.BUY: {}, Side.SELL: {}}
        self._orders: dict[str, Resting] = {}

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._orders

    def get(self, order_id: str) -> Resting | None:
        """Return a resting order."""
        return self._orders.get(order_id)

    def best(self, side: Side) -> int | None:
        """Return the highest bid or lowest ask."""
        prices = self._sides[side]
        if not prices:
            return None
        return max(prices) if side is Side.BUY else min(prices)

    def depth(self, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return (price, quantity) of the best levels, best first."""
        prices = sorted(self._sides[side], reverse=side is Side.BUY)[:levels]
        return [(price, self.quantity_at(side, price)) for price in prices]

    def quantity_at(self, side: Side, price: int) -> int:
        """Return the shares that rest at a price."""
        return sum(order.remaining for order in self._sides[side].get(price, {}).values())

    def available(self, side: Side, limit: int | None) -> int:
        """Return the shares that an order of the other side with this limit would meet."""
        return sum(
            self.quantity_at(side, price)
            for price in self._sides[side]
            if limit is None or _reaches(side, price, limit)
        )

    def take(self, side: Side, limit: int | None, quantity: int, taker_id: str) -> list[Execution]:
        """Execute resting orders of a side against a taker, best price and oldest first.

        Args:
            side: Side of the resting orders.
            limit: Worst price for the taker; None takes every price.
            quantity: Most shares to execute.
            taker_id: Name of the taker in the executions.
        """
        executions = []
        while quantity > 0:
            price = self.best(side)
            if price is None or (limit is not None and not _reaches(side, price, limit)):
                break
            for order in list(self._sides[side][price].values()):
                size = min(order.remaining, quantity)
                executions.append(Execution(order.order_id, taker_id, price, size))
                order.remaining -= size
                quantity -= size
                if not order.remaining:
                    self._remove(order)
                if not quantity:
                    break
        return executions

    def rest(self, order: Resting) -> None:
        """Put an order behind all others of its price.

        Raises:
            ValueError: Its id rests already, or price or quantity is not above zero.
        """
        if order.order_id in self._orders or order.price <= 0 or order.remaining <= 0:
            raise ValueError(f"{order} cannot rest: known id, or price or quantity not above 0")
        self._sides[order.side].setdefault(order.price, {})[order.order_id] = order
        self._orders[order.order_id] = order

    def reduce(self, order_id: str, quantity: int) -> int:
        """Take shares out of a resting order and return how many; it keeps its place.

        The order is gone when nothing remains; an id that does not rest gives 0.
        """
        order = self._orders.get(order_id)
        if order is None:
            return 0
        size = min(order.remaining, quantity)
        order.remaining -= size
        if not order.remaining:
            self._remove(order)
        return size

    def remove_where(self, unwanted: Callable[[Resting], bool]) -> list[Resting]:
        """Take orders out of the book and return them."""
        gone = [order for order in self._orders.values() if unwanted(order)]
        for order in gone:
            self._remove(order)
        return gone

    def orders_at(self, side: Side, price: int) -> Iterable[Resting]:
        """Return the resting orders of a price, oldest first."""
        return self._sides[side].get(price, {}).values()

    def _remove(self, order: Resting) -> None:
        level = self._sides[order.side][order.price]
        del level[order.order_id]
        if not level:
            del self._sides[order.side][order.price]
        del self._orders[order.order_id]


def _reaches(resting_side: Side, price: int, limit: int) -> bool:
    return price >= limit if resting_side is Side.BUY else price <= limit
