"""One KRX instrument: a recorded tape, a crowd that quotes around it, and our orders among them.

Theory of operation. The tape is what really traded; `print_trade` plays it. Around the last price
the crowd keeps ten levels a side in the same book as our orders, so that an order of ours that
crosses meets them by price and time. A print may execute our resting orders, at most for its own
quantity: first those it went through, then those at its price behind the crowd that stood there
before. Our executions are not added to the tape, whose volume stays exactly what was recorded:
the market does not notice us. Orders that were entered in a call auction are executed at the price
of the next print, as one price for all; others at their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from jts_trading.domain.market.admission import Admission, OrderFacts, admit
from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.prices import PriceLimits, daily_limits, order_ladder
from jts_trading.domain.market.table import RuleTable
from jts_trading.simulation.matching import Execution, OrderBook, Resting

LEVELS = 10
TAPE = "tape"
_CROWD = "crowd-"


@dataclass(frozen=True, slots=True)
class Listing:
    """What trades: the dated rules ask for market and asset."""

    symbol: str
    name: str
    market: str = "KOSPI"
    asset: str = "COMMON"


class Print(NamedTuple):
    """One recorded trade; `side` is the aggressor's. Time is UTC ns, price won."""

    ts_ns: int
    symbol: str
    price: int
    quantity: int
    side: Side


class Placement(NamedTuple):
    """What became of an order on arrival: what was executed and what rests; the rest lapsed."""

    executions: list[Execution]
    resting: int
    lapsed: int


@dataclass(slots=True)
class DayFigures:
    """Running figures of one day; prices are 0 before the first trade. Times are UTC ns."""

    open: int = 0
    high: int = 0
    low: int = 0
    volume: int = 0
    turnover: int = 0
    trades: dict[Side, int] = field(default_factory=lambda: {Side.BUY: 0, Side.SELL: 0})
    shares: dict[Side, int] = field(default_factory=lambda: {Side.BUY: 0, Side.SELL: 0})
    open_ns: int = 0
    high_ns: int = 0
    low_ns: int = 0

    def add(self, trade: Print) -> None:
        """Count a trade."""
        if not self.volume:
            self.open, self.open_ns = trade.price, trade.ts_ns
        if trade.price > self.high:
            self.high, self.high_ns = trade.price, trade.ts_ns
        if not self.low or trade.price < self.low:
            self.low, self.low_ns = trade.price, trade.ts_ns
        self.volume += trade.quantity
        self.turnover += trade.price * trade.quantity
        self.trades[trade.side] += 1
        self.shares[trade.side] += trade.quantity


class KrxMarket:
    """One instrument on one day at a time.

    Args:
        listing: What trades.
        table: The dated rules.
        day: First trade date.
        reference: Its raw base price: the previous close.
        level_quantity: Shares that the crowd offers at the best price; further levels hold more.
    """

    def __init__(
        self,
        listing: Listing,
        table: RuleTable,
        day: date,
        reference: int,
        *,
        level_quantity: int = 10_000,
    ) -> None:
        self.listing = listing
        self.book = OrderBook()
        self._table = table
        self._level_quantity = level_quantity
        self._crowd_count = 0
        self._in_auction: set[str] = set()
        self.open_day(day, reference)

    def open_day(self, day: date, reference: int) -> list[str]:
        """Begin a day with an empty book; returns the ids of orders of ours that lapse."""
        market, asset = self.listing.market, self.listing.asset
        self.day = day
        self.ladder = order_ladder(self._table, day, market=market, asset=asset)
        self.limits: PriceLimits = daily_limits(
            self._table, day, reference, market=market, asset=asset
        )
        self.last = self.limits.reference
        self.figures = DayFigures()
        self._in_auction.clear()
        gone = self.book.remove_where(lambda _: True)
        self._quote(self.last, Side.BUY)
        return [order.order_id for order in gone if not order.order_id.startswith(_CROWD)]

    def admission(self, side: Side, quantity: int, price: int | None) -> Admission:
        """Return the verdict of the venue's rules on tick, lot and daily limits."""
        return admit(
            self._table,
            OrderFacts(
                day=self.day,
                venue="KRX",
                market=self.listing.market,
                asset=self.listing.asset,
                side=side,
                quantity=quantity,
                price=price,
                reference=self.limits.reference,
            ),
        )

    def place(
        self,
        order_id: str,
        side: Side,
        quantity: int,
        price: int | None,
        *,
        stays: bool = True,
        all_or_none: bool = False,
        in_auction: bool = False,
    ) -> Placement:
        """Bring an admitted order to the book.

        Args:
            order_id: Its name in executions.
            side: BUY or SELL.
            quantity: Shares.
            price: Limit; None for a market order, whose rest stays at the last executed price.
            stays: Whether what is not executed at once rests (else it lapses).
            all_or_none: Whether nothing is executed unless everything can be.
            in_auction: Whether a call auction collects orders: nothing is executed at once.
        """
        limit = price if price is not None else self._far_limit(side)
        against = Side.SELL if side is Side.BUY else Side.BUY
        executions: list[Execution] = []
        if not in_auction:
            if all_or_none and self.book.available(against, limit) < quantity:
                return Placement([], 0, quantity)
            executions = self.book.take(against, limit, quantity, order_id)
        rest = quantity - sum(execution.quantity for execution in executions)
        if not rest or not stays:
            return Placement(executions, 0, rest)
        if in_auction:
            self._in_auction.add(order_id)
        elif price is None:
            limit = executions[-1].price if executions else self.last
        self.book.rest(Resting(order_id, side, limit, rest))
        return Placement(executions, rest, 0)

    def _far_limit(self, side: Side) -> int:
        return self.limits.upper if side is Side.BUY else self.limits.lower

    def print_trade(self, trade: Print) -> list[Execution]:
        """Play one trade of the tape; returns what it executed of our resting orders."""
        self.figures.add(trade)
        self.last = trade.price
        self.book.remove_where(lambda order: _is_crowd(order) and _is_beyond(order, trade.price))
        left = trade.quantity
        executions: list[Execution] = []
        passive = Side.SELL if trade.side is Side.BUY else Side.BUY
        for side, limit in (
            (Side.BUY, trade.price + 1),
            (Side.SELL, trade.price - 1),
            (passive, trade.price),
        ):
            met = self.book.take(side, limit, left, TAPE)
            left -= sum(execution.quantity for execution in met)
            executions += met
        self._quote(trade.price, trade.side)
        ours = [
            self._at_auction_price(execution, trade.price)
            for execution in executions
            if not execution.maker_id.startswith(_CROWD)
        ]
        self._in_auction.clear()
        return ours

    def _at_auction_price(self, execution: Execution, price: int) -> Execution:
        if execution.maker_id in self._in_auction:
            return execution._replace(price=price)
        return execution

    def _quote(self, price: int, aggressor: Side) -> None:
        """Let the crowd show ten levels a side around a price, without crossing our orders."""
        if aggressor is Side.BUY:
            ask = self.ladder.ceil(price)
            bid = self.ladder.next_down(ask) if ask > self.ladder.ticks[0] else 0
        else:
            bid = self.ladder.floor(price)
            ask = self.ladder.next_up(bid)
        wanted = {
            Side.SELL: self._ladder_from(ask, self.ladder.next_up),
            Side.BUY: self._ladder_from(bid, self.ladder.next_down),
        }
        self.book.remove_where(
            lambda order: _is_crowd(order) and order.price not in wanted[order.side]
        )
        for side, prices in wanted.items():
            other = self.book.best(Side.SELL if side is Side.BUY else Side.BUY)
            for at, level in enumerate(prices):
                crosses = other is not None and (
                    other <= level if side is Side.BUY else other >= level
                )
                if not crosses:
                    size = self._level_quantity * (LEVELS + at) // LEVELS
                    self._top_up(side, level, size)

    def _ladder_from(self, price: int, step: Callable[[int], int]) -> list[int]:
        prices: list[int] = []
        while price in self.limits and len(prices) < LEVELS:
            prices.append(price)
            if price == self.limits.lower:
                break
            price = step(price)
        return prices

    def _top_up(self, side: Side, price: int, quantity: int) -> None:
        missing = quantity - sum(
            order.remaining for order in self.book.orders_at(side, price) if _is_crowd(order)
        )
        if missing > 0:
            self._crowd_count += 1
            self.book.rest(Resting(f"{_CROWD}{self._crowd_count}", side, price, missing))


def _is_crowd(order: Resting) -> bool:
    return order.order_id.startswith(_CROWD)


def _is_beyond(order: Resting, price: int) -> bool:
    return order.price < price if order.side is Side.SELL else order.price > price
