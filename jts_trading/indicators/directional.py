"""Wilder's directional movement: DM, DI, DX, ADX, ADXR.

Wilder's sums begin with `period` - 1 bars, as in his book and in TA-Lib.
"""

import math

from jts_trading.indicators.averages import wilder_step
from jts_trading.indicators.definition import (
    HIGH_LOW_CLOSE,
    NUMBER_VALUE,
    VALUE,
    Definition,
    Output,
    State,
    Unit,
    period,
    whole,
)
from jts_trading.indicators.windows import lag_step


def directional_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> tuple[float, float, float]:
    """Return Wilder's sums of +DM, -DM and the true range, from bar `period` on.

    Slots: bars seen up to period + 1, last high, low and close, the three sums.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan, math.nan, math.nan
    seen = state[at]
    old_high, old_low, old_close = state[at + 1], state[at + 2], state[at + 3]
    state[at + 1], state[at + 2], state[at + 3] = high, low, close
    if seen == 0.0:
        state[at] = 1.0
        return math.nan, math.nan, math.nan
    rise = high - old_high
    fall = old_low - low
    plus = rise if rise > fall and rise > 0.0 else 0.0
    minus = fall if fall > rise and fall > 0.0 else 0.0
    span = max(high, old_close) - min(low, old_close)
    if seen < period:
        state[at] = seen + 1.0
        state[at + 4] += plus
        state[at + 5] += minus
        state[at + 6] += span
        if seen + 1.0 < period:
            return math.nan, math.nan, math.nan
    else:
        state[at] = period + 1.0
        share = 1.0 / period
        state[at + 4] += plus - state[at + 4] * share
        state[at + 5] += minus - state[at + 5] * share
        state[at + 6] += span - state[at + 6] * share
    return state[at + 4], state[at + 5], state[at + 6]


def plus_dm_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> float:
    """Return the smoothed upward movement.

    Formula: S = S[1] - S[1] / period + DM, DM = high - high[1] where that is above zero and above
    low[1] - low, else 0; the first S is the sum of `period` - 1 movements

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib PLUS_DM.

    Slots: those of `directional_step`.
    """
    plus, _, _ = directional_step(state, at, period, high, low, close)
    return plus


def minus_dm_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> float:
    """Return the smoothed downward movement.

    Formula: S = S[1] - S[1] / period + DM, DM = low[1] - low where that is above zero and above
    high - high[1], else 0; the first S is the sum of `period` - 1 movements

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib MINUS_DM.

    Slots: those of `directional_step`.
    """
    _, minus, _ = directional_step(state, at, period, high, low, close)
    return minus


def plus_di_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> float:
    """Return the upward movement in percent of the true range.

    Formula: 100 * S(+DM) / S(true range), both smoothed as PlusDM

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib PLUS_DI.

    Null: where the smoothed true range is zero.

    Slots: those of `directional_step`.
    """
    plus, _, span = directional_step(state, at, period, high, low, close)
    return 100.0 * plus / span if span != 0.0 and state[at] > period else math.nan


def minus_di_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> float:
    """Return the downward movement in percent of the true range.

    Formula: 100 * S(-DM) / S(true range), both smoothed as PlusDM

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib MINUS_DI.

    Null: where the smoothed true range is zero.

    Slots: those of `directional_step`.
    """
    _, minus, span = directional_step(state, at, period, high, low, close)
    return 100.0 * minus / span if span != 0.0 and state[at] > period else math.nan


def dx_step(state: State, at: int, period: int, high: float, low: float, close: float) -> float:
    """Return the directional index, 0 to 100.

    Formula: 100 * abs(+DI - -DI) / (+DI + -DI)

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib DX.

    Null: where there is no movement.

    Slots: those of `directional_step`.
    """
    plus, minus, _ = directional_step(state, at, period, high, low, close)
    total = plus + minus
    return 100.0 * abs(plus - minus) / total if total > 0.0 and state[at] > period else math.nan


def adx_step(state: State, at: int, period: int, high: float, low: float, close: float) -> float:
    """Return the average directional index, 0 to 100.

    Formula: RMA(DX, period)

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib ADX.

    Null: on bars without a DX, which do not count.

    Slots: those of `directional_step`, the average.
    """
    index = dx_step(state, at, period, high, low, close)
    return wilder_step(state, at + 7, period, index)


def adxr_step(state: State, at: int, period: int, high: float, low: float, close: float) -> float:
    """Return the directional movement rating.

    Formula: (ADX + ADX[period - 1]) / 2

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib ADXR.

    Null: on bars without a DX, which do not count.

    Slots: those of `adx_step`, the averages of the lag.
    """
    average = adx_step(state, at, period, high, low, close)
    if period == 1:
        return average
    return (average + lag_step(state, at + 9, period - 1, average)) / 2.0


def dmi_step(
    state: State, at: int, period: int, smoothing: int, high: float, low: float, close: float
) -> tuple[float, float, float]:
    """Return +DI, -DI and ADX.

    Formula: plus = PlusDI(period), minus = MinusDI(period), adx = RMA(DX(period), smoothing)

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TradingView ta.dmi.

    Null: as PlusDI and ADX.

    Slots: those of `directional_step`, the average.
    """
    plus, minus, span = directional_step(state, at, period, high, low, close)
    if not (state[at] > period and span > 0.0):
        return math.nan, math.nan, math.nan
    total = plus + minus
    index = 100.0 * abs(plus - minus) / total if total > 0.0 else math.nan
    average = wilder_step(state, at + 7, smoothing, index)
    return 100.0 * plus / span, 100.0 * minus / span, average


DIRECTIONAL_SLOTS = 7
ADX_SLOTS = DIRECTIONAL_SLOTS + 2

DIRECTIONAL = (
    Definition(
        name="DMI",
        summary="upward and downward movement in percent, and the strength of the trend",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14), period(14, name="smoothing")),
        outputs=(
            Output("plus", Unit.NUMBER),
            Output("minus", Unit.NUMBER),
            Output("adx", Unit.NUMBER),
        ),
        step=dmi_step,
        state_size=lambda _: ADX_SLOTS,
        warmup=lambda s: whole(s) + whole(s, "smoothing"),
        uses=(wilder_step, directional_step),
    ),
    Definition(
        name="ADX",
        summary="average directional index: the strength of the trend, 0 to 100",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=adx_step,
        state_size=lambda _: ADX_SLOTS,
        warmup=lambda s: 2 * whole(s),
        uses=(wilder_step, directional_step, dx_step),
    ),
    Definition(
        name="ADXR",
        summary="mean of ADX and its value `period` - 1 bars ago",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=adxr_step,
        state_size=lambda s: ADX_SLOTS + whole(s),
        warmup=lambda s: 3 * whole(s) - 1,
        uses=(lag_step, wilder_step, directional_step, dx_step, adx_step),
    ),
    Definition(
        name="DX",
        summary="directional index, 0 to 100",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=dx_step,
        state_size=lambda _: DIRECTIONAL_SLOTS,
        warmup=lambda s: whole(s) + 1,
        uses=(directional_step,),
    ),
    Definition(
        name="PlusDI",
        aliases=("PLUS_DI",),
        summary="upward movement in percent of the true range",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=plus_di_step,
        state_size=lambda _: DIRECTIONAL_SLOTS,
        warmup=lambda s: whole(s) + 1,
        uses=(directional_step,),
    ),
    Definition(
        name="MinusDI",
        aliases=("MINUS_DI",),
        summary="downward movement in percent of the true range",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=minus_di_step,
        state_size=lambda _: DIRECTIONAL_SLOTS,
        warmup=lambda s: whole(s) + 1,
        uses=(directional_step,),
    ),
    Definition(
        name="PlusDM",
        aliases=("PLUS_DM",),
        summary="smoothed upward movement",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(VALUE,),
        step=plus_dm_step,
        state_size=lambda _: DIRECTIONAL_SLOTS,
        warmup=lambda s: max(whole(s), 2),
        uses=(directional_step,),
    ),
    Definition(
        name="MinusDM",
        aliases=("MINUS_DM",),
        summary="smoothed downward movement",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(VALUE,),
        step=minus_dm_step,
        state_size=lambda _: DIRECTIONAL_SLOTS,
        warmup=lambda s: max(whole(s), 2),
        uses=(directional_step,),
    ),
)
