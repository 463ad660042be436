"""What is wanted in an instrument: an order that waits for its time, or for its stop price.

Theory of operation. A book wants one order at most. One that waits for a session, for another
order to end or for fresh data stands in `state.waiting`, which `engine.wanting` goes through. One
that has a stop price is held until a trade reaches it: its desk then shows the nearest prices at
which something is reached, so that all other trades take the quick way past it. A stop that is
reached waits like any other order. Nothing but the functions in here changes what a book wants.
"""

import msgspec

from jts_trading.domain.orders import OrderSide
from jts_trading.engine.bars import Cause
from jts_trading.engine.columns import NO_LOSS, NO_PROFIT
from jts_trading.engine.slots import is_tradable, session_at
from jts_trading.engine.state import Desk, EngineState, Instance
from jts_trading.engine.wanted import Wanted


def want(state: EngineState, instance: Instance, symbol: str, wanted: Wanted) -> None:
    """Let an order be wanted in an instrument, instead of what was wanted before."""
    drop(state, instance, symbol)
    instance.books[symbol].wanted = wanted
    instance.wishes.add(symbol)
    if wanted.is_held:
        state.held.add((instance.spec.instance, symbol))
        mark_desk(state, symbol, instance.spec.venue)
    else:
        state.waiting.add((instance.spec.instance, symbol))


def drop(state: EngineState, instance: Instance, symbol: str) -> None:
    """Let nothing be wanted in an instrument any more."""
    book, key = instance.books[symbol], (instance.spec.instance, symbol)
    before, book.wanted = book.wanted, None
    instance.wishes.discard(symbol)
    state.waiting.discard(key)
    state.blocked.discard(key)
    if before is not None and before.is_held:
        state.held.discard(key)
        mark_desk(state, symbol, instance.spec.venue)


def orders_called_back(state: EngineState) -> list[str]:
    """Return the ids of the orders that are to be cancelled, until they have ended."""
    books = ((state.instances[name], symbol) for name, symbol in sorted(state.called_back))
    return [instance.books[symbol].called_back for instance, symbol in books]


def index(state: EngineState) -> None:
    """Build anew what is looked up about wanted orders: instances came or went, or were loaded."""
    state.waiting, state.blocked, state.held, state.called_back = set(), set(), set(), set()
    for name, instance in state.instances.items():
        instance.wishes.clear()
        for symbol, book in instance.books.items():
            if book.called_back:
                state.called_back.add((name, symbol))
            if book.wanted is not None:
                instance.wishes.add(symbol)
                found = state.held if book.wanted.is_held else state.waiting
                found.add((name, symbol))
    for name, symbol in state.held:
        mark_desk(state, symbol, state.instances[name].spec.venue)


def mark_desk(state: EngineState, symbol: str, venue: str) -> None:
    """Note at a desk from which prices on a stop is reached."""
    desk = state.desks[symbol, venue]
    desk.reached_from, desk.reached_to = NO_PROFIT, NO_LOSS
    stops = [wanted for _, wanted in _held(state, symbol, venue)]
    for wanted in stops:
        if wanted.side is OrderSide.BUY:
            desk.reached_from = min(desk.reached_from, wanted.stop)
        else:
            desk.reached_to = max(desk.reached_to, wanted.stop)
    desk.look_at_trades()


def reach(state: EngineState, desk: Desk, price: int, cause: Cause, now_ns: int) -> None:
    """Let a trade reach the stops that are held at a desk: their orders wait to be given.

    Only a trade that is news counts, and only while orders are taken: a stop that was passed
    while nobody looked is reached by the next trade at or beyond it.

    Args:
        state: The engine; changed.
        desk: Of the trade.
        price: In ticks.
        cause: The trade.
        now_ns: Instance time, UTC ns.
    """
    symbol, venue = desk.instrument_id, desk.venue
    if now_ns - cause.ts_recv_ns > state.settings.decision_age_ns:
        return
    session = session_at(venue, now_ns)
    if session is None or not is_tradable(venue, now_ns):
        return
    for instance, wanted in _held(state, symbol, venue):
        if 0 < wanted.last_day < session.day:
            drop(state, instance, symbol)
            continue
        is_buy = wanted.side is OrderSide.BUY
        if price >= wanted.stop if is_buy else price <= wanted.stop:
            reached = msgspec.structs.replace(
                wanted,
                is_reached=True,
                cause=cause,
                triggered_ns=cause.ts_recv_ns,
                not_before_ns=now_ns,
            )
            want(state, instance, symbol, reached)


def _held(state: EngineState, symbol: str, venue: str) -> list[tuple[Instance, Wanted]]:
    """Return the stops that are held in an instrument, in the order of their instances."""
    found = []
    for name, instance in sorted(state.instances.items()):
        if (name, symbol) in state.held and instance.spec.venue == venue:
            wanted = instance.books[symbol].wanted
            if wanted is not None:
                found.append((instance, wanted))
    return found
