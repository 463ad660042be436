"""Moving averages that adapt their weight to the market."""

import math

from jts_trading.indicators.definition import (
    CLOSE,
    HIGH_LOW,
    VALUE,
    Definition,
    Settings,
    State,
    fast_below_slow,
    number,
    period,
    whole,
)
from jts_trading.indicators.windows import highest_step, lag_step, lowest_step, sum_step


def path_step(state: State, at: int, period: int, x: float) -> tuple[float, float]:
    """Return the change over `period` bars and the way walked: the sum of all single changes.

    Slots: 1 once a value was seen, the last value, the values of the lag, the sum of the way.
    """
    if math.isnan(x):
        return math.nan, math.nan
    step = abs(x - state[at + 1])
    if state[at] == 0.0:
        step = math.nan
        state[at] = 1.0
    state[at + 1] = x
    before = lag_step(state, at + 2, period, x)
    return x - before, sum_step(state, at + 3 + period, period, step)


def kama_step(state: State, at: int, period: int, fast: int, slow: int, x: float) -> float:
    """Return Kaufman's adaptive average.

    Formula: KAMA = KAMA[1] + c^2 * (x - KAMA[1]), c = ER * (2 / (fast + 1) - 2 / (slow + 1)) +
    2 / (slow + 1), ER = abs(x - x[period]) / sum of abs(x - x[1]) over `period` changes; seeded
    with the value before the first one; ER is 1 where no price moved

    Source: Perry Kaufman, Trading Systems and Methods (1995); TA-Lib KAMA.

    Slots: average, the path.
    """
    change, way = path_step(state, at + 1, period, x)
    if math.isnan(way):
        if not math.isnan(x):
            state[at] = x
        return math.nan
    efficiency = min(abs(change) / way, 1.0) if way > 0.0 else 1.0
    calm = 2.0 / (slow + 1.0)
    weight = efficiency * (2.0 / (fast + 1.0) - calm) + calm
    state[at] += weight * weight * (x - state[at])
    return state[at]


def vidya_step(state: State, at: int, period: int, x: float) -> float:
    """Return Chande's variable index dynamic average.

    Formula: VIDYA = VIDYA[1] + 2 / (period + 1) * abs(CMO) / 100 * (x - VIDYA[1]) with
    CMO(period); seeded with the simple mean of the first `period` values

    Source: Tushar Chande, Adapting Moving Averages to Market Volatility (1992).

    Slots: values seen until the seed, average (their sum until the seed), the path.
    """
    if math.isnan(x):
        return math.nan
    change, way = path_step(state, at + 2, period, x)
    if state[at] < period:
        state[at] += 1.0
        state[at + 1] += x
        if state[at] < period:
            return math.nan
        state[at + 1] /= period
        return state[at + 1]
    if way > 0.0:
        state[at + 1] += 2.0 / (period + 1.0) * abs(change) / way * (x - state[at + 1])
    return state[at + 1]


def frama_step(state: State, at: int, period: int, high: float, low: float) -> float:
    """Return Ehlers' fractal adaptive average of (high + low) / 2.

    Formula: FRAMA = FRAMA[1] + a * ((high + low) / 2 - FRAMA[1]), a = exp(-4.6 * (D - 1)) within
    0.01 to 1, D = (ln(N1 + N2) - ln(N3)) / ln(2); N1 and N2 are the ranges of the newer and older
    half of the window over period / 2, N3 the range of all of it over period; D stays where a
    range is zero; seeded with the price before the first value

    Source: John Ehlers, Fractal Adaptive Moving Averages (2005).

    Slots: average, dimension, highest and lowest of half a window, their values half a window ago.
    """
    if math.isnan(high) or math.isnan(low):
        return math.nan
    half = period // 2
    price = (high + low) / 2.0
    top = highest_step(state, at + 2, half, high)
    bottom = lowest_step(state, at + 4 + half, half, low)
    old_top = lag_step(state, at + 6 + 2 * half, half, top)
    old_bottom = lag_step(state, at + 7 + 3 * half, half, bottom)
    if math.isnan(old_top):
        state[at] = price
        state[at + 1] = 1.0
        return math.nan
    newer = (top - bottom) / half
    older = (old_top - old_bottom) / half
    total = (max(top, old_top) - min(bottom, old_bottom)) / period
    if newer > 0.0 and older > 0.0 and total > 0.0:
        state[at + 1] = (math.log(newer + older) - math.log(total)) / math.log(2.0)
    weight = min(max(math.exp(-4.6 * (state[at + 1] - 1.0)), 0.01), 1.0)
    state[at] += weight * (price - state[at])
    return state[at]


def mcginley_step(state: State, at: int, period: int, factor: float, x: float) -> float:
    """Return McGinley's dynamic.

    Formula: MD = MD[1] + (x - MD[1]) / (factor * period * (x / MD[1])^4), seeded with the first
    value

    Source: John McGinley, Journal of Technical Analysis (1997).

    Null: where MD[1] or x is zero.

    Slots: 1 once a value was seen, the average.
    """
    if math.isnan(x):
        return math.nan
    average = state[at + 1]
    if state[at] == 0.0 or average == 0.0:
        state[at] = 1.0
        state[at + 1] = x
        return x if x != 0.0 else math.nan
    ratio = x / average
    if ratio == 0.0:
        return math.nan
    average += (x - average) / (factor * period * (ratio * ratio * ratio * ratio))
    state[at + 1] = average
    return average


def super_smoother_step(state: State, at: int, period: int, x: float) -> float:
    """Return Ehlers' two-pole super smoother.

    Formula: f = (1 - b - c) * (x + x[1]) / 2 + b * f[1] + c * f[2], b = 2 * a * cos(sqrt(2) * pi /
    period), c = -a^2, a = exp(-sqrt(2) * pi / period); f is x on the first two bars

    Source: John Ehlers, Cycle Analytics for Traders (2013).

    Slots: values seen, last value, the last two results.
    """
    if math.isnan(x):
        return math.nan
    before = state[at + 1]
    state[at + 1] = x
    angle = math.sqrt(2.0) * math.pi / period
    a = math.exp(-angle)
    b = 2.0 * a * math.cos(angle)
    c = -a * a
    result = (1.0 - b - c) * (x + before) / 2.0 + b * state[at + 2] + c * state[at + 3]
    state[at + 3] = state[at + 2]
    if state[at] < 2.0:
        state[at] += 1.0
        state[at + 2] = x
        return math.nan
    state[at + 2] = result
    return result


def _no_overshoot(settings: Settings) -> str | None:
    if settings["factor"] * settings["period"] >= 1:
        return None
    return "factor times period must be at least 1, or the average runs away from the price"


def _even(settings: Settings) -> str | None:
    if whole(settings) % 2 == 0:
        return None
    return f"period ({settings['period']}) must be even"


PATH_SLOTS = 5


def path_size(settings: Settings) -> int:
    """Return the slots of `path_step`."""
    return PATH_SLOTS + 2 * whole(settings)


PATH_STEPS = (sum_step, lag_step, path_step)

ADAPTIVE = (
    Definition(
        name="KAMA",
        summary="Kaufman's adaptive average",
        inputs=CLOSE,
        parameters=(period(10), period(2, name="fast"), period(30, name="slow")),
        outputs=(VALUE,),
        step=kama_step,
        state_size=lambda s: 1 + path_size(s),
        warmup=lambda s: whole(s) + 1,
        uses=PATH_STEPS,
        constraint=fast_below_slow,
    ),
    Definition(
        name="VIDYA",
        summary="Chande's variable index dynamic average",
        inputs=CLOSE,
        parameters=(period(14),),
        outputs=(VALUE,),
        step=vidya_step,
        state_size=lambda s: 2 + path_size(s),
        warmup=whole,
        uses=PATH_STEPS,
    ),
    Definition(
        name="FRAMA",
        summary="Ehlers' fractal adaptive average",
        inputs=HIGH_LOW,
        parameters=(period(16, low=2),),
        outputs=(VALUE,),
        step=frama_step,
        state_size=lambda s: 8 + 2 * whole(s),
        warmup=whole,
        uses=(highest_step, lowest_step, lag_step),
        constraint=_even,
    ),
    Definition(
        name="McGinley",
        aliases=("MCGD",),
        summary="McGinley's dynamic, an average that speeds up when prices fall",
        inputs=CLOSE,
        parameters=(period(14), number("factor", "1", "0.1", "10")),
        outputs=(VALUE,),
        step=mcginley_step,
        constraint=_no_overshoot,
        state_size=lambda _: 2,
        warmup=lambda _: 1,
    ),
    Definition(
        name="SuperSmoother",
        aliases=("SSF",),
        summary="Ehlers' two-pole super smoother",
        inputs=CLOSE,
        parameters=(period(10, low=2),),
        outputs=(VALUE,),
        step=super_smoother_step,
        state_size=lambda _: 4,
        warmup=lambda _: 3,
    ),
)
