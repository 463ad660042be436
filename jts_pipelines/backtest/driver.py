"""The second compiled pass: one portfolio over time, in whole won.

Theory of operation. An instrument is always in one of four states, and in each exactly one thing
can happen to it next: flat waits for the next entry that fires; a waiting entry for the bar that
fills it, or an exit rule that cancels it; a position for its next exit; a waiting exit for the bar
that fills it. So nothing is done on bars on which nothing happens: the event of every instrument
stands on an agenda, and the run goes from instant to instant through its four lists: (1) orders
that wait fill at the open, sales first; (2) positions are marked to the close where somebody asks
for equity; (3) exits, then entries are decided on the close. Events of one list are taken in order
of instrument id. An instrument has at most one waiting order, and takes no new decision while one
waits, except that an exit rule cancels a waiting entry.

These modules are read as text: `kernel_text` joins them to the sizing functions that live uses,
and numba compiles the result; so they may only use their names, numpy and whole numbers.
"""

from jts_pipelines.backtest.agenda import gather_due
from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.decisions import decide_entry, decide_exit, seek_next
from jts_pipelines.backtest.fills import buy, mark_positions, sell
from jts_pipelines.backtest.places import (
    BAND_SESSION,
    CASH,
    DAY_START,
    END,
    EXIT_DECISIONS,
    FILLS,
    FIRST,
    HAS_BARS,
    LOWER,
    NEXT_ROW,
    NOW,
    OPEN,
    PHASES,
    PURCHASES,
    QUANTITY,
    SALES,
    SESSION,
    SESSION_CASH,
    SESSION_NOW,
    SESSION_VALUE,
    SIDE,
    UPPER,
    VALUE,
)
from jts_pipelines.backtest.search import look_up_band, price_of, session_of


def simulate(desk: Desk, fills: Ints) -> int:
    """Run the portfolio until the last bar, or until `fills` might not hold the next ones.

    Changes everything in the desk but bars and rules; the account says where it stands, so that a
    run goes on where it stopped. Nothing is allocated here: code that cannot allocate counts no
    references, which is most of what the compiled portfolio would otherwise do.

    Args:
        desk: The desk.
        fills: Rows of fills; the account counts those that are used.

    Returns:
        How many instants are left.
    """
    account, book = desk.account, desk.book
    if account[SESSION_NOW] < 0:
        for instrument in range(len(book)):
            seek_next(desk, instrument, book[instrument, FIRST])
    # An instrument fills once an instant at most.
    while account[NOW] < len(desk.times) and account[FILLS] + len(book) <= len(fills):
        moment = account[NOW]
        if desk.times[moment, SESSION] != account[SESSION_NOW]:
            _end_session(desk, moment - 1)
            account[SESSION_NOW] = desk.times[moment, SESSION]
            account[DAY_START] = account[CASH] + account[VALUE]
        for phase in range(PHASES):
            for at in range(gather_due(desk, moment, phase)):
                instrument = desk.due[at]
                row = book[instrument, NEXT_ROW]
                act(desk, instrument, row, phase, fills)
                seek_next(desk, instrument, first_after(desk, instrument, row, phase))
        account[NOW] += 1
    if account[NOW] == len(desk.times):
        _end_session(desk, len(desk.times) - 1)
    return int(len(desk.times) - account[NOW])


def act(desk: Desk, instrument: int, row: int, phase: int, fills: Ints) -> None:
    """Let what is due happen to an instrument."""
    if phase == SALES:
        sell(desk, instrument, row, fills)
    elif phase == PURCHASES:
        buy(desk, instrument, row, fills)
    elif phase == EXIT_DECISIONS:
        decide_exit(desk, instrument, row)
    else:
        decide_entry(desk, instrument, row)


def first_after(desk: Desk, instrument: int, row: int, phase: int) -> int:
    """Return the first row on which something else can happen.

    A fill at the open, and an entry that was cancelled, leave the close of the same bar for a
    decision; a decision is made once a bar.
    """
    book = desk.book
    is_free = (
        phase == EXIT_DECISIONS and book[instrument, QUANTITY] == 0 and book[instrument, SIDE] == 0
    )
    return row if phase <= PURCHASES or is_free else row + 1


def _end_session(desk: Desk, moment: int) -> None:
    session = desk.account[SESSION_NOW]
    if session >= 0:
        mark_positions(desk, moment)
        desk.sessions[session, SESSION_CASH] = desk.account[CASH]
        desk.sessions[session, SESSION_VALUE] = desk.account[VALUE]
        desk.sessions[session, HAS_BARS] = 1


def find_outside(desk: Desk, rows: Ints) -> int:
    """Return how many rows open outside the limits of their session.

    Args:
        desk: The desk, after the run.
        rows: Filled with (row, instrument) of the first ones.
    """
    count, book = 0, desk.book
    for instrument in range(len(book)):
        for row in range(book[instrument, FIRST], book[instrument, END]):
            if book[instrument, BAND_SESSION] != session_of(desk, instrument, row):
                look_up_band(desk, instrument, row)
            price = price_of(desk, OPEN, row)
            if price < book[instrument, LOWER] or price > book[instrument, UPPER]:
                if count < len(rows):
                    rows[count, 0], rows[count, 1] = row, instrument
                count += 1
    return count
