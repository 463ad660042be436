"""Volatility: ATR and Bollinger bands."""

import math
from fractions import Fraction

from jts_trading.indicators.averages import sma_step, wilder_step
from jts_trading.indicators.definition import (
    Definition,
    Output,
    Parameter,
    ParameterKind,
    State,
    Unit,
    period,
)


def atr_step(  # noqa: PLR0917 - compiled code is called by position
    state: State, at: int, period: int, high: float, low: float, close: float
) -> float:
    """Return Wilder's average of the true range.

    The first bar has no close before it and therefore no true range: first value on bar
    `period + 1`. Slots: 1 once a bar was seen, the last close, Wilder average.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan
    before = state[at + 1]
    state[at + 1] = close
    if state[at] == 0.0:
        state[at] = 1.0
        return math.nan
    true_range = max(high, before) - min(low, before)
    return wilder_step(state, at + 2, period, true_range)


def bollinger_step(
    state: State, at: int, period: int, deviations: float, x: float
) -> tuple[float, float, float]:
    """Return upper, middle and lower band: mean and population deviation of the window.

    The deviation is summed over the window at each bar: running squares lose six digits on prices
    of five. Slots: those of the simple mean.
    """
    mean = sma_step(state, at, period, x) / period
    if math.isnan(mean):
        return math.nan, math.nan, math.nan
    squares = 0.0
    for i in range(at + 2, at + 2 + period):
        distance = state[i] - mean
        squares += distance * distance
    width = deviations * math.sqrt(squares / period)
    return mean + width, mean, mean - width


VOLATILITY = (
    Definition(
        name="ATR",
        summary="Wilder's average of the true range",
        inputs=("high", "low", "close"),
        parameters=(period(14),),
        outputs=(Output("value", Unit.INPUT),),
        step=atr_step,
        state_size=lambda _: 4,
        warmup=lambda s: int(s["period"]) + 1,
        uses=(wilder_step,),
    ),
    Definition(
        name="Bollinger",
        summary="mean of the window, and bands of population deviations around it",
        inputs=("close",),
        parameters=(
            period(20, low=2),
            Parameter(
                "deviations", ParameterKind.NUMBER, Fraction(1, 100), Fraction(100), Fraction(2)
            ),
        ),
        outputs=(
            Output("upper", Unit.INPUT),
            Output("middle", Unit.INPUT),
            Output("lower", Unit.INPUT),
        ),
        step=bollinger_step,
        state_size=lambda s: 2 + int(s["period"]),
        warmup=lambda s: int(s["period"]),
        uses=(sma_step,),
    ),
)
