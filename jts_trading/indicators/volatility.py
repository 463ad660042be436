"""Volatility: true range, deviations, and what is made of them."""

import math

from jts_trading.indicators.averages import ema_step, wilder_step
from jts_trading.indicators.definition import (
    CLOSE,
    HIGH_LOW,
    HIGH_LOW_CLOSE,
    NUMBER_VALUE,
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
from jts_trading.indicators.windows import (
    distance_step,
    highest_step,
    lag_step,
    moments_step,
    sum_step,
)


def true_range_step(state: State, at: int, high: float, low: float, close: float) -> float:
    """Return the true range.

    Formula: max(high, close[1]) - min(low, close[1])

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib TRANGE.

    Null: on the first bar, which has no close before it.

    Slots: 1 once a bar was seen, the last close.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan
    before = state[at + 1]
    state[at + 1] = close
    if state[at] == 0.0:
        state[at] = 1.0
        return math.nan
    return max(high, before) - min(low, before)


def atr_step(state: State, at: int, period: int, high: float, low: float, close: float) -> float:
    """Return Wilder's average of the true range.

    Formula: RMA(true range, period)

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib ATR.

    Slots: the true range, Wilder average.
    """
    return wilder_step(state, at + 2, period, true_range_step(state, at, high, low, close))


def natr_step(state: State, at: int, period: int, high: float, low: float, close: float) -> float:
    """Return the average true range in percent of the close.

    Formula: 100 * ATR / close

    Source: TA-Lib NATR.

    Null: where the close is zero.

    Slots: those of `atr_step`.
    """
    average = atr_step(state, at, period, high, low, close)
    return 100.0 * average / close if close != 0.0 else math.nan


def average_range_step(state: State, at: int, period: int, high: float, low: float) -> float:
    """Return the sum of the ranges of the window.

    Formula: SMA(high - low)

    Source: TA-Lib ADR.

    Slots: the sum.
    """
    return sum_step(state, at, period, high - low)


def variance_step(state: State, at: int, period: int, x: float) -> float:
    """Return the population variance of the window.

    Formula: SMA(x^2) - SMA(x)^2, from squares of distances so that no digits are lost

    Source: TA-Lib VAR.

    Slots: those of `moments_step`.
    """
    _, variance = moments_step(state, at, period, x)
    return variance


def deviation_step(state: State, at: int, period: int, x: float) -> float:
    """Return the population standard deviation of the window.

    Formula: sqrt(Variance(x))

    Source: TA-Lib STDDEV.

    Slots: those of `moments_step`.
    """
    _, variance = moments_step(state, at, period, x)
    return math.sqrt(variance)


def mean_deviation_step(state: State, at: int, period: int, x: float) -> float:
    """Return the mean distance of the window's values from their mean.

    Formula: mean of abs(x[i] - SMA(x)) over the window

    Source: TA-Lib AVGDEV.

    Slots: the sum.
    """
    total = sum_step(state, at, period, x)
    if math.isnan(total):
        return math.nan
    return distance_step(state, at, period, total / period)


def chaikin_volatility_step(
    state: State, at: int, period: int, change: int, high: float, low: float
) -> float:
    """Return Chaikin's volatility: how much the average range changed, in percent.

    Formula: 100 * (E - E[change]) / E[change], E = EMA(high - low, period)

    Source: Marc Chaikin; TA-Lib CVI.

    Null: where E[change] is zero.

    Slots: the average, its last values.
    """
    average = ema_step(state, at, period, high - low)
    before = lag_step(state, at + 2, change, average)
    return 100.0 * (average - before) / before if before != 0.0 else math.nan


def ulcer_step(state: State, at: int, period: int, x: float) -> float:
    """Return the ulcer index: the depth of the falls from the highest value, in percent.

    Formula: sqrt(SMA(D^2)), D = 100 * (x - highest(x)) / highest(x), over `period` bars each

    Source: Peter Martin and Byron McCann, The Investor's Guide to Fidelity Funds (1989);
    pandas-ta-classic ui.

    Null: where the highest value is zero.

    Slots: highest, the sum.
    """
    top = highest_step(state, at, period, x)
    fall = 100.0 * (x - top) / top if top != 0.0 else math.nan
    squares = sum_step(state, at + 2 + period, period, fall * fall)
    return math.sqrt(squares / period) if squares > 0.0 else squares


def historical_volatility_step(
    state: State, at: int, period: int, bars_per_year: float, x: float
) -> float:
    """Return the annual volatility of the logarithmic returns in percent.

    Formula: 100 * sqrt(bars_per_year) * sample standard deviation of ln(x / x[1])

    Source: TradingView Historical Volatility; pandas-ta-classic hvol.

    Null: where a value is not above zero; such a bar does not count.

    Slots: the last value, the moments.
    """
    if math.isnan(x) or x <= 0.0:
        return math.nan
    before = state[at]
    state[at] = x
    if before == 0.0:
        return math.nan
    _, variance = moments_step(state, at + 1, period, math.log(x / before))
    return 100.0 * math.sqrt(bars_per_year * variance * period / (period - 1.0))


def relative_volatility_step(
    state: State, at: int, period: int, deviation: int, x: float
) -> float:
    """Return Dorsey's relative volatility index, 0 to 100.

    Formula: 100 * up / (up + down), Wilder averages over `period` of the standard deviation of the
    last `deviation` values where x rose, and where it fell

    Source: Donald Dorsey, Stocks & Commodities (1993); TA-Lib RVI.

    Null: as long as no price has moved.

    Slots: the last value with its lag, the moments, two Wilder averages.
    """
    before = lag_step(state, at, 1, x)
    _, variance = moments_step(state, at + 2, deviation, x)
    width = math.sqrt(variance)
    if math.isnan(before) or math.isnan(width):
        return math.nan
    at += 6 + deviation
    up = wilder_step(state, at, period, width if x > before else 0.0)
    down = wilder_step(state, at + 2, period, width if x < before else 0.0)
    return 100.0 * up / (up + down) if up + down != 0.0 else math.nan


RANGE_VALUE = (Output("value", Unit.INPUT, divisor=whole),)


def _moment_slots(settings: Settings) -> int:
    return 4 + whole(settings)


VOLATILITY = (
    Definition(
        name="TrueRange",
        aliases=("TRANGE",),
        summary="span of a bar together with the close before it",
        inputs=HIGH_LOW_CLOSE,
        parameters=(),
        outputs=(Output("value", Unit.INPUT, divisor=lambda _: 1),),
        step=true_range_step,
        state_size=lambda _: 2,
        warmup=lambda _: 2,
        is_linear=True,
    ),
    Definition(
        name="ATR",
        summary="Wilder's average of the true range",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(VALUE,),
        step=atr_step,
        state_size=lambda _: 4,
        warmup=lambda s: whole(s) + 1,
        uses=(wilder_step, true_range_step),
    ),
    Definition(
        name="NATR",
        summary="average true range in percent of the close",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=natr_step,
        state_size=lambda _: 4,
        warmup=lambda s: whole(s) + 1,
        uses=(wilder_step, true_range_step, atr_step),
    ),
    Definition(
        name="AverageRange",
        aliases=("ADR",),
        summary="mean range of the bars, without gaps",
        inputs=HIGH_LOW,
        parameters=(period(14),),
        outputs=RANGE_VALUE,
        step=average_range_step,
        state_size=lambda s: 2 + whole(s),
        warmup=whole,
        uses=(sum_step,),
        is_linear=True,
    ),
    Definition(
        name="StdDev",
        summary="population standard deviation of the window",
        inputs=CLOSE,
        parameters=(period(20),),
        outputs=(VALUE,),
        step=deviation_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="Variance",
        aliases=("VAR",),
        summary="population variance of the window",
        inputs=CLOSE,
        parameters=(period(20),),
        outputs=(Output("value", Unit.SQUARE),),
        step=variance_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="MeanDeviation",
        aliases=("AVGDEV", "MAD"),
        summary="mean distance from the mean of the window",
        inputs=CLOSE,
        parameters=(period(14),),
        outputs=(VALUE,),
        step=mean_deviation_step,
        state_size=lambda s: 2 + whole(s),
        warmup=whole,
        uses=(sum_step, distance_step),
    ),
    Definition(
        name="ChaikinVolatility",
        aliases=("CVI",),
        summary="change of the average range in percent",
        inputs=HIGH_LOW,
        parameters=(period(10), period(10, name="change")),
        outputs=(NUMBER_VALUE,),
        step=chaikin_volatility_step,
        state_size=lambda s: 3 + whole(s, "change"),
        warmup=lambda s: whole(s) + whole(s, "change"),
        uses=(ema_step, lag_step),
    ),
    Definition(
        name="UlcerIndex",
        aliases=("UI",),
        summary="depth of the falls from the highest value in percent",
        inputs=CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=ulcer_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=lambda s: 2 * whole(s) - 1,
        uses=(highest_step, sum_step),
    ),
    Definition(
        name="HistoricalVolatility",
        aliases=("HV",),
        summary="annual volatility of the logarithmic returns in percent",
        inputs=CLOSE,
        parameters=(period(20, low=2), number("bars_per_year", "252", "1", "1000000")),
        outputs=(NUMBER_VALUE,),
        step=historical_volatility_step,
        state_size=lambda s: 5 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(moments_step,),
    ),
    Definition(
        name="RVI",
        summary="Dorsey's relative volatility index, 0 to 100",
        inputs=CLOSE,
        parameters=(period(14), period(10, name="deviation", low=2)),
        outputs=(NUMBER_VALUE,),
        step=relative_volatility_step,
        state_size=lambda s: 10 + whole(s, "deviation"),
        warmup=lambda s: whole(s) + whole(s, "deviation") - 1,
        uses=(lag_step, moments_step, wilder_step),
    ),
)
