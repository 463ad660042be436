"""Positions that are entered and left in parts: their cost, exact to the unit, and their entries.

Read as text and compiled, see `driver`; `modelled` says what takes the place of what. As in the
ledger (`portfolio.holding`), what is sold takes its share of the cost, rounded down, and the last
share all that is left; so the average price is cost divided by quantity at any time.
"""

from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.fills import hold, mark_to
from jts_pipelines.backtest.levels import NO_LEVEL
from jts_pipelines.backtest.places import (
    ARRIVES,
    BOUGHT_ROW,
    CASH,
    COST,
    DIRECTION,
    ENTRY_COUNT,
    ENTRY_ROW,
    IS_LATE,
    IS_NEW,
    MARK,
    MARK_ROW,
    NOW,
    PEAK,
    PEAK_ROW,
    PYRAMIDING,
    QUANTITY,
    SETTLES,
    TRADE,
    TRADE_CASH,
    TRADES,
    UNIT,
    UNSETTLED,
    VALUE,
    WAITS_SETTLEMENT,
)
from jts_pipelines.backtest.pricing import fill_of
from jts_trading.strategy.sizing import part_of


def can_add(desk: Desk, instrument: int) -> bool:
    """Return whether the position may have another entry."""
    return bool(desk.book[instrument, ENTRY_COUNT] < desk.rules[PYRAMIDING])


def cost_of_in_model(desk: Desk, instrument: int) -> int:
    """Return what was paid for a position, without fees."""
    found: int = desk.book[instrument, COST]
    return found


def take_on_in_model(desk: Desk, instrument: int, row: int, quantity: int, price: int) -> None:
    """Open a position with what an entry filled, or add to it."""
    account, book = desk.account, desk.book
    unit = book[instrument, UNIT]
    if book[instrument, QUANTITY] == 0:
        account[TRADES] += 1
        book[instrument, COST], book[instrument, ENTRY_COUNT] = 0, 0
        book[instrument, PEAK] = 0 if book[instrument, DIRECTION] > 0 else NO_LEVEL
        book[instrument, PEAK_ROW] = row
        book[instrument, ENTRY_ROW], book[instrument, MARK] = row, price
        book[instrument, TRADE], book[instrument, TRADE_CASH] = account[TRADES], 0
        hold(desk, instrument)
    else:
        mark_to(desk, instrument, row - 1)
    before = book[instrument, QUANTITY]
    more = before * (price - book[instrument, MARK]) + quantity * price
    account[VALUE] += book[instrument, DIRECTION] * more * unit
    book[instrument, MARK], book[instrument, MARK_ROW] = price, row
    book[instrument, QUANTITY] = before + quantity
    book[instrument, COST] += quantity * price
    _, late = fill_of(desk, instrument, row)
    book[instrument, BOUGHT_ROW], book[instrument, IS_LATE] = row, late
    # An order that fills in parts is one entry.
    book[instrument, ENTRY_COUNT] += book[instrument, IS_NEW]
    book[instrument, IS_NEW] = 0


def earn_in_model(desk: Desk, instrument: int, quantity: int, net: int) -> None:
    """Take in the money of a sale, now or on the day on which it settles."""
    account, book = desk.account, desk.book
    held = book[instrument, QUANTITY]
    book[instrument, COST] -= part_of(book[instrument, COST], quantity, held)
    account[CASH] += net
    if desk.rules[WAITS_SETTLEMENT] == 1:
        account[UNSETTLED] += net
        later = desk.sessions[desk.session_at[account[NOW]], SETTLES]
        if later < len(desk.sessions):
            desk.sessions[later, ARRIVES] += net
