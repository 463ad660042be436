"""Oscillators: RSI, MACD, price change."""

import math
from fractions import Fraction

from jts_trading.indicators.averages import ema_step, wilder_step
from jts_trading.indicators.definition import (
    PERIOD_MAX,
    Definition,
    Output,
    Parameter,
    ParameterKind,
    Settings,
    State,
    Unit,
    period,
)


def rsi_step(state: State, at: int, period: int, x: float) -> float:
    """Return Wilder's relative strength index, 0 to 100; null while no price has ever moved.

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


def macd_step(  # noqa: PLR0917 - compiled code is called by position
    state: State, at: int, fast: int, slow: int, signal: int, x: float
) -> tuple[float, float, float]:
    """Return MACD line, its signal average and their difference.

    The line exists from bar `slow`, signal and histogram from bar `slow + signal - 1`. Slots: the
    three averages.
    """
    line = ema_step(state, at, fast, x) - ema_step(state, at + 2, slow, x)
    average = ema_step(state, at + 4, signal, line)
    return line, average, line - average


def price_change_step(state: State, at: int, period: int, x: float) -> float:
    """Return x / x[period] - 1 in one division; null before and where x[period] is 0.

    Slots: values seen, next place in the window, the window.
    """
    if math.isnan(x):
        return math.nan
    place = int(state[at + 1])
    slot = at + 2 + place
    before = state[slot]
    state[slot] = x
    place += 1
    state[at + 1] = 0 if place == period else place
    if state[at] < period:
        state[at] += 1.0
        return math.nan
    if before == 0.0:
        return math.nan
    return (x - before) / before


def _fast_below_slow(settings: Settings) -> str | None:
    if settings["fast"] < settings["slow"]:
        return None
    return f"fast ({settings['fast']}) must be below slow ({settings['slow']})"


OSCILLATORS = (
    Definition(
        name="RSI",
        summary="Wilder's relative strength index, 0 to 100",
        inputs=("close",),
        parameters=(period(14),),
        outputs=(Output("value", Unit.NUMBER),),
        step=rsi_step,
        state_size=lambda _: 6,
        warmup=lambda s: int(s["period"]) + 1,
        uses=(wilder_step,),
    ),
    Definition(
        name="MACD",
        summary="difference of two exponential averages, its signal average and the histogram",
        inputs=("close",),
        parameters=(period(12, name="fast"), period(26, name="slow"), period(9, name="signal")),
        outputs=(
            Output("line", Unit.INPUT, aliases=("macd",)),
            Output("signal", Unit.INPUT),
            Output("histogram", Unit.INPUT),
        ),
        step=macd_step,
        state_size=lambda _: 6,
        warmup=lambda s: int(s["slow"] + s["signal"]) - 1,
        uses=(ema_step,),
        constraint=_fast_below_slow,
    ),
    Definition(
        name="price_change",
        summary="change of the price against `period` bars before, as a percentage",
        inputs=("close",),
        parameters=(Parameter("period", ParameterKind.BARS, Fraction(1), Fraction(PERIOD_MAX)),),
        outputs=(Output("value", Unit.PERCENT),),
        step=price_change_step,
        state_size=lambda s: 2 + int(s["period"]),
        warmup=lambda s: int(s["period"]) + 1,
    ),
)
