"""What the account says to rules that ask for it: the guard of a plan, live.

The same function as in a backtest, over facts that `strategy.facts` fills; here they are gathered
from the account and the books of the instance.
"""

import math

import numpy as np

from jts_trading.dsl.facts import FACTS_SIZE
from jts_trading.engine.columns import Floats
from jts_trading.engine.evaluate import look_at
from jts_trading.engine.recording import Draft
from jts_trading.engine.standing import Standing
from jts_trading.strategy.facts import FACT_PRICE_SCALE, fill_portfolio, fill_position


def ask_guard(draft: Draft, rules: int, standing: Standing) -> None:
    """Take out of the rules of a mask that fired those that the account does not allow.

    An exit that asks for the account is not judged while there is nothing to leave.

    Args:
        draft: Its mask is changed.
        rules: Mask of the rules that are judged now.
        standing: Of the instance.
    """
    program = draft.instance.program
    asked = draft.fired & rules & program.guarded
    if not asked or program.guard is None:
        return
    if asked & program.rules.exits and _has_nothing(draft, standing):
        draft.fired &= ~asked
        return
    draft.facts = facts_of(draft, standing)
    kept = program.guard(draft.fired, draft.numbers, draft.facts)
    draft.fired &= ~asked | int(kept)


def in_order(drafts: list[Draft]) -> list[Draft]:
    """Return the drafts of one instant and instance, by instrument id, as their entries come."""
    rank = drafts[0].instance.program.plan.rank
    if rank is None:
        return drafts
    # Null is last; equal ones keep the order of their ids.
    return sorted(drafts, key=lambda d: (math.isnan(d.numbers[rank]), -float(d.numbers[rank])))


def show_values(draft: Draft) -> None:
    """Look up the values of the conditions, now that it is known which rules count."""
    if draft.seen is not None and draft.fired:
        account = None if draft.facts is None else (draft.numbers, draft.facts)
        found = look_at(draft.instance, draft.symbol, draft.fired, draft.seen, account)
        draft.values = [*found, *draft.values]


def facts_of(draft: Draft, standing: Standing) -> Floats:
    """Return the facts of the account for one bar, and the constants of the guard behind them."""
    instance, symbol, book, bar = draft.instance, draft.symbol, draft.book, draft.bar
    units, account = instance.units[symbol], instance.account
    held, step = account.holding(symbol), float(units.quantity_step)
    constants = instance.program.plan.guard_constants
    facts = np.zeros(FACTS_SIZE + len(constants))
    facts[FACTS_SIZE:] = constants
    facts[FACT_PRICE_SCALE] = units.price_scale
    age_s = (bar.stamp_ms - book.held_from_ms) // 1000 if book.held_from_ms >= 0 else 0
    since = (book.peak, book.bars_held, age_s, book.entries_made)
    lots, cost = units.lots(held.quantity), units.money(held.cost)
    fill_position(facts, lots, cost, bar.close, since, step)
    sums = (standing.equity, account.cash, standing.free, instance.day_start)
    equity, cash, free, day_start = (units.money(amount) for amount in sums)
    fill_portfolio(facts, (equity, equity - cash, free, day_start), standing.positions, step)
    return facts


def _has_nothing(draft: Draft, standing: Standing) -> bool:
    account = draft.instance.account
    return (
        account.is_flat(draft.symbol)
        and standing.working(draft.symbol) is None
        and draft.book.wanted is None
    )
