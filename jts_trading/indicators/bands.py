"""Bands and channels around a price."""

import math

from jts_trading.indicators.averages import ema_step, wilder_step
from jts_trading.indicators.definition import (
    CLOSE,
    HIGH_LOW,
    HIGH_LOW_CLOSE,
    NUMBER_VALUE,
    Definition,
    Output,
    Settings,
    State,
    Unit,
    number,
    period,
    whole,
)
from jts_trading.indicators.volatility import atr_step, true_range_step
from jts_trading.indicators.windows import highest_step, lowest_step, moments_step, sum_step


def bollinger_step(
    state: State, at: int, period: int, deviations: float, x: float
) -> tuple[float, float, float]:
    """Return upper, middle and lower band.

    Formula: middle = SMA(x), upper and lower = middle +- deviations * population standard
    deviation of the window

    Source: John Bollinger, Bollinger on Bollinger Bands (2001); TA-Lib BBANDS.

    Slots: those of `moments_step`.
    """
    mean, variance = moments_step(state, at, period, x)
    width = deviations * math.sqrt(variance)
    return mean + width, mean, mean - width


def percent_b_step(state: State, at: int, period: int, deviations: float, x: float) -> float:
    """Return the place of the value between the Bollinger bands: 0 at the lower, 1 at the upper.

    Formula: (x - lower) / (upper - lower)

    Source: John Bollinger, Bollinger on Bollinger Bands (2001).

    Null: where all values of the window are equal.

    Slots: those of `moments_step`.
    """
    mean, variance = moments_step(state, at, period, x)
    width = 2.0 * deviations * math.sqrt(variance)
    return 0.5 + (x - mean) / width if width != 0.0 else math.nan


def bandwidth_step(state: State, at: int, period: int, deviations: float, x: float) -> float:
    """Return the distance of the Bollinger bands in percent of the middle one.

    Formula: 100 * (upper - lower) / middle

    Source: John Bollinger, Bollinger on Bollinger Bands (2001); TradingView BBW.

    Null: where the mean is zero.

    Slots: those of `moments_step`.
    """
    mean, variance = moments_step(state, at, period, x)
    width = 2.0 * deviations * math.sqrt(variance)
    return 100.0 * width / mean if mean != 0.0 else math.nan


def keltner_step(
    state: State,
    at: int,
    period: int,
    atr: int,
    deviations: float,
    x: float,
    high: float,
    low: float,
    close: float,
) -> tuple[float, float, float]:
    """Return upper, middle and lower band.

    Formula: middle = EMA(x, period), upper and lower = middle +- deviations * ATR(atr)

    Source: Linda Raschke's version of Chester Keltner's channel; TA-Lib KC.

    Slots: the average, the average true range.
    """
    if math.isnan(x) or math.isnan(high + low + close):
        return math.nan, math.nan, math.nan
    middle = ema_step(state, at, period, x)
    width = deviations * atr_step(state, at + 2, atr, high, low, close)
    return middle + width, middle, middle - width


def donchian_step(
    state: State, at: int, period: int, high: float, low: float
) -> tuple[float, float, float]:
    """Return the highest high, the sum of both, and the lowest low.

    Formula: upper = highest(high), lower = lowest(low), middle = (upper + lower) / 2; the bar
    under judgement belongs to the window, so a breakout is close > upper[1]

    Source: Richard Donchian; TA-Lib DONCHIAN.

    Slots: highest and lowest.
    """
    if math.isnan(high) or math.isnan(low):
        return math.nan, math.nan, math.nan
    top = highest_step(state, at, period, high)
    bottom = lowest_step(state, at + 2 + period, period, low)
    return top, top + bottom, bottom


def acceleration_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> tuple[float, float, float]:
    """Return upper, middle and lower band.

    Formula: upper = SMA(high * (1 + 4 * (high - low) / (high + low))), middle = SMA(close),
    lower = SMA(low * (1 - 4 * (high - low) / (high + low)))

    Source: Price Headley, Big Trends in Trading (2002); TA-Lib ACCBANDS.

    Null: where high + low is zero; such a bar does not count.

    Slots: three sums.
    """
    if math.isnan(high + low + close) or high + low == 0.0:
        return math.nan, math.nan, math.nan
    share = 4.0 * (high - low) / (high + low)
    upper = sum_step(state, at, period, high * (1.0 + share)) / period
    middle = sum_step(state, at + 2 + period, period, close) / period
    lower = sum_step(state, at + 4 + 2 * period, period, low * (1.0 - share)) / period
    return upper, middle, lower


def envelope_step(
    state: State, at: int, period: int, percent: float, x: float
) -> tuple[float, float, float]:
    """Return upper, middle and lower band.

    Formula: middle = SMA(x), upper and lower = middle * (1 +- percent / 100)

    Source: arithmetic; TradingView Envelope.

    Slots: the sum.
    """
    middle = sum_step(state, at, period, x) / period
    width = middle * percent / 100.0
    return middle + width, middle, middle - width


def chandelier_step(
    state: State,
    at: int,
    period: int,
    deviations: float,
    high: float,
    low: float,
    close: float,
) -> tuple[float, float]:
    """Return the exits of long and short positions.

    Formula: long = highest(high) - deviations * ATR, short = lowest(low) + deviations * ATR, over
    `period` bars

    Source: Chuck LeBeau; pandas-ta-classic ce.

    Slots: the average true range, highest and lowest.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan, math.nan
    width = deviations * atr_step(state, at, period, high, low, close)
    top = highest_step(state, at + 4, period, high)
    bottom = lowest_step(state, at + 6 + period, period, low)
    return top - width, bottom + width


DEVIATIONS = number("deviations", "2", "0.01", "100")
BANDS = (Output("upper", Unit.INPUT), Output("middle", Unit.INPUT), Output("lower", Unit.INPUT))
DONCHIAN_BANDS = (
    Output("upper", Unit.INPUT, divisor=lambda _: 1),
    Output("middle", Unit.INPUT, divisor=lambda _: 2),
    Output("lower", Unit.INPUT, divisor=lambda _: 1),
)


def _moment_slots(settings: Settings) -> int:
    return 4 + whole(settings)


BAND_FAMILY = (
    Definition(
        name="Bollinger",
        aliases=("BBANDS", "BollingerBands", "BB"),
        summary="mean of the window, and bands of population deviations around it",
        inputs=CLOSE,
        parameters=(period(20, low=2), DEVIATIONS),
        outputs=BANDS,
        step=bollinger_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="BollingerPercentB",
        aliases=("PercentB",),
        summary="place between the Bollinger bands, 0 at the lower and 1 at the upper",
        inputs=CLOSE,
        parameters=(period(20, low=2), DEVIATIONS),
        outputs=(NUMBER_VALUE,),
        step=percent_b_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="BollingerBandwidth",
        aliases=("BBW", "Bandwidth"),
        summary="distance of the Bollinger bands in percent of the middle one",
        inputs=CLOSE,
        parameters=(period(20, low=2), DEVIATIONS),
        outputs=(NUMBER_VALUE,),
        step=bandwidth_step,
        state_size=_moment_slots,
        warmup=whole,
        uses=(moments_step,),
    ),
    Definition(
        name="Keltner",
        aliases=("KC",),
        summary="average close, and bands of average true ranges around it",
        inputs=("close", *HIGH_LOW_CLOSE),
        sources=("source",),
        parameters=(period(20), period(10, name="atr"), DEVIATIONS),
        outputs=BANDS,
        step=keltner_step,
        state_size=lambda _: 6,
        warmup=lambda s: max(whole(s), whole(s, "atr") + 1),
        uses=(ema_step, wilder_step, true_range_step, atr_step),
    ),
    Definition(
        name="Donchian",
        summary="highest high and lowest low of the window, and their middle",
        inputs=HIGH_LOW,
        parameters=(period(20),),
        outputs=DONCHIAN_BANDS,
        step=donchian_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=whole,
        uses=(highest_step, lowest_step),
        is_linear=True,
    ),
    Definition(
        name="AccelerationBands",
        aliases=("ACCBANDS",),
        summary="bands that widen with the range of the bars",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(20),),
        outputs=BANDS,
        step=acceleration_step,
        state_size=lambda s: 6 + 3 * whole(s),
        warmup=whole,
        uses=(sum_step,),
    ),
    Definition(
        name="Envelope",
        summary="mean of the window, and bands some percent above and below",
        inputs=CLOSE,
        parameters=(period(20), number("percent", "5", "0.01", "100")),
        outputs=BANDS,
        step=envelope_step,
        state_size=lambda s: 2 + whole(s),
        warmup=whole,
        uses=(sum_step,),
    ),
    Definition(
        name="ChandelierExit",
        aliases=("CE",),
        summary="exits some average true ranges below the highest high and above the lowest low",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(22), number("deviations", "3", "0.01", "100")),
        outputs=(Output("long", Unit.INPUT), Output("short", Unit.INPUT)),
        step=chandelier_step,
        state_size=lambda s: 8 + 2 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(highest_step, lowest_step, wilder_step, true_range_step, atr_step),
    ),
)
