"""Checks against the account: exposure, cash, losses, and whether an exit is one.

All open orders of the account count as if they were filled, UNKNOWN ones too.
"""

from decimal import Decimal

from jts_trading.domain.orders import OrderSide
from jts_trading.risk.case import ZERO, Case, known
from jts_trading.risk.facts import OpenOrder
from jts_trading.risk.order_checks import failed, passed
from jts_trading.risk.verdict import Finding


def exposure(case: Case) -> Finding:
    """R04: share of the account's equity in one instrument, and in all together."""
    if case.reduces or not case.is_buy:
        # A sale that is no exit is judged by R05: nothing is sold that is not held.
        return passed("R04", {})
    order, limits = case.order, case.limits
    equity = case.equity()
    values = case.holding_values()
    here, everywhere = values.get(order.instrument_id, ZERO), sum(values.values(), ZERO)
    for other in case.others():
        if other.side is OrderSide.BUY:
            value = other.remaining * _priced(case, other)
            everywhere += value
            if other.instrument_id == order.instrument_id:
                here += value
    here, everywhere = here + case.value(), everywhere + case.value()
    here_max, everywhere_max = (
        limits.position_share_max * equity,
        limits.gross_exposure_max * equity,
    )
    figures = {
        "equity": str(equity),
        "instrument": str(here),
        "instrument_max": str(here_max),
        "gross": str(everywhere),
        "gross_max": str(everywhere_max),
    }
    if here > here_max:
        return failed("R04", f"the position could be worth {here}, at most {here_max}", figures)
    if everywhere > everywhere_max:
        reason = f"all positions could be worth {everywhere}, at most {everywhere_max}"
        return failed("R04", reason, figures)
    return passed("R04", figures)


def means(case: Case) -> Finding:
    """R05: cash for the worst price and the commission; for a sale, what is held and not offered.

    Cash is what everything traded so far comes to when it has settled: the proceeds of a sale
    settle no later than a purchase of the same day, so they can pay it.
    """
    return _cash(case) if case.is_buy else _held(case)


def _cash(case: Case) -> Finding:
    order = case.order
    cash = known(case.facts.cash, "cash of the account")
    fee_rate = known(case.facts.fee_rate, "commission of the account")
    needed = order.quantity * case.worst_price() * (1 + fee_rate)
    reserved = sum(
        (other.reserved for other in case.others() if other.asset == order.currency), ZERO
    )
    free = cash - reserved
    figures = {
        "needed": str(needed),
        "cash": str(cash),
        "reserved": str(reserved),
        "worst_price": str(case.worst_price()),
    }
    if needed > free:
        return failed("R05", f"it may cost {needed}, {free} {order.currency} are free", figures)
    return passed("R05", figures)


def _held(case: Case) -> Finding:
    order = case.order
    holdings = known(case.facts.holdings, "positions of the account")
    own = known(case.facts.own_holding, "position of the strategy instance")
    offers = [
        other
        for other in case.others()
        if other.side is OrderSide.SELL and other.instrument_id == order.instrument_id
    ]
    offered = sum((other.remaining for other in offers), ZERO)
    own_offered = sum(
        (other.remaining for other in offers if other.instance == order.instance), ZERO
    )
    free = min(holdings.get(order.instrument_id, ZERO) - offered, own - own_offered)
    figures = {"quantity": str(order.quantity), "free": str(free), "offered": str(offered)}
    if order.quantity > free:
        return failed("R05", f"{order.quantity} are to be sold, {free} are free", figures)
    return passed("R05", figures)


def daily_loss(case: Case) -> Finding:
    """R06: loss since the start of the trading day, realised or not."""
    if case.reduces:
        return passed("R06", {})
    marks = known(case.facts.equity_marks, "equity at the start of the day")
    lost = marks.at_start - case.equity()
    limit = case.limits.daily_loss_max * marks.at_start
    figures = {"at_start": str(marks.at_start), "lost": str(lost), "lost_max": str(limit)}
    if marks.is_day_stopped:
        return failed("R06", "the daily loss was reached before; entries stop today", figures)
    if lost >= limit:
        return failed("R06", f"lost {lost} today, the limit is {limit}", figures)
    return passed("R06", figures)


def drawdown(case: Case) -> Finding:
    """R07: distance from the highest equity."""
    if case.reduces:
        return passed("R07", {})
    marks = known(case.facts.equity_marks, "highest equity")
    below = marks.highest - case.equity()
    limit = case.limits.drawdown_max * marks.highest
    figures = {"highest": str(marks.highest), "below": str(below), "below_max": str(limit)}
    if below >= limit:
        return failed("R07", f"{below} below the highest equity, the limit is {limit}", figures)
    return passed("R07", figures)


def reduce_only(case: Case) -> Finding:
    """R15: what calls itself an exit must make the position of its own instance smaller."""
    if not case.reduces:
        return passed("R15", {})
    order = case.order
    held = known(case.facts.own_holding, "position of the strategy instance")
    offered = sum(
        (
            other.remaining
            for other in case.others()
            if (other.instance, other.instrument_id, other.side)
            == (order.instance, order.instrument_id, order.side)
        ),
        ZERO,
    )
    is_opposite = held < 0 if case.is_buy else held > 0
    free = abs(held) - offered if is_opposite else ZERO
    figures = {"held": str(held), "offered": str(offered), "quantity": str(order.quantity)}
    if order.quantity > free:
        reason = f"{order.side} {order.quantity} does not reduce {held} with {offered} on offer"
        return failed("R15", reason, figures)
    return passed("R15", figures)


def _priced(case: Case, other: OpenOrder) -> Decimal:
    return other.price if other.price is not None else case.mark(other.instrument_id)
