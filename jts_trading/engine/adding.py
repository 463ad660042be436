"""The way of most ticks: trades into bars that are open, and what concerns nobody.

It does what `engine.step` does with such a tick, for a whole entry at once: what follows from a
tick is worked out only where something can follow. Where each bar's last trade came from is noted
once, after the last of them. The decimals of a feed come again and again, so each is turned into a
whole number once and looked up from then on.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from jts_trading.domain.ticks import TradeTick
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.state import Desk, EngineState

WHOLES_MAX = 65_536
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


def add_trades(state: EngineState, event: TicksArrived, first: int) -> int:
    """Take in ticks of an entry, from the first one on; return which is the next.

    It stops before a tick that comes when bars are due, and before a trade in an instrument that
    somebody trades if it is off the grid, if no bar is open for it, or if it reaches a stop.
    """
    markets, due_ns = state.markets, state.next_due_ns
    ticks, newest_ns = event.ticks.ticks, state.newest_ns
    last: dict[Desk, int] = {}
    at = first
    for at in range(first, len(ticks)):
        tick = ticks[at]
        received_ns = tick.ts_recv_ns
        if received_ns >= due_ns:
            break
        if type(tick) is TradeTick and (
            desk := markets.get(tick.venue, _NO_DESKS).get(tick.instrument_id)
        ):
            if desk.is_plain:
                # `_is_added` for the only bar there is: to call it takes a sixth of all this.
                price, quantity = desk.ticks_of[tick.price], desk.lots_of[tick.quantity]
                builder, at_ns = desk.builders[0], tick.ts_event_ns
                is_open = builder.trades and builder.start_ns <= at_ns < builder.stop_ns
                if not is_open or price <= 0 or quantity <= 0:
                    break
                if price > builder.high:
                    builder.high = price
                elif price < builder.low:
                    builder.low = price
                builder.close = price
                builder.volume += quantity
                builder.trades += 1
                newest = desk.last_event_ns
                desk.last_event_ns = at_ns if at_ns > newest else newest  # noqa: FURB136 - likewise
            elif not _is_added(desk, tick, at, max(newest_ns, received_ns)):
                break
            last[desk] = at
        newest_ns = received_ns if received_ns > newest_ns else newest_ns  # noqa: FURB136 - likewise
    else:
        at = len(ticks)
    _note_causes(event, last)
    state.newest_ns = newest_ns
    state.counts.ticks += at - first
    return at


def _note_causes(event: TicksArrived, last: dict[Desk, int]) -> None:
    """Note where the last trade of each bar came from."""
    for desk, cause in zip(last, event.causes_of(last.values()), strict=True):
        for builder in desk.builders:
            builder.last = cause


def _is_added(desk: Desk, tick: TradeTick, at: int, newest_ns: int) -> bool:
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
    if desk.reads_quotes:
        desk.note_quotes(tick)
    desk.last_event_ns = max(desk.last_event_ns, at_ns)
    for watch, row, builder in desk.watchers:
        watch.note(at, row, builder, newest_ns)
    return True
