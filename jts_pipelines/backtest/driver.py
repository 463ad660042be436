"""The second compiled pass: one portfolio over time, in whole won.

Theory of operation. All instruments are walked together in the order of time. At each instant
`simulate` (1) fills orders that wait, sales first, at the open; (2) marks positions to the close;
(3) decides exits, then entries, on the close. Orders of one instant are taken in order of
instrument id. An instrument has at most one waiting order, and takes no new decision while one
waits, except that an exit rule cancels a waiting entry.

This module is read as text: `kernel_text` joins it to the sizing functions that live uses, and
numba compiles the result; so it may only use their names, numpy and whole numbers. Invariant: cash
changes in `_buy` and `_sell` only, by exactly what the fill says.
"""

import numpy as np

from jts_pipelines.backtest.columns import Desk, Ints
from jts_trading.strategy.sizing import (
    QUANTITY_KELLY,
    affordable_quantity,
    buying_cost,
    capped_quantity,
    commission_of,
    exit_quantity,
    kelly_entry_share,
    share_of,
    wanted_quantity,
)
from jts_trading.strategy.stops import (
    is_daily_loss_reached,
    is_profit_taken,
    is_stop_loss_hit,
    is_trailing_stop_hit,
)

# The bars of the desk: one row per bar. What each means: `columns.Market`.
INSTRUMENT, STAMP, SESSION, OPEN, CLOSE, IS_TRADED = 0, 1, 2, 3, 4, 5
CAN_BUY, CAN_SELL, RESERVE, LOT, FIRED = 6, 7, 8, 9, 10
BAR_COLUMNS = 11

# The rules of the desk: one row; and the size of each rule. What each means: `columns.Rules`.
ENTRIES, EXITS, MAX_POSITION, TRAILING_STOP, STOP_LOSS, TAKE_PROFIT = 0, 1, 2, 3, 4, 5
DAILY_LOSS, POSITIONS_MAX, COOLDOWN_MS, COOLDOWN_BARS = 6, 7, 8, 9
KELLY_MIN, KELLY_FLOOR, KELLY_FRACTION, KELLY_CAP, COMMISSION_UNIT = 10, 11, 12, 13, 14
RULE_COLUMNS = 15
KIND, AMOUNT = 0, 1

# The costs of the desk, by session and class of instrument: `columns.Costs`.
COMMISSION, STT, RST = 0, 1, 2

# The account: one row.
CASH, RESERVED, VALUE, DAY_START, HELD = 0, 1, 2, 3, 4
TRADES, CLOSED, WON, PROFIT, LOSS = 5, 6, 7, 8, 9
# What became of decisions that led to no order or no fill.
DROPPED, REDUCED, BLOCKED_BY_LOSS = 10, 11, 12
WITHOUT_EDGE, CANCELLED, BLOCKED_BY_RISK = 13, 14, 15
# How often a position was worth more than is exact: the run means nothing then.
BEYOND = 16
ACCOUNT_COLUMNS = 17
WORTH_MAX = 1 << 53

# The book: one row per instrument.
QUANTITY, ENTRY, PEAK, MARK, SIDE, WANTED, HELD_BACK, REASON = 0, 1, 2, 3, 4, 5, 6, 7
DECIDED, TRADE, TRADE_CASH, LEFT_AT, BARS_SINCE, HAS_LEFT = 8, 9, 10, 11, 12, 13
BOOK_COLUMNS = 14

BUY, SELL = 1, -1

# A fill: one row.
FILL_ROW, FILL_SIDE, FILL_QUANTITY, FILL_PRICE, FILL_COMMISSION = 0, 1, 2, 3, 4
FILL_STT, FILL_RST, FILL_REASON, FILL_DECIDED, FILL_TRADE = 5, 6, 7, 8, 9
FILL_COLUMNS = 10

# Reasons below are rule numbers.
REASON_STOP_LOSS, REASON_TRAILING_STOP, REASON_TAKE_PROFIT = 100, 101, 102


def simulate(desk: Desk) -> tuple[Ints, int]:
    """Run the portfolio over all bars; changes account, book and sessions of the desk.

    Returns:
        Rows of fills, of which the first ones are used, and how many are.
    """
    bars, order, account = desk.bars, desk.order, desk.account
    fills = np.empty((1024, FILL_COLUMNS), np.int64)
    count, start, session = 0, 0, -1
    while start < len(order):
        first = order[start]
        end = start + 1
        while end < len(order) and bars[order[end], STAMP] == bars[first, STAMP]:
            end += 1
        if bars[first, SESSION] != session:
            session = bars[first, SESSION]
            account[DAY_START] = account[CASH] + account[VALUE]
        rows = order[start:end]
        if count + len(rows) > len(fills):
            fills = _grown(fills, count, len(rows))
        count = fill_orders(desk, rows, fills, count)
        mark_positions(desk, rows)
        decide_exits(desk, rows)
        decide_entries(desk, rows)
        desk.sessions[session, 0] = account[CASH]
        desk.sessions[session, 1] = account[VALUE]
        start = end
    return fills, count


def _grown(fills: Ints, count: int, more: int) -> Ints:
    larger = np.empty((2 * len(fills) + more, FILL_COLUMNS), np.int64)
    # Written out: numba compiles an assignment of slices with all its error texts.
    for row in range(count):
        for column in range(FILL_COLUMNS):
            larger[row, column] = fills[row, column]
    return larger


def fill_orders(desk: Desk, rows: Ints, fills: Ints, count: int) -> int:
    """Fill what waits at the open of these bars, sales before purchases; returns the count."""
    bars, book = desk.bars, desk.book
    for row in rows:
        if bars[row, CAN_SELL] == 1 and book[bars[row, INSTRUMENT], SIDE] == SELL:
            _sell(desk, row, fills[count])
            count += 1
    for row in rows:
        waits = bars[row, CAN_BUY] == 1 and book[bars[row, INSTRUMENT], SIDE] == BUY
        if waits and _buy(desk, row, fills[count]):
            count += 1
    return count


def _sell(desk: Desk, row: int, fill: Ints) -> None:
    bars, account = desk.bars, desk.account
    instrument, session = bars[row, INSTRUMENT], bars[row, SESSION]
    order = desk.book[instrument]
    price, quantity = bars[row, OPEN], min(order[WANTED], order[QUANTITY])
    gross, kind = price * quantity, desk.kinds[instrument]
    commission = commission_of(gross, fee_of(desk, row))
    stt = share_of(gross, desk.costs[session, kind, STT])
    rst = share_of(gross, desk.costs[session, kind, RST])
    account[CASH] += gross - commission - stt - rst
    account[VALUE] -= quantity * order[MARK]
    order[TRADE_CASH] += gross - commission - stt - rst
    order[QUANTITY] -= quantity
    fill[FILL_SIDE], fill[FILL_QUANTITY], fill[FILL_PRICE] = SELL, quantity, price
    fill[FILL_COMMISSION], fill[FILL_STT], fill[FILL_RST] = commission, stt, rst
    _note(fill, order, row)
    order[SIDE] = 0
    if order[QUANTITY] == 0:
        order[LEFT_AT], order[HAS_LEFT], order[BARS_SINCE] = bars[row, STAMP], 1, 0
        _close_trade(account, order[TRADE_CASH])


def _close_trade(account: Ints, net: int) -> None:
    account[HELD] -= 1
    account[CLOSED] += 1
    if net > 0:
        account[WON] += 1
        account[PROFIT] += net
    else:
        account[LOSS] -= net


def _buy(desk: Desk, row: int, fill: Ints) -> bool:
    bars, account = desk.bars, desk.account
    order = desk.book[bars[row, INSTRUMENT]]
    price, fee = bars[row, OPEN], fee_of(desk, row)
    account[RESERVED] -= order[HELD_BACK]
    free = account[CASH] - account[RESERVED]
    quantity = affordable_quantity(order[WANTED], price, bars[row, LOT], free, fee)
    order[SIDE] = 0
    if quantity == 0:
        account[HELD] -= 1
        account[DROPPED] += 1
        return False
    if quantity < order[WANTED]:
        account[REDUCED] += 1
    cost = buying_cost(quantity, price, fee)
    account[CASH] -= cost
    account[VALUE] += quantity * price
    account[TRADES] += 1
    order[QUANTITY], order[ENTRY], order[MARK], order[PEAK] = quantity, price, price, 0
    order[TRADE], order[TRADE_CASH] = account[TRADES], -cost
    fill[FILL_SIDE], fill[FILL_QUANTITY], fill[FILL_PRICE] = BUY, quantity, price
    fill[FILL_COMMISSION] = cost - quantity * price
    fill[FILL_STT], fill[FILL_RST] = 0, 0
    _note(fill, order, row)
    return True


def _note(fill: Ints, order: Ints, row: int) -> None:
    fill[FILL_ROW], fill[FILL_TRADE] = row, order[TRADE]
    fill[FILL_REASON], fill[FILL_DECIDED] = order[REASON], order[DECIDED]


def fee_of(desk: Desk, row: int) -> tuple[int, int]:
    """Return the commission, as the sizing functions take it, of a trade on this bar."""
    bars = desk.bars
    kind = desk.kinds[bars[row, INSTRUMENT]]
    return desk.costs[bars[row, SESSION], kind, COMMISSION], desk.rules[COMMISSION_UNIT]


def mark_positions(desk: Desk, rows: Ints) -> None:
    """Mark positions to the closes of these bars; what did not trade keeps its last mark."""
    bars = desk.bars
    for row in rows:
        if bars[row, IS_TRADED] == 1:
            held = desk.book[bars[row, INSTRUMENT]]
            close = bars[row, CLOSE]
            held[BARS_SINCE] += 1
            if held[QUANTITY] > 0:
                desk.account[BEYOND] += held[QUANTITY] > WORTH_MAX // close
                desk.account[VALUE] += held[QUANTITY] * (close - held[MARK])
                held[PEAK] = max(held[PEAK], close)
            held[MARK] = close


def decide_exits(desk: Desk, rows: Ints) -> None:
    """Order the exits that the risk block or an exit rule asks for on the close of these bars."""
    bars, rules, account = desk.bars, desk.rules, desk.account
    equity = account[CASH] + account[VALUE]
    for row in rows:
        held = desk.book[bars[row, INSTRUMENT]]
        if bars[row, IS_TRADED] == 0:
            continue
        if held[SIDE] == BUY and bars[row, FIRED] & rules[EXITS] != 0:
            held[SIDE] = 0
            account[RESERVED] -= held[HELD_BACK]
            account[HELD] -= 1
            account[CANCELLED] += 1
        elif held[QUANTITY] > 0 and held[SIDE] == 0:
            reason = exit_reason(desk, row)
            if reason >= 0:
                quantity = _leaving(desk, row, reason, equity)
                if quantity > 0:
                    held[SIDE], held[WANTED] = SELL, quantity
                    held[REASON], held[DECIDED] = reason, row


def _leaving(desk: Desk, row: int, reason: int, equity: int) -> int:
    bars = desk.bars
    held: int = desk.book[bars[row, INSTRUMENT], QUANTITY]
    if reason >= REASON_STOP_LOSS:
        return held
    kind = desk.sizes[reason, KIND]
    wanted = wanted_quantity(kind, desk.sizes[reason, AMOUNT], equity, bars[row, CLOSE])
    return exit_quantity(kind, wanted, held, bars[row, LOT])


def exit_reason(desk: Desk, row: int) -> int:
    """Return why the position of this bar's instrument is to be left, or -1."""
    bars, rules = desk.bars, desk.rules
    held = desk.book[bars[row, INSTRUMENT]]
    close = bars[row, CLOSE]
    if is_stop_loss_hit(close, held[ENTRY], rules[STOP_LOSS]):
        return REASON_STOP_LOSS
    if is_trailing_stop_hit(close, held[PEAK], rules[TRAILING_STOP]):
        return REASON_TRAILING_STOP
    if is_profit_taken(close, held[ENTRY], rules[TAKE_PROFIT]):
        return REASON_TAKE_PROFIT
    return first_rule(bars[row, FIRED] & rules[EXITS])


def first_rule(fired: int) -> int:
    """Return the number of the first rule in a mask, or -1."""
    if fired == 0:
        return -1
    for rule in range(63):
        if fired >> rule & 1 == 1:
            return rule
    return -1


def decide_entries(desk: Desk, rows: Ints) -> None:
    """Order the entries whose rules fired on the close of these bars, while flat."""
    bars, rules, account = desk.bars, desk.rules, desk.account
    equity = account[CASH] + account[VALUE]
    is_lost = is_daily_loss_reached(equity, account[DAY_START], rules[DAILY_LOSS])
    for row in rows:
        held = desk.book[bars[row, INSTRUMENT]]
        rule = first_rule(bars[row, FIRED] & rules[ENTRIES])
        if rule < 0 or held[QUANTITY] > 0 or held[SIDE] != 0:
            continue
        if is_lost:
            account[BLOCKED_BY_LOSS] += 1
        elif is_resting(desk, row):
            account[BLOCKED_BY_RISK] += 1
        else:
            _order_entry(desk, row, rule, equity)


def is_resting(desk: Desk, row: int) -> bool:
    """Return whether `max_positions` or `cooldown` forbids an entry on this bar."""
    bars, rules = desk.bars, desk.rules
    held = desk.book[bars[row, INSTRUMENT]]
    if 0 < rules[POSITIONS_MAX] <= desk.account[HELD]:
        return True
    if held[HAS_LEFT] == 0:
        return False
    since_ms: int = bars[row, STAMP] - held[LEFT_AT]
    return since_ms < rules[COOLDOWN_MS] or bool(held[BARS_SINCE] <= rules[COOLDOWN_BARS])


def _order_entry(desk: Desk, row: int, rule: int, equity: int) -> None:
    bars, rules, account = desk.bars, desk.rules, desk.account
    order = desk.book[bars[row, INSTRUMENT]]
    kind, amount, close = desk.sizes[rule, KIND], desk.sizes[rule, AMOUNT], bars[row, CLOSE]
    if kind == QUANTITY_KELLY:
        record = (account[CLOSED], account[WON], account[PROFIT], account[LOSS])
        limits = (rules[KELLY_MIN], rules[KELLY_FLOOR], rules[KELLY_FRACTION], rules[KELLY_CAP])
        amount = kelly_entry_share(record, limits)
        if amount == 0:
            account[WITHOUT_EDGE] += 1
            return
    free, lot, fee = account[CASH] - account[RESERVED], bars[row, LOT], fee_of(desk, row)
    wanted = wanted_quantity(kind, amount, equity, close)
    wanted = capped_quantity(wanted, equity, close, rules[MAX_POSITION], lot)
    quantity = affordable_quantity(wanted, bars[row, RESERVE], lot, free, fee)
    if quantity == 0:
        account[DROPPED] += 1
        return
    if quantity < wanted:
        account[REDUCED] += 1
    order[SIDE], order[WANTED], order[REASON], order[DECIDED] = BUY, quantity, rule, row
    order[HELD_BACK] = buying_cost(quantity, bars[row, RESERVE], fee)
    account[RESERVED] += order[HELD_BACK]
    account[HELD] += 1
