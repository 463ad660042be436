"""The way of most ticks: trades into bars that are open, and what concerns nobody.

It does what `engine.step` does with such a tick, for a whole entry at once: what follows from a
tick is worked out only where something can follow. The decimals of a feed come again and again, so
each is turned into a whole number once and looked up from then on.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache

from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.engine.bars import Origin
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.state import Desk, EngineState

WHOLES_MAX = 65_536
Rest = Iterator[tuple[int, TradeTick | BookTick]]
"""Ticks of an entry with their places."""
_NO_DESKS: dict[str, Desk] = {}


class Wholes(dict[Decimal, int]):
    """Decimals as whole numbers: those that were met are remembered, up to `WHOLES_MAX`.

    Args:
        convert: Turns one into a whole number.
    """

    def __init__(self, convert: Callable[[Decimal], int]) -> None:
        super().__init__()
        self._convert = convert

    def __missing__(self, amount: Decimal) -> int:
        """Return the whole number of a decimal that was not met before."""
        if len(self) >= WHOLES_MAX:
            self.clear()
        found = self[amount] = self._convert(amount)
        return found


@lru_cache(maxsize=64)
def ticks_in(price_step: Decimal) -> Wholes:
    """Return prices in ticks of this step; one that is off the grid is 0, like none."""
    scale = 1 / price_step

    def ticks_of(price: Decimal) -> int:
        found = price * scale
        whole = int(found)
        return whole if whole == found else 0

    return Wholes(ticks_of)


@lru_cache(maxsize=64)
def lots_in(scale: int) -> Wholes:
    """Return quantities with so many decimals in their smallest unit, rounded down."""
    return Wholes(lambda quantity: int(quantity.scaleb(scale)))


def add_trades(state: EngineState, event: TicksArrived, rest: Rest) -> int:
    """Take in ticks of an entry; return the place of the one that it stops at.

    That is a tick that comes when bars are due, or a trade in an instrument that somebody trades
    if it is off the grid, if no bar is open for it, or if it reaches a stop. It is not taken in.

    Args:
        state: The engine; changed.
        event: The entry.
        rest: Its ticks that are still to be taken in, with their places: moves behind that one.
    """
    if state.newest_ns >= state.next_due_ns:
        # Bars were due before: each tick is looked at until they are closed.
        return next((at for at, _ in rest), len(event.ticks.ticks))
    due_ns, origin, desks, venue = state.next_due_ns, event.origin(), _NO_DESKS, ""
    for at, tick in rest:
        received_ns = tick.ts_recv_ns
        # Times are large numbers, which take long to compare: most are with one number only.
        if received_ns > state.newest_ns:
            if received_ns >= due_ns:
                return at
            state.newest_ns = received_ns
        if tick.venue != venue:
            venue = tick.venue
            desks = state.markets.get(venue, _NO_DESKS)
        if type(tick) is not TradeTick or (desk := desks.get(tick.instrument_id)) is None:
            continue
        builder = desk.only
        if builder is None:
            if not _is_added(desk, tick, origin, at, state.newest_ns):
                return at
        else:
            # `_is_added` for the only bar there is: to call it takes a sixth of all this.
            price, quantity = desk.ticks_of[tick.price], desk.lots_of[tick.quantity]
            is_open = builder.trades and builder.start_ns <= tick.ts_event_ns < builder.stop_ns
            if not is_open or price <= 0 or quantity <= 0:
                return at
            # To call `max` takes several times as long.
            builder.high = price if price > builder.high else builder.high  # noqa: FURB136
            builder.low = price if price < builder.low else builder.low  # noqa: FURB136
            builder.close = price
            builder.volume += quantity
            builder.trades += 1
            builder.origin, builder.at, builder.received_ns = origin, at, received_ns
    return len(event.ticks.ticks)


def _is_added(desk: Desk, tick: TradeTick, origin: Origin, at: int, newest_ns: int) -> bool:
    """Add a trade to all bars of an instrument, and note it for those who judge each trade.

    False, and nothing done, if a bar is not open for it or somebody has to look at it by itself.
    """
    at_ns, builders = tick.ts_event_ns, desk.builders
    if desk.succession is not None:
        return False
    for builder in builders:
        if not (builder.trades and builder.start_ns <= at_ns < builder.stop_ns):
            return False
    price, quantity = desk.ticks_of[tick.price], desk.lots_of[tick.quantity]
    if price <= 0 or quantity <= 0 or not desk.reached_to < price < desk.reached_from:
        return False
    for builder in builders:
        builder.take(price, quantity)
        builder.origin, builder.at, builder.received_ns = origin, at, tick.ts_recv_ns
    if desk.reads_quotes:
        desk.note_quotes(tick)
    for watch, row, builder in desk.watchers:
        watch.note(at, row, builder, newest_ns)
    return True
