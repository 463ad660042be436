"""Decisions on closed bars: exits, then entries, as in a backtest.

Theory of operation. When all of an instance's positions are marked (`engine.judging`), exits, then
entries are decided in order of instrument id, each seeing the cash that those before it reserved.
What follows from a bar is drafted, then recorded: one decision, a signal for each rule that fired,
an intent if an order is given. An order that cannot be given now (the session is over, an entry
still works, data are old) is wanted: `engine.wanting` gives it later. What waits for the next
session is sized now and holds its cash back, as in a backtest.
"""

from decimal import Decimal

import msgspec

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.orders import OrderSide
from jts_trading.engine.evaluate import Run, left_values, look_at
from jts_trading.engine.events import Effect
from jts_trading.engine.guarding import ask_guard, in_order, show_values
from jts_trading.engine.identity import decision_id
from jts_trading.engine.orders import (
    Sized,
    exit_reason,
    first_rule,
    make_intent,
    size_entry,
    size_exit,
)
from jts_trading.engine.outcomes import Outcome
from jts_trading.engine.pricing import price_order
from jts_trading.engine.recording import Draft, record
from jts_trading.engine.standing import Standing
from jts_trading.engine.state import EngineState, Instance
from jts_trading.engine.wanted import Wanted
from jts_trading.engine.wanting import given_as
from jts_trading.engine.wishes import drop, want
from jts_trading.engine.words import risk_node, stop_node
from jts_trading.execution.fill_costs import Listed
from jts_trading.portfolio.instance_account import WorkingOrder
from jts_trading.strategy.rules import REASON_STOP_LOSS
from jts_trading.strategy.stops import is_daily_loss_reached
from jts_trading.strategy.universe import admits, selects


def decide(state: EngineState, run: Run, found: list[int], now_ns: int) -> list[Effect]:
    """Decide on bars of one instant from which something may follow.

    Args:
        state: The engine; changed.
        run: What a strategy made of the bars; their positions are valued.
        found: Which of them, in the order of their instruments.
        now_ns: Instance time, UTC ns.
    """
    instance, drafts = run.instance, _drafts(run, found)
    standing = Standing(instance, now_ns)
    exits = instance.program.rules.exits
    for draft in drafts:
        ask_guard(draft, exits, standing)
        _decide_exit(state, draft, standing)
    for draft in in_order(drafts):
        ask_guard(draft, ~exits, standing)
        decide_entry(state, draft, standing)
    for draft in drafts:
        show_values(draft)
    told = [draft for draft in drafts if draft.fired or draft.reasons or draft.outcomes]
    return [effect for draft in told for effect in record(state, draft, now_ns, standing.equity)]


def _drafts(run: Run, told: list[int]) -> list[Draft]:
    """Return what is to be decided on bars from which something may follow."""
    instance, program, spec = run.instance, run.instance.program, run.instance.spec
    drafts: list[Draft] = []
    for at, seen in zip(told, run.seen(told), strict=True):
        bar, fired = run.bars.bar(at), 0 if seen is None else seen.fired
        symbol = bar.instrument_id
        number = decision_id(spec.instance, spec.release, symbol, bar.interval, bar.start_ns)
        numbers = left_values(program, instance.rows[symbol])
        draft = Draft(instance, bar, instance.books[symbol], number, fired, numbers)
        if seen is not None:
            if program.guard is None:
                draft.values = look_at(instance, symbol, fired, seen)
            else:
                # Nobody knows yet which of them count: `guarding` says so, then they are shown.
                draft.seen = seen
        drafts.append(draft)
    return drafts


def _decide_exit(state: EngineState, draft: Draft, standing: Standing) -> None:
    """Take back what waits or works against an exit, or order it."""
    instance, book, symbol = draft.instance, draft.book, draft.symbol
    if not (draft.fired & instance.program.rules.exits or book.is_held):
        return
    reason = exit_reason(instance, symbol, draft.bar.close, draft.fired)
    if reason < 0:
        return
    if book.wanted is not None:
        if not _yields(book.wanted, reason):
            _note_busy(draft, Outcome.EXIT_WAITS)
            return
        _drop_wanted(state, draft, standing)
    working = standing.working(symbol)
    if working is not None:
        is_free = working.order_id != book.called_back
        if is_free and (working.side is OrderSide.BUY or _yields(book.given, reason)):
            _call_back(state, draft, working, reason, standing)
        else:
            _note_busy(draft, Outcome.ORDER_WORKS)
    elif not instance.account.is_flat(symbol):
        _leave(state, draft, reason, standing)
    elif not draft.outcomes:
        draft.outcomes.append(Outcome.FLAT)


def _yields(order: Wanted | None, reason: int) -> bool:
    """Return whether an order makes way for an exit: an entry, or a price for the risk block."""
    if order is None:
        return False
    is_priced = order.limit > 0 or order.is_held
    return order.side is OrderSide.BUY or (is_priced and reason >= REASON_STOP_LOSS)


def _note_busy(draft: Draft, outcome: Outcome) -> None:
    """Say why an exit rule orders nothing; a level that is still reached is no news."""
    if draft.fired & draft.instance.program.rules.exits:
        draft.outcomes.append(outcome)


def _drop_wanted(state: EngineState, draft: Draft, standing: Standing) -> None:
    drop(state, draft.instance, draft.symbol)
    standing.forget()
    draft.outcomes.append(Outcome.CANCELLED)


def _call_back(
    state: EngineState, draft: Draft, working: WorkingOrder, reason: int, standing: Standing
) -> None:
    """Have a working order cancelled; the exit is given as soon as it has ended."""
    is_entry = working.side is OrderSide.BUY
    draft.book.called_back = working.order_id
    state.called_back.add((draft.instance.spec.instance, draft.symbol))
    draft.outcomes.append(Outcome.ENTRY_CALLED_BACK if is_entry else Outcome.EXIT_CALLED_BACK)
    wanted = _exit_wanted(draft, reason, standing)
    if wanted is not None:
        _want(state, draft, wanted, standing)


def _exit_wanted(draft: Draft, reason: int, standing: Standing) -> Wanted | None:
    """Return an exit with its price; None, and why, where that is not known."""
    if reason >= REASON_STOP_LOSS:
        draft.reasons.append(reason)
        node = risk_node(draft.instance, draft.symbol, reason, draft.bar.close)
        draft.values.append(node)
    return _priced(draft, _wanted(draft, OrderSide.SELL, reason), standing)


def _priced(draft: Draft, wanted: Wanted, standing: Standing) -> Wanted | None:
    is_late = draft.bar.is_last or not standing.is_tradable
    try:
        found = price_order(
            draft.instance, draft.symbol, wanted, draft.numbers, draft.bar.day, is_late=is_late
        )
    except RuleMissingError as error:
        draft.outcomes.append(str(error))
        return None
    if found is None:
        draft.outcomes.append(Outcome.NO_PRICE)
    return found


def _leave(state: EngineState, draft: Draft, reason: int, standing: Standing) -> None:
    instance, symbol = draft.instance, draft.symbol
    wanted = _exit_wanted(draft, reason, standing)
    if wanted is None:
        return
    if standing.now_ns - draft.bar.known_ns > state.settings.decision_age_ns:
        _want(state, draft, wanted, standing)
        draft.outcomes.append(Outcome.OLD_EXIT)
        return
    try:
        sized = size_exit(
            instance, symbol, reason, draft.bar.close, draft.bar.day, standing=standing
        )
    except RuleMissingError as error:
        draft.outcomes.append(str(error))
        return
    if sized.lots == 0:
        draft.outcomes.append(Outcome.FLAT)
        return
    _order(state, draft, wanted, sized, standing)


def decide_entry(state: EngineState, draft: Draft, standing: Standing) -> None:
    """Order, want or refuse the entry of a draft, if a rule of it enters."""
    instance, symbol, rules = draft.instance, draft.symbol, draft.instance.program.rules
    rule = first_rule(draft.fired & rules.entries)
    if rule < 0 or draft.intent is not None:
        return
    refusal = _entry_refusal(draft, standing)
    if refusal is not None:
        draft.outcomes.append(refusal)
        return
    if standing.now_ns - draft.bar.known_ns > state.settings.decision_age_ns:
        draft.outcomes.append(Outcome.OLD)
        return
    is_for_next = draft.bar.is_last or not standing.is_tradable
    wanted = _priced(draft, _wanted(draft, OrderSide.BUY, rule, is_for_next=is_for_next), standing)
    if wanted is None:
        return
    sized = size_entry(instance, symbol, wanted, draft.bar.day, state.settings, standing=standing)
    if isinstance(sized, Sized):
        _order(state, draft, wanted, sized, standing)
    else:
        draft.outcomes.append(sized)


def _entry_refusal(draft: Draft, standing: Standing) -> Outcome | None:
    instance, symbol, rules = draft.instance, draft.symbol, draft.instance.program.rules
    book, found = draft.book, None
    is_held = book.is_held != 0
    if is_held and book.entries_made >= rules.pyramiding:
        found = Outcome.HELD
    elif standing.working(symbol) is not None or book.wanted is not None:
        found = Outcome.ORDER_WORKS
    elif not _is_admitted(instance, symbol):
        found = Outcome.UNIVERSE
    elif instance.spec.status == "paused":
        found = Outcome.PAUSED
    elif _is_lost(instance, symbol, standing):
        found = Outcome.LOSS
    elif not is_held and 0 < rules.positions_max <= standing.positions:
        found = Outcome.POSITIONS
    elif not is_held and _is_cooling(draft):
        found = Outcome.COOLDOWN
    return found


def _is_admitted(instance: Instance, symbol: str) -> bool:
    universe = instance.program.plan.universe
    if not selects(universe):
        return True
    listed = instance.listings.get(symbol, Listed())
    return admits(universe, symbol, listed.market, listed.asset)


def _is_lost(instance: Instance, symbol: str, standing: Standing) -> bool:
    if not instance.program.rules.daily_loss_ppm:
        return False
    units = instance.units[symbol]
    equity, at_start = standing.equity_in(units), units.money(instance.day_start)
    return is_daily_loss_reached(equity, at_start, instance.program.rules.daily_loss_ppm)


def _is_cooling(draft: Draft) -> bool:
    book, rules = draft.book, draft.instance.program.rules
    if book.left_ms < 0:
        return False
    since_ms = draft.bar.stamp_ms - book.left_ms
    return bool(since_ms < rules.cooldown_ms or book.bars_since <= rules.cooldown_bars)


def _wanted(draft: Draft, side: OrderSide, reason: int, *, is_for_next: bool = False) -> Wanted:
    bar = draft.bar
    return Wanted(
        side=side,
        reason=reason,
        decision_id=draft.decision_id,
        signal_id=draft.signal_id(reason),
        price=bar.close,
        previous_close=0 if is_for_next else bar.previous_close,
        cause=bar.trigger,
        triggered_ns=draft.triggered_ns,
    )


def _order(
    state: EngineState, draft: Draft, wanted: Wanted, sized: Sized, standing: Standing
) -> None:
    """Give a sized order, or have it wait for its stop or the next session as it is."""
    if standing.is_tradable and not wanted.is_held:
        held_back = _give(state, draft, wanted, sized, standing)
    else:
        kept = {"lots": sized.lots, "held_back": sized.held_back}
        if not standing.is_tradable:
            kept["previous_close"] = 0
        _want(state, draft, msgspec.structs.replace(wanted, **kept), standing)
        draft.outcomes.append(Outcome.STOP_HELD if wanted.is_held else Outcome.WAITS)
        if wanted.is_held:
            draft.values.append(stop_node(draft.instance, draft.symbol, wanted))
        held_back = draft.instance.units[draft.symbol].amount(sized.held_back)
    if wanted.side is OrderSide.BUY:
        standing.hold_back(held_back, is_first=not draft.book.is_held)


def _want(state: EngineState, draft: Draft, wanted: Wanted, standing: Standing) -> None:
    wanted = msgspec.structs.replace(wanted, not_before_ns=standing.now_ns)
    want(state, draft.instance, draft.symbol, wanted)


def _give(
    state: EngineState, draft: Draft, wanted: Wanted, sized: Sized, standing: Standing
) -> Decimal:
    """Give an order; returns what it reserves."""
    until_ns = standing.now_ns + state.settings.intent_valid_ns
    draft.intent = make_intent(
        draft.instance, draft.symbol, wanted, sized, valid_until_ns=until_ns
    )
    standing.note(draft.instance.account.apply(draft.intent, standing.now_ns))
    draft.book.given = given_as(wanted, sized, draft.bar.day)
    draft.outcomes.append(Outcome.ORDERED)
    return draft.intent.reservation.amount
