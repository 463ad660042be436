"""The least-squares line through a window: slope, ends, angle, fit.

With S the sum of the window and W the sum of its values times 1 (oldest) to n, all are fractions
of whole numbers where the values are: the sign of a slope is exact.
"""

import math

from jts_trading.indicators.definition import (
    CLOSE,
    NUMBER_VALUE,
    PRICE_SCALE,
    SOURCE,
    Definition,
    Output,
    Settings,
    State,
    Unit,
    period,
    whole,
)
from jts_trading.indicators.windows import line_step, moments_step


def slope_step(state: State, at: int, period: int, x: float) -> float:
    """Return the numerator of the slope of the line.

    Formula: (2 * W - (n + 1) * S) / (n * (n * n - 1) / 6)

    Source: least squares; TA-Lib LINEARREG_SLOPE.

    Slots: those of `line_step`.
    """
    total, weighted = line_step(state, at, period, x)
    return 2.0 * weighted - (period + 1.0) * total


def intercept_step(state: State, at: int, period: int, x: float) -> float:
    """Return the numerator of the line's value on the oldest bar of the window.

    Formula: (4 * (n + 1) * S - 6 * W) / (n * (n + 1))

    Source: least squares; TA-Lib LINEARREG_INTERCEPT.

    Slots: those of `line_step`.
    """
    total, weighted = line_step(state, at, period, x)
    return 4.0 * (period + 1.0) * total - 6.0 * weighted


def forecast_step(state: State, at: int, period: int, x: float) -> float:
    """Return the numerator of the line's value one bar ahead of the window.

    Formula: (6 * W - 2 * (n + 2) * S) / (n * (n - 1)); a straight line carried on, made of the
    past alone

    Source: least squares; TA-Lib TSF.

    Slots: those of `line_step`.
    """
    total, weighted = line_step(state, at, period, x)
    return 6.0 * weighted - 2.0 * (period + 2.0) * total


def angle_step(state: State, at: int, period: int, x: float, price_scale: float) -> float:
    """Return the angle of the line in degrees, -90 to 90.

    Formula: atan(slope) * 180 / pi, the slope in units of currency per bar

    Source: least squares; TA-Lib LINEARREG_ANGLE.

    Slots: those of `line_step`.
    """
    numerator = slope_step(state, at, period, x)
    slope = 6.0 * numerator / (period * (period * period - 1.0)) / price_scale
    return math.atan(slope) * 180.0 / math.pi


def r_squared_step(state: State, at: int, period: int, x: float) -> float:
    """Return the share of the variance that the line explains, 0 to 1.

    Formula: slope^2 * (n * n - 1) / 12 / Variance(x)

    Source: least squares; TradingView, square of ta.correlation with the bar index.

    Null: where all values of the window are equal.

    Slots: those of `line_step`, those of `moments_step`.
    """
    numerator = slope_step(state, at, period, x)
    _, variance = moments_step(state, at + 3 + period, period, x)
    slope = 6.0 * numerator / (period * (period * period - 1.0))
    explained = slope * slope * (period * period - 1.0) / 12.0
    return min(explained / variance, 1.0) if variance != 0.0 else math.nan


PERIOD = period(14, low=2)


def _line_slots(settings: Settings) -> int:
    return 3 + whole(settings)


REGRESSION = (
    Definition(
        name="LinRegSlope",
        aliases=("LINEARREG_SLOPE",),
        summary="slope of the least-squares line per bar",
        inputs=CLOSE,
        parameters=(PERIOD,),
        outputs=(
            Output(
                "value",
                Unit.INPUT,
                divisor=lambda s: whole(s) * (whole(s) * whole(s) - 1) // 6,
            ),
        ),
        step=slope_step,
        state_size=_line_slots,
        warmup=whole,
        uses=(line_step,),
        is_linear=True,
    ),
    Definition(
        name="LinRegIntercept",
        aliases=("LINEARREG_INTERCEPT",),
        summary="value of the least-squares line on the oldest bar of the window",
        inputs=CLOSE,
        parameters=(PERIOD,),
        outputs=(Output("value", Unit.INPUT, divisor=lambda s: whole(s) * (whole(s) + 1)),),
        step=intercept_step,
        state_size=_line_slots,
        warmup=whole,
        uses=(line_step,),
        is_linear=True,
    ),
    Definition(
        name="Forecast",
        aliases=("TSF",),
        summary="value of the least-squares line one bar ahead",
        inputs=CLOSE,
        parameters=(PERIOD,),
        outputs=(Output("value", Unit.INPUT, divisor=lambda s: whole(s) * (whole(s) - 1)),),
        step=forecast_step,
        state_size=_line_slots,
        warmup=whole,
        uses=(line_step,),
        is_linear=True,
    ),
    Definition(
        name="LinRegAngle",
        aliases=("LINEARREG_ANGLE",),
        summary="angle of the least-squares line in degrees",
        inputs=("close", PRICE_SCALE),
        sources=(SOURCE,),
        parameters=(PERIOD,),
        outputs=(NUMBER_VALUE,),
        step=angle_step,
        state_size=_line_slots,
        warmup=whole,
        uses=(line_step, slope_step),
    ),
    Definition(
        name="RSquared",
        aliases=("R2",),
        summary="share of the variance that the least-squares line explains, 0 to 1",
        inputs=CLOSE,
        parameters=(PERIOD,),
        outputs=(NUMBER_VALUE,),
        step=r_squared_step,
        state_size=lambda s: 7 + 2 * whole(s),
        warmup=whole,
        uses=(line_step, moments_step, slope_step),
    ),
)
