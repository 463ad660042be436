"""The order book of one symbol from a snapshot and numbered changes, or the knowledge of its loss.

Theory of operation (brokers/binance section 7.1). Changes carry the first and last update id that
they sum up. They are kept until a snapshot lies among them; from there on each has to begin right
behind the one before it. A jump means that changes are lost: the book is unknown until another
snapshot fits. Nothing is ever read from a book that is not synced.

`Chain` follows the ids alone; whoever asks for snapshots needs no more. Pure.
"""

from bisect import bisect_left, insort
from collections import deque
from decimal import Decimal
from enum import StrEnum

from jts_trading.brokers.binance.codec import levels
from jts_trading.brokers.binance.wire import Depth, Snapshot

# A minute and more of changes may wait for a snapshot.
WAITING_MAX = 5_000
Prices = list[tuple[Decimal, Decimal]]


class Step(StrEnum):
    """What a change means for the book."""

    WAIT = "wait"
    APPLY = "apply"
    IGNORE = "ignore"
    LOST = "lost"


class Chain:
    """Follows the update ids of one symbol.

    Attributes:
        reached: Last update id that the book has; None while it has no snapshot.
        missing: Update ids that the newest LOST jumped over.
    """

    def __init__(self) -> None:
        self.reached: int | None = None
        self.missing = 0

    def follow(self, first_id: int, last_id: int) -> Step:
        """Say what to do with a change."""
        if self.reached is None:
            return Step.WAIT
        if last_id <= self.reached:
            return Step.IGNORE
        if first_id > self.reached + 1:
            self.missing = first_id - self.reached - 1
            self.reached = None
            return Step.LOST
        self.reached = last_id
        return Step.APPLY


class DepthBook:
    """One order book; unknown until a snapshot fits."""

    def __init__(self) -> None:
        self.chain = Chain()
        self._waiting: deque[Depth] = deque(maxlen=WAITING_MAX)
        self._bids = _Side()
        self._asks = _Side()

    @property
    def is_synced(self) -> bool:
        """Whether the book is what the venue's is."""
        return self.chain.reached is not None

    def change(self, depth: Depth) -> Step:
        """Take a change."""
        step = self.chain.follow(depth.first_id, depth.last_id)
        match step:
            case Step.APPLY:
                self._put(depth)
            case Step.LOST:
                self._bids, self._asks = _Side(), _Side()
                self._waiting.clear()
                self._waiting.append(depth)
            case Step.WAIT:
                self._waiting.append(depth)
            case Step.IGNORE:
                pass
        return step

    def begin(self, snapshot: Snapshot) -> bool:
        """Take a snapshot and what waited for it; False when it is older than all that waits."""
        waiting = [depth for depth in self._waiting if depth.last_id > snapshot.last_id]
        if waiting and waiting[0].first_id > snapshot.last_id + 1:
            return False
        self.chain.reached = snapshot.last_id
        self._bids, self._asks = _Side(), _Side()
        self._put(snapshot)
        self._waiting.clear()
        # A jump inside of what waited: the book is lost again, and the rest waits.
        for depth in waiting:
            self.change(depth)
        return self.is_synced

    def best(self, count: int) -> tuple[Prices, Prices]:
        """Return so many levels of asks and bids, best first."""
        return self._asks.lowest(count), self._bids.highest(count)

    def _put(self, changes: Depth | Snapshot) -> None:
        for price, quantity in levels(changes.bids):
            self._bids.put(price, quantity)
        for price, quantity in levels(changes.asks):
            self._asks.put(price, quantity)


class _Side:
    """Prices in order with their quantities."""

    def __init__(self) -> None:
        self._prices: list[Decimal] = []
        self._quantities: dict[Decimal, Decimal] = {}

    def put(self, price: Decimal, quantity: Decimal) -> None:
        if not quantity:
            # A price that was never shown may be removed, too.
            if self._quantities.pop(price, None) is not None:
                del self._prices[bisect_left(self._prices, price)]
            return
        if price not in self._quantities:
            insort(self._prices, price)
        self._quantities[price] = quantity

    def lowest(self, count: int) -> Prices:
        return [(price, self._quantities[price]) for price in self._prices[:count]]

    def highest(self, count: int) -> Prices:
        best = self._prices[: -count - 1 : -1] if count else []
        return [(price, self._quantities[price]) for price in best]


def topped(asks: Prices, bids: Prices, ask: Prices, bid: Prices) -> tuple[Prices, Prices]:
    """Return levels whose best are replaced by newer ones; what would cross them is gone."""
    return (
        [*ask, *(level for level in asks if level[0] > ask[0][0])],
        [*bid, *(level for level in bids if level[0] < bid[0][0])],
    )
