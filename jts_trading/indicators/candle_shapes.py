"""What candle patterns are made of: the last bars, and what is long, short or near among them.

Theory of operation. Each pattern keeps the last bars as rows in its state, newest first. A row
holds open, high, low and close of its bar and, from the ten (for `near`: five) bars before it, the
sums of bodies and ranges, so that "long" is judged by what came before the candle itself. Sums are
added up afresh on each bar: those of whole ticks are exact, so a body that equals its yardstick is
seen to be equal. Which comparison includes equality, and all factors, are those of TA-Lib.

A pattern answers 100 (bullish), -100 (bearish), 0 (not there); where TA-Lib knows a weaker form,
80 or -80.
"""

import math

from jts_trading.indicators.definition import State

# Slots before the rows: bars seen, place, ten bodies, ten ranges.
HEAD_SLOTS = 22
ROW_SLOTS = 7


def candle_step(
    state: State, at: int, depth: int, open_: float, high: float, low: float, close: float
) -> float:
    """Put a bar in front of `depth` rows; return how many bars there were, null for a null bar.

    Slots: bars seen (up to 20), place, bodies and ranges of the last ten bars, the rows: open,
    high, low, close, sum of ten bodies, of ten ranges, of five ranges.
    """
    if math.isnan(open_) or math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan
    bodies = 0.0
    ranges = 0.0
    near = 0.0
    place = int(state[at + 1])
    for i in range(10):
        bodies += state[at + 2 + i]
        ranges += state[at + 12 + i]
    for i in range(5):
        near += state[at + 12 + (place + 5 + i) % 10]
    first = at + 22
    for i in range(first + 7 * depth - 1, first + 6, -1):
        state[i] = state[i - 7]
    state[first], state[first + 1], state[first + 2], state[first + 3] = open_, high, low, close
    state[first + 4], state[first + 5], state[first + 6] = bodies, ranges, near
    state[at + 2 + place] = abs(close - open_)
    state[at + 12 + place] = high - low
    state[at + 1] = 0 if place == 9 else place + 1
    state[at] = min(state[at] + 1.0, 20.0)
    return state[at]


def body_of(state: State, row: int) -> float:
    """Return the length of the body."""
    return abs(state[row + 3] - state[row])


def color_of(state: State, row: int) -> float:
    """Return 1 for a white candle, -1 for a black one; without a body it is white."""
    return 1.0 if state[row + 3] >= state[row] else -1.0


def top_of(state: State, row: int) -> float:
    """Return the upper end of the body."""
    return max(state[row], state[row + 3])


def bottom_of(state: State, row: int) -> float:
    """Return the lower end of the body."""
    return min(state[row], state[row + 3])


def upper_shadow(state: State, row: int) -> float:
    """Return the length of the upper shadow."""
    return state[row + 1] - max(state[row], state[row + 3])


def lower_shadow(state: State, row: int) -> float:
    """Return the length of the lower shadow."""
    return min(state[row], state[row + 3]) - state[row + 2]


def mean_body(state: State, row: int) -> float:
    """Return the mean body of the ten bars before: longer is long, shorter is short."""
    return state[row + 4] / 10.0


def tenth_range(state: State, row: int) -> float:
    """Return a tenth of the mean range of the ten bars before.

    A body up to it makes a doji, a shadow below it is very short.
    """
    return 0.1 * (state[row + 5] / 10.0)


def near_range(state: State, row: int, factor: float) -> float:
    """Return a share of the mean range of the five bars before: 0.2 is near, 0.6 far."""
    return factor * (state[row + 6] / 5.0)
