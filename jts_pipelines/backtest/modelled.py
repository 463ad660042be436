"""The portfolio where orders may do more than fill at the next open: other forms of its functions.

Read as text and compiled, see `driver`; each function here takes the place of the one of the same
name without `_in_model` (`kernel_text`), in runs with limit or stop orders or another fill model.
An order may wait for many bars, fill in parts, and end unfilled with its session.
"""

from jts_pipelines.backtest.agenda import INSTRUMENT_BITS, NEVER
from jts_pipelines.backtest.averaging import can_add
from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.decisions import decide_entry, entries_of, order_exit, side_of
from jts_pipelines.backtest.exchanging import (
    NEVER_ENDS,
    apply_action,
    drop_order,
    end_listing,
    in_shares_after,
    next_split,
)
from jts_pipelines.backtest.guarding import judged_on
from jts_pipelines.backtest.levels import (
    close_reason,
    inside_price,
    inside_reason,
    left_at,
)
from jts_pipelines.backtest.places import (
    ARRIVES,
    BANNED,
    BUY,
    CANCELLED,
    CASH,
    DAY,
    DECIDED,
    DELISTED_AT,
    DELISTED_PHASE,
    DIRECTION,
    END,
    END_SPLIT,
    ENTRIES,
    ENTRY_DECISIONS,
    EXIT_DECISIONS,
    EXPIRED,
    FIRST_SPLIT,
    FOK,
    FORCE,
    HELD_BACK,
    IOC,
    IS_BANNED,
    IS_NEW,
    IS_TRIGGERED,
    JUDGED_ROW,
    LAST_SESSION,
    LATE_PURCHASES,
    LATE_SALES,
    LIMIT,
    LIMIT_PLACE,
    LIMIT_PRICE,
    MARKET,
    NEXT_PHASE,
    NEXT_ROW,
    ORDER_FORCE,
    ORDER_TYPE,
    PHASE_BITS,
    PLEDGED,
    PURCHASES,
    QUANTITY,
    REASON,
    REASON_STOP_LOSS,
    RESERVED,
    SALES,
    SESSION_NOW,
    SIDE,
    SPLIT_ROW,
    STOP,
    STOP_LIMIT,
    STOP_PLACE,
    STOP_PRICE,
    TRIES_FROM,
    TYPE,
    UNSETTLED,
    UNTIL,
    WANTED,
)
from jts_pipelines.backtest.pricing import (
    down_to_tick,
    fill_of,
    is_reached,
    is_short_sale,
    ladder_of,
    most_of,
    slipped,
    up_to_tick,
)
from jts_pipelines.backtest.search import (
    fired_on,
    is_entry,
    is_over,
    moment_of,
    next_fired,
    session_of,
)
from jts_pipelines.backtest.shorting import exits_of, fill_order
from jts_trading.strategy.order_prices import whole_price


def last_event_in_model(desk: Desk, instrument: int) -> int:
    """Return the number of the event in which a delisting ends what is left of an instrument."""
    book = desk.book
    is_left = book[instrument, SIDE] != 0 or book[instrument, QUANTITY] > 0
    moment = book[instrument, DELISTED_AT]
    if not is_left or moment == NEVER_ENDS:
        return NEVER
    place = moment << PHASE_BITS | book[instrument, DELISTED_PHASE]
    found: int = (place << INSTRUMENT_BITS) | instrument
    return found


def seek_next_in_model(desk: Desk, instrument: int, row: int) -> None:
    """Schedule what happens next to an instrument, on a row or later."""
    book, rules = desk.book, desk.rules
    end, phase = book[instrument, END], ENTRY_DECISIONS
    is_busy = book[instrument, SIDE] != 0 or book[instrument, QUANTITY] > 0
    splits_at = next_split(desk, instrument, row)
    if is_busy:
        end = min(end, splits_at)
    if book[instrument, SIDE] != 0:
        phase = -1
        while row < end and phase < 0:
            phase = order_phase(desk, instrument, row)
            if phase < 0 and is_over_at_close(desk, instrument, row):
                phase = EXIT_DECISIONS
            row += phase < 0
    elif book[instrument, QUANTITY] > 0:
        row, phase = change_of_position(desk, instrument, row, end)
    else:
        row = next_fired(desk, row, end, rules[ENTRIES])
    if is_busy and row == splits_at:
        phase = SALES
    book[instrument, NEXT_ROW], book[instrument, NEXT_PHASE] = row, phase


def change_of_position(desk: Desk, instrument: int, row: int, end: int) -> tuple[int, int]:
    """Return where and in which phase a position is left or added to next.

    Args:
        desk: See `levels.left_at`.
        instrument: Held, without an order.
        row: The first one on which something may happen.
        end: The first row that is not looked at.
    """
    adds_at = end
    if can_add(desk, instrument):
        adds_at = next_fired(desk, row, end, entries_of(desk, instrument))
    # Exits come first, once a bar; what follows an entry nobody knows yet, so the peak must not.
    first, until = max(row, desk.book[instrument, JUDGED_ROW] + 1), min(end, adds_at + 1)
    latest = next_fired(desk, first, until, exits_of(desk, instrument))
    leaves_at, is_inside = left_at(desk, instrument, first, latest, until)
    if is_inside:
        return leaves_at, LATE_SALES
    if adds_at < min(leaves_at, end):
        return adds_at, ENTRY_DECISIONS
    return leaves_at, EXIT_DECISIONS


def order_phase(desk: Desk, instrument: int, row: int) -> int:
    """Return the phase in which the waiting order fills or ends on a row, or -1."""
    book, phase = desk.book, -1
    if row < book[instrument, TRIES_FROM]:
        return -1
    if is_ended(desk, instrument, row):
        return SALES
    price, is_late = fill_of(desk, instrument, row)
    if price > 0 and most_of(desk, instrument, row) > 0:
        # A short sale enters as a purchase does, and a cover leaves as a sale does.
        if is_entry(desk, instrument):
            phase = LATE_PURCHASES if is_late else PURCHASES
        else:
            phase = LATE_SALES if is_late else SALES
    elif book[instrument, ORDER_FORCE] in (IOC, FOK):
        # Tried once: it ends with this bar.
        book[instrument, LAST_SESSION] = -1
        phase = LATE_SALES
    elif book[instrument, ORDER_TYPE] == STOP_LIMIT and is_reached(desk, instrument, row):
        book[instrument, IS_TRIGGERED] = 1
    return phase


def is_ended(desk: Desk, instrument: int, row: int) -> bool:
    """Return whether the waiting order has ended by a row: by its time, its try, or a ban."""
    session = session_of(desk, instrument, row)
    is_banned = is_short_sale(desk, instrument) and desk.sessions[session, IS_BANNED] == 1
    return bool(is_banned or session > desk.book[instrument, LAST_SESSION])


def is_over_at_close(desk: Desk, instrument: int, row: int) -> bool:
    """Return whether the close of a row asks for something else than the waiting order."""
    book = desk.book
    enters = is_entry(desk, instrument)
    if enters and fired_on(desk, row) & exits_of(desk, instrument) != 0:
        return True
    if book[instrument, QUANTITY] == 0 or (not enters and book[instrument, ORDER_TYPE] == MARKET):
        return False
    return close_reason(desk, instrument, row) >= 0


def act_in_model(desk: Desk, instrument: int, row: int, phase: int, fills: Ints) -> None:
    """Let what is due happen to an instrument."""
    book = desk.book
    if row >= book[instrument, END]:
        end_listing(desk, instrument, fills)
    elif phase in (EXIT_DECISIONS, ENTRY_DECISIONS):
        if phase == EXIT_DECISIONS:
            decide_exit_in_model(desk, instrument, row)
        else:
            decide_entry(desk, instrument, row)
    elif phase == SALES and next_split(desk, instrument, row) == row:
        apply_action(desk, instrument, row, fills)
    elif book[instrument, SIDE] == 0:
        leave_inside(desk, instrument, row, fills)
    elif is_ended(desk, instrument, row):
        is_expired = session_of(desk, instrument, row) > book[instrument, LAST_SESSION]
        drop_order(desk, instrument)
        desk.account[EXPIRED if is_expired else BANNED] += 1
    else:
        fill_order(desk, instrument, row, fills)
    if phase == LATE_SALES:
        # The last thing that can happen inside a bar.
        book[instrument, TRIES_FROM] = row + 1


def first_after_in_model(desk: Desk, instrument: int, row: int, phase: int) -> int:
    """Return the first row on which something else can happen: fills leave the close.

    So do exits that order nothing, where an entry may follow.
    """
    book = desk.book
    is_free = phase == EXIT_DECISIONS and book[instrument, SIDE] == 0
    is_free = is_free and (book[instrument, QUANTITY] == 0 or can_add(desk, instrument))
    return row if phase <= LATE_SALES or is_free else row + 1


def leave_inside(desk: Desk, instrument: int, row: int, fills: Ints) -> None:
    """Leave a position inside a bar at a level of the risk block."""
    book = desk.book
    book[instrument, SIDE] = -book[instrument, DIRECTION]
    book[instrument, WANTED] = book[instrument, QUANTITY]
    book[instrument, REASON] = inside_reason(desk, instrument, row)
    book[instrument, DECIDED], book[instrument, ORDER_FORCE] = row, DAY
    # Whatever one bar does not take is left at the next ones.
    book[instrument, ORDER_TYPE], book[instrument, TRIES_FROM] = MARKET, row
    book[instrument, LAST_SESSION], book[instrument, IS_TRIGGERED] = NEVER_ENDS, 0
    if most_of(desk, instrument, row) > 0:
        fill_order(desk, instrument, row, fills)
    else:
        book[instrument, TRIES_FROM] = row + 1


def decide_exit_in_model(desk: Desk, instrument: int, row: int) -> None:
    """Take a waiting order back or order the exit of a position, or both."""
    account, book = desk.account, desk.book
    fired = judged_on(desk, instrument, row, exits_of(desk, instrument))
    book[instrument, JUDGED_ROW] = row
    reason = -1
    if book[instrument, QUANTITY] > 0:
        reason = exit_reason_in_model(desk, instrument, row, fired)
    is_waiting, enters = book[instrument, SIDE] != 0, is_entry(desk, instrument)
    if enters and (fired != 0 or reason >= 0):
        drop_order(desk, instrument)
        account[CANCELLED] += 1
    elif is_waiting and not enters and reason >= REASON_STOP_LOSS:
        drop_order(desk, instrument)
    if book[instrument, SIDE] == 0 and book[instrument, QUANTITY] > 0:
        order_exit(desk, instrument, row, reason)


def exit_reason_in_model(desk: Desk, instrument: int, row: int, fired: int) -> int:
    """Return why the position is to be left on the close of a row, or -1."""
    reason, rule = close_reason(desk, instrument, row), 0
    if reason >= 0 or fired == 0:
        return reason
    while fired >> rule & 1 == 0:
        rule += 1
    return rule


def place_order_in_model(desk: Desk, instrument: int, row: int, reason: int) -> bool:
    """Set the terms of an order up; return whether it can be given: its prices are known."""
    book, session = desk.book, session_of(desk, instrument, row)
    is_rule = reason < REASON_STOP_LOSS
    kind = desk.sizes[reason, TYPE] if is_rule else MARKET
    force = desk.sizes[reason, FORCE] if is_rule else DAY
    book[instrument, ORDER_TYPE], book[instrument, ORDER_FORCE] = kind, force
    book[instrument, TRIES_FROM], book[instrument, IS_TRIGGERED] = row + 1, 0
    # A market order is given again in each session until it fills.
    is_endless = kind == MARKET or force != DAY
    is_last = is_over(desk, moment_of(desk, instrument, row))
    last = desk.sessions[session, UNTIL] if is_last else session
    book[instrument, LAST_SESSION] = NEVER_ENDS if is_endless else last
    ladder = ladder_of(desk, instrument, row)
    enters, is_known = is_rule and desk.rules[ENTRIES] >> reason & 1 == 1, True
    is_buy = enters == (book[instrument, DIRECTION] > 0)
    book[instrument, IS_NEW] = enters
    if kind in (LIMIT, STOP_LIMIT):
        price = whole_price(asked_price(desk, instrument, row, reason, LIMIT_PLACE), not is_buy)
        # A limit is rounded to where it is less likely to fill.
        rounded = down_to_tick(ladder, price) if is_buy else up_to_tick(ladder, price)
        book[instrument, LIMIT_PRICE], is_known = rounded, rounded > 0
    if kind in (STOP, STOP_LIMIT):
        price = whole_price(asked_price(desk, instrument, row, reason, STOP_PLACE), is_buy)
        rounded = up_to_tick(ladder, price) if is_buy else down_to_tick(ladder, price)
        book[instrument, STOP_PRICE], is_known = rounded, is_known and rounded > 0
    return bool(is_known)


def asked_price(desk: Desk, instrument: int, row: int, rule: int, place: int) -> float:
    """Return a price that a rule asks for, in the shares of the row.

    Rules see prices in the shares of the first bar; each split and rights issue since then is
    undone.
    """
    price = desk.values[row, desk.sizes[rule, place]]
    for at in range(desk.book[instrument, FIRST_SPLIT], desk.book[instrument, END_SPLIT]):
        if desk.splits[at, SPLIT_ROW] <= row:
            price = in_shares_after(desk.splits[at], price)
    return float(price)


def reserve_of_in_model(desk: Desk, instrument: int, row: int, rule: int, usual: int) -> int:
    """Return the price at which an entry reserves cash: that of a purchase with a limit."""
    if side_of(desk, rule) != BUY or desk.sizes[rule, TYPE] not in (LIMIT, STOP_LIMIT):
        return usual
    price = whole_price(asked_price(desk, instrument, row, rule, LIMIT_PLACE), True)
    return price if price > 0 else usual


def deal_of_in_model(desk: Desk, instrument: int, row: int) -> tuple[int, int]:
    """Return at which price a waiting order fills on a row, and how much of it at most."""
    book, most = desk.book, most_of(desk, instrument, row)
    if book[instrument, REASON] >= REASON_STOP_LOSS and book[instrument, DECIDED] == row:
        price = inside_price(desk, instrument, row)
        is_passive = inside_reason(desk, instrument, row) > REASON_STOP_LOSS + 1
    else:
        price, _ = fill_of(desk, instrument, row)
        is_passive = book[instrument, ORDER_TYPE] in (LIMIT, STOP_LIMIT)
    if not is_passive:
        price = slipped(desk, instrument, row, price, most)
    return price, most


def end_order_in_model(desk: Desk, instrument: int, row: int, quantity: int) -> None:
    """Let the rest of an order wait, or free the instrument of it."""
    account, book = desk.account, desk.book
    rest = book[instrument, WANTED] - quantity
    enters = is_entry(desk, instrument)
    if not enters:
        rest = min(rest, book[instrument, QUANTITY])
    if rest <= 0 or book[instrument, ORDER_FORCE] in (IOC, FOK):
        book[instrument, SIDE] = 0
        return
    if enters:
        # Held back in proportion, for what is left of it.
        each = -(-book[instrument, HELD_BACK] // book[instrument, WANTED])
        book[instrument, HELD_BACK] = each * rest
        account[RESERVED] += each * rest
    book[instrument, WANTED], book[instrument, TRIES_FROM] = rest, row + 1


def free_cash_in_model(desk: Desk) -> int:
    """Return the cash that pays for entries: what is paid already, not reserved nor pledged."""
    account = desk.account
    return int(account[CASH] - account[RESERVED] - account[UNSETTLED] - account[PLEDGED])


def begin_session_in_model(desk: Desk) -> None:
    """Take in what is paid in a session, and in those before it that had no bars."""
    for session in range(desk.account[SESSION_NOW] + 1):
        desk.account[UNSETTLED] -= desk.sessions[session, ARRIVES]
        desk.sessions[session, ARRIVES] = 0
