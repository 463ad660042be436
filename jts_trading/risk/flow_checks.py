"""Checks of the flow of orders and of what the executor relies on: kill switch, rates, health."""

from decimal import Decimal

from jts_trading.domain.orders import OrderSide
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.risk.case import Case, known
from jts_trading.risk.facts import OpenOrder
from jts_trading.risk.order_checks import failed, passed
from jts_trading.risk.verdict import Finding

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_KILL_ENTRIES, _KILL_ALL = 1, 2


def kill_switch(case: Case) -> Finding:
    """KILL: level 1 stops what does not reduce, level 2 stops everything."""
    level = known(case.facts.kill_level, "kill switch")
    figures = {"level": str(level)}
    if level >= _KILL_ALL or (level >= _KILL_ENTRIES and not case.reduces):
        return failed("KILL", f"the kill switch is latched at level {level}", figures)
    return passed("KILL", figures)


def duplicate(case: Case) -> Finding:
    """R08: the same order of the account a moment ago. Exits are bounded by R15 instead."""
    order, window_s = case.order, case.limits.duplicate_window_s
    figures = {"window_s": str(window_s)}
    if case.reduces:
        return passed("R08", figures)
    for sent in known(case.facts.sent, "orders of the last minute"):
        is_same = (
            sent.order_id != order.order_id
            and (sent.broker, sent.account) == (order.broker, order.account)
            and (sent.instrument_id, sent.side) == (order.instrument_id, order.side)
            and (sent.quantity, sent.price) == (order.quantity, order.price)
        )
        if is_same and abs(case.now_ns - sent.sent_ns) < window_s * _NS_PER_S:
            figures["same_as"] = sent.order_id
            return failed("R08", f"the same order {sent.order_id} was sent a moment ago", figures)
    return passed("R08", figures)


def order_rate(case: Case) -> Finding:
    """R09: orders of the strategy instance per second and minute, real time."""
    if case.reduces:
        return passed("R09", {})
    now_ns = known(case.facts.real_now_ns, "real time")
    ages_ns = [
        now_ns - sent.real_sent_ns
        for sent in known(case.facts.sent, "orders of the last minute")
        if sent.instance == case.order.instance
    ]
    for name, span_s, limit in (
        ("second", 1, case.limits.orders_per_second),
        ("minute", 60, case.limits.orders_per_minute),
    ):
        count = sum(age < span_s * _NS_PER_S for age in ages_ns)
        if count >= limit:
            figures = {f"in_{name}": str(count), f"in_{name}_max": str(limit)}
            return failed("R09", f"{count} orders in the last {name}, at most {limit}", figures)
    return passed("R09", {"in_minute": str(len(ages_ns))})


def reject_ratio(case: Case) -> Finding:
    """R10: refusals of the venue in the last minute."""
    if case.reduces:
        return passed("R10", {})
    rejects, limit = known(case.facts.rejects, "refusals"), case.limits.rejects_per_minute
    figures = {"rejects": str(rejects), "rejects_max": str(limit)}
    if rejects >= limit:
        return failed(
            "R10", f"{rejects} refusals in the last minute, the limit is {limit}", figures
        )
    return passed("R10", figures)


def self_match(case: Case) -> Finding:
    """R11: an entry that could meet an open order of ours; the newer one is denied."""
    if case.reduces:
        return passed("R11", {})
    for other in case.others():
        if other.instrument_id == case.order.instrument_id and _crosses(case, other):
            reason = f"it could meet our own order {other.order_id}"
            return failed("R11", reason, {"other": other.order_id})
    return passed("R11", {})


def permitted(case: Case) -> Finding:
    """R12: the instance may trade this here and now, and the instrument is not halted."""
    order = case.order
    figures = {"instance": order.instance, "instrument": order.instrument_id}
    if case.reduces:
        # A position must be left even when its instance or universe has changed.
        return passed("R12", figures)
    reason = _not_permitted(case, known(case.facts.strategy, "strategy instance"))
    return failed("R12", reason, figures) if reason else passed("R12", figures)


def input_health(case: Case) -> Finding:
    """R17: newest reconciliation, number of UNKNOWN orders, lag of the event loop."""
    if case.reduces:
        # An exit is bounded by the journal's own position and all open orders (R15).
        return passed("R17", {})
    limits = case.limits
    note = known(case.facts.reconciled, "reconciliation of the account")
    age_s = Decimal(known(case.facts.real_now_ns, "real time") - note.real_ns) / _NS_PER_S
    unknown = sum(other.is_unknown for other in case.others())
    lag_ms = known(case.facts.loop_lag_ms, "lag of the event loop")
    figures = {
        "reconciled_age_s": str(age_s),
        "reconciled_age_s_max": str(limits.reconciled_age_s_max),
        "unknown": str(max(unknown, note.unknown_orders)),
        "unknown_max": str(limits.unknown_orders_max),
        "loop_lag_ms": f"{lag_ms:.1f}",
    }
    if abs(age_s) > limits.reconciled_age_s_max:
        return failed("R17", f"the account was reconciled {age_s} s ago", figures)
    if max(unknown, note.unknown_orders) > limits.unknown_orders_max:
        return failed("R17", f"{max(unknown, note.unknown_orders)} orders are UNKNOWN", figures)
    if case.order.instrument_id in note.halted:
        reason = f"broker and journal disagree on {case.order.instrument_id}"
        return failed("R17", reason, figures)
    # An event loop that is later than this has old facts in its hands.
    if lag_ms > limits.loop_lag_ms_max:
        return failed("R17", f"the event loop is {lag_ms:.0f} ms late", figures)
    return passed("R17", figures)


def _not_permitted(case: Case, strategy: StrategyInput) -> str:
    order = case.order
    here = (strategy.instance, strategy.broker, strategy.account, strategy.venue)
    if here != (order.instance, order.broker, order.account, order.venue):
        return f"{order.instance} does not trade through {order.broker}/{order.account}"
    if order.instrument_id not in strategy.instrument_ids:
        return f"{order.instrument_id} is not in the universe of {order.instance}"
    if strategy.currency != order.currency:
        return f"{order.instance} trades in {strategy.currency}"
    if strategy.status != "active":
        return f"{order.instance} is {strategy.status}: exits only"
    return f"{order.instrument_id} is halted" if case.price.is_halted else ""


def _crosses(case: Case, other: OpenOrder) -> bool:
    if other.side is case.order.side:
        return False
    mine, theirs = case.order.price, other.price
    if mine is None or theirs is None:
        return True
    return mine >= theirs if case.order.side is OrderSide.BUY else mine <= theirs
