"""What corporate actions change in the portfolio: shares, cash, orders that wait, base prices.

Read as text and compiled, see `driver`; `modelled` calls it.
"""

from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.fills import close_trade, leave, mark_to, note
from jts_pipelines.backtest.guarding import raise_peak
from jts_pipelines.backtest.places import (
    BEYOND,
    CANCELLED,
    CASH,
    CLOSE,
    COST,
    DELISTED_PRICE,
    DIRECTION,
    END,
    END_SPLIT,
    FILL_COMMISSION,
    FILL_DECIDED,
    FILL_PRICE,
    FILL_QUANTITY,
    FILL_REASON,
    FILL_ROW,
    FILL_RST,
    FILL_SIDE,
    FILL_STT,
    FILLS,
    FIRST_SPLIT,
    HELD,
    HELD_BACK,
    MARK,
    MARKET,
    NEXT_SPLIT,
    NOW,
    ORDER_TYPE,
    PEAK,
    QUANTITY,
    REASON_DELISTED,
    REASON_RIGHTS,
    REASON_SPLIT,
    RESERVED,
    SIDE,
    SPLIT_NEW,
    SPLIT_OLD,
    SPLIT_PAID,
    SPLIT_PART,
    SPLIT_REASON,
    SPLIT_ROW,
    SPLIT_TAX,
    TRADE_CASH,
    UNIT,
    VALUE,
    WANTED,
    WORTH_MAX,
)
from jts_pipelines.backtest.search import is_entry, price_of
from jts_pipelines.backtest.shorting import free_collateral, owe_fee, pay_fee
from jts_trading.strategy.sizing import part_of, share_of

# No session or row comes after this one: an order without an end, a split that does not come.
NEVER_ENDS = 1 << 40
# No price of a share with a right is above it: products of two are counted in 64 bits.
COUNTED_PRICE = 1e9


def drop_order(desk: Desk, instrument: int) -> None:
    """Take a waiting order back."""
    account, book = desk.account, desk.book
    if is_entry(desk, instrument):
        account[RESERVED] -= book[instrument, HELD_BACK]
        account[HELD] -= book[instrument, QUANTITY] == 0
    book[instrument, SIDE] = 0


def next_split(desk: Desk, instrument: int, row: int) -> int:
    """Return the row of the next split, on a row or later; those before it are over."""
    book = desk.book
    while (
        book[instrument, NEXT_SPLIT] < book[instrument, END_SPLIT]
        and desk.splits[book[instrument, NEXT_SPLIT], SPLIT_ROW] < row
    ):
        book[instrument, NEXT_SPLIT] += 1
    if book[instrument, NEXT_SPLIT] == book[instrument, END_SPLIT]:
        return NEVER_ENDS
    return int(desk.splits[book[instrument, NEXT_SPLIT], SPLIT_ROW])


def reference_of_in_model(desk: Desk, instrument: int, first: int) -> int:
    """Return the base price of a session that begins with a row: divided by a split.

    By a rights issue, too: `SPLIT_OLD` is the base that it leaves of the close `SPLIT_NEW`.
    """
    book, base = desk.book, price_of(desk, CLOSE, first - 1)
    for at in range(book[instrument, FIRST_SPLIT], book[instrument, END_SPLIT]):
        if desk.splits[at, SPLIT_ROW] == first:
            base = -(-base * desk.splits[at, SPLIT_OLD] // desk.splits[at, SPLIT_NEW])
    return int(base)


def pay_holder(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Pay what a position earns by a dividend or a right, less tax."""
    account, book, fill = desk.account, desk.book, desk.account[FILLS]
    action = desk.splits[book[instrument, NEXT_SPLIT]]
    held, amount = book[instrument, QUANTITY], action[SPLIT_PAID]
    book[instrument, NEXT_SPLIT] += 1
    if held == 0:
        return
    sign = book[instrument, DIRECTION]
    account[BEYOND] += held > WORTH_MAX // max(amount, 1)
    # Parts of a won are rounded against the account.
    gross = sign * held * amount + share_of(sign * held, action[SPLIT_PART])
    # Who lent the shares is paid what they would have got.
    net = gross if sign < 0 else gross - share_of(gross, action[SPLIT_TAX])
    paid = net * book[instrument, UNIT]
    account[CASH] += paid
    book[instrument, TRADE_CASH] += paid
    fills[FILL_SIDE, fill] = sign
    fills[FILL_QUANTITY, fill], fills[FILL_PRICE, fill] = 0, 0
    fills[FILL_COMMISSION, fill], fills[FILL_STT, fill], fills[FILL_RST, fill] = -paid, 0, 0
    note(desk, fills, instrument, row)
    fills[FILL_REASON, fill], fills[FILL_DECIDED, fill] = action[SPLIT_REASON], row


def sell_right(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Sell the right of a position: mark, cost and peak lose its share, as at a sale.

    Who sold short owes it to the lender.
    """
    account, book = desk.account, desk.book
    issue = desk.splits[book[instrument, NEXT_SPLIT]]
    base, close, held = issue[SPLIT_OLD], issue[SPLIT_NEW], book[instrument, QUANTITY]
    if held > 0:
        mark_to(desk, instrument, row - 1)
        # Closes up to here are with the right.
        raise_peak(desk, instrument, row - 1)
        worth = book[instrument, DIRECTION] * held * book[instrument, UNIT]
        account[VALUE] += worth * (base - book[instrument, MARK])
        cost = book[instrument, COST]
        book[instrument, COST] = cost - part_of(cost, close - base, close)
        book[instrument, PEAK] = book[instrument, PEAK] * base // close
        book[instrument, MARK] = base
    pay_holder(desk, instrument, row, fills)


def apply_action(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Let the next corporate action of an instrument happen.

    Where prices jump with it, orders are dropped; an exit at the market goes on.
    """
    book = desk.book
    reason = desk.splits[book[instrument, NEXT_SPLIT], SPLIT_REASON]
    is_jump = reason in (REASON_SPLIT, REASON_RIGHTS)
    if is_jump and (is_entry(desk, instrument) or book[instrument, ORDER_TYPE] != MARKET):
        desk.account[CANCELLED] += book[instrument, SIDE] != 0
        drop_order(desk, instrument)
    if reason == REASON_SPLIT:
        exchange_shares(desk, instrument, row, fills)
    elif reason == REASON_RIGHTS:
        sell_right(desk, instrument, row, fills)
    else:
        pay_holder(desk, instrument, row, fills)


def exchange_shares(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Turn a position into new shares; a part of one is paid at the base."""
    account, book = desk.account, desk.book
    split = desk.splits[book[instrument, NEXT_SPLIT]]
    old, new, held = split[SPLIT_OLD], split[SPLIT_NEW], book[instrument, QUANTITY]
    book[instrument, NEXT_SPLIT] += 1
    if held == 0:
        return
    mark_to(desk, instrument, row - 1)
    # Closes up to here are in old shares.
    raise_peak(desk, instrument, row - 1)
    close, kept, unit = book[instrument, MARK], held * new // old, book[instrument, UNIT]
    sign = book[instrument, DIRECTION]
    owe_fee(desk, instrument)
    if kept == 0:
        pay_fee(desk, instrument, row, fills)
    paid = sign * ((held * new - kept * old) * close // new) * unit
    base = max(close * old // new, 1)
    account[VALUE] += sign * (kept * base - held * close) * unit
    account[CASH] += paid
    book[instrument, TRADE_CASH] += paid
    book[instrument, QUANTITY], book[instrument, MARK] = kept, base
    # A part of a share is left with its part of the cost, as at a sale.
    shares, part = held * new, held * new - kept * old
    book[instrument, COST] -= part_of(book[instrument, COST], part, shares)
    free_collateral(desk, instrument, part, shares)
    book[instrument, PEAK] = book[instrument, PEAK] * old // new
    book[instrument, WANTED] = book[instrument, WANTED] * new // old
    fill = account[FILLS]
    fills[FILL_SIDE, fill] = sign if kept >= held else -sign
    fills[FILL_QUANTITY, fill], fills[FILL_PRICE, fill] = abs(kept - held), 0
    fills[FILL_COMMISSION, fill], fills[FILL_STT, fill], fills[FILL_RST, fill] = -paid, 0, 0
    note(desk, fills, instrument, row)
    fills[FILL_REASON, fill], fills[FILL_DECIDED, fill] = REASON_SPLIT, row
    if kept == 0:
        book[instrument, SIDE] = 0
        leave(desk, instrument)
        close_trade(account, book[instrument, TRADE_CASH])


def end_listing(desk: Desk, instrument: int, fills: Ints) -> None:
    """Drop what waits of a delisted instrument, and close a position at what is paid for it."""
    account, book = desk.account, desk.book
    account[CANCELLED] += book[instrument, SIDE] != 0
    drop_order(desk, instrument)
    held, unit = book[instrument, QUANTITY], book[instrument, UNIT]
    sign = book[instrument, DIRECTION]
    if held == 0:
        return
    mark_to(desk, instrument, book[instrument, END] - 1)
    price = book[instrument, DELISTED_PRICE]
    if price == 0 and sign < 0:
        # An unknown end earns nothing.
        price = book[instrument, MARK]
    if price > 0:
        account[BEYOND] += held > WORTH_MAX // (price * unit)
    owe_fee(desk, instrument)
    pay_fee(desk, instrument, -1 - account[NOW], fills)
    fill, paid = account[FILLS], sign * held * price * unit
    account[VALUE] -= sign * held * book[instrument, MARK] * unit
    account[CASH] += paid
    book[instrument, TRADE_CASH] += paid
    free_collateral(desk, instrument, held, held)
    book[instrument, QUANTITY] = 0
    fills[FILL_SIDE, fill], fills[FILL_QUANTITY, fill] = -sign, held
    fills[FILL_PRICE, fill], fills[FILL_COMMISSION, fill] = price, 0
    fills[FILL_STT, fill], fills[FILL_RST, fill] = 0, 0
    note(desk, fills, instrument, 0)
    fills[FILL_ROW, fill] = fills[FILL_DECIDED, fill] = -1 - account[NOW]
    fills[FILL_REASON, fill] = REASON_DELISTED
    leave(desk, instrument)
    close_trade(account, book[instrument, TRADE_CASH])


def in_shares_after(action: Ints, price: float) -> float:
    """Return a price in the shares before a split or rights issue, in those after it.

    Of a rights issue it goes back the way of `rights.with_rights`: a price that rules saw becomes
    the whole price of its bar again, and what is between two of them stays between.
    """
    old, new = action[SPLIT_OLD], action[SPLIT_NEW]
    if action[SPLIT_REASON] != REASON_RIGHTS or not 0.0 < price < COUNTED_PRICE:
        return float(price * old / new)
    low = int(price * old / new)
    while seen_before(low, old, new) > price:
        low -= 1
    while seen_before(low + 1, old, new) <= price:
        low += 1
    first = seen_before(low, old, new)
    found: float = low + (price - first) / (seen_before(low + 1, old, new) - first)
    return found


def seen_before(price: int, base: int, close: int) -> int:
    """Return as what rules see a price after a rights issue: in shares with the right, half up."""
    return (2 * price * close + base) // (2 * base)
