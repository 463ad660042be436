"""Finds rows: where an instrument next can trade, where its rules next fire, where it stands.

Read as text and compiled, see `driver`. Rows hold traded bars only, instruments one after another,
so the row after is the next trade, and the row before the first one of a session is its base.
"""

from jts_pipelines.backtest.bands import band_of, lot_of
from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.places import (
    BAND_SESSION,
    BASE,
    CLASS,
    CLOSE,
    DIRECTION,
    END,
    ENDS_FROM,
    ENTRY,
    EPOCH,
    FIRST,
    FREE_FROM,
    HAS_LIMITS,
    HIGH,
    IS_PACKED,
    LOW,
    LOWER,
    NOTIONAL_MIN,
    OPEN,
    PEAK,
    PEAK_ROW,
    RATE_ABOVE,
    RATE_BELOW,
    SHIFT,
    SIDE,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
    UPPER,
)
from jts_trading.strategy.stops import is_profit_taken, is_stop_loss_hit, is_trailing_stop_hit

# The upper limit of a session without a base: above every price. Its lower limit is zero.
NO_UPPER = 1 << 62
# The mask of one rule in each of the eight rows that share a word.
EACH_ROW = 0x0101010101010101


def moment_of(desk: Desk, instrument: int, row: int) -> int:
    """Return the number of the instant of a row."""
    return int(desk.moments[row + desk.book[instrument, SHIFT]])


def session_of(desk: Desk, instrument: int, row: int) -> int:
    """Return the number of the session of a row."""
    return int(desk.session_at[moment_of(desk, instrument, row)])


def is_over(desk: Desk, moment: int) -> bool:
    """Return whether a bar that starts at an instant ends its session."""
    return bool(moment >= desk.sessions[int(desk.session_at[moment]), ENDS_FROM])


def price_of(desk: Desk, kind: int, row: int) -> int:
    """Return a price in 64 bits, whatever the column is held in."""
    return int(desk.prices[row, kind])


def fired_on(desk: Desk, row: int) -> int:
    """Return the mask of the rules that fired on a row."""
    if desk.rules[IS_PACKED] == 0:
        found: int = desk.fired[row]
        return found
    return int(desk.fired[row >> 3] >> ((row & 7) << 3)) & 255


def next_fired(desk: Desk, row: int, end: int, mask: int) -> int:
    """Return the first row from `row` on, below `end`, on which one of the rules fired; or end."""
    if desk.rules[IS_PACKED] == 0:
        while row < end and desk.fired[row] & mask == 0:
            row += 1
        return row
    if row >= end:
        return end
    pattern = EACH_ROW * mask
    hits = (desk.fired[row >> 3] & pattern) >> ((row & 7) << 3)
    while hits == 0 and row < end:
        row = (row >> 3 << 3) + 8
        if row < end:
            hits = desk.fired[row >> 3] & pattern
    while hits != 0 and hits & 255 == 0:
        row += 1
        hits >>= 8
    return min(row, end)


def stopped_at(desk: Desk, instrument: int, earliest: int, latest: int) -> int:
    """Return the first row on which the risk block leaves the position, or `latest`.

    Args:
        desk: The peak in its book grows with the rows that are passed, `latest` included.
        instrument: Held.
        earliest: The first row on which a decision may be made.
        latest: The row on which an exit rule fires, or the end of the rows.
    """
    book, rules = desk.book, desk.rules
    stop, trail, take = rules[STOP_LOSS], rules[TRAILING_STOP], rules[TAKE_PROFIT]
    if stop == 0 and trail == 0 and take == 0:
        return latest
    entry, peak = book[instrument, ENTRY], book[instrument, PEAK]
    end = min(latest + 1, book[instrument, END])
    at, is_hit = book[instrument, PEAK_ROW], False
    while at < end and not is_hit:
        close = price_of(desk, CLOSE, at)
        peak = max(peak, close)
        is_hit = at >= earliest and (
            is_stop_loss_hit(close, entry, stop)
            or is_trailing_stop_hit(close, peak, trail)
            or is_profit_taken(close, entry, take)
        )
        at += 1
    book[instrument, PEAK], book[instrument, PEAK_ROW] = peak, at
    return at - 1 if is_hit else latest


def row_at(desk: Desk, instrument: int, row: int, moment: int) -> int:
    """Return the last row, not before `row`, at or before an instant."""
    shift, end = desk.book[instrument, SHIFT], desk.book[instrument, END]
    # Instants of rows differ by one at least, so no later row can be meant.
    high = min(end - 1, row + moment - int(desk.moments[row + shift]))
    if desk.moments[high + shift] <= moment:
        return int(high)
    low = row
    while low + 1 < high:
        middle = (low + high) >> 1
        if desk.moments[middle + shift] <= moment:
            low = middle
        else:
            high = middle
    return low


def look_up_band(desk: Desk, instrument: int, row: int) -> None:
    """Put the limits of the row's session into the book."""
    book, session = desk.book, session_of(desk, instrument, row)
    book[instrument, BAND_SESSION] = session
    first = _session_start(desk, instrument, row, session)
    base, lower, upper = 0, 0, NO_UPPER
    rules = desk.ladders[book[instrument, CLASS], desk.sessions[session, EPOCH]]
    has_limits = rules[HAS_LIMITS] == 1 and session < book[instrument, FREE_FROM]
    if first > book[instrument, FIRST] and has_limits:
        base = reference_of(desk, instrument, first)
        lower, upper = band_of(rules, base)
    book[instrument, BASE], book[instrument, LOWER], book[instrument, UPPER] = base, lower, upper


def reference_of(desk: Desk, instrument: int, first: int) -> int:  # noqa: ARG001
    """Return the base price of a session that begins with a row, not on the grid yet."""
    return price_of(desk, CLOSE, first - 1)


def _session_start(desk: Desk, instrument: int, row: int, session: int) -> int:
    low, high = desk.book[instrument, FIRST] - 1, row
    while high - low > 1:
        # The row before first: bars of a day have a session each.
        middle = high - 1 if high == row else (low + high) >> 1
        if session_of(desk, instrument, middle) == session:
            high = middle
        else:
            low = middle
    return high


def can_fill(desk: Desk, instrument: int, row: int, locked: int) -> bool:
    """Return whether a market order fills at the open of a row.

    Nothing fills outside the limits of the session, and an order on the wrong side does not on a
    bar that stood at its limit from open to close.

    Args:
        desk: The desk.
        instrument: Whose row it is.
        row: The bar.
        locked: The limit at which the other side is missing: UPPER for a buy, LOWER for a sale.
    """
    if desk.book[instrument, BAND_SESSION] != session_of(desk, instrument, row):
        look_up_band(desk, instrument, row)
    price = price_of(desk, OPEN, row)
    if price < desk.book[instrument, LOWER] or price > desk.book[instrument, UPPER]:
        return False
    if price != desk.book[instrument, locked]:
        return True
    return not (
        price == price_of(desk, HIGH, row)
        and price == price_of(desk, LOW, row)
        and price == price_of(desk, CLOSE, row)
    )


def is_entry(desk: Desk, instrument: int) -> bool:
    """Return whether an order waits that enters."""
    return bool(desk.book[instrument, SIDE] == desk.book[instrument, DIRECTION])


def smallest_order(desk: Desk, instrument: int, row: int) -> int:
    """Return the smallest value of an order, in price steps times quantity steps."""
    session = session_of(desk, instrument, row)
    found: int = desk.ladders[
        desk.book[instrument, CLASS], desk.sessions[session, EPOCH], NOTIONAL_MIN
    ]
    return found


def order_terms(desk: Desk, instrument: int, row: int) -> tuple[int, int]:
    """Return lot, and the price at which a buy decided on the row's close reserves cash.

    That is the upper limit of the session that the order is for: of the next one after a bar that
    ends its session. Without limits it is a share above the close.
    """
    book, moment = desk.book, moment_of(desk, instrument, row)
    session = int(desk.session_at[moment])
    if book[instrument, BAND_SESSION] != session:
        look_up_band(desk, instrument, row)
    rules = desk.ladders[book[instrument, CLASS], desk.sessions[session, EPOCH]]
    close = price_of(desk, CLOSE, row)
    if rules[HAS_LIMITS] == 0:
        above, below = rules[RATE_ABOVE], rules[RATE_BELOW]
        return lot_of(rules, close), -(-close * (below + above) // below)
    base, upper = book[instrument, BASE], book[instrument, UPPER]
    if is_over(desk, moment) or base == 0:
        base = close
        _, upper = band_of(rules, close)
    # After a change of base the limits say little, but no price can be below the close.
    return lot_of(rules, base), max(upper, close)
