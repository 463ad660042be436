"""Oscillators: RSI, MACD, price change."""

import math
from fractions import Fraction

from jts_trading.indicators.averages import ema_step, wilder_step
from jts_trading.indicators.definition import (
    CLOSE,
    NUMBER_VALUE,
    PERIOD_MAX,
    Definition,
    Output,
    Parameter,
    ParameterKind,
    Settings,
    State,
    Unit,
    period,
    whole,
)
from jts_trading.indicators.windows import lag_step


def rsi_step(state: State, at: int, period: int, x: float) -> float:
    """Return Wilder's relative strength index, 0 to 100.

    Formula: 100 * RMA(gain) / (RMA(gain) + RMA(loss)), gain = max(x - x[1], 0),
    loss = max(x[1] - x, 0)

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib RSI.

    Null: as long as no price has moved.

    Slots: 1 once a value was seen, the last value, two Wilder averages (gains, losses).
    """
    if math.isnan(x):
        return math.nan
    previous = state[at + 1]
    state[at + 1] = x
    if state[at] == 0.0:
        state[at] = 1.0
        return math.nan
    change = x - previous
    gain = wilder_step(state, at + 2, period, max(change, 0.0))
    loss = wilder_step(state, at + 4, period, max(-change, 0.0))
    total = gain + loss
    if total > 0.0:
        return 100.0 * gain / total
    return math.nan


def macd_step(
    state: State, at: int, fast: int, slow: int, signal: int, x: float
) -> tuple[float, float, float]:
    """Return MACD line, its signal average and their difference.

    Formula: line = EMA(x, fast) - EMA(x, slow), signal = EMA(line, signal), histogram = line -
    signal; the line exists from bar `slow`

    Source: Gerald Appel (1979); TA-Lib MACD.

    Slots: the three averages.
    """
    line = ema_step(state, at, fast, x) - ema_step(state, at + 2, slow, x)
    average = ema_step(state, at + 4, signal, line)
    return line, average, line - average


def price_change_step(state: State, at: int, period: int, x: float) -> float:
    """Return the change against `period` bars ago as a fraction of it.

    Formula: (x - x[period]) / x[period]

    Source: arithmetic; TA-Lib ROCP.

    Null: where x[period] is zero.

    Slots: those of `lag_step`.
    """
    before = lag_step(state, at, period, x)
    return (x - before) / before if before != 0.0 else math.nan


def fast_below_slow(settings: Settings) -> str | None:
    """Return what is wrong when `fast` is not below `slow`, or None."""
    if settings["fast"] < settings["slow"]:
        return None
    return f"fast ({settings['fast']}) must be below slow ({settings['slow']})"


OSCILLATORS = (
    Definition(
        name="RSI",
        summary="Wilder's relative strength index, 0 to 100",
        inputs=CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=rsi_step,
        state_size=lambda _: 6,
        warmup=lambda s: whole(s) + 1,
        uses=(wilder_step,),
    ),
    Definition(
        name="MACD",
        summary="difference of two exponential averages, its signal average and the histogram",
        inputs=CLOSE,
        parameters=(period(12, name="fast"), period(26, name="slow"), period(9, name="signal")),
        outputs=(
            Output("line", Unit.INPUT, aliases=("macd",)),
            Output("signal", Unit.INPUT),
            Output("histogram", Unit.INPUT),
        ),
        step=macd_step,
        state_size=lambda _: 6,
        warmup=lambda s: whole(s, "slow") + whole(s, "signal") - 1,
        uses=(ema_step,),
        constraint=fast_below_slow,
    ),
    Definition(
        name="price_change",
        summary="change of the price against `period` bars before, as a percentage",
        inputs=CLOSE,
        parameters=(Parameter("period", ParameterKind.BARS, Fraction(1), Fraction(PERIOD_MAX)),),
        outputs=(Output("value", Unit.PERCENT),),
        step=price_change_step,
        state_size=lambda s: 1 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step,),
    ),
)
