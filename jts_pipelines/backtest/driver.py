"""The second compiled pass: one portfolio over time, in whole won.

Theory of operation. An instrument is always in one of four states, and in each exactly one thing
can happen to it next: flat waits for the next entry that fires; a waiting entry for the bar that
fills it, or an exit rule that cancels it; a position for its next exit; a waiting exit for the bar
that fills it. So nothing is done on bars on which nothing happens: the next event of every
instrument stands on an agenda, and the run goes from event to event. Of one instant, in this
order: orders that wait fill at the open, those that leave first; positions are marked where
somebody asks for equity; exits, then entries are decided on the close. Events of one phase are
taken in order of instrument id. An instrument has at most one waiting order, and takes no new
decision while one waits, except that an exit rule cancels a waiting entry.

Instruments that share the cash are a group. A run has one group of all; or, where no decision can
depend on other instruments (`lanes`), one group for each, so that threads share them out.

These modules are read as text: `kernel_text` joins them to the sizing functions that live uses,
and compiles the result (`kernels.native`); so they may only use their names, numbers and arrays.
"""

from jts_pipelines.backtest.agenda import (
    NEVER,
    add_event,
    event_of,
    first_event,
    moment_in,
    replace_event,
)
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
    GAINED,
    GROUP,
    GROUP_SIZE,
    GROUPS_END,
    HAS_BEGUN,
    HELD,
    LAST_MOMENT,
    LEFT_VALUE,
    LOWER,
    MARKED_AT,
    MOST_SPENT,
    NEXT_PHASE,
    NEXT_ROW,
    NOW,
    OPEN,
    POSITIONS,
    PURCHASES,
    QUANTITY,
    RESERVED,
    SALES,
    SESSION_CASH,
    SESSION_NOW,
    SESSION_VALUE,
    SIDE,
    SPENT,
    START_CASH,
    UNSETTLED,
    UPPER,
    VALUE,
)
from jts_pipelines.backtest.search import look_up_band, price_of, session_of


def simulate(desk: Desk, fills: Ints) -> int:
    """Run the portfolio until the last bar, or until `fills` is full.

    Changes everything in the desk but bars and rules; the account says where it stands, so that a
    run goes on where it stopped.

    Args:
        desk: The desk.
        fills: [fill column, fill], with room for two; the account counts those that are used.

    Returns:
        How many instruments are left.
    """
    account, book, agenda, is_full = desk.account, desk.book, desk.agenda, False
    while not is_full and account[GROUP] < account[GROUPS_END]:
        if account[HAS_BEGUN] == 0:
            _begin_group(desk)
        # What happens at once writes two rows at most.
        while agenda[0] < NEVER and account[FILLS] + 1 < fills.shape[1]:
            at = first_event(desk, account[GROUP_SIZE])
            instrument = agenda[at] & 0xFFFFF
            _go_to(desk, moment_in(agenda[0]))
            row, phase = book[instrument, NEXT_ROW], book[instrument, NEXT_PHASE]
            act(desk, instrument, row, phase, fills)
            spent = account[START_CASH] - account[CASH] + account[RESERVED]
            account[MOST_SPENT] = max(account[MOST_SPENT], spent)
            seek_next(desk, instrument, first_after(desk, instrument, row, phase))
            replace_event(desk, event_of(desk, instrument), at, account[GROUP_SIZE])
        is_full = agenda[0] < NEVER
        if not is_full:
            _end_group(desk)
    return int(account[GROUPS_END] - account[GROUP])


def _begin_group(desk: Desk) -> None:
    """Start a group at the first instant, with all its money in cash."""
    account = desk.account
    account[CASH] = account[DAY_START] = account[START_CASH]
    account[VALUE] = account[RESERVED] = account[HELD] = account[POSITIONS] = 0
    account[MARKED_AT] = -1
    account[SESSION_NOW] = account[MOST_SPENT] = account[UNSETTLED] = 0
    for at in range(account[GROUP_SIZE]):
        instrument = account[GROUP] + at
        seek_next(desk, instrument, desk.book[instrument, FIRST])
        add_event(desk, event_of(desk, instrument), at)
    account[HAS_BEGUN] = 1


def _go_to(desk: Desk, moment: int) -> None:
    """Let time pass up to an instant."""
    account = desk.account
    account[NOW] = moment
    session = int(desk.session_at[moment])
    if session != account[SESSION_NOW]:
        _end_sessions(desk, session)
        account[DAY_START] = account[CASH] + account[VALUE]
        begin_session(desk)


def _end_sessions(desk: Desk, through: int) -> None:
    """Note what there is at the end of each session before a later one."""
    account, sessions = desk.account, desk.sessions
    for session in range(account[SESSION_NOW], through):
        if account[POSITIONS] > 0 and sessions[session, LAST_MOMENT] >= 0:
            mark_positions(desk, sessions[session, LAST_MOMENT])
        sessions[session, SESSION_CASH] += account[CASH] - account[START_CASH]
        sessions[session, SESSION_VALUE] += account[VALUE]
    account[SESSION_NOW] = through


def _end_group(desk: Desk) -> None:
    account = desk.account
    _end_sessions(desk, len(desk.sessions))
    account[GAINED] += account[CASH] - account[START_CASH]
    account[LEFT_VALUE] += account[VALUE]
    account[SPENT] += account[MOST_SPENT]
    account[CASH] = account[START_CASH] + account[GAINED]
    account[VALUE] = account[LEFT_VALUE]
    account[GROUP] += account[GROUP_SIZE]
    account[HAS_BEGUN] = 0


def begin_session(desk: Desk) -> None:
    """Take in what is paid in a session: nothing waits, where sales are paid at once."""
    desk.account[UNSETTLED] = 0


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
