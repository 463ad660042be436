"""Orders that were decided earlier and can be given now.

An exit stays wanted until its position is gone: it is given again, ever more rarely, when an order
ends without having sold everything. An order that waited for the session is as large as it was
decided, unless less is held or free by now. An entry is dropped when the position has all its
entries by now or the instance may not enter.
"""

import msgspec

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.orders import OrderSide
from jts_trading.engine.events import Effect
from jts_trading.engine.orders import Sized, make_intent, size_entry, size_exit
from jts_trading.engine.slots import is_tradable, session_at
from jts_trading.engine.standing import Standing
from jts_trading.engine.state import EngineState, Instance
from jts_trading.engine.wanted import Wanted
from jts_trading.engine.wishes import drop, want
from jts_trading.portfolio.instance_account import WorkingOrder

_DOUBLINGS_MAX = 6
# From this try on somebody is told: the position stays open against the strategy's will.
_TOLD_FROM = 3


def want_again(
    state: EngineState, instance: Instance, symbol: str, given: Wanted, now_ns: int
) -> list[Effect]:
    """Want an exit anew whose order ended while something is still held."""
    wait_ns = state.settings.retry_ns << min(given.tries, _DOUBLINGS_MAX)
    tries = given.tries + 1
    again = msgspec.structs.replace(
        given, tries=tries, not_before_ns=now_ns + wait_ns, triggered_ns=0, lots=0
    )
    want(state, instance, symbol, again)
    if tries < _TOLD_FROM:
        return []
    alert = RiskAlert(
        severity="critical" if tries > _TOLD_FROM else "warning",
        check="exit_unfilled",
        subject=f"{instance.spec.instance} {symbol}",
        text=f"{tries} exit orders ended unfilled; the next is given in {wait_ns // 10**9} s",
        ts_ns=now_ns,
    )
    return [Effect(alert, f"exit_unfilled/{given.signal_id}/{tries}")]


def want_rest(
    state: EngineState, instance: Instance, symbol: str, given: Wanted, order: WorkingOrder
) -> None:
    """Want what is left of an order anew, from the next session on: it is good till cancelled."""
    rest = instance.units[symbol].lots(order.quantity - order.filled)
    renewed = msgspec.structs.replace(
        given,
        lots=rest,
        held_back=-(-given.held_back // given.lots) * rest,
        tries=given.tries + 1,
        triggered_ns=0,
        from_day=given.from_day + 1,
        is_begun=given.is_begun or order.filled > 0,
    )
    want(state, instance, symbol, renewed)


def given_as(wanted: Wanted, sized: Sized, day: int) -> Wanted:
    """Return what is remembered of an order that is given: size and session for its renewal."""
    if not wanted.is_renewed:
        return wanted
    size = {"lots": sized.lots, "held_back": sized.held_back}
    return msgspec.structs.replace(wanted, from_day=day, **size)


def give_wanted(state: EngineState, now_ns: int) -> list[Effect]:
    """Give the wanted orders that can be given, unless data are old; returns their intents."""
    if now_ns - state.newest_ns > state.settings.decision_age_ns:
        return []
    effects: list[Effect] = []
    for name, symbol in sorted(state.waiting):
        instance = state.instances.get(name)
        book = instance.books.get(symbol) if instance is not None else None
        if instance is None or book is None or book.wanted is None:
            state.waiting.discard((name, symbol))
        elif _is_over(instance, book.wanted, now_ns):
            drop(state, instance, symbol)
        elif instance.account.working(symbol) is not None:
            state.waiting.discard((name, symbol))
            state.blocked.add((name, symbol))
        elif _may_give(state, instance, symbol, book.wanted, now_ns):
            effects += _give(state, instance, symbol, now_ns)
    return effects


def _is_over(instance: Instance, wanted: Wanted, now_ns: int) -> bool:
    """Return whether the last session in which an order may be given is over."""
    if not wanted.last_day:
        return False
    session = session_at(instance.spec.venue, now_ns)
    return session is not None and session.day > wanted.last_day


def _may_give(
    state: EngineState, instance: Instance, symbol: str, wanted: Wanted, now_ns: int
) -> bool:
    if now_ns < wanted.not_before_ns or not is_tradable(instance.spec.venue, now_ns):
        return False
    # The first trade of the session is there: its price is one that risk can judge.
    session = session_at(instance.spec.venue, now_ns)
    return (
        session is not None
        and session.day >= wanted.from_day
        and state.desks[symbol, instance.spec.venue].opened_ns >= session.open_ns
    )


def _give(state: EngineState, instance: Instance, symbol: str, now_ns: int) -> list[Effect]:
    book = instance.books[symbol]
    wanted = book.wanted
    drop(state, instance, symbol)
    session = session_at(instance.spec.venue, now_ns)
    if wanted is None or session is None:
        return []
    standing = Standing(instance, now_ns, besides=symbol)
    if wanted.side is OrderSide.BUY:
        # The rest of an order that is given again joins what it has bought before.
        is_free = book.entries_made < instance.program.rules.pyramiding or wanted.tries
        if not is_free or instance.spec.status == "paused":
            return []
        sized = _entry(state, instance, symbol, wanted, session.day, standing=standing)
    else:
        sized = _exit(instance, symbol, wanted, session.day, standing=standing)
    if isinstance(sized, str) or sized.lots == 0:
        return []
    intent = make_intent(
        instance, symbol, wanted, sized, valid_until_ns=now_ns + state.settings.intent_valid_ns
    )
    instance.account.apply(intent, now_ns)
    book.given = given_as(wanted, sized, session.day)
    state.counts.intents += 1
    cause = wanted.cause
    return [
        Effect(intent, f"intent/{intent.intent.order_id}", cause.correlation_id, cause.message_id)
    ]


def _entry(
    state: EngineState,
    instance: Instance,
    symbol: str,
    wanted: Wanted,
    day: int,
    *,
    standing: Standing,
) -> Sized | str:
    free = instance.units[symbol].money(standing.free)
    if wanted.lots and wanted.held_back <= free:
        return Sized(wanted.lots, wanted.held_back)
    if wanted.tries:
        return Sized(0)
    return size_entry(instance, symbol, wanted, day, state.settings, standing=standing)


def _exit(
    instance: Instance, symbol: str, wanted: Wanted, day: int, *, standing: Standing
) -> Sized | str:
    held = instance.units[symbol].lots(instance.account.holding(symbol).quantity)
    if wanted.lots:
        return Sized(min(wanted.lots, max(held, 0)))
    try:
        price = instance.books[symbol].mark
        return size_exit(instance, symbol, wanted.reason, price, day, standing=standing)
    except RuleMissingError as error:
        return str(error)
