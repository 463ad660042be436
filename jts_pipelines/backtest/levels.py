"""Levels of the risk block as prices: on closes, and inside bars where a run wants that.

Read as text and compiled, see `driver`. A level is the highest (for a target the lowest) whole
price for which the condition of `strategy.stops` holds, so both decide the same; an average price
between two steps is compared exactly, as live does.
"""

from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.places import (
    BOUGHT_ROW,
    CLOSE,
    COST,
    EXITS_INSIDE,
    HIGH,
    IS_LATE,
    LOW,
    LOWER,
    OPEN,
    PEAK,
    PEAK_ROW,
    QUANTITY,
    REASON_STOP_LOSS,
    REASON_TAKE_PROFIT,
    REASON_TRAILING_STOP,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
    TRIES_FROM,
)
from jts_pipelines.backtest.pricing import down_to_tick, ladder_of, up_to_tick
from jts_pipelines.backtest.search import can_fill, price_of
from jts_trading.strategy.sizing import PPM, share_of

# Above every price: a target that is not set.
NO_TARGET = 1 << 60


def loss_level(desk: Desk, instrument: int) -> int:
    """Return the highest price at which the stop loss is hit; -1 where there is none."""
    ppm, held = desk.rules[STOP_LOSS], desk.book[instrument, QUANTITY]
    if ppm == 0:
        return -1
    return int(share_of(desk.book[instrument, COST], PPM - ppm) // held)


def trail_level(desk: Desk, peak: int) -> int:
    """Return the highest price at which the trailing stop is hit; -1 where there is none."""
    ppm = desk.rules[TRAILING_STOP]
    return share_of(peak, PPM - ppm) if ppm > 0 else -1


def profit_level(desk: Desk, instrument: int) -> int:
    """Return the lowest price at which the profit is taken."""
    ppm, cost = desk.rules[TAKE_PROFIT], desk.book[instrument, COST]
    if ppm == 0:
        return NO_TARGET
    # Both quotients are rounded up.
    wanted = cost - share_of(-cost, ppm)
    return int(-(-wanted // desk.book[instrument, QUANTITY]))


def close_reason(desk: Desk, instrument: int, row: int) -> int:
    """Return the reason of the risk block to leave on the close of a row, or -1."""
    close, book = price_of(desk, CLOSE, row), desk.book
    peak = book[instrument, PEAK]
    for at in range(book[instrument, PEAK_ROW], row + 1):
        peak = max(peak, price_of(desk, CLOSE, at))
    if close <= loss_level(desk, instrument):
        return REASON_STOP_LOSS
    if close <= trail_level(desk, peak):
        return REASON_TRAILING_STOP
    return REASON_TAKE_PROFIT if close >= profit_level(desk, instrument) else -1


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
            book[instrument, PEAK] = max(book[instrument, PEAK], price_of(desk, CLOSE, row))
            book[instrument, PEAK_ROW] = row + 1
        row += 1
    return (row - 1 if is_hit else latest), is_inside


def inside_stop(desk: Desk, instrument: int, row: int) -> int:
    """Return the price on the grid at which a position is stopped inside a bar."""
    peak = desk.book[instrument, PEAK]
    stop = max(loss_level(desk, instrument), trail_level(desk, peak))
    return down_to_tick(ladder_of(desk, instrument, row), stop) if stop > 0 else -1


def inside_price(desk: Desk, instrument: int, row: int) -> int:
    """Return the price at which a position is left inside a bar, 0 if it is not.

    The stop comes before the target; what it trails are the closes of the bars before. On the bar
    of a purchase that filled after the open, the target is not looked at.
    """
    book, stop = desk.book, inside_stop(desk, instrument, row)
    target = profit_level(desk, instrument)
    if target < NO_TARGET:
        target = up_to_tick(ladder_of(desk, instrument, row), target)
    opened, price = price_of(desk, OPEN, row), 0
    is_late = row == book[instrument, BOUGHT_ROW] and book[instrument, IS_LATE] == 1
    if not can_fill(desk, instrument, row, LOWER):
        return 0
    if price_of(desk, LOW, row) <= stop:
        price = min(stop, opened)
    elif is_late:
        price = 0
    elif opened >= target:
        price = opened
    elif price_of(desk, HIGH, row) > target:
        price = target
    return 0 if price <= book[instrument, LOWER] else int(price)


def inside_reason(desk: Desk, instrument: int, row: int) -> int:
    """Return why a position is left inside a bar."""
    if price_of(desk, LOW, row) > inside_stop(desk, instrument, row):
        return REASON_TAKE_PROFIT
    trail = trail_level(desk, desk.book[instrument, PEAK])
    return REASON_STOP_LOSS if loss_level(desk, instrument) >= trail else REASON_TRAILING_STOP
