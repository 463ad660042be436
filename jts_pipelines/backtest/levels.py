"""Levels of the risk block as prices: on closes, and inside bars where a run wants that.

Read as text and compiled, see `driver`. A level is the highest (for a target the lowest) whole
price for which the condition of `strategy.stops` holds, so both decide the same; an average price
between two steps is compared exactly, as live does. For a short position all is mirrored: `sign`
is 1 for a long one and -1 for a short one.
"""

from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.guarding import better_of
from jts_pipelines.backtest.places import (
    BOUGHT_ROW,
    CLOSE,
    COLLATERAL,
    COST,
    DIRECTION,
    EXITS_INSIDE,
    HIGH,
    IS_LATE,
    LOW,
    LOWER,
    OPEN,
    PEAK,
    PEAK_ROW,
    QUANTITY,
    REASON_MARGIN_CALL,
    REASON_STOP_LOSS,
    REASON_TAKE_PROFIT,
    REASON_TRAILING_STOP,
    SHORT_COVER,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
    TRIES_FROM,
    UNIT,
    UPPER,
)
from jts_pipelines.backtest.pricing import ladder_of, to_tick
from jts_pipelines.backtest.search import can_fill, price_of
from jts_trading.strategy.sizing import PPM, part_of, share_of

# Above every price: a level that is not set lies there, or as far below zero. Sums of six are
# still exact.
NO_LEVEL = 1 << 60


def loss_level(desk: Desk, instrument: int) -> int:
    """Return the price nearest to the entries at which the stop loss is hit; see `NO_LEVEL`."""
    ppm, sign = desk.rules[STOP_LOSS], desk.book[instrument, DIRECTION]
    if ppm == 0:
        return int(-sign * NO_LEVEL)
    return _worth_level(desk, instrument, PPM - sign * ppm, -sign)


def trail_level(desk: Desk, instrument: int, peak: int) -> int:
    """Return the price nearest to a peak at which the trailing stop is hit."""
    ppm, sign = desk.rules[TRAILING_STOP], desk.book[instrument, DIRECTION]
    if ppm == 0:
        return int(-sign * NO_LEVEL)
    return int(sign * share_of(sign * peak, PPM - sign * ppm))


def profit_level(desk: Desk, instrument: int) -> int:
    """Return the price nearest to the entries at which the profit is taken."""
    ppm, sign = desk.rules[TAKE_PROFIT], desk.book[instrument, DIRECTION]
    if ppm == 0:
        return int(sign * NO_LEVEL)
    return _worth_level(desk, instrument, PPM + sign * ppm, sign)


def _worth_level(desk: Desk, instrument: int, ppm: int, up: int) -> int:
    """Return the price at which a position is worth a share of its cost: rounded up (1), or down.

    Both quotients are rounded to the same side.
    """
    book = desk.book
    worth = -up * share_of(-up * book[instrument, COST], ppm)
    return int(-up * (-up * worth // book[instrument, QUANTITY]))


def is_beyond(desk: Desk, instrument: int, price: int, level: int) -> bool:
    """Return whether a price is at a level or worse for a position: below, for a long one."""
    sign = desk.book[instrument, DIRECTION]
    return bool(sign * price <= sign * level)


def is_called(desk: Desk, instrument: int, close: int) -> bool:
    """Return whether what is pledged for a short position is not enough at a close."""
    book, least = desk.book, desk.rules[SHORT_COVER]
    if book[instrument, DIRECTION] > 0:
        return False
    most = part_of(book[instrument, COLLATERAL], PPM, least)
    return bool(close * book[instrument, QUANTITY] * book[instrument, UNIT] > most)


def close_reason(desk: Desk, instrument: int, row: int) -> int:
    """Return the reason of the risk block to leave on the close of a row, or -1."""
    close, book = price_of(desk, CLOSE, row), desk.book
    peak, found = book[instrument, PEAK], -1
    for at in range(book[instrument, PEAK_ROW], row + 1):
        peak = better_of(desk, instrument, peak, price_of(desk, CLOSE, at))
    if is_called(desk, instrument, close):
        found = REASON_MARGIN_CALL
    elif is_beyond(desk, instrument, close, loss_level(desk, instrument)):
        found = REASON_STOP_LOSS
    elif is_beyond(desk, instrument, close, trail_level(desk, instrument, peak)):
        found = REASON_TRAILING_STOP
    elif is_reached_by(desk, instrument, close, profit_level(desk, instrument)):
        found = REASON_TAKE_PROFIT
    return found


def is_reached_by(desk: Desk, instrument: int, price: int, target: int) -> bool:
    """Return whether a price is at a target or better for a position."""
    sign = desk.book[instrument, DIRECTION]
    return bool(sign * price >= sign * target)


def left_at(desk: Desk, instrument: int, earliest: int, latest: int, end: int) -> tuple[int, bool]:
    """Return the row on which a position is left next, and whether inside the bar.

    Args:
        desk: The peak in its book grows with the rows that are passed; the last one not included,
            where it is left inside that.
        instrument: Held.
        earliest: The first row on which something may happen.
        latest: The row on which an exit rule fires, or the end.
        end: The first row that is not looked at.
    """
    book = desk.book
    end, row = min(latest + 1, end), book[instrument, PEAK_ROW]
    is_inside, is_hit = False, False
    while row < end and not is_hit:
        first = max(earliest, book[instrument, TRIES_FROM])
        if desk.rules[EXITS_INSIDE] == 1 and row >= first:
            is_inside = inside_price(desk, instrument, row) > 0
        is_hit = is_inside or (row >= earliest and close_reason(desk, instrument, row) >= 0)
        if not is_inside:
            peak, close = book[instrument, PEAK], price_of(desk, CLOSE, row)
            book[instrument, PEAK] = better_of(desk, instrument, peak, close)
            book[instrument, PEAK_ROW] = row + 1
        row += 1
    return (row - 1 if is_hit else latest), is_inside


def inside_stop(desk: Desk, instrument: int, row: int) -> int:
    """Return the price on the grid at which a position is stopped inside a bar."""
    peak, sign = desk.book[instrument, PEAK], desk.book[instrument, DIRECTION]
    loss, trail = loss_level(desk, instrument), trail_level(desk, instrument, peak)
    stop = sign * max(sign * loss, sign * trail)
    if stop <= 0 or stop >= NO_LEVEL:
        return int(stop)
    return to_tick(ladder_of(desk, instrument, row), stop, -sign)


def inside_price(desk: Desk, instrument: int, row: int) -> int:
    """Return the price at which a position is left inside a bar, 0 if it is not.

    The stop comes before the target; what it trails are the closes of the bars before. On the bar
    of an entry that filled after the open, the target is not looked at.
    """
    book, stop = desk.book, inside_stop(desk, instrument, row)
    sign, target = book[instrument, DIRECTION], profit_level(desk, instrument)
    if 0 < target < NO_LEVEL:
        target = to_tick(ladder_of(desk, instrument, row), target, sign)
    worst, best, locked = (LOW, HIGH, LOWER) if sign > 0 else (HIGH, LOW, UPPER)
    opened, price = price_of(desk, OPEN, row), 0
    is_late = row == book[instrument, BOUGHT_ROW] and book[instrument, IS_LATE] == 1
    if not can_fill(desk, instrument, row, locked):
        return 0
    if is_beyond(desk, instrument, price_of(desk, worst, row), stop):
        price = opened if is_beyond(desk, instrument, opened, stop) else stop
    elif is_late:
        price = 0
    elif is_reached_by(desk, instrument, opened, target):
        price = opened
    elif sign * price_of(desk, best, row) > sign * target:
        price = target
    return 0 if is_beyond(desk, instrument, price, book[instrument, locked]) else int(price)


def inside_reason(desk: Desk, instrument: int, row: int) -> int:
    """Return why a position is left inside a bar."""
    book = desk.book
    worst = LOW if book[instrument, DIRECTION] > 0 else HIGH
    stop = inside_stop(desk, instrument, row)
    if not is_beyond(desk, instrument, price_of(desk, worst, row), stop):
        return REASON_TAKE_PROFIT
    trail = trail_level(desk, instrument, book[instrument, PEAK])
    is_loss = is_reached_by(desk, instrument, loss_level(desk, instrument), trail)
    return REASON_STOP_LOSS if is_loss else REASON_TRAILING_STOP
