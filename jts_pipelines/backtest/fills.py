"""Fills of waiting orders, and marks at a close: the only places that change money.

Read as text and compiled, see `driver`. Invariant: cash changes in `sell` and `buy` only, by
exactly what the fill says. `modelled` has other forms of the small functions at the top.
"""

from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.places import (
    BEYOND,
    BUY,
    CASH,
    CLASS,
    CLOSE,
    CLOSED,
    COMMISSION,
    COMMISSION_UNIT,
    DECIDED,
    DIRECTION,
    DROPPED,
    ENTRY,
    ENTRY_ROW,
    FILL_COMMISSION,
    FILL_DECIDED,
    FILL_INSTRUMENT,
    FILL_PRICE,
    FILL_QUANTITY,
    FILL_REASON,
    FILL_ROW,
    FILL_RST,
    FILL_SIDE,
    FILL_STT,
    FILL_TRADE,
    FILLS,
    HAS_LEFT,
    HELD,
    HELD_BACK,
    HIGHEST_CLOSE,
    LEFT_AT,
    LEFT_ROW,
    LOSS,
    MARK,
    MARK_ROW,
    NOW,
    OPEN,
    PEAK,
    PEAK_ROW,
    PLACE,
    POSITIONS,
    PROFIT,
    QUANTITY,
    REASON,
    REDUCED,
    RESERVED,
    RST,
    SELL,
    SIDE,
    STT,
    TRADE,
    TRADE_CASH,
    TRADES,
    UNIT,
    VALUE,
    WANTED,
    WON,
    WORTH_MAX,
)
from jts_pipelines.backtest.search import order_terms, price_of, row_at
from jts_trading.strategy.sizing import (
    affordable_quantity,
    buying_cost,
    commission_of,
    share_of,
)


def fee_of(desk: Desk, instrument: int) -> tuple[int, int]:
    """Return the commission, as the sizing functions take it, of a trade at this instant."""
    session = int(desk.session_at[desk.account[NOW]])
    kind = desk.book[instrument, CLASS]
    return desk.costs[session, kind, COMMISSION], desk.rules[COMMISSION_UNIT]


def deal_of(desk: Desk, instrument: int, row: int) -> tuple[int, int]:
    """Return at which price a waiting order fills on a row, and how much of it at most."""
    return price_of(desk, OPEN, row), desk.book[instrument, WANTED]


def free_cash(desk: Desk) -> int:
    """Return the cash that pays for purchases."""
    found: int = desk.account[CASH] - desk.account[RESERVED]
    return found


def earn(desk: Desk, instrument: int, quantity: int, net: int) -> None:  # noqa: ARG001
    """Take in the money of a sale."""
    desk.account[CASH] += net


def end_order(desk: Desk, instrument: int, row: int, quantity: int) -> None:  # noqa: ARG001
    """Free an instrument of the order that has filled."""
    desk.book[instrument, SIDE] = 0


def take_on(desk: Desk, instrument: int, row: int, quantity: int, price: int) -> None:
    """Open a position with what was bought."""
    account, book = desk.account, desk.book
    account[VALUE] += quantity * price * book[instrument, UNIT]
    account[TRADES] += 1
    book[instrument, QUANTITY], book[instrument, ENTRY] = quantity, price
    book[instrument, MARK], book[instrument, MARK_ROW] = price, row
    book[instrument, PEAK], book[instrument, PEAK_ROW] = 0, row
    book[instrument, ENTRY_ROW] = row
    book[instrument, TRADE], book[instrument, TRADE_CASH] = account[TRADES], 0
    hold(desk, instrument)


def sell(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Fill a waiting sale on a row."""
    account, book = desk.account, desk.book
    mark_to(desk, instrument, row - 1)
    price, most = deal_of(desk, instrument, row)
    quantity = min(most, book[instrument, QUANTITY])
    net, unit = note_sale(desk, instrument, quantity, price, fills), book[instrument, UNIT]
    earn(desk, instrument, quantity, net)
    account[VALUE] -= quantity * book[instrument, MARK] * unit
    book[instrument, TRADE_CASH] += net
    book[instrument, QUANTITY] -= quantity
    note(desk, fills, instrument, row)
    end_order(desk, instrument, row, quantity)
    end_position(desk, instrument, row)


def note_sale(desk: Desk, instrument: int, quantity: int, price: int, fills: Ints) -> int:
    """Write the figures of a sale into the next fill; return what it brings."""
    account, unit, gross = desk.account, desk.book[instrument, UNIT], price * quantity
    session, kind = int(desk.session_at[account[NOW]]), desk.book[instrument, CLASS]
    commission = commission_of(gross, fee_of(desk, instrument))
    stt = share_of(gross, desk.costs[session, kind, STT])
    rst = share_of(gross, desk.costs[session, kind, RST])
    fill = account[FILLS]
    fills[FILL_SIDE, fill], fills[FILL_QUANTITY, fill] = SELL, quantity
    fills[FILL_COMMISSION, fill], fills[FILL_STT, fill] = commission * unit, stt * unit
    fills[FILL_RST, fill], fills[FILL_PRICE, fill] = rst * unit, price
    found: int = (gross - commission - stt - rst) * unit
    return found


def end_position(desk: Desk, instrument: int, row: int) -> None:
    """Count a trade of which nothing is left after a fill on a row."""
    account, book = desk.account, desk.book
    if book[instrument, QUANTITY] == 0:
        book[instrument, LEFT_AT] = desk.times[account[NOW]]
        book[instrument, LEFT_ROW], book[instrument, HAS_LEFT] = row, 1
        leave(desk, instrument)
        close_trade(account, book[instrument, TRADE_CASH])


def close_trade(account: Ints, net: int) -> None:
    """Count a trade that is over."""
    account[HELD] -= 1
    account[CLOSED] += 1
    if net > 0:
        account[WON] += 1
        account[PROFIT] += net
    else:
        account[LOSS] -= net


def buy(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Fill a waiting purchase on a row, or drop it when the cash pays for no lot."""
    account, book = desk.account, desk.book
    price, most = deal_of(desk, instrument, row)
    quantity = paid_for(desk, instrument, row, price, most)
    if quantity == 0:
        return
    cost = note_purchase(desk, instrument, quantity, price, fills)
    account[CASH] -= cost
    take_on(desk, instrument, row, quantity, price)
    book[instrument, TRADE_CASH] -= cost
    note(desk, fills, instrument, row)
    end_order(desk, instrument, row, quantity)


def note_purchase(desk: Desk, instrument: int, quantity: int, price: int, fills: Ints) -> int:
    """Write the figures of a purchase into the next fill; return what it costs."""
    fill, unit = desk.account[FILLS], desk.book[instrument, UNIT]
    cost = buying_cost(quantity, price, fee_of(desk, instrument)) * unit
    fills[FILL_SIDE, fill], fills[FILL_QUANTITY, fill] = BUY, quantity
    fills[FILL_COMMISSION, fill] = cost - quantity * price * unit
    fills[FILL_STT, fill], fills[FILL_RST, fill] = 0, 0
    fills[FILL_PRICE, fill] = price
    return int(cost)


def paid_for(desk: Desk, instrument: int, row: int, price: int, most: int) -> int:
    """Return how much of a waiting entry the cash pays for; one of no lot is dropped."""
    account, book = desk.account, desk.book
    lot, _ = order_terms(desk, instrument, row)
    account[RESERVED] -= book[instrument, HELD_BACK]
    each, rate, unit = own_money(desk, instrument, book[instrument, SIDE], price)
    cash = free_cash(desk) // book[instrument, UNIT]
    quantity = affordable_quantity(most, each, lot, cash, (rate, unit))
    if quantity == 0:
        book[instrument, SIDE] = 0
        account[HELD] -= book[instrument, QUANTITY] == 0
        account[DROPPED] += 1
    elif quantity < most:
        account[REDUCED] += 1
        book[instrument, WANTED] = quantity
    return quantity


def own_money(desk: Desk, instrument: int, side: int, price: int) -> tuple[int, int, int]:  # noqa: ARG001
    """Return what an entry at a price takes of the cash: a price, and the fee on it."""
    rate, unit = fee_of(desk, instrument)
    return price, rate, unit


def note(desk: Desk, fills: Ints, instrument: int, row: int) -> None:
    """Write what both sides share."""
    book, fill = desk.book, desk.account[FILLS]
    fills[FILL_ROW, fill], fills[FILL_INSTRUMENT, fill] = row, instrument
    fills[FILL_TRADE, fill] = book[instrument, TRADE]
    fills[FILL_REASON, fill] = book[instrument, REASON]
    fills[FILL_DECIDED, fill] = book[instrument, DECIDED]
    desk.account[FILLS] += 1


def hold(desk: Desk, instrument: int) -> None:
    """Note that an instrument is held."""
    count = desk.account[POSITIONS]
    desk.held[count] = instrument
    desk.book[instrument, PLACE] = count
    desk.account[POSITIONS] = count + 1


def leave(desk: Desk, instrument: int) -> None:
    """Note that an instrument is not held any more."""
    last, place = desk.account[POSITIONS] - 1, desk.book[instrument, PLACE]
    desk.held[place] = desk.held[last]
    desk.book[desk.held[last], PLACE] = place
    desk.account[POSITIONS] = last


def mark_to(desk: Desk, instrument: int, row: int) -> None:
    """Value a position at the close of a row, the last one of its marks or a later one."""
    account, book = desk.account, desk.book
    quantity, unit = book[instrument, QUANTITY], book[instrument, UNIT]
    if quantity > WORTH_MAX // account[HIGHEST_CLOSE]:
        for at in range(book[instrument, MARK_ROW], row + 1):
            account[BEYOND] += quantity > WORTH_MAX // (price_of(desk, CLOSE, at) * unit)
    close = price_of(desk, CLOSE, row)
    gain = quantity * (close - book[instrument, MARK]) * unit
    account[VALUE] += book[instrument, DIRECTION] * gain
    book[instrument, MARK], book[instrument, MARK_ROW] = close, row


def mark_positions(desk: Desk, moment: int) -> None:
    """Value every position at its last close up to an instant."""
    for place in range(desk.account[POSITIONS]):
        instrument = desk.held[place]
        row = row_at(desk, instrument, desk.book[instrument, MARK_ROW], moment)
        mark_to(desk, instrument, row)
