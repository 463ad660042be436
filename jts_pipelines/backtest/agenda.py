"""What happens next: events by instant and phase, each list in order of instrument.

Read as text and compiled, see `driver`. An instrument has one event at most, so lists are chained
through its row of the book. A list is put in order when its turn comes: what was noted in one
sweep already is, backwards.
"""

from jts_pipelines.backtest.columns import Desk, Ints
from jts_pipelines.backtest.places import END, NEXT_DUE, NEXT_ROW, PHASES
from jts_pipelines.backtest.search import moment_of


def schedule(desk: Desk, instrument: int, row: int, phase: int) -> None:
    """Note that something happens to an instrument on a row; past its end nothing does."""
    if row < desk.book[instrument, END]:
        place = moment_of(desk, instrument, row) * PHASES + phase
        desk.book[instrument, NEXT_ROW] = row
        desk.book[instrument, NEXT_DUE] = desk.agenda[place]
        desk.agenda[place] = instrument


def gather_due(desk: Desk, moment: int, phase: int) -> int:
    """Put the instruments that are due into `desk.due`, ascending; return how many there are."""
    place = moment * PHASES + phase
    instrument, count = desk.agenda[place], 0
    while instrument >= 0:
        desk.due[count] = instrument
        count += 1
        instrument = desk.book[instrument, NEXT_DUE]
    desk.agenda[place] = -1
    _turn_round(desk.due, count)
    _put_in_order(desk.due, count)
    return count


def _turn_round(line: Ints, count: int) -> None:
    for at in range(count // 2):
        line[at], line[count - 1 - at] = line[count - 1 - at], line[at]


def _put_in_order(line: Ints, count: int) -> None:
    """Sort the first values, by Shell's method: quick on few, and on what nearly is in order."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for at in range(gap, count):
            value, place = line[at], at
            while place >= gap and line[place - gap] > value:
                line[place] = line[place - gap]
                place -= gap
            line[place] = value
        gap //= 3
