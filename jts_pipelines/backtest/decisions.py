"""Decisions on a close: exits of the risk block or a rule, then entries.

Read as text and compiled, see `driver`.
"""

from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.fills import free_cash, own_money
from jts_pipelines.backtest.guarding import equity_now, judged_on
from jts_pipelines.backtest.places import (
    AMOUNT,
    BLOCKED_BY_LOSS,
    BLOCKED_BY_RISK,
    BUY,
    CANCELLED,
    CLOSE,
    CLOSED,
    COOLDOWN_BARS,
    COOLDOWN_MS,
    DAILY_LOSS,
    DAY_START,
    DECIDED,
    DIRECTION,
    DROPPED,
    END,
    ENTRIES,
    ENTRY,
    ENTRY_DECISIONS,
    EXIT_DECISIONS,
    EXITS,
    HAS_LEFT,
    HELD,
    HELD_BACK,
    KELLY_CAP,
    KELLY_FLOOR,
    KELLY_FRACTION,
    KELLY_MIN,
    KIND,
    LEFT_AT,
    LEFT_ROW,
    LOSS,
    LOWER,
    MAX_POSITION,
    NEXT_PHASE,
    NEXT_ROW,
    NOW,
    PEAK,
    POSITIONS_MAX,
    PROFIT,
    PURCHASES,
    QUANTITY,
    QUANTUM,
    REASON,
    REASON_STOP_LOSS,
    REASON_TAKE_PROFIT,
    REASON_TRAILING_STOP,
    REDUCED,
    RESERVED,
    SALES,
    SIDE,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
    UNIT,
    UPPER,
    WANTED,
    WITHOUT_EDGE,
    WON,
)
from jts_pipelines.backtest.search import (
    can_fill,
    fired_on,
    next_fired,
    order_terms,
    price_of,
    smallest_order,
    stopped_at,
)
from jts_trading.strategy.sizing import (
    QUANTITY_KELLY,
    QUANTITY_MONEY,
    QUANTITY_PERCENT,
    QUANTITY_SHARES,
    affordable_quantity,
    buying_cost,
    capped_quantity,
    exit_quantity,
    kelly_entry_share,
    wanted_quantity,
)
from jts_trading.strategy.stops import (
    is_daily_loss_reached,
    is_profit_taken,
    is_stop_loss_hit,
    is_trailing_stop_hit,
)


def seek_next(desk: Desk, instrument: int, row: int) -> None:
    """Note what happens next to an instrument, on a row or later.

    That is a fill where an order waits, or an exit rule that cancels a waiting entry; the next
    exit of a position; the next entry that fires.
    """
    book, rules, phase = desk.book, desk.rules, ENTRY_DECISIONS
    side, end = book[instrument, SIDE], book[instrument, END]
    if side != 0:
        phase, locked = (PURCHASES, UPPER) if side == BUY else (SALES, LOWER)
        while row < end and not can_fill(desk, instrument, row, locked):
            if side == BUY and fired_on(desk, row) & rules[EXITS] != 0:
                phase = EXIT_DECISIONS
                break
            row += 1
    else:
        is_held = book[instrument, QUANTITY] > 0
        earliest = row
        row = next_fired(desk, row, end, rules[EXITS] if is_held else rules[ENTRIES])
        if is_held:
            phase = EXIT_DECISIONS
            row = stopped_at(desk, instrument, earliest, row)
    book[instrument, NEXT_ROW], book[instrument, NEXT_PHASE] = row, phase


def amount_of(desk: Desk, instrument: int, rule: int) -> int:
    """Return the amount of a rule as the sizing functions take it, in units of an instrument."""
    kind, amount = desk.sizes[rule, KIND], desk.sizes[rule, AMOUNT]
    if kind == QUANTITY_SHARES:
        amount //= desk.book[instrument, QUANTUM]
    if kind == QUANTITY_MONEY:
        amount //= desk.book[instrument, UNIT]
    return int(amount)


def is_by_equity(kind: int) -> bool:
    """Return whether a quantity of this kind is a share of equity."""
    return kind in (QUANTITY_PERCENT, QUANTITY_KELLY)


def decide_exit(desk: Desk, instrument: int, row: int) -> None:
    """Cancel a waiting entry, or order the exit of a position."""
    account, book = desk.account, desk.book
    fired = judged_on(desk, instrument, row, desk.rules[EXITS])
    if book[instrument, SIDE] == BUY:
        if fired == 0:
            return
        book[instrument, SIDE] = 0
        account[RESERVED] -= book[instrument, HELD_BACK]
        account[HELD] -= 1
        account[CANCELLED] += 1
        return
    order_exit(desk, instrument, row, exit_reason(desk, instrument, row, fired))


def order_exit(desk: Desk, instrument: int, row: int, reason: int) -> None:
    """Order the exit of a position, if there is a reason and anything to sell."""
    book = desk.book
    quantity = 0 if reason < 0 else _leaving(desk, instrument, row, reason)
    if quantity > 0 and place_order(desk, instrument, row, reason):
        book[instrument, SIDE] = -book[instrument, DIRECTION]
        book[instrument, WANTED] = quantity
        book[instrument, REASON], book[instrument, DECIDED] = reason, row


def place_order(desk: Desk, instrument: int, row: int, reason: int) -> bool:  # noqa: ARG001
    """Set the terms of an order up; return whether it can be given: a market order always."""
    return True


def reserve_of(desk: Desk, instrument: int, row: int, rule: int, usual: int) -> int:  # noqa: ARG001
    """Return the price at which a purchase reserves cash: that of a market order."""
    return usual


def _leaving(desk: Desk, instrument: int, row: int, reason: int) -> int:
    held: int = desk.book[instrument, QUANTITY]
    if reason >= REASON_STOP_LOSS:
        return held
    kind, amount = desk.sizes[reason, KIND], amount_of(desk, instrument, reason)
    equity = equity_now(desk) // desk.book[instrument, UNIT] if kind == QUANTITY_PERCENT else 0
    wanted = wanted_quantity(kind, amount, equity, price_of(desk, CLOSE, row))
    lot, _ = order_terms(desk, instrument, row)
    return exit_quantity(kind, wanted, held, lot)


def exit_reason(desk: Desk, instrument: int, row: int, fired: int) -> int:
    """Return why the position is to be left on the close of a row, or -1.

    Args:
        desk: The desk.
        instrument: Held.
        row: The bar.
        fired: The exit rules that count on it.
    """
    rules, close = desk.rules, price_of(desk, CLOSE, row)
    entry, peak = desk.book[instrument, ENTRY], desk.book[instrument, PEAK]
    if is_stop_loss_hit(close, entry, rules[STOP_LOSS]):
        return REASON_STOP_LOSS
    if is_trailing_stop_hit(close, peak, rules[TRAILING_STOP]):
        return REASON_TRAILING_STOP
    if is_profit_taken(close, entry, rules[TAKE_PROFIT]):
        return REASON_TAKE_PROFIT
    return first_rule(fired)


def first_rule(fired: int) -> int:
    """Return the number of the first rule in a mask, or -1."""
    if fired == 0:
        return -1
    rule = 0
    while fired >> rule & 1 == 0:
        rule += 1
    return rule


def decide_entry(desk: Desk, instrument: int, row: int) -> None:
    """Order the entry that fired on a row, unless the risk block forbids it."""
    account, rules = desk.account, desk.rules
    fired = judged_on(desk, instrument, row, entries_of(desk, instrument))
    if fired == 0:
        return
    if rules[DAILY_LOSS] > 0 and is_daily_loss_reached(
        equity_now(desk), account[DAY_START], rules[DAILY_LOSS]
    ):
        account[BLOCKED_BY_LOSS] += 1
    elif is_resting(desk, instrument, row):
        account[BLOCKED_BY_RISK] += 1
    else:
        _order_entry(desk, instrument, row, first_rule(fired))


def entries_of(desk: Desk, instrument: int) -> int:  # noqa: ARG001
    """Return the entry rules that count for an instrument."""
    found: int = desk.rules[ENTRIES]
    return found


def side_of(desk: Desk, rule: int) -> int:  # noqa: ARG001
    """Return the side of the orders of an entry rule."""
    return BUY


def is_forbidden(desk: Desk, row: int, side: int) -> bool:  # noqa: ARG001
    """Return whether the venue forbids an entry at this instant: see `shorting`."""
    return False


def is_denied(desk: Desk, instrument: int, row: int, quantity: int) -> bool:  # noqa: ARG001
    """Return whether limits of the account deny an entry: there are none, see `limits`."""
    return False


def is_resting(desk: Desk, instrument: int, row: int) -> bool:
    """Return whether `max_positions` or `cooldown` forbids to open a position on a row."""
    rules, book = desk.rules, desk.book
    if book[instrument, QUANTITY] > 0:
        return False
    if 0 < rules[POSITIONS_MAX] <= desk.account[HELD]:
        return True
    if book[instrument, HAS_LEFT] == 0:
        return False
    since_ms = desk.times[desk.account[NOW]] - book[instrument, LEFT_AT]
    bars = row - book[instrument, LEFT_ROW] + 1
    return bool(since_ms < rules[COOLDOWN_MS]) or bool(bars <= rules[COOLDOWN_BARS])


def _order_entry(desk: Desk, instrument: int, row: int, rule: int) -> None:
    """Order an entry as large as sizes and cash allow, if that is anything."""
    rules, account, book = desk.rules, desk.account, desk.book
    kind, amount = desk.sizes[rule, KIND], amount_of(desk, instrument, rule)
    side = side_of(desk, rule)
    if is_forbidden(desk, row, side):
        return
    if kind == QUANTITY_KELLY:
        amount = _kelly_share(desk)
        if amount == 0:
            account[WITHOUT_EDGE] += 1
            return
    needs_equity, unit = is_by_equity(kind) or rules[MAX_POSITION] > 0, book[instrument, UNIT]
    equity = equity_now(desk) // unit if needs_equity else 0
    close, (lot, usual) = price_of(desk, CLOSE, row), order_terms(desk, instrument, row)
    reserve = reserve_of(desk, instrument, row, rule, usual)
    paid, rate, fee_unit = own_money(desk, instrument, side, reserve)
    asked, held = wanted_quantity(kind, amount, equity, close), book[instrument, QUANTITY]
    wanted = capped_quantity(asked, equity, close, rules[MAX_POSITION], lot, held)
    if held > 0 and wanted == 0 and asked >= lot:
        account[BLOCKED_BY_RISK] += 1
        return
    quantity = affordable_quantity(wanted, paid, lot, free_cash(desk) // unit, (rate, fee_unit))
    is_large = quantity > 0 and quantity * close >= smallest_order(desk, instrument, row)
    if is_large and is_denied(desk, instrument, row, quantity):
        return
    book[instrument, DIRECTION] = side
    if not (is_large and place_order(desk, instrument, row, rule)):
        account[DROPPED] += 1
        return
    account[REDUCED] += quantity < wanted
    book[instrument, SIDE], book[instrument, WANTED] = side, quantity
    book[instrument, REASON], book[instrument, DECIDED] = rule, row
    book[instrument, HELD_BACK] = buying_cost(quantity, paid, (rate, fee_unit)) * unit
    account[RESERVED] += book[instrument, HELD_BACK]
    account[HELD] += held == 0


def _kelly_share(desk: Desk) -> int:
    account, rules = desk.account, desk.rules
    record = (account[CLOSED], account[WON], account[PROFIT], account[LOSS])
    limits = (rules[KELLY_MIN], rules[KELLY_FLOOR], rules[KELLY_FRACTION], rules[KELLY_CAP])
    return kelly_entry_share(record, limits)
