"""Moving averages: SMA, EMA, and Wilder's average for those that are built on it."""

import math

from jts_trading.indicators.definition import Definition, Output, State, Unit, period


def sma_step(state: State, at: int, period: int, x: float) -> float:
    """Return the sum of the last `period` values; null before.

    Slots: place, sum, the window. The place counts up to `period` while the window fills, then
    turns from `period` to twice that, so that one slot says both where and whether it is full. A
    sum of whole numbers below 2**53 is exact for ever; any other is summed afresh each time the
    window has turned round, so that rounding cannot pile up.
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


def ema_step(state: State, at: int, period: int, x: float) -> float:
    """Return the exponential average, weight 2 / (period + 1); null before its seed.

    The seed is the simple mean of the first `period` values. Slots: values seen, average (their
    sum until the seed).
    """
    if math.isnan(x):
        return math.nan
    seen = state[at]
    if seen >= period:
        average = state[at + 1]
        average += (x - average) * (2.0 / (period + 1.0))
        state[at + 1] = average
        return average
    total = state[at + 1] + x
    seen += 1.0
    state[at] = seen
    if seen < period:
        state[at + 1] = total
        return math.nan
    state[at + 1] = total / period
    return state[at + 1]


def wilder_step(state: State, at: int, period: int, x: float) -> float:
    """Return Wilder's average, weight 1 / period; null before its seed.

    The seed is the simple mean of the first `period` values. Slots as in `ema_step`.
    """
    if math.isnan(x):
        return math.nan
    seen = state[at]
    if seen >= period:
        average = (state[at + 1] * (period - 1.0) + x) / period
        state[at + 1] = average
        return average
    total = state[at + 1] + x
    seen += 1.0
    state[at] = seen
    if seen < period:
        state[at + 1] = total
        return math.nan
    state[at + 1] = total / period
    return state[at + 1]


AVERAGES = (
    Definition(
        name="SMA",
        summary="simple mean of the last `period` values",
        inputs=("close",),
        parameters=(period(),),
        outputs=(Output("value", Unit.INPUT, divisor="period"),),
        step=sma_step,
        state_size=lambda s: 2 + int(s["period"]),
        warmup=lambda s: int(s["period"]),
        is_linear=True,
    ),
    Definition(
        name="EMA",
        summary="exponential average, weight 2 / (period + 1), seeded with the first simple mean",
        inputs=("close",),
        parameters=(period(),),
        outputs=(Output("value", Unit.INPUT),),
        step=ema_step,
        state_size=lambda _: 2,
        warmup=lambda s: int(s["period"]),
    ),
)
