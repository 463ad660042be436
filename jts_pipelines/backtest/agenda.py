"""What happens next: the next event of each instrument, the earliest one first.

Read as text and compiled, see `driver`. An instrument has one event at most, so the agenda is a
heap with one number per instrument that grows with instant, phase and instrument.
"""

from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.places import END, NEXT_PHASE, NEXT_ROW, PHASES
from jts_pipelines.backtest.search import moment_of

NEVER = 1 << 62
INSTRUMENT_BITS = 20


def event_of(desk: Desk, instrument: int) -> int:
    """Return the number of the next event of an instrument; past its last row there is none."""
    row = desk.book[instrument, NEXT_ROW]
    if row >= desk.book[instrument, END]:
        return NEVER
    place = moment_of(desk, instrument, row) * PHASES + desk.book[instrument, NEXT_PHASE]
    found: int = (place << INSTRUMENT_BITS) | instrument
    return found


def moment_in(event: int) -> int:
    """Return the instant of an event."""
    return event >> INSTRUMENT_BITS >> 2


def add_event(desk: Desk, event: int, count: int) -> None:
    """Put an event into the agenda, which holds `count` of them."""
    heap, at = desk.agenda, count
    while at > 0 and heap[(at - 1) >> 1] > event:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = event


def replace_first(desk: Desk, event: int, count: int) -> None:
    """Put an event in the place of the first of `count`."""
    heap, at, below = desk.agenda, 0, 1
    while below < count:
        if below + 1 < count and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= event:
            break
        heap[at] = heap[below]
        at, below = below, 2 * below + 1
    heap[at] = event
