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
    venue, desks = "", _NO_DESKS
    last: dict[Desk, int] = {}
    at = first
    for at in range(first, len(ticks)):
        tick = ticks[at]
        received_ns = tick.ts_recv_ns
        if received_ns >= due_ns:
            break
        if type(tick) is TradeTick:
            if tick.venue != venue:
                venue = tick.venue
                desks = markets.get(venue, _NO_DESKS)
            desk = desks.get(tick.instrument_id)
            if desk is not None:
                if not _is_added(desk, tick):
                    break
                last[desk] = at
                if desk.watchers:
                    _note_trade(desk, at, max(newest_ns, received_ns))
        if received_ns > newest_ns:  # noqa: PLR1730 - quicker than a call
            newest_ns = received_ns
    else:
        at = len(ticks)
    _note_causes(event, last)
    state.newest_ns = newest_ns
    state.counts.ticks += at - first
    return at


def _note_trade(desk: Desk, at: int, newest_ns: int) -> None:
    """Note a trade for those who judge each of them."""
    for watch, row, builder in desk.watchers:
        watch.note(at, row, builder, newest_ns)


def _note_causes(event: TicksArrived, last: dict[Desk, int]) -> None:
    """Note where the last trade of each bar came from."""
    for desk, cause in zip(last, event.causes_of(last.values()), strict=True):
        for builder in desk.builders:
            builder.last = cause


def _is_added(desk: Desk, tick: TradeTick) -> bool:
    """Add a trade to all bars of an instrument; False, and nothing done, if one is not open."""
    at_ns, builder = tick.ts_event_ns, desk.builders[0]
    if not (builder.trades and builder.start_ns <= at_ns < builder.stop_ns):
        return False
    price, quantity = desk.ticks_of[tick.price], desk.lots_of[tick.quantity]
    if price <= 0 or quantity <= 0 or not (desk.is_plain or _is_for_bars(desk, tick)):
        return False
    # Nearly always there is no other bar; to ask for the next one takes a tenth of all this.
    if price > builder.high:
        builder.high = price
    elif price < builder.low:
        builder.low = price
    builder.close = price
    builder.volume += quantity
    builder.trades += 1
    if not desk.is_plain:
        for other in desk.builders[1:]:
            other.take(price, quantity)
    if desk.reads_quotes:
        desk.note_quotes(tick)
    if at_ns > desk.last_event_ns:  # noqa: PLR1730 - quicker than a call
        desk.last_event_ns = at_ns
    return True


def _is_for_bars(desk: Desk, tick: TradeTick) -> bool:
    """Return whether all bars are open for a trade that nobody has to look at by itself."""
    if desk.succession is not None:
        return False
    at_ns = tick.ts_event_ns
    are_open = all(b.trades and b.start_ns <= at_ns < b.stop_ns for b in desk.builders)
    return are_open and desk.reached_to < desk.ticks_of[tick.price] < desk.reached_from
