"""Steps over the last `period` values from which indicators are made.

A window is a ring in the state. Its place counts up to `period` while the ring fills, then turns
from `period` to twice that: one slot says both where and whether it is full.
"""

import math

from jts_trading.indicators.definition import State


def lag_step(state: State, at: int, bars: int, x: float) -> float:
    """Return the value `bars` bars ago, null before there is one.

    Slots: place, the window of `bars`.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    is_full = place >= bars
    slot = at + 1 + (place - bars if is_full else place)
    before = state[slot] if is_full else math.nan
    state[slot] = x
    place += 1
    state[at] = bars if place == bars + bars else place
    return before


def sum_step(state: State, at: int, period: int, x: float) -> float:
    """Return the sum of the last `period` values; null before.

    Formula: x + x[1] + ... + x[period - 1]; the mean is this over period

    Source: arithmetic; TA-Lib SUM and SMA.

    A sum of whole numbers below 2**53 is exact for ever; any other is summed afresh each time the
    window has turned round, so that rounding cannot pile up. Slots: place, sum, the window.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    slot = at + 2 + (place - period if place >= period else place)
    total = state[at + 1] + x - state[slot]
    state[slot] = x
    place += 1
    if place == period + period:
        place = period
        if total != math.floor(total) or abs(total) >= 9007199254740992.0:
            total = 0.0
            for i in range(at + 2, at + 2 + period):
                total += state[i]
    state[at] = place
    state[at + 1] = total
    return total if place >= period else math.nan


def distance_step(state: State, at: int, period: int, middle: float) -> float:
    """Return the mean distance of the values in the window of `sum_step` from a number.

    Four sums side by side: the processor adds them at once.
    """
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for i in range(period // 4):
        a += abs(state[at + 2 + 4 * i] - middle)
        b += abs(state[at + 3 + 4 * i] - middle)
        c += abs(state[at + 4 + 4 * i] - middle)
        d += abs(state[at + 5 + 4 * i] - middle)
    for i in range(period - period % 4, period):
        a += abs(state[at + 2 + i] - middle)
    return ((a + b) + (c + d)) / period


def line_step(state: State, at: int, period: int, x: float) -> tuple[float, float]:
    """Return two sums over the window: of the values, and of the values times 1 (oldest) to n.

    Both are exact while whole and below 2**53, and summed afresh at each turn otherwise. Slots:
    place, the two sums, the window.
    """
    if math.isnan(x):
        return math.nan, math.nan
    place = int(state[at])
    slot = at + 3 + (place - period if place >= period else place)
    total = state[at + 1]
    weighted = state[at + 2]
    if place >= period:
        weighted += period * x - total
        total += x - state[slot]
    else:
        weighted += (place + 1.0) * x
        total += x
    state[slot] = x
    place += 1
    if place == period + period:
        place = period
        if weighted != math.floor(weighted) or abs(weighted) >= 9007199254740992.0:
            total = 0.0
            weighted = 0.0
            for i in range(period):
                total += state[at + 3 + i]
                weighted += (i + 1.0) * state[at + 3 + i]
    state[at] = place
    state[at + 1] = total
    state[at + 2] = weighted
    if place < period:
        return math.nan, math.nan
    return total, weighted


def moments_step(state: State, at: int, period: int, x: float) -> tuple[float, float]:
    """Return mean and population variance of the last `period` values; null before.

    Values are taken relative to one of their own, so that squares stay small: those of whole
    numbers are exact as long as their sum is below 2**53. The reference moves at each turn of the
    window. Slots: place, reference, sum, sum of squares, the window.
    """
    if math.isnan(x):
        return math.nan, math.nan
    place = int(state[at])
    slot = at + 4 + (place - period if place >= period else place)
    if place == 0:
        state[at + 1] = x
    reference = state[at + 1]
    distance = x - reference
    total = state[at + 2] + distance
    squares = state[at + 3] + distance * distance
    if place >= period:
        leaving = state[slot] - reference
        total -= leaving
        squares -= leaving * leaving
    state[slot] = x
    place += 1
    if place == period + period:
        place = period
        state[at + 1] = reference = x
        total = 0.0
        squares = 0.0
        for i in range(at + 4, at + 4 + period):
            distance = state[i] - reference
            total += distance
            squares += distance * distance
    state[at] = place
    state[at + 2] = total
    state[at + 3] = squares
    if place < period:
        return math.nan, math.nan
    variance = max(period * squares - total * total, 0.0) / (period * period)
    return (reference * period + total) / period, variance


def highest_step(state: State, at: int, period: int, x: float) -> float:
    """Return the highest of the last `period` values; null before.

    The window is cut into blocks of `period`: its highest value is that of the block in the
    making or that of what is left of the block before, whose values were replaced by the highest
    from there to its end. Two comparisons per value. Slots: place, highest of this block, values
    of this block followed by what is left of the last one.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    inside = place - period if place >= period else place
    best = x if inside == 0 else max(state[at + 1], x)
    state[at + 1] = best
    state[at + 2 + inside] = x
    place += 1
    inside += 1
    state[at] = period if place == period + period else place
    if inside < period:
        return max(best, state[at + 2 + inside]) if place > period else math.nan
    for i in range(at + period, at + 1, -1):
        state[i] = max(state[i], state[i + 1])
    return best


def lowest_step(state: State, at: int, period: int, x: float) -> float:
    """Return the lowest of the last `period` values; null before. As `highest_step`."""
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    inside = place - period if place >= period else place
    best = x if inside == 0 else min(state[at + 1], x)
    state[at + 1] = best
    state[at + 2 + inside] = x
    place += 1
    inside += 1
    state[at] = period if place == period + period else place
    if inside < period:
        return min(best, state[at + 2 + inside]) if place > period else math.nan
    for i in range(at + period, at + 1, -1):
        state[i] = min(state[i], state[i + 1])
    return best


def since_highest_step(state: State, at: int, period: int, x: float) -> float:
    """Return how many bars ago the highest of the last `period` values came; the newest of equals.

    Blocks as in `highest_step`. Slots: place, highest of this block and its place, values, places
    of the highest from each value to the end of its block.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    inside = place - period if place >= period else place
    first = at + 3
    if inside == 0 or x >= state[at + 1]:
        state[at + 1] = x
        state[at + 2] = inside
    state[first + inside] = x
    state[first + period + inside] = inside
    place += 1
    state[at] = period if place == period + period else place
    following = first + inside + 1
    since = inside - state[at + 2]
    if inside + 1 == period:
        for i in range(first + period - 2, first - 1, -1):
            if state[i] <= state[i + 1]:
                state[i] = state[i + 1]
                state[i + period] = state[i + 1 + period]
    elif place < period:
        since = math.nan
    elif state[following] > state[at + 1]:
        since = inside + period - state[following + period]
    return since
