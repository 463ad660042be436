"""What happens next: the next event of each instrument, the earliest one first.

Read as text and compiled, see `driver`. An instrument has one event at most, so the agenda is a
heap with one number per instrument that grows with instant, phase and instrument.
"""

import math

from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.places import (
    END,
    ENTRY_DECISIONS,
    NEXT_PHASE,
    NEXT_ROW,
    PHASE_BITS,
    RANK,
)
from jts_pipelines.backtest.search import moment_of

NEVER = 1 << 62
INSTRUMENT_BITS = 20


def event_of(desk: Desk, instrument: int) -> int:
    """Return the number of the next event of an instrument."""
    row = desk.book[instrument, NEXT_ROW]
    if row >= desk.book[instrument, END]:
        return last_event(desk, instrument)
    place = moment_of(desk, instrument, row) << PHASE_BITS | desk.book[instrument, NEXT_PHASE]
    found: int = (place << INSTRUMENT_BITS) | instrument
    return found


def last_event(desk: Desk, instrument: int) -> int:  # noqa: ARG001
    """Return the number of an event past the last row: there is none."""
    return NEVER


def moment_in(event: int) -> int:
    """Return the instant of an event."""
    return event >> INSTRUMENT_BITS >> PHASE_BITS


def first_event(desk: Desk, count: int) -> int:
    """Return the place in the heap of `count` of the event that comes first.

    That is the top; of entries at one instant, the one with the greatest rank. Null comes last,
    and equal ones in the order of their ids. A plan without a rank has a shorter form of this, see
    `kernel_text`.
    """
    heap, found = desk.agenda, 0
    turn = heap[0] >> INSTRUMENT_BITS
    if turn & ((1 << PHASE_BITS) - 1) == ENTRY_DECISIONS:
        for at in range(1, count):
            if heap[at] >> INSTRUMENT_BITS == turn:
                found = at if _is_before(desk, heap[at], heap[found]) else found
    return found


def _is_before(desk: Desk, one: int, other: int) -> bool:
    first, second = _rank_of(desk, one & 0xFFFFF), _rank_of(desk, other & 0xFFFFF)
    if math.isnan(first) or math.isnan(second):
        is_same = math.isnan(first) and math.isnan(second)
        return one < other if is_same else math.isnan(second)
    return one < other if first == second else first > second


def _rank_of(desk: Desk, instrument: int) -> float:
    return float(desk.values[desk.book[instrument, NEXT_ROW], desk.rules[RANK]])


def add_event(desk: Desk, event: int, count: int) -> None:
    """Put an event into the agenda, which holds `count` of them."""
    heap, at = desk.agenda, count
    while at > 0 and heap[(at - 1) >> 1] > event:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = event


def replace_event(desk: Desk, event: int, at: int, count: int) -> None:
    """Put an event in the place of an earlier one of `count`."""
    heap, below = desk.agenda, 2 * at + 1
    while below < count:
        if below + 1 < count and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= event:
            break
        heap[at] = heap[below]
        at, below = below, 2 * below + 1
    heap[at] = event
