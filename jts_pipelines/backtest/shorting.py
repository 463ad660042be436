"""Short sales and what pays for them: collateral, covers, the fee for borrowed shares.

Read as text and compiled, see `driver`; `modelled` says what takes the place of what. A position
has a direction, its quantity is never below zero; what a short one is worth is owed. The proceeds
of a short sale are in the cash but pay for nothing, nor does the margin on them: they are pledged
until shares are given back.
"""

from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.fills import (
    buy,
    deal_of,
    end_order,
    end_position,
    fee_of,
    mark_to,
    note,
    note_purchase,
    note_sale,
    paid_for,
    sell,
    take_on,
)
from jts_pipelines.backtest.places import (
    BANNED,
    BORROW_FEE,
    BUY,
    CASH,
    CLASS,
    COLLATERAL,
    COST,
    DAY_NUMBER,
    DIRECTION,
    ENTRIES,
    EXITS,
    FEE_OWED,
    FEE_SESSION,
    FILL_COMMISSION,
    FILL_DECIDED,
    FILL_PRICE,
    FILL_QUANTITY,
    FILL_REASON,
    FILL_RST,
    FILL_SIDE,
    FILL_STT,
    FILLS,
    IS_BANNED,
    MARK,
    NOW,
    PLEDGED,
    QUANTITY,
    REASON_BORROWED,
    RST,
    SELL,
    SHORT_MARGIN,
    SHORTS,
    SIDE,
    STT,
    TRADE_CASH,
    UNIT,
    VALUE,
)
from jts_trading.strategy.sizing import (
    commission_of,
    part_of,
    share_of,
)


def exits_of(desk: Desk, instrument: int) -> int:
    """Return the exit rules that count for what is held or waited for."""
    return of_side(desk, instrument, desk.rules[EXITS])


def entries_of_in_model(desk: Desk, instrument: int) -> int:
    """Return the entry rules that count for an instrument: of its own side once it is held."""
    found: int = desk.rules[ENTRIES]
    return of_side(desk, instrument, found) if desk.book[instrument, QUANTITY] > 0 else found


def of_side(desk: Desk, instrument: int, rules: int) -> int:
    """Return those of the rules that are for long or for short positions, as an instrument is."""
    shorts = rules & desk.rules[SHORTS]
    return int(shorts if desk.book[instrument, DIRECTION] < 0 else rules - shorts)


def side_of_in_model(desk: Desk, rule: int) -> int:
    """Return the side of the orders of an entry rule."""
    return SELL if desk.rules[SHORTS] >> rule & 1 == 1 else BUY


def is_forbidden_in_model(desk: Desk, row: int, side: int) -> bool:  # noqa: ARG001
    """Return whether a ban forbids a short sale at this instant, and count it."""
    session = desk.session_at[desk.account[NOW]]
    is_banned = bool(side == SELL and desk.sessions[session, IS_BANNED] == 1)
    desk.account[BANNED] += is_banned
    return is_banned


def own_money_in_model(desk: Desk, instrument: int, side: int, price: int) -> tuple[int, int, int]:
    """Return what an entry at a price takes of the cash: a price, and the fee on it."""
    rate, unit = fee_of(desk, instrument)
    if side == BUY:
        return price, rate, unit
    session, kind = desk.session_at[desk.account[NOW]], desk.book[instrument, CLASS]
    taxes = desk.costs[session, kind, STT] + desk.costs[session, kind, RST]
    share = -share_of(-price, desk.rules[SHORT_MARGIN] + taxes)
    return int(share + commission_of(price, (rate, unit)) + 1), 0, 1


def better_of_in_model(desk: Desk, instrument: int, one: int, other: int) -> int:
    """Return which of two prices is better for a position."""
    return max(one, other) if desk.book[instrument, DIRECTION] > 0 else min(one, other)


def fill_order(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Fill the order that waits on a row."""
    is_buy, is_long = desk.book[instrument, SIDE] == BUY, desk.book[instrument, DIRECTION] > 0
    if is_long and is_buy:
        buy(desk, instrument, row, fills)
    elif is_long:
        sell(desk, instrument, row, fills)
    elif is_buy:
        cover(desk, instrument, row, fills)
    else:
        sell_short(desk, instrument, row, fills)


def sell_short(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Fill a waiting short sale on a row, or drop it when the cash is enough for no lot."""
    account, book = desk.account, desk.book
    price, most = deal_of(desk, instrument, row)
    quantity = paid_for(desk, instrument, row, price, most)
    if quantity == 0:
        return
    owe_fee(desk, instrument)
    gross = quantity * price * book[instrument, UNIT]
    net = note_sale(desk, instrument, quantity, price, fills)
    account[CASH] += net
    take_on(desk, instrument, row, quantity, price)
    book[instrument, TRADE_CASH] += net
    pledged = gross + share_of(gross, desk.rules[SHORT_MARGIN])
    book[instrument, COLLATERAL] += pledged
    account[PLEDGED] += pledged
    note(desk, fills, instrument, row)
    end_order(desk, instrument, row, quantity)


def cover(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Fill a waiting purchase of what was sold short, whether or not the cash pays for it."""
    account, book = desk.account, desk.book
    mark_to(desk, instrument, row - 1)
    price, most = deal_of(desk, instrument, row)
    held, unit = book[instrument, QUANTITY], book[instrument, UNIT]
    quantity = min(most, held)
    owe_fee(desk, instrument)
    pay_fee(desk, instrument, row, fills)
    cost = note_purchase(desk, instrument, quantity, price, fills)
    account[CASH] -= cost
    account[VALUE] += quantity * book[instrument, MARK] * unit
    book[instrument, TRADE_CASH] -= cost
    book[instrument, COST] -= part_of(book[instrument, COST], quantity, held)
    free_collateral(desk, instrument, quantity, held)
    book[instrument, QUANTITY] -= quantity
    note(desk, fills, instrument, row)
    end_order(desk, instrument, row, quantity)
    end_position(desk, instrument, row)


def free_collateral(desk: Desk, instrument: int, part: int, whole: int) -> None:
    """Free a part of what is pledged for a position: as large as the part of it that is left."""
    freed = part_of(desk.book[instrument, COLLATERAL], part, whole)
    desk.book[instrument, COLLATERAL] -= freed
    desk.account[PLEDGED] -= freed


def owe_fee(desk: Desk, instrument: int) -> None:
    """Let the fee for borrowed shares grow up to this session, rounded up."""
    book, sessions = desk.book, desk.sessions
    if book[instrument, DIRECTION] > 0:
        return
    session = desk.session_at[desk.account[NOW]]
    if book[instrument, QUANTITY] > 0:
        days = sessions[session, DAY_NUMBER] - sessions[book[instrument, FEE_SESSION], DAY_NUMBER]
        year = share_of(book[instrument, COST], desk.rules[BORROW_FEE])
        book[instrument, FEE_OWED] += year // 365 * days - (-(year % 365) * days // 365)
    book[instrument, FEE_SESSION] = session


def pay_fee(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Pay the fee that is owed for borrowed shares: a row of its own among the fills."""
    account, book, fill = desk.account, desk.book, desk.account[FILLS]
    paid = book[instrument, FEE_OWED] * book[instrument, UNIT]
    if paid == 0:
        return
    account[CASH] -= paid
    book[instrument, TRADE_CASH] -= paid
    book[instrument, FEE_OWED] = 0
    fills[FILL_SIDE, fill], fills[FILL_QUANTITY, fill], fills[FILL_PRICE, fill] = BUY, 0, 0
    fills[FILL_COMMISSION, fill], fills[FILL_STT, fill], fills[FILL_RST, fill] = paid, 0, 0
    note(desk, fills, instrument, row)
    fills[FILL_REASON, fill], fills[FILL_DECIDED, fill] = REASON_BORROWED, row
