"""Statistics of a window: ends, order, shape, and two series against each other."""

import math

from jts_trading.indicators.definition import (
    CLOSE,
    NUMBER_VALUE,
    SOURCE,
    Definition,
    Output,
    Settings,
    State,
    Unit,
    number,
    period,
    whole,
)
from jts_trading.indicators.windows import (
    highest_step,
    lag_step,
    lowest_step,
    moments_step,
    since_highest_step,
    sum_step,
)


def top_step(state: State, at: int, period: int, x: float) -> float:
    """Return the highest value of the window, the bar under judgement included.

    Formula: max(x, x[1], ..., x[period - 1]); a breakout is close > Highest(20)[1]

    Source: arithmetic; TA-Lib MAX.

    Slots: those of `highest_step`.
    """
    return highest_step(state, at, period, x)


def bottom_step(state: State, at: int, period: int, x: float) -> float:
    """Return the lowest value of the window, the bar under judgement included.

    Formula: min(x, x[1], ..., x[period - 1])

    Source: arithmetic; TA-Lib MIN.

    Slots: those of `lowest_step`.
    """
    return lowest_step(state, at, period, x)


def since_top_step(state: State, at: int, period: int, x: float) -> float:
    """Return how many bars ago the highest value of the window came.

    Formula: 0 where x is the highest of `period` values; of equals the newest counts

    Source: TA-Lib MAXINDEX, counted from the newest bar.

    Slots: those of `since_highest_step`.
    """
    return since_highest_step(state, at, period, x)


def since_bottom_step(state: State, at: int, period: int, x: float) -> float:
    """Return how many bars ago the lowest value of the window came.

    Formula: 0 where x is the lowest of `period` values; of equals the newest counts

    Source: TA-Lib MININDEX, counted from the newest bar.

    Slots: those of `since_highest_step`.
    """
    return since_highest_step(state, at, period, -x)


def sorted_step(state: State, at: int, period: int, x: float) -> float:
    """Keep the window in order; return x once it is full, null before.

    The newest value takes the place of the oldest one and moves from there to its own. Slots:
    place, the window, the window in ascending order.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    inside = place - period if place >= period else place
    first = at + 1 + period
    last = first + min(place, period - 1)
    hole = last
    if place >= period:
        leaving = state[at + 1 + inside]
        hole = first
        while state[hole] != leaving:
            hole += 1
    while hole > first and state[hole - 1] > x:
        state[hole] = state[hole - 1]
        hole -= 1
    while hole < last and state[hole + 1] < x:
        state[hole] = state[hole + 1]
        hole += 1
    state[hole] = x
    state[at + 1 + inside] = x
    place += 1
    state[at] = period if place == period + period else place
    return x if place >= period else math.nan


def median_step(state: State, at: int, period: int, x: float) -> float:
    """Return the sum of the two middle values of the window.

    Formula: the middle value in ascending order, the mean of the two middle ones where `period` is
    even

    Source: arithmetic; pandas-ta-classic median.

    Slots: those of `sorted_step`.
    """
    if math.isnan(sorted_step(state, at, period, x)):
        return math.nan
    first = at + 1 + period
    return state[first + (period - 1) // 2] + state[first + period // 2]


def percentile_step(state: State, at: int, period: int, percent: float, x: float) -> float:
    """Return the value below which some percent of the window lie, by nearest rank.

    Formula: the value with rank ceil(percent / 100 * period) in ascending order, at least the
    first

    Source: nearest rank; TA-Lib PERCENTILE.

    Slots: those of `sorted_step`.
    """
    if math.isnan(sorted_step(state, at, period, x)):
        return math.nan
    rank = max(math.ceil(percent * period / 100.0), 1)
    return state[at + period + rank]


def percent_rank_step(state: State, at: int, period: int, x: float) -> float:
    """Return a hundred times the number of values before this one that were below it.

    Formula: 100 * number of x[1] ... x[period] below x / period

    Source: TA-Lib PERCENTRANK.

    Slots: place, the window.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at])
    inside = place - period if place >= period else place
    below = 0
    for i in range(at + 1, at + 1 + period):
        below += state[i] < x
    state[at + 1 + inside] = x
    state[at] = period if place + 1 == period + period else place + 1
    return 100.0 * below if place >= period else math.nan


def z_score_step(state: State, at: int, period: int, x: float) -> float:
    """Return the distance from the mean in standard deviations.

    Formula: (x - SMA(x)) / StdDev(x), the population's

    Source: arithmetic; pandas-ta-classic zscore with ddof 0.

    Null: where all values of the window are equal.

    Slots: those of `moments_step`.
    """
    mean, variance = moments_step(state, at, period, x)
    return (x - mean) / math.sqrt(variance) if variance != 0.0 else math.nan


def skewness_step(state: State, at: int, period: int, x: float) -> float:
    """Return the skewness of the window: above zero with a long right tail.

    Formula: sqrt(n * (n - 1)) / (n - 2) * m3 / m2^1.5 with the central moments m2 and m3

    Source: Fisher-Pearson, adjusted; pandas-ta-classic skew.

    Null: where all values of the window are equal.

    Slots: those of `moments_step`.
    """
    mean, variance = moments_step(state, at, period, x)
    if not variance > 0.0:
        return math.nan
    cubes = 0.0
    for i in range(at + 4, at + 4 + period):
        distance = state[i] - mean
        cubes += distance * distance * distance
    adjusted = math.sqrt(period * (period - 1.0)) / (period - 2.0)
    return adjusted * cubes / period / (variance * math.sqrt(variance))


def kurtosis_step(state: State, at: int, period: int, x: float) -> float:
    """Return the excess kurtosis of the window: above zero with fat tails.

    Formula: (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * m4 / m2^2 - 3 * (n - 1)) with the central
    moments m2 and m4

    Source: Fisher, adjusted; pandas-ta-classic kurtosis.

    Null: where all values of the window are equal.

    Slots: those of `moments_step`.
    """
    mean, variance = moments_step(state, at, period, x)
    if not variance > 0.0:
        return math.nan
    fourths = 0.0
    for i in range(at + 4, at + 4 + period):
        square = (state[i] - mean) * (state[i] - mean)
        fourths += square * square
    n = 1.0 * period
    shape = (n + 1.0) * fourths / n / (variance * variance) - 3.0 * (n - 1.0)
    return (n - 1.0) / ((n - 2.0) * (n - 3.0)) * shape


def log_return_step(state: State, at: int, period: int, x: float) -> float:
    """Return the logarithmic return over `period` bars.

    Formula: ln(x / x[period])

    Source: arithmetic; pandas-ta-classic log_return.

    Null: where one of both is not above zero.

    Slots: those of `lag_step`.
    """
    before = lag_step(state, at, period, x)
    return math.log(x / before) if x > 0.0 and before > 0.0 else math.nan


def pair_step(
    state: State, at: int, period: int, x: float, y: float
) -> tuple[float, float, float]:
    """Return covariance and both variances over the window, all times `period` squared.

    Values are taken relative to one of their own, as in `moments_step`. Slots: place, two
    references, sums of x, y, x * x, y * y, x * y, both windows.
    """
    if math.isnan(x) or math.isnan(y):
        return math.nan, math.nan, math.nan
    place = int(state[at])
    inside = place - period if place >= period else place
    first = at + 8
    if place == 0:
        state[at + 1] = x
        state[at + 2] = y
    if place >= period:
        a = state[first + inside] - state[at + 1]
        b = state[first + period + inside] - state[at + 2]
        state[at + 3] -= a
        state[at + 4] -= b
        state[at + 5] -= a * a
        state[at + 6] -= b * b
        state[at + 7] -= a * b
    state[first + inside] = x
    state[first + period + inside] = y
    place += 1
    start = inside
    if place == period + period:
        place = period
        start = 0
        state[at + 1] = x
        state[at + 2] = y
        for i in range(at + 3, at + 8):
            state[i] = 0.0
    state[at] = place
    for i in range(start, inside + 1):
        a = state[first + i] - state[at + 1]
        b = state[first + period + i] - state[at + 2]
        state[at + 3] += a
        state[at + 4] += b
        state[at + 5] += a * a
        state[at + 6] += b * b
        state[at + 7] += a * b
    if place < period:
        return math.nan, math.nan, math.nan
    a, b = state[at + 3], state[at + 4]
    return (
        period * state[at + 7] - a * b,
        max(period * state[at + 5] - a * a, 0.0),
        max(period * state[at + 6] - b * b, 0.0),
    )


def correlation_step(state: State, at: int, period: int, x: float, y: float) -> float:
    """Return the correlation of two series, -1 to 1.

    Formula: covariance(source, other) / sqrt(variance(source) * variance(other))

    Source: Pearson; TA-Lib CORREL.

    Null: where one series does not move in the whole window.

    Slots: those of `pair_step`.
    """
    covariance, one, two = pair_step(state, at, period, x, y)
    product = math.sqrt(one) * math.sqrt(two)
    return min(max(covariance / product, -1.0), 1.0) if product > 0.0 else math.nan


def beta_step(state: State, at: int, period: int, x: float, y: float) -> float:
    """Return how much one series moves per move of another.

    Formula: covariance(R(source), R(other)) / variance(R(other)), R(x) = (x - x[1]) / x[1], over
    `period` changes

    Source: William Sharpe; TA-Lib BETA with its two inputs exchanged.

    Null: where the other series does not move evenly in the whole window; a bar after a zero does
    not count.

    Slots: two last values with their lag, the pair.
    """
    if math.isnan(x) or math.isnan(y):
        return math.nan
    old_x = lag_step(state, at, 1, x)
    old_y = lag_step(state, at + 2, 1, y)
    if math.isnan(old_x) or old_x == 0.0 or old_y == 0.0:
        return math.nan
    moves = (x - old_x) / old_x, (y - old_y) / old_y
    covariance, _, other = pair_step(state, at + 4, period, moves[0], moves[1])
    return covariance / other if other > 0.0 else math.nan


WHOLE_VALUE = (Output("value", Unit.INPUT, divisor=lambda _: 1),)
PAIR = (SOURCE, "other")


def _window_slots(settings: Settings) -> int:
    return 2 + whole(settings)


def _since_slots(settings: Settings) -> int:
    return 3 + 2 * whole(settings)


def _sorted_slots(settings: Settings) -> int:
    return 1 + 2 * whole(settings)


def _moment_slots(settings: Settings) -> int:
    return 4 + whole(settings)


STATISTICS = (
    Definition(
        name="Highest",
        aliases=("MAX",),
        summary="highest value of the window, this bar included",
        inputs=("high",),
        parameters=(period(20),),
        outputs=WHOLE_VALUE,
        step=top_step,
        state_size=_window_slots,
        warmup=whole,
        uses=(highest_step,),
        is_linear=True,
    ),
    Definition(
        name="Lowest",
        aliases=("MIN",),
        summary="lowest value of the window, this bar included",
        inputs=("low",),
        parameters=(period(20),),
        outputs=WHOLE_VALUE,
        step=bottom_step,
        state_size=_window_slots,
        warmup=whole,
        uses=(lowest_step,),
        is_linear=True,
    ),
    Definition(
        name="SinceHighest",
        summary="bars since the highest value of the window",
        inputs=("high",),
        parameters=(period(20),),
        outputs=(NUMBER_VALUE,),
        step=since_top_step,
        state_size=_since_slots,
        warmup=whole,
        uses=(since_highest_step,),
    ),
    Definition(
        name="SinceLowest",
        summary="bars since the lowest value of the window",
        inputs=("low",),
        parameters=(period(20),),
        outputs=(NUMBER_VALUE,),
        step=since_bottom_step,
        state_size=_since_slots,
        warmup=whole,
        uses=(since_highest_step,),
    ),
    Definition(
        name="Sum",
        summary="sum of the window",
        inputs=CLOSE,
        parameters=(period(20),),
        outputs=WHOLE_VALUE,
        step=sum_step,
        state_size=_window_slots,
        warmup=whole,
        is_linear=True,
    ),
    Definition(
        name="Median",
        summary="middle value of the window",
        inputs=CLOSE,
        parameters=(period(20),),
        outputs=(Output("value", Unit.INPUT, divisor=lambda _: 2),),
        step=median_step,
        state_size=_sorted_slots,
        warmup=whole,
        uses=(sorted_step,),
        is_linear=True,
    ),
    Definition(
        name="Percentile",
        summary="value below which some percent of the window lie",
        inputs=CLOSE,
        parameters=(period(20), number("percent", "50", "0", "100")),
        outputs=WHOLE_VALUE,
        step=percentile_step,
        state_size=_sorted_slots,
        warmup=whole,
        uses=(sorted_step,),
        is_linear=True,
    ),
    Definition(
        name="PercentRank",
        summary="share of the values before this one that were below it in percent",
        inputs=CLOSE,
        parameters=(period(100),),
        outputs=(Output("value", Unit.NUMBER, divisor=whole),),
        step=percent_rank_step,
        state_size=lambda s: 1 + whole(s),
        warmup=lambda s: whole(s) + 1,
        is_linear=True,
    ),
    Definition(
        name="ZScore",
        summary="distance from the mean in standard deviations",
        inputs=CLOSE,
        parameters=(period(20, low=2),),
        outputs=(NUMBER_VALUE,),
        step=z_score_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="Skewness",
        aliases=("Skew",),
        summary="skewness of the window: above zero with a long right tail",
        inputs=CLOSE,
        parameters=(period(30, low=3),),
        outputs=(NUMBER_VALUE,),
        step=skewness_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="Kurtosis",
        summary="excess kurtosis of the window: above zero with fat tails",
        inputs=CLOSE,
        parameters=(period(30, low=4),),
        outputs=(NUMBER_VALUE,),
        step=kurtosis_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="LogReturn",
        summary="logarithmic return over `period` bars",
        inputs=CLOSE,
        parameters=(period(1),),
        outputs=(NUMBER_VALUE,),
        step=log_return_step,
        state_size=lambda s: 1 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step,),
    ),
    Definition(
        name="Correlation",
        aliases=("CORREL",),
        summary="correlation of two series, -1 to 1; of close and volume if none are given",
        inputs=("close", "volume"),
        sources=PAIR,
        parameters=(period(20, low=2),),
        outputs=(NUMBER_VALUE,),
        step=correlation_step,
        state_size=lambda s: 8 + 2 * whole(s),
        warmup=whole,
        uses=(pair_step,),
    ),
    Definition(
        name="Beta",
        summary="move of one series per move of another; of close and open if none are given",
        inputs=("close", "open"),
        sources=PAIR,
        parameters=(period(20, low=2),),
        outputs=(NUMBER_VALUE,),
        step=beta_step,
        state_size=lambda s: 12 + 2 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, pair_step),
    ),
)
