"""Volatility: true range and what is made of it."""

import math

from jts_trading.indicators.averages import wilder_step
from jts_trading.indicators.definition import (
    CLOSE,
    HIGH_LOW_CLOSE,
    VALUE,
    Definition,
    Output,
    State,
    Unit,
    number,
    period,
    whole,
)
from jts_trading.indicators.windows import moments_step


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


DEVIATIONS = number("deviations", "2", "0.01", "100")
BANDS = (Output("upper", Unit.INPUT), Output("middle", Unit.INPUT), Output("lower", Unit.INPUT))

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
        name="Bollinger",
        aliases=("BBANDS",),
        summary="mean of the window, and bands of population deviations around it",
        inputs=CLOSE,
        parameters=(period(20, low=2), DEVIATIONS),
        outputs=BANDS,
        step=bollinger_step,
        state_size=lambda s: 4 + whole(s),
        warmup=whole,
        uses=(moments_step,),
    ),
)
