"""Limits of the account in a backtest: what risk would deny of an entry (R01, R04, R06, R07).

Read as text and compiled, see `driver`; `kernel_text` leaves it out of runs without limits. Two
things are simpler than live, and than the event backtest (`event_run`): the equity is looked at
when an entry is judged and at the end of each session, so that a loss that was made good before
the next entry is not seen; and an entry that is denied holds no cash back from others of its
instant.
"""

from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.guarding import equity_now, held_value
from jts_pipelines.backtest.places import (
    CLOSE,
    DAY_START,
    DAY_STOPPED,
    DECIDED,
    DENIED_DRAWDOWN,
    DENIED_EXPOSURE,
    DENIED_LOSS,
    DENIED_VALUE,
    FOLLOWED,
    GROUP_SIZE,
    HIGHEST,
    IS_LATCHED,
    LIMIT_DRAWDOWN,
    LIMIT_GROSS,
    LIMIT_LOSS,
    LIMIT_POSITION,
    LIMIT_VALUE,
    QUANTITY,
    SESSION_CASH,
    SESSION_NOW,
    SESSION_VALUE,
    START_CASH,
    UNIT,
    WANTED,
)
from jts_pipelines.backtest.search import is_entry, price_of
from jts_trading.strategy.sizing import share_of
from jts_trading.strategy.stops import is_daily_loss_reached


def is_denied(desk: Desk, instrument: int, row: int, quantity: int) -> bool:
    """Return whether the limits of the account deny an entry on the close of a row."""
    account, rules, equity = desk.account, desk.rules, equity_now(desk)
    follow_equity(desk, equity)
    worth = price_of(desk, CLOSE, row) * desk.book[instrument, UNIT]
    held, value = desk.book[instrument, QUANTITY] * worth, quantity * worth
    found = -1
    if account[IS_LATCHED] == 1:
        found = DENIED_DRAWDOWN
    elif value > rules[LIMIT_VALUE]:
        found = DENIED_VALUE
    elif held + value > share_of(equity, rules[LIMIT_POSITION]) or (
        held_value(desk) + ordered_value(desk) + value > share_of(equity, rules[LIMIT_GROSS])
    ):
        found = DENIED_EXPOSURE
    elif account[DAY_STOPPED] == account[SESSION_NOW] + 1:
        found = DENIED_LOSS
    if found >= 0:
        account[found] += 1
    return found >= 0


def follow_equity(desk: Desk, equity: int) -> None:
    """Note the highest equity, and whether a limit of losses is reached."""
    account, rules, sessions = desk.account, desk.rules, desk.sessions
    account[HIGHEST] = max(account[HIGHEST], account[START_CASH])
    for session in range(account[FOLLOWED], account[SESSION_NOW]):
        after = account[START_CASH] + sessions[session, SESSION_CASH]
        follow_drawdown(desk, after + sessions[session, SESSION_VALUE])
    account[FOLLOWED] = account[SESSION_NOW]
    follow_drawdown(desk, equity)
    if is_daily_loss_reached(equity, account[DAY_START], rules[LIMIT_LOSS]):
        account[DAY_STOPPED] = account[SESSION_NOW] + 1


def follow_drawdown(desk: Desk, equity: int) -> None:
    """Take an equity into account for the largest drawdown; once reached, it stays reached."""
    account = desk.account
    account[HIGHEST] = max(account[HIGHEST], equity)
    if is_daily_loss_reached(equity, account[HIGHEST], desk.rules[LIMIT_DRAWDOWN]):
        account[IS_LATCHED] = 1


def ordered_value(desk: Desk) -> int:
    """Return what the entries that wait are worth, at the closes that decided them."""
    book, total = desk.book, 0
    for other in range(desk.account[GROUP_SIZE]):
        if is_entry(desk, other):
            close = price_of(desk, CLOSE, book[other, DECIDED])
            total += book[other, WANTED] * close * book[other, UNIT]
    return int(total)
