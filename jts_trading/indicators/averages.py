"""Moving averages with fixed weights: simple, exponential, weighted and their compounds."""

import math

from jts_trading.indicators.definition import (
    CLOSE,
    VALUE,
    Definition,
    Output,
    Settings,
    State,
    Unit,
    number,
    period,
    whole,
)
from jts_trading.indicators.symbols import derive
from jts_trading.indicators.windows import lag_step, line_step, sum_step


def ema_step(state: State, at: int, period: int, x: float) -> float:
    """Return the exponential average, weight 2 / (period + 1).

    Formula: EMA = EMA[1] + (x - EMA[1]) * 2 / (period + 1), seeded with the simple mean of the
    first `period` values

    Source: TA-Lib EMA.

    Slots: values seen, average (their sum until the seed).
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
    """Return Wilder's average, weight 1 / period.

    Formula: RMA = RMA[1] + (x - RMA[1]) / period, seeded with the simple mean of the first
    `period` values

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib RMA.

    Slots: as in `ema_step`.
    """
    if math.isnan(x):
        return math.nan
    seen = state[at]
    if seen >= period:
        average = state[at + 1]
        average += (x - average) * (1.0 / period)
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


def wma_step(state: State, at: int, period: int, x: float) -> float:
    """Return the sum of the last `period` values, weighted `period` (newest) to 1.

    Formula: (period * x + (period - 1) * x[1] + ... + x[period - 1]) / (1 + 2 + ... + period)

    Source: TA-Lib WMA.

    Slots: those of `line_step`.
    """
    _, weighted = line_step(state, at, period, x)
    return weighted


def dema_step(state: State, at: int, period: int, x: float) -> float:
    """Return the double exponential average.

    Formula: 2 * EMA(x) - EMA(EMA(x))

    Source: Patrick Mulloy, Smoothing Data with Faster Moving Averages (1994); TA-Lib DEMA.

    Slots: two exponential averages.
    """
    first = ema_step(state, at, period, x)
    second = ema_step(state, at + 2, period, first)
    return 2.0 * first - second


def tema_step(state: State, at: int, period: int, x: float) -> float:
    """Return the triple exponential average.

    Formula: 3 * E1 - 3 * E2 + E3 with E1 = EMA(x), E2 = EMA(E1), E3 = EMA(E2)

    Source: Patrick Mulloy, Smoothing Data with Less Lag (1994); TA-Lib TEMA.

    Slots: three exponential averages.
    """
    first = ema_step(state, at, period, x)
    second = ema_step(state, at + 2, period, first)
    third = ema_step(state, at + 4, period, second)
    return 3.0 * first - 3.0 * second + third


def t3_step(state: State, at: int, period: int, volume_factor: float, x: float) -> float:
    """Return Tillson's T3, six exponential averages mixed.

    Formula: with v = volume_factor and E1 = EMA(x), E2 = EMA(E1), ... E6:
    -v^3 * E6 + (3 * v^2 + 3 * v^3) * E5 - (6 * v^2 + 3 * v + 3 * v^3) * E4
    + (1 + 3 * v + v^3 + 3 * v^2) * E3

    Source: Tim Tillson, Better Moving Averages (1998); TA-Lib T3.

    Slots: six exponential averages.
    """
    second = ema_step(state, at + 2, period, ema_step(state, at, period, x))
    third = ema_step(state, at + 4, period, second)
    fourth = ema_step(state, at + 6, period, third)
    fifth = ema_step(state, at + 8, period, fourth)
    sixth = ema_step(state, at + 10, period, fifth)
    v, vv = volume_factor, volume_factor * volume_factor
    vvv = vv * v
    return (
        (3.0 * vv + 3.0 * vvv) * fifth
        - vvv * sixth
        - (6.0 * vv + 3.0 * v + 3.0 * vvv) * fourth
        + (1.0 + 3.0 * v + vvv + 3.0 * vv) * third
    )


def trima_step(state: State, at: int, period: int, x: float) -> float:
    """Return the sum of sums whose quotient is the triangular mean.

    Formula: mean over n2 of means over n1; n1 = n2 = (period + 1) / 2 for an odd period, else
    n1 = period / 2 and n2 = n1 + 1

    Source: TA-Lib TRIMA.

    Slots: two sums.
    """
    first = (period + 1) // 2
    inner = sum_step(state, at, first, x)
    return sum_step(state, at + 2 + first, period // 2 + 1, inner)


def hma_step(state: State, at: int, period: int, x: float) -> float:
    """Return Hull's average.

    Formula: WMA(2 * WMA(x, period / 2) - WMA(x, period), sqrt(period)), both rounded down

    Source: Alan Hull, hullmovingaverage.com (2005); TA-Lib HMA.

    Slots: three weighted means.
    """
    half = period // 2
    root = int(math.sqrt(period))
    quick = wma_step(state, at, half, x) / (half * (half + 1) // 2)
    calm = wma_step(state, at + 3 + half, period, x) / (period * (period + 1) // 2)
    sharpened = 2.0 * quick - calm
    return wma_step(state, at + 6 + half + period, root, sharpened) / (root * (root + 1) // 2)


def zlema_step(state: State, at: int, period: int, x: float) -> float:
    """Return the exponential average without lag.

    Formula: EMA(x + (x - x[lag])), lag = (period - 1) / 2 rounded down

    Source: John Ehlers and Ric Way, Zero Lag (2010); TA-Lib ZLEMA.

    Slots: exponential average, the values of the lag.
    """
    lag = (period - 1) // 2
    before = lag_step(state, at + 2, lag, x) if lag > 0 else x
    return ema_step(state, at, period, x + (x - before))


def vwma_step(state: State, at: int, period: int, x: float, volume: float) -> float:
    """Return the mean weighted by volume.

    Formula: sum of x * volume over the window / sum of volume over the window

    Source: TA-Lib VWMA.

    Null: while nothing traded in the whole window.

    Slots: two sums.
    """
    if math.isnan(x) or math.isnan(volume):
        return math.nan
    weighted = sum_step(state, at, period, x * volume)
    volumes = sum_step(state, at + 2 + period, period, volume)
    return weighted / volumes if volumes > 0.0 else math.nan


def swma_step(state: State, at: int, x: float) -> float:
    """Return the sum of four values with the weights 1, 2, 2, 1.

    Formula: (x + 2 * x[1] + 2 * x[2] + x[3]) / 6

    Source: TradingView ta.swma.

    Slots: values seen, the last three.
    """
    if math.isnan(x):
        return math.nan
    newer, middle, older = state[at + 1], state[at + 2], state[at + 3]
    state[at + 1], state[at + 2], state[at + 3] = x, newer, middle
    if state[at] < 3.0:
        state[at] += 1.0
        return math.nan
    return x + 2.0 * newer + 2.0 * middle + older


def alma_step(state: State, at: int, period: int, offset: float, sigma: float, x: float) -> float:
    """Return the Arnaud Legoux average, a window weighted by a bell.

    Formula: weights exp(-(i - m)^2 / (2 * s^2)) for i = 0 (oldest) to period - 1, with
    m = offset * (period - 1) and s = period / sigma; divided by their sum

    Source: Arnaud Legoux and Dimitrios Kouzis-Loukas (2009); TradingView ta.alma.

    Slots: place, the window, the weights, their sum.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    weights = at + 1 + period
    if place == 0:
        middle = offset * (period - 1.0)
        spread = period / sigma
        for i in range(period):
            weight = math.exp(-((i - middle) ** 2) / (2.0 * spread * spread))
            state[weights + i] = weight
            state[weights + period] += weight
    inside = place - period if place >= period else place
    state[at + 1 + inside] = x
    place += 1
    state[at] = period if place == period + period else place
    if place < period:
        return math.nan
    total = 0.0
    older = period - 1 - inside
    for i in range(older):
        total += state[weights + i] * state[at + 2 + inside + i]
    for i in range(inside + 1):
        total += state[weights + older + i] * state[at + 1 + i]
    return total / state[weights + period]


def lsma_step(state: State, at: int, period: int, x: float) -> float:
    """Return the numerator of the end point of the least-squares line through the window.

    Formula: 3 * WMA(x) - 2 * SMA(x)

    Source: least squares; TA-Lib LINEARREG.

    Slots: those of `line_step`.
    """
    total, weighted = line_step(state, at, period, x)
    return 6.0 * weighted - 2.0 * (period + 1.0) * total


def _triangle(s: Settings) -> int:
    return whole(s) * (whole(s) + 1) // 2


AVERAGES = (
    Definition(
        name="SMA",
        summary="simple mean of the last `period` values",
        inputs=CLOSE,
        parameters=(period(),),
        outputs=(Output("value", Unit.INPUT, divisor=whole),),
        step=sum_step,
        state_size=lambda s: 2 + whole(s),
        warmup=whole,
        is_linear=True,
    ),
    Definition(
        name="EMA",
        summary="exponential average, weight 2 / (period + 1), seeded with the first simple mean",
        inputs=CLOSE,
        parameters=(period(),),
        outputs=(VALUE,),
        step=ema_step,
        state_size=lambda _: 2,
        warmup=whole,
    ),
    Definition(
        name="RMA",
        aliases=("Wilder", "SMMA"),
        summary="Wilder's average, weight 1 / period, seeded with the first simple mean",
        inputs=CLOSE,
        parameters=(period(14),),
        outputs=(VALUE,),
        step=wilder_step,
        state_size=lambda _: 2,
        warmup=whole,
    ),
    Definition(
        name="WMA",
        summary="mean with weights that fall by one per bar",
        inputs=CLOSE,
        parameters=(period(),),
        outputs=(Output("value", Unit.INPUT, divisor=_triangle),),
        step=wma_step,
        state_size=lambda s: 3 + whole(s),
        warmup=whole,
        uses=(line_step,),
        is_linear=True,
    ),
    Definition(
        name="DEMA",
        summary="double exponential average",
        inputs=CLOSE,
        parameters=(period(),),
        outputs=(VALUE,),
        step=dema_step,
        state_size=lambda _: 4,
        warmup=lambda s: 2 * whole(s) - 1,
        uses=(ema_step,),
    ),
    Definition(
        name="TEMA",
        summary="triple exponential average",
        inputs=CLOSE,
        parameters=(period(),),
        outputs=(VALUE,),
        step=tema_step,
        state_size=lambda _: 6,
        warmup=lambda s: 3 * whole(s) - 2,
        uses=(ema_step,),
    ),
    Definition(
        name="T3",
        summary="Tillson's smooth average",
        inputs=CLOSE,
        parameters=(period(5), number("volume_factor", "0.7", "0", "1")),
        outputs=(VALUE,),
        step=t3_step,
        state_size=lambda _: 12,
        warmup=lambda s: 6 * whole(s) - 5,
        uses=(ema_step,),
    ),
    Definition(
        name="TRIMA",
        summary="triangular mean: the mean of means",
        inputs=CLOSE,
        parameters=(period(),),
        outputs=(
            Output(
                "value",
                Unit.INPUT,
                divisor=lambda s: (whole(s) + 1) // 2 * (whole(s) // 2 + 1),
            ),
        ),
        step=trima_step,
        state_size=lambda s: 5 + whole(s),
        warmup=whole,
        uses=(sum_step,),
        is_linear=True,
    ),
    Definition(
        name="HMA",
        summary="Hull's average",
        inputs=CLOSE,
        parameters=(period(20, low=2),),
        outputs=(VALUE,),
        step=hma_step,
        state_size=lambda s: 9 + whole(s) // 2 + whole(s) + derive(math.isqrt, whole(s)),
        warmup=lambda s: whole(s) + derive(math.isqrt, whole(s)) - 1,
        uses=(line_step, wma_step),
    ),
    Definition(
        name="ZLEMA",
        aliases=("ZLMA",),
        summary="exponential average of the value plus its change over half the period",
        inputs=CLOSE,
        parameters=(period(),),
        outputs=(VALUE,),
        step=zlema_step,
        state_size=lambda s: 3 + (whole(s) - 1) // 2,
        warmup=lambda s: whole(s) + (whole(s) - 1) // 2,
        uses=(ema_step, lag_step),
    ),
    Definition(
        name="VWMA",
        summary="mean weighted by volume",
        inputs=("close", "volume"),
        sources=("source",),
        parameters=(period(20),),
        outputs=(VALUE,),
        step=vwma_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=whole,
        uses=(sum_step,),
    ),
    Definition(
        name="SWMA",
        summary="mean of four values with the weights 1, 2, 2, 1",
        inputs=CLOSE,
        parameters=(),
        outputs=(Output("value", Unit.INPUT, divisor=lambda _: 6),),
        step=swma_step,
        state_size=lambda _: 4,
        warmup=lambda _: 4,
        is_linear=True,
    ),
    Definition(
        name="ALMA",
        summary="Arnaud Legoux average: a window weighted by a bell",
        inputs=CLOSE,
        parameters=(
            period(9),
            number("offset", "0.85", "0", "1"),
            number("sigma", "6", "0.1", "100"),
        ),
        outputs=(VALUE,),
        step=alma_step,
        state_size=lambda s: 2 + 2 * whole(s),
        warmup=whole,
    ),
    Definition(
        name="LSMA",
        aliases=("LinReg", "LINEARREG"),
        summary="end point of the least-squares line through the window",
        inputs=CLOSE,
        parameters=(period(14, low=2),),
        outputs=(Output("value", Unit.INPUT, divisor=lambda s: whole(s) * (whole(s) + 1)),),
        step=lsma_step,
        state_size=lambda s: 3 + whole(s),
        warmup=whole,
        uses=(line_step,),
        is_linear=True,
    ),
)
