"""`step`: one event in, effects out. Everything that can ever happen to the engine is in here.

Theory of operation. Ticks build bars; a bar that closes is run through the strategies that read
it; what they ask for is judged against the account and becomes facts. Time goes forward in two
ways: by `ClockRead`, and by the arrival of ticks, because whoever reads recorded ticks later has
no other clock. A tick that arrived after the due time of open bars closes them first. So the same
ticks, in the order of their numbers, make the same bars in any process, at any speed.

Repeated ticks are left out and jumps of numbers are counted, by feed; the shell fills jumps up
before it hands ticks over, if it can.
"""

from typing import assert_never

from jts_trading.domain.instruments import InstrumentError
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.ticks import TradeTick
from jts_trading.engine.adding import Rest, add_trades
from jts_trading.engine.bars import Cause, Trade
from jts_trading.engine.closing import (
    ClosedBars,
    Passed,
    bars_effects,
    close_due,
    in_turn,
    pass_bar,
)
from jts_trading.engine.events import (
    ClockRead,
    Effect,
    Event,
    InputsChanged,
    IntentRefused,
    JournalRead,
    TicksArrived,
)
from jts_trading.engine.judging import judge, judge_in_turn, roll_day
from jts_trading.engine.on_trades import judge_noted
from jts_trading.engine.slots import session_at, slot_in
from jts_trading.engine.state import Desk, EngineState, Instance, SymbolBook
from jts_trading.engine.tallies import FeedPlace
from jts_trading.engine.wanting import give_wanted, want_again, want_rest
from jts_trading.engine.wishes import drop, reach
from jts_trading.portfolio.instance_account import OrderNews, WorkingOrder


def step(state: EngineState, event: Event, now_ns: int) -> list[Effect]:
    """Take one event in; changes the state and returns what the shell has to do.

    Facts among the effects belong into one transaction of the journal, which the shell must have
    committed before the next event.

    Args:
        state: The engine; changed.
        event: What happened.
        now_ns: Instance time, UTC ns.

    Raises:
        InvariantError: A fill in the journal has amounts that it would never have booked.
    """
    # Nearly all events are ticks, and a `match` takes its time.
    if isinstance(event, TicksArrived):
        return _take_ticks(state, event, now_ns)
    match event:
        case ClockRead():
            effects = _close_due(state, event.reached_ns, now_ns)
            return effects + give_wanted(state, now_ns) if state.waiting else effects
        case JournalRead():
            return _read_journal(state, event, now_ns)
        case IntentRefused():
            _refuse(state, event)
        case InputsChanged():
            _describe_anew(state, event)
        case _:
            assert_never(event)
    return []


def _take_ticks(state: EngineState, event: TicksArrived, now_ns: int) -> list[Effect]:
    entry = event.ticks
    effects: list[Effect] = []
    state.is_past = event.is_past
    place = state.feeds.get(entry.feed)
    if place is None:
        place = state.feeds[entry.feed] = FeedPlace()
    first, count = entry.first_tick, len(entry.ticks)
    skipped = 0 if first == place.last_tick + 1 else _skip(place, event)
    state.counts.ticks += count - skipped
    rest = enumerate(entry.ticks[skipped:], skipped)
    if (at := add_trades(state, event, rest)) < count:
        effects = _take_rest(state, event, at, rest, now_ns)
    if state.watching:
        effects += judge_noted(state, event, now_ns)
    if first + count > place.last_tick:
        place.last_tick = first + count - 1
    state.is_past = False
    if state.waiting and not event.is_past:
        effects += give_wanted(state, now_ns)
    return effects


def _take_rest(
    state: EngineState, event: TicksArrived, at: int, rest: Rest, now_ns: int
) -> list[Effect]:
    """Take in a tick of an entry from which something may follow, and the rest behind it."""
    effects: list[Effect] = []
    passed: list[Passed] = []
    while at < len(event.ticks.ticks):
        if state.watching:
            effects += judge_noted(state, event, now_ns)
        effects += _take_tick(state, event, at, now_ns, passed)
        at = add_trades(state, event, rest)
    if passed:
        effects += _judge_passed(state, passed, now_ns)
    return effects


def _take_tick(
    state: EngineState, event: TicksArrived, at: int, now_ns: int, passed: list[Passed]
) -> list[Effect]:
    """Take in a tick from which something may follow.

    A bar that it closes is added to `passed`, so that all that trades of an entry close are judged
    in one go, unless what follows from one of them may concern the next trade.
    """
    tick = event.ticks.ticks[at]
    state.newest_ns = max(state.newest_ns, tick.ts_recv_ns)
    effects: list[Effect] = []
    if tick.ts_recv_ns >= state.next_due_ns:
        if passed:
            effects += _judge_passed(state, passed, now_ns)
        effects += _close_due(state, tick.ts_recv_ns, now_ns)
    desk = state.desks.get((tick.instrument_id, tick.venue))
    if desk is None or not isinstance(tick, TradeTick):
        return effects
    cause = event.cause_of(at)
    is_after_loss = desk.succession is not None and desk.succession.is_broken_by(
        tick, cause.feed, event.ticks.session
    )
    price, closed = _trade(state, desk, tick, cause, is_after_loss=is_after_loss)
    if len(closed) > 1:
        effects += _judge_passed(state, passed, now_ns)
        effects += _judge_bars(state, in_turn(closed), now_ns)
    passed += closed if len(closed) == 1 else ()
    if state.is_prompt:
        effects += _judge_passed(state, passed, now_ns)
        if state.held and price and not state.is_past:
            reach(state, desk, price, cause, now_ns)
    for watch, row, builder in desk.watchers:
        if builder.source() is cause:
            watch.note(at, row, builder, state.newest_ns)
    return effects


def _skip(place: FeedPlace, event: TicksArrived) -> int:
    """Return how many ticks of an entry were taken in before; counts what is missing."""
    entry = event.ticks
    if place.last_tick < 0:
        return 0
    expected = place.last_tick + 1
    if entry.first_tick > expected:
        place.missing += 0 if event.is_recorded else entry.first_tick - expected
        return 0
    repeated = min(expected - entry.first_tick, len(entry.ticks))
    place.repeated += repeated
    return repeated


def _trade(
    state: EngineState, desk: Desk, tick: TradeTick, cause: Cause, *, is_after_loss: bool
) -> tuple[int, list[Passed]]:
    """Add a trade to its bars; return its price in ticks, 0 if refused, and what it closes."""
    price, quantity = desk.ticks_of[tick.price], desk.lots_of[tick.quantity]
    if price <= 0 or quantity <= 0:
        state.counts.refused_ticks += 1
        return 0, []
    at_ns, (bid, ask) = tick.ts_event_ns, desk.quotes_of(tick)
    trade = Trade(at_ns, price, quantity, cause, bid, ask, is_after_loss)
    closed: list[Passed] = []
    for line, place in desk.lines:
        builder = line.builders[place]
        if builder.trades and builder.start_ns <= at_ns < builder.stop_ns:
            builder.add(trade)
        elif at_ns < builder.closed_ns or (builder.trades and at_ns < builder.start_ns):
            builder.late += 1
            state.counts.late_ticks += 1
        elif (slot := line.slot_at(at_ns)) is None:
            state.counts.outside_ticks += 1
        else:
            if builder.trades:
                closed.append(pass_bar(line, place, cause))
            builder.begin(slot, state.settings.grace_ns, trade)
            line.note_open(place)
            desk.opened_ns = max(desk.opened_ns, at_ns)
            state.next_due_ns = min(state.next_due_ns, builder.due_ns)
    return price, closed


def _close_due(state: EngineState, reached_ns: int, now_ns: int) -> list[Effect]:
    """Close the bars whose time is over at an instant that was reached."""
    if reached_ns < state.next_due_ns:
        return []
    closed = close_due(state, reached_ns)
    return _judge_bars(state, closed, now_ns) if closed else []


def _judge_bars(state: EngineState, closed: list[ClosedBars], now_ns: int) -> list[Effect]:
    # Past ones are announced too: nobody knows whether they were; their id says that they are one.
    effects: list[Effect] = []
    for bars in closed:
        effects += bars_effects(bars)
        state.counts.bars += len(bars.places)
    return effects + judge(state, closed, now_ns)


def _judge_passed(state: EngineState, passed: list[Passed], now_ns: int) -> list[Effect]:
    """Announce bars that trades closed, and judge them; none is left."""
    effects: list[Effect] = []
    for bars in in_turn(passed):
        told = zip(bars_effects(bars), judge_in_turn(state, bars, now_ns), strict=True)
        effects += [effect for message, facts in told for effect in (message, *facts)]
        state.counts.bars += len(bars.places)
    passed.clear()
    return effects


def _read_journal(state: EngineState, event: JournalRead, now_ns: int) -> list[Effect]:
    effects: list[Effect] = []
    for seq, ts_ns, fact in event.events:
        if seq <= state.journal_seq:
            continue
        state.journal_seq = seq
        for instance in state.instances.values():
            _begin_day_of(instance, ts_ns)
            news = instance.account.apply(fact, ts_ns)
            if news is not None and news.instrument_id in instance.books:
                _count_entry(instance.books[news.instrument_id], news)
                instance.look_at_holding(news.instrument_id)
                effects += _hear(state, instance, news, now_ns)
    state.journal_seq = max(state.journal_seq, event.through_seq)
    return effects


def _begin_day_of(instance: Instance, ts_ns: int) -> None:
    # A day's loss counts from before its first fill, as in a backtest.
    try:
        session = session_at(instance.spec.venue, ts_ns)
    except InstrumentError:
        return
    if session is not None and instance.day >= 0:
        roll_day(instance, session.day)


def _count_entry(book: SymbolBook, news: OrderNews) -> None:
    """Count an order that bought something as an entry; one that is given again is counted once.

    Args:
        book: Of its instrument; it says whether something was held before.
        news: Of an order.
    """
    is_bought = news.order is not None and news.order.side is OrderSide.BUY
    is_begun = book.given is not None and book.given.is_begun
    if is_bought and news.is_first_fill and not is_begun:
        book.entries = book.entries_made + 1


def _hear(state: EngineState, instance: Instance, news: OrderNews, now_ns: int) -> list[Effect]:
    """Follow what became of an order: entry and leaving, and exits that did not sell."""
    symbol, book = news.instrument_id, instance.books[news.instrument_id]
    is_flat = instance.account.is_flat(symbol)
    is_bought = news.order is not None and news.order.side is OrderSide.BUY
    if is_bought and news.price is not None and not book.entered_ns:
        book.entered_ns, book.peak = news.ts_ns, 0
        book.mark = instance.units[symbol].ticks_near(news.price)
    if is_flat and book.entered_ns:
        book.peak = book.entered_ns = book.bars_since = book.bars_held = book.entries = 0
        book.held_from_ms = -1
        book.left_ms = _label_ms(state, instance, symbol, news.ts_ns)
        _drop_exit(state, instance, symbol)
    if news.order is None or not news.order.has_ended:
        return []
    if is_flat:
        _drop_exit(state, instance, symbol)
    is_called_back = news.order.is_called_back or book.called_back == news.order.order_id
    _forget_order(state, instance, news.order)
    given, book.given = book.given, None
    if given is None or book.wanted is not None or news.order.filled >= news.order.quantity:
        return []
    is_exit = given.side is OrderSide.SELL
    if is_exit and is_flat:
        return []
    if is_exit and given.goes_on:
        return want_again(state, instance, symbol, given, now_ns)
    if given.is_renewed and not is_called_back:
        want_rest(state, instance, symbol, given, news.order)
    return []


def _drop_exit(state: EngineState, instance: Instance, symbol: str) -> None:
    wanted = instance.books[symbol].wanted
    if wanted is not None and wanted.side is OrderSide.SELL:
        drop(state, instance, symbol)


def _forget_order(state: EngineState, instance: Instance, order: WorkingOrder) -> None:
    """Let others follow in its instrument: an order has ended."""
    symbol = order.instrument_id
    state.unblock(instance, symbol)
    if instance.books[symbol].called_back == order.order_id:
        instance.books[symbol].called_back = ""
        state.called_back.discard((instance.spec.instance, symbol))


def _label_ms(state: EngineState, instance: Instance, symbol: str, ts_ns: int) -> int:
    """Return the label of the bar in which an instant lies; a nearby one outside the session."""
    seconds = state.builders[symbol, instance.spec.venue, instance.interval].seconds
    session = session_at(instance.spec.venue, ts_ns)
    if session is None:
        return ts_ns // 1_000_000
    return slot_in(instance.spec.venue, session, ts_ns, seconds).start_ns // 1_000_000


def _refuse(state: EngineState, event: IntentRefused) -> None:
    instance = state.instances[event.instance]
    order = instance.account.orders.pop(event.order_id, None)
    if order is not None:
        instance.books[order.instrument_id].given = None
        _forget_order(state, instance, order)


def _describe_anew(state: EngineState, event: InputsChanged) -> None:
    state.inputs_version = event.version
    for spec in event.instances:
        instance = state.instances.get(spec.instance)
        if instance is not None:
            instance.spec = spec
            instance.account.allocation = spec.allocation
