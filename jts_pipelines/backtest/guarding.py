"""What the account says to rules that ask for it: the guard of a plan, in a backtest.

Read as text and compiled, see `driver`; `kernel_text` puts the guard that the compiler generated
in the place of the one below, or leaves all of this out where a plan has none.
"""

from jts_pipelines.backtest.columns import Desk, Floats
from jts_pipelines.backtest.fills import mark_positions
from jts_pipelines.backtest.places import (
    CASH,
    CLOSE,
    DAY_START,
    DIRECTION,
    ENTRY,
    ENTRY_COUNT,
    ENTRY_ROW,
    FACTS_STEP,
    GUARDED,
    HELD,
    MARK,
    MARKED_AT,
    NOW,
    PEAK,
    PEAK_ROW,
    PLEDGED,
    POSITIONS,
    QUANTITY,
    RESERVED,
    SHORTS,
    UNIT,
    VALUE,
)
from jts_pipelines.backtest.search import fired_on, moment_of, price_of
from jts_trading.strategy.facts import fill_portfolio, fill_position


def guard(fired: int, values: Floats, facts: Floats) -> int:  # noqa: ARG001 - as generated
    """Return the rules of a mask that the account allows."""
    return fired


def judged_on(desk: Desk, instrument: int, row: int, rules: int) -> int:
    """Return the rules of a mask that fired on a row and that the account allows."""
    fired = fired_on(desk, row) & rules
    if fired & desk.rules[GUARDED] == 0:
        return fired
    gather_facts(desk, instrument, row)
    return guard(fired, desk.values[row], desk.facts[instrument])


def gather_facts(desk: Desk, instrument: int, row: int) -> None:
    """Fill in the facts of the account at the close of a row; only after the fills of its instant.

    Money is counted in the units of the instrument, as live does.
    """
    account, book, facts = desk.account, desk.book, desk.facts[instrument]
    unit, step = book[instrument, UNIT], desk.facts[instrument, FACTS_STEP]
    held, close = book[instrument, QUANTITY], price_of(desk, CLOSE, row)
    bars, age_s = 0, 0
    if held > 0:
        raise_peak(desk, instrument, row)
        entered = book[instrument, ENTRY_ROW]
        now, then = moment_of(desk, instrument, row), moment_of(desk, instrument, entered)
        bars = row - entered + 1
        age_s = (desk.times[now] - desk.times[then]) // 1000
    since = (book[instrument, PEAK], bars, age_s, max(book[instrument, ENTRY_COUNT], 1))
    signed = held * book[instrument, DIRECTION]
    fill_position(facts, signed, cost_of(desk, instrument), close, since, step)
    equity, cash = equity_now(desk), account[CASH]
    free = cash - account[RESERVED] - account[PLEDGED]
    day_start = account[DAY_START]
    worth = held_value(desk) // unit if desk.rules[SHORTS] != 0 else equity // unit - cash // unit
    money = (equity // unit, worth, free // unit, day_start // unit)
    fill_portfolio(facts, money, account[HELD], step)


def cost_of(desk: Desk, instrument: int) -> int:
    """Return what was paid for a position, without fees."""
    found: int = desk.book[instrument, QUANTITY] * desk.book[instrument, ENTRY]
    return found


def raise_peak(desk: Desk, instrument: int, row: int) -> None:
    """Let the peak of a position know the closes up to a row."""
    book = desk.book
    for at in range(book[instrument, PEAK_ROW], row + 1):
        close = price_of(desk, CLOSE, at)
        book[instrument, PEAK] = better_of(desk, instrument, book[instrument, PEAK], close)
    book[instrument, PEAK_ROW] = max(book[instrument, PEAK_ROW], row + 1)


def better_of(desk: Desk, instrument: int, one: int, other: int) -> int:  # noqa: ARG001
    """Return which of two prices is better for a position."""
    return max(one, other)


def held_value(desk: Desk) -> int:
    """Return what positions are worth at their marks, long and short ones alike."""
    account, book = desk.account, desk.book
    if desk.rules[SHORTS] == 0:
        return int(account[VALUE])
    total = 0
    for place in range(account[POSITIONS]):
        at = desk.held[place]
        total += book[at, QUANTITY] * book[at, MARK] * book[at, UNIT]
    return int(total)


def equity_now(desk: Desk) -> int:
    """Return cash and positions at the closes of this instant; only for use after its fills."""
    account = desk.account
    if account[MARKED_AT] != account[NOW]:
        account[MARKED_AT] = account[NOW]
        mark_positions(desk, account[NOW])
    found: int = account[CASH] + account[VALUE]
    return found
