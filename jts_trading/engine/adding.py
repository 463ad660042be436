"""The way of most trades: into bars that are open, and nothing else.

It does what `engine.step` does with such a trade, for a whole entry at once: what follows from a
trade is worked out only where something can follow. Where each bar's last trade came from is noted
once, after the last of them.
"""

from jts_trading.domain.ticks import TradeTick
from jts_trading.engine.bars import Cause
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.state import Desk, EngineState


def add_trades(state: EngineState, event: TicksArrived, first: int) -> int:
    """Add trades of an entry, from the first one on, to open bars; return which is the next.

    It stops before a tick that is no trade, that comes when bars are due, of an instrument that
    nobody trades, that is off the grid, or for which no bar is open.
    """
    entry, desks, due_ns = event.ticks, state.desks, state.next_due_ns
    ticks, at, newest_ns = entry.ticks, first, state.newest_ns
    last: dict[tuple[str, str], int] = {}
    while at < len(ticks):
        tick = ticks[at]
        if type(tick) is not TradeTick or tick.ts_recv_ns >= due_ns:
            break
        key = (tick.instrument_id, tick.venue)
        desk = desks.get(key)
        if desk is None or not _is_added(desk, tick):
            break
        if tick.ts_recv_ns > newest_ns:  # noqa: PLR1730 - quicker than a call
            newest_ns = tick.ts_recv_ns
        last[key] = at
        at += 1
    for key, place in last.items():
        cause = _cause_of(event, place)
        for builder in desks[key].builders:
            builder.last = cause
    state.newest_ns = newest_ns
    state.counts.ticks += at - first
    return at


def _is_added(desk: Desk, tick: TradeTick) -> bool:
    """Add a trade to all bars of an instrument; False, and nothing done, if one is not open."""
    at_ns = tick.ts_event_ns
    for builder in desk.builders:
        if not (builder.trades and builder.start_ns <= at_ns < builder.stop_ns):
            return False
    price, scale = desk.ticks_of(tick.price), desk.quantity_scale
    quantity = int(tick.quantity.scaleb(scale) if scale else tick.quantity)
    if price is None or price <= 0 or quantity <= 0:
        return False
    for builder in desk.builders:
        if price > builder.high:
            builder.high = price
        elif price < builder.low:
            builder.low = price
        builder.close = price
        builder.volume += quantity
        builder.trades += 1
    if at_ns > desk.last_event_ns:  # noqa: PLR1730 - quicker than a call
        desk.last_event_ns = at_ns
    return True


def _cause_of(event: TicksArrived, at: int) -> Cause:
    entry = event.ticks
    frame = entry.first_frame + entry.frames[at]
    received_ns = entry.ticks[at].ts_recv_ns
    return Cause(entry.feed, entry.first_tick + at, frame, event.message_id, received_ns)
