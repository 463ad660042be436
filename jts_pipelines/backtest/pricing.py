"""At which price, and how much of an order that waits fills on a bar: the fill models.

Read as text and compiled, see `driver`; only in runs that ask for more than the next open. What
happens inside a bar is taken in the order that is worse for the strategy: a limit must be traded
through, a stop is hit before a target, a purchase inside a bar is paid before a sale inside it
brings its money.
"""

import math

from jts_pipelines.backtest.bands import tick_of
from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.places import (
    AT_CLOSE,
    AT_CLOSING_AUCTION,
    AT_OPENING_AUCTION,
    BUY,
    CLASS,
    CLOSE,
    DIRECTION,
    EPOCH,
    FILL_AT,
    FIRST,
    FOK,
    HAS_ROOT,
    HIGH,
    IMPACT_PPM,
    IS_TRIGGERED,
    IS_UPTICK,
    LIMIT,
    LIMIT_PRICE,
    LOW,
    LOWER,
    MARKET,
    OPEN,
    ORDER_FORCE,
    ORDER_TYPE,
    SIDE,
    SLIP_PPM,
    SLIP_TICKS,
    STOP,
    STOP_PRICE,
    UPPER,
    VOLUME_SHARE,
    WANTED,
)
from jts_pipelines.backtest.search import (
    can_fill,
    is_over,
    moment_of,
    order_terms,
    price_of,
    reference_of,
    session_of,
)
from jts_trading.strategy.sizing import PPM, share_of


def fill_of(desk: Desk, instrument: int, row: int) -> tuple[int, bool]:
    """Return the price at which the waiting order fills on a row, 0 if it does not, and when.

    The second is whether it fills after the open. Slippage is not in it.
    """
    book = desk.book
    locked = UPPER if book[instrument, SIDE] == BUY else LOWER
    price, is_late, kind = 0, False, book[instrument, ORDER_TYPE]
    if not can_fill(desk, instrument, row, locked):
        return 0, False
    if kind == MARKET:
        price, is_late = _market_fill(desk, instrument, row)
    elif kind == LIMIT or book[instrument, IS_TRIGGERED] == 1:
        price, is_late = _limit_fill(desk, instrument, row)
    elif kind == STOP:
        price, is_late = _stop_fill(desk, instrument, row)
    else:
        price, is_late = _stop_limit_fill(desk, instrument, row)
    if is_late and price == book[instrument, locked]:
        price = 0
    if desk.rules[IS_UPTICK] == 1 and is_short_sale(desk, instrument):
        # Not below the trade before, of which a bar knows the close before it and its open.
        before = price_of(desk, OPEN, row) if is_late else last_close(desk, instrument, row)
        price = 0 if price < before else price
    return price, is_late


def is_short_sale(desk: Desk, instrument: int) -> bool:
    """Return whether the order that waits sells short."""
    is_sale = desk.book[instrument, SIDE] != BUY
    return bool(is_sale and desk.book[instrument, DIRECTION] < 0)


def last_close(desk: Desk, instrument: int, row: int) -> int:
    """Return the close before a row, in the shares of the row; 0 before the first."""
    if row == desk.book[instrument, FIRST]:
        return 0
    return reference_of(desk, instrument, row)


def _market_fill(desk: Desk, instrument: int, row: int) -> tuple[int, bool]:
    at, moment = desk.rules[FILL_AT], moment_of(desk, instrument, row)
    if at == AT_CLOSE or (at == AT_CLOSING_AUCTION and is_over(desk, moment)):
        return price_of(desk, CLOSE, row), True
    is_first = row == desk.book[instrument, FIRST] or (
        session_of(desk, instrument, row) != session_of(desk, instrument, row - 1)
    )
    if at == AT_CLOSING_AUCTION or (at == AT_OPENING_AUCTION and not is_first):
        return 0, False
    return price_of(desk, OPEN, row), False


def _limit_fill(desk: Desk, instrument: int, row: int) -> tuple[int, bool]:
    """A limit fills at a better open, or at its price once something traded beyond it."""
    book, opened = desk.book, price_of(desk, OPEN, row)
    limit = book[instrument, LIMIT_PRICE]
    price, is_late = 0, False
    if book[instrument, SIDE] == BUY:
        if opened <= limit:
            price = opened
        elif price_of(desk, LOW, row) < limit:
            price, is_late = limit, True
    elif opened >= limit:
        price = opened
    elif price_of(desk, HIGH, row) > limit:
        price, is_late = limit, True
    return int(price), is_late


def _stop_fill(desk: Desk, instrument: int, row: int) -> tuple[int, bool]:
    """A stop fills at an open beyond it, or at its price once that was touched."""
    book, opened = desk.book, price_of(desk, OPEN, row)
    stop = book[instrument, STOP_PRICE]
    price, is_late = 0, False
    if book[instrument, SIDE] == BUY:
        if opened >= stop:
            price = opened
        elif price_of(desk, HIGH, row) >= stop:
            price, is_late = stop, True
    elif opened <= stop:
        price = opened
    elif price_of(desk, LOW, row) <= stop:
        price, is_late = stop, True
    return int(price), is_late


def _stop_limit_fill(desk: Desk, instrument: int, row: int) -> tuple[int, bool]:
    """Reached at the open it is a limit order from then on; inside the bar only the close is sure.

    So one that is reached inside the bar fills at its stop where the limit allows that, else at
    its limit if the close is beyond it.
    """
    book = desk.book
    limit = book[instrument, LIMIT_PRICE]
    price, is_late = _stop_fill(desk, instrument, row)
    if price == 0:
        return 0, False
    if not is_late:
        return _limit_fill(desk, instrument, row)
    close = price_of(desk, CLOSE, row)
    if book[instrument, SIDE] == BUY:
        if price > limit:
            price = limit if close < limit else 0
    elif price < limit:
        price = limit if close > limit else 0
    return int(price), True


def is_reached(desk: Desk, instrument: int, row: int) -> bool:
    """Return whether the stop price of a waiting order was reached on a row."""
    price, _ = _stop_fill(desk, instrument, row)
    return price > 0


def most_of(desk: Desk, instrument: int, row: int) -> int:
    """Return how much of a waiting order a row fills at most: a share of its volume, in lots."""
    wanted, share = desk.book[instrument, WANTED], desk.rules[VOLUME_SHARE]
    most = wanted
    if share > 0:
        lot, _ = order_terms(desk, instrument, row)
        most = share_of(desk.lots[row], share)
        most = wanted if most >= wanted else most - most % lot
    if desk.book[instrument, ORDER_FORCE] == FOK and most < wanted:
        most = 0
    return int(most)


def slipped(desk: Desk, instrument: int, row: int, price: int, quantity: int) -> int:
    """Return a price after slippage, on the grid and inside the limits of the session."""
    rules, book = desk.rules, desk.book
    ppm = rules[SLIP_PPM] + _impact_ppm(desk, row, quantity)
    if ppm == 0 and rules[SLIP_TICKS] == 0:
        return price
    ladder = ladder_of(desk, instrument, row)
    by = -(-price * ppm // PPM) + rules[SLIP_TICKS] * tick_of(ladder, price)
    if book[instrument, SIDE] == BUY:
        return int(min(up_to_tick(ladder, price + by), book[instrument, UPPER]))
    return int(max(down_to_tick(ladder, price - by), book[instrument, LOWER], 1))


def _impact_ppm(desk: Desk, row: int, quantity: int) -> int:
    impact = desk.rules[IMPACT_PPM]
    if impact == 0:
        return 0
    share = quantity / max(desk.lots[row], 1)
    return int(impact * (math.sqrt(share) if desk.rules[HAS_ROOT] == 1 else share))


def ladder_of(desk: Desk, instrument: int, row: int) -> Ints:
    """Return the packed price rules of a row's session."""
    session = session_of(desk, instrument, row)
    found: Ints = desk.ladders[desk.book[instrument, CLASS], desk.sessions[session, EPOCH]]
    return found


def up_to_tick(ladder: Ints, price: int) -> int:
    """Return the lowest price on the grid that is not below a price."""
    tick = tick_of(ladder, price)
    return int(-(-price // tick) * tick)


def down_to_tick(ladder: Ints, price: int) -> int:
    """Return the highest price on the grid that is not above a price."""
    return int(price - price % tick_of(ladder, max(price, 0)))


def to_tick(ladder: Ints, price: int, up: int) -> int:
    """Return the nearest price on the grid at or above a price (1), or at or below it (-1)."""
    return up_to_tick(ladder, price) if up > 0 else down_to_tick(ladder, price)
