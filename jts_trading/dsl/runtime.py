"""Functions that generated sources carry with them, pasted as text like the steps of indicators.

They use only their arguments and `math`.
"""

import math
from collections.abc import Callable

from jts_trading.dsl.graph import GREATER, SMALLER
from jts_trading.indicators.definition import State


def divide(left: float, right: float) -> float:
    """Return left / right; null when right is zero."""
    return left / right if right != 0.0 else math.nan


def greater(left: float, right: float) -> float:
    """Return the greater of two values; null when one is null."""
    return left if left > right else (right if right >= left else left + right)


def smaller(left: float, right: float) -> float:
    """Return the smaller of two values; null when one is null."""
    return left if left < right else (right if right <= left else left + right)


def past(state: State, at: int, bars: int, x: float) -> float:
    """Return the value `bars` bars ago and remember this one.

    Slots: next place in the window, the window (NaN at first).
    """
    place = int(state[at])
    slot = at + 1 + place
    before = state[slot]
    state[slot] = x
    place += 1
    state[at] = 0 if place == bars else place
    return before


def since(state: State, at: int, truth: int) -> float:
    """Return how many bars ago a truth was true; null before it ever was.

    Slots: bars since then and one more, 0 before.
    """
    if truth == 2:
        state[at] = 1.0
    elif state[at] > 0.0:
        state[at] += 1.0
    return state[at] - 1.0 if state[at] > 0.0 else math.nan


def gather(  # noqa: PLR0917 - compiled code is called by position
    state: State, at: int, open_: float, high: float, low: float, close: float, volume: float
) -> None:
    """Add a bar to the bar of a higher frame that is in the making.

    Slots: bars gathered, open, high, low, close, volume.
    """
    if state[at] == 0.0:
        state[at + 1] = open_
        state[at + 2] = high
        state[at + 3] = low
        state[at + 5] = 0.0
    else:
        state[at + 2] = max(state[at + 2], high)
        state[at + 3] = min(state[at + 3], low)
    state[at] += 1.0
    state[at + 4] = close
    state[at + 5] += volume


ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "/": divide,
    GREATER: greater,
    SMALLER: smaller,
}
"""What computes an arithmetic node, by its sign, where that is no operator."""
