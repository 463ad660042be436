"""Trend: its age, its stops, and whether there is one."""

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
from jts_trading.indicators.volatility import atr_step, true_range_step
from jts_trading.indicators.windows import (
    highest_step,
    lag_step,
    lowest_step,
    since_highest_step,
    sum_step,
)


def aroon_step(state: State, at: int, period: int, high: float, low: float) -> tuple[float, float]:
    """Return Aroon up and down, 0 to 100.

    Formula: 100 * (period - bars since the highest high (up) or lowest low (down) of `period` + 1
    bars) / period; of equals the newest counts

    Source: Tushar Chande, Stocks & Commodities (1995); TA-Lib AROON.

    Slots: two windows of places.
    """
    if math.isnan(high) or math.isnan(low):
        return math.nan, math.nan
    top = since_highest_step(state, at, period + 1, high)
    bottom = since_highest_step(state, at + 5 + 2 * period, period + 1, -low)
    return 100.0 * (period - top) / period, 100.0 * (period - bottom) / period


def aroon_oscillator_step(state: State, at: int, period: int, high: float, low: float) -> float:
    """Return the difference of Aroon up and down, -100 to 100.

    Formula: up - down of Aroon

    Source: Tushar Chande, Stocks & Commodities (1995); TA-Lib AROONOSC.

    Slots: two windows of places.
    """
    up, down = aroon_step(state, at, period, high, low)
    return up - down


def sar_move_step(
    state: State, at: int, start: float, maximum: float, high: float, low: float
) -> float:
    """Return the stop of this bar and put the one of the next bar into the state.

    A falling market is a rising one upside down: with `sign` -1 highs are negative lows.
    """
    sign = state[at + 1]
    best = high if sign > 0.0 else -low
    worst = low if sign > 0.0 else -high
    old_best, old_worst = state[at + 5], state[at + 6]
    if sign < 0.0:
        old_best, old_worst = -state[at + 6], -state[at + 5]
    stop, extreme = sign * state[at + 3], sign * state[at + 2]
    if worst <= stop:
        # The trend turns: the stop is the extreme of the old one, outside both bars.
        shown = max(extreme, old_best, best)
        state[at + 1] = -sign
        state[at + 4] = start
        extreme = worst
        stop = max(shown + start * (extreme - shown), old_best, best)
    else:
        shown = stop
        if best > extreme:
            extreme = best
            state[at + 4] = min(state[at + 4] + start, maximum)
        stop = min(stop + state[at + 4] * (extreme - stop), old_worst, worst)
    state[at + 2] = sign * extreme
    state[at + 3] = sign * stop
    return sign * shown


def parabolic_sar_step(
    state: State, at: int, acceleration: float, maximum: float, high: float, low: float
) -> float:
    """Return Wilder's parabolic stop and reverse.

    Formula: SAR = SAR[1] + a * (extreme - SAR[1]), not beyond the last two lows (highs in a
    falling market); a begins at `acceleration` and grows by it with each new extreme, up to
    `maximum`; where the price reaches the SAR it turns to the extreme. The market starts as
    falling where the low of the second bar fell by more than its high rose

    Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978); TA-Lib SAR.

    Slots: 1 once a bar was seen and 2 from the second one on, 1 or -1 for the trend, extreme, stop
    of the next bar, acceleration, last high and low.
    """
    if math.isnan(high) or math.isnan(low):
        return math.nan
    seen = state[at]
    if seen == 0.0:
        state[at] = 1.0
        state[at + 5] = high
        state[at + 6] = low
        return math.nan
    if seen == 1.0:
        state[at] = 2.0
        fall = state[at + 6] - low
        is_falling = fall > 0.0 and fall > high - state[at + 5]
        state[at + 1] = -1.0 if is_falling else 1.0
        state[at + 2] = low if is_falling else high
        state[at + 3] = state[at + 5] if is_falling else state[at + 6]
        state[at + 4] = acceleration
        # The second bar also stands for the one before it.
        state[at + 5] = high
        state[at + 6] = low
    stop = sar_move_step(state, at, acceleration, maximum, high, low)
    state[at + 5] = high
    state[at + 6] = low
    return stop


def supertrend_step(
    state: State, at: int, period: int, factor: float, high: float, low: float, close: float
) -> tuple[float, float]:
    """Return the stop line and the trend, 1 rising or -1 falling.

    Formula: lower = (high + low) / 2 - factor * ATR(period), never falling while close[1] stayed
    above lower[1]; upper likewise upside down; the trend turns down where the close is below
    lower, and up where it is above upper; the line is lower in a rising trend, else upper. It
    starts as rising

    Source: Olivier Seban; TA-Lib SUPERTREND.

    Slots: the average true range, trend (0 before the first), upper, lower, last close.
    """
    width = factor * atr_step(state, at, period, high, low, close)
    if math.isnan(width):
        return math.nan, math.nan
    middle = (high + low) / 2.0
    upper, lower = middle + width, middle - width
    trend, before = state[at + 4], state[at + 7]
    if trend == 0.0:
        trend = 1.0
    else:
        if upper > state[at + 5] and before <= state[at + 5]:
            upper = state[at + 5]
        if lower < state[at + 6] and before >= state[at + 6]:
            lower = state[at + 6]
        if trend > 0.0 and close < lower:
            trend = -1.0
        elif trend < 0.0 and close > upper:
            trend = 1.0
    state[at + 4] = trend
    state[at + 5] = upper
    state[at + 6] = lower
    state[at + 7] = close
    return lower if trend > 0.0 else upper, trend


def vortex_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> tuple[float, float]:
    """Return the upward and the downward vortex.

    Formula: plus = sum of abs(high - low[1]) / sum of the true range, minus = sum of abs(low -
    high[1]) / sum of the true range, over `period` bars

    Source: Etienne Botes and Douglas Siepman, Stocks & Commodities (2010); TA-Lib VORTEX.

    Null: where the window has no range.

    Slots: 1 once a bar was seen, last high, low and close, three sums.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan, math.nan
    old_high, old_low, old_close = state[at + 1], state[at + 2], state[at + 3]
    state[at + 1], state[at + 2], state[at + 3] = high, low, close
    if state[at] == 0.0:
        state[at] = 1.0
        return math.nan, math.nan
    span = max(high, old_close) - min(low, old_close)
    plus = sum_step(state, at + 4, period, abs(high - old_low))
    minus = sum_step(state, at + 6 + period, period, abs(low - old_high))
    total = sum_step(state, at + 8 + 2 * period, period, span)
    if total == 0.0:
        return math.nan, math.nan
    return plus / total, minus / total


def middle_step(state: State, at: int, period: int, high: float, low: float) -> float:
    """Return the sum of the highest high and the lowest low of the window.

    Slots: highest and lowest.
    """
    top = highest_step(state, at, period, high)
    return top + lowest_step(state, at + 2 + period, period, low)


def ichimoku_step(
    state: State,
    at: int,
    conversion: int,
    baseline: int,
    span: int,
    displacement: int,
    high: float,
    low: float,
    close: float,
) -> tuple[float, float, float, float, float, float, float]:
    """Return the numerators of all lines as they stand over this bar, and of the cloud ahead.

    Formula: conversion, baseline and future_b are (highest high + lowest low) / 2 over their
    periods, future_a = (conversion + baseline) / 2; span_a and span_b are future_a and future_b of
    `displacement` - 1 bars ago, which is the cloud drawn over this bar; lagging is the close,
    drawn as many bars back: compare it with close[displacement - 1]. Nothing looks ahead

    Source: Goichi Hosoda, Ichimoku Kinko Hyo (1969); TradingView Ichimoku Cloud.

    Slots: three pairs of highest and lowest, the values of two lags.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan
    quick = middle_step(state, at, conversion, high, low)
    at += 4 + 2 * conversion
    calm = middle_step(state, at, baseline, high, low)
    at += 4 + 2 * baseline
    ahead_b = middle_step(state, at, span, high, low)
    at += 4 + 2 * span
    ahead_a = quick + calm
    if displacement == 1:
        return quick, calm, ahead_a, ahead_b, close, ahead_a, ahead_b
    over_a = lag_step(state, at, displacement - 1, ahead_a)
    over_b = lag_step(state, at + displacement, displacement - 1, ahead_b)
    return quick, calm, over_a, over_b, close, ahead_a, ahead_b


def choppiness_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> float:
    """Return the choppiness index, 0 (trend) to 100 (none).

    Formula: 100 * log10(sum of the true range / (highest high - lowest low)) / log10(period), over
    `period` bars

    Source: E. W. Dreiss; TradingView Choppiness Index.

    Null: where the window has no range.

    Slots: the true range, its sum, highest and lowest.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan
    span = true_range_step(state, at, high, low, close)
    total = sum_step(state, at + 2, period, span)
    width = highest_step(state, at + 4 + period, period, high)
    width -= lowest_step(state, at + 6 + 2 * period, period, low)
    if not (total > 0.0 and width > 0.0):
        return math.nan
    return 100.0 * math.log10(total / width) / math.log10(period)


def mass_index_step(
    state: State, at: int, period: int, smoothing: int, high: float, low: float
) -> float:
    """Return Dorsey's mass index.

    Formula: sum of E / EMA(E, smoothing) over `period` bars, E = EMA(high - low, smoothing)

    Source: Donald Dorsey, Stocks & Commodities (1992); TA-Lib MASSI.

    Null: as long as no bar had a range; such a bar does not count.

    Slots: two exponential averages, the sum.
    """
    first = ema_step(state, at, smoothing, high - low)
    second = ema_step(state, at + 2, smoothing, first)
    ratio = first / second if second != 0.0 else math.nan
    return sum_step(state, at + 4, period, ratio)


def vhf_step(state: State, at: int, period: int, x: float) -> float:
    """Return the vertical horizontal filter, 0 (no trend) to 1.

    Formula: (highest(x, period) - lowest(x, period)) / sum of abs(x - x[1]) over `period` changes

    Source: Adam White, Futures (1991); TA-Lib VHF.

    Null: where no price moved in the whole window.

    Slots: the last value with its lag, highest and lowest, the sum.
    """
    before = lag_step(state, at, 1, x)
    width = highest_step(state, at + 2, period, x) - lowest_step(state, at + 4 + period, period, x)
    way = sum_step(state, at + 6 + 2 * period, period, abs(x - before))
    return width / way if way != 0.0 else math.nan


def chande_kroll_step(
    state: State,
    at: int,
    period: int,
    factor: float,
    smoothing: int,
    high: float,
    low: float,
    close: float,
) -> tuple[float, float]:
    """Return the stops of long and short positions.

    Formula: long = highest(highest(high, period) - factor * ATR(period), smoothing), short =
    lowest(lowest(low, period) + factor * ATR(period), smoothing); long is the stop of a long
    position (TradingView names it after the side that it leads to)

    Source: Tushar Chande and Stanley Kroll, The New Technical Trader (1994).

    Slots: the average true range, two pairs of highest and lowest.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan, math.nan
    width = factor * atr_step(state, at, period, high, low, close)
    at += 4
    top = highest_step(state, at, period, high) - width
    at += 2 + period
    bottom = lowest_step(state, at, period, low) + width
    at += 2 + period
    long = highest_step(state, at, smoothing, top)
    return long, lowest_step(state, at + 2 + smoothing, smoothing, bottom)


def alligator_step(
    state: State, at: int, jaw: int, teeth: int, lips: int, high: float, low: float
) -> tuple[float, float, float]:
    """Return jaw, teeth and lips as they stand over this bar.

    Formula: RMA((high + low) / 2) over `jaw`, `teeth` and `lips` bars, of 8, 5 and 3 bars ago

    Source: Bill Williams, New Trading Dimensions (1998); TradingView Williams Alligator.

    Slots: three Wilder averages, the values of three lags.
    """
    middle = (high + low) / 2.0
    slow = lag_step(state, at + 6, 8, wilder_step(state, at, jaw, middle))
    calm = lag_step(state, at + 15, 5, wilder_step(state, at + 2, teeth, middle))
    return slow, calm, lag_step(state, at + 21, 3, wilder_step(state, at + 4, lips, middle))


def _start_below_maximum(s: Settings) -> str | None:
    if s["acceleration"] <= s["maximum"]:
        return None
    return "acceleration must not be above maximum"


def _halved(name: str, alias: str, divisor: int) -> Output:
    return Output(name, Unit.INPUT, divisor=lambda _: divisor, aliases=(alias,))


ICHIMOKU_LINES = (
    _halved("conversion", "tenkan", 2),
    _halved("baseline", "kijun", 2),
    _halved("span_a", "senkou_a", 4),
    _halved("span_b", "senkou_b", 2),
    _halved("lagging", "chikou", 1),
    Output("future_a", Unit.INPUT, divisor=lambda _: 4),
    Output("future_b", Unit.INPUT, divisor=lambda _: 2),
)


def _ichimoku_slots(s: Settings) -> int:
    windows = sum(4 + 2 * whole(s, name) for name in ("conversion", "baseline", "span"))
    return windows + 2 * whole(s, "displacement")


def _ichimoku_start(s: Settings) -> int:
    longest = max(whole(s, name) for name in ("conversion", "baseline", "span"))
    return longest + whole(s, "displacement") - 1


def _alligator_start(s: Settings) -> int:
    return max(whole(s, "jaw") + 8, whole(s, "teeth") + 5, whole(s, "lips") + 3)


TREND = (
    Definition(
        name="Aroon",
        summary="age of the highest high and of the lowest low, 100 when new",
        inputs=HIGH_LOW,
        parameters=(period(14),),
        outputs=(Output("up", Unit.NUMBER), Output("down", Unit.NUMBER)),
        step=aroon_step,
        state_size=lambda s: 10 + 4 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(since_highest_step,),
    ),
    Definition(
        name="AroonOscillator",
        aliases=("AROONOSC",),
        summary="difference of Aroon up and down, -100 to 100",
        inputs=HIGH_LOW,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=aroon_oscillator_step,
        state_size=lambda s: 10 + 4 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(since_highest_step, aroon_step),
    ),
    Definition(
        name="ParabolicSAR",
        aliases=("SAR", "PSAR"),
        summary="Wilder's parabolic stop and reverse",
        inputs=HIGH_LOW,
        parameters=(
            number("acceleration", "0.02", "0.001", "1"),
            number("maximum", "0.2", "0.001", "1"),
        ),
        outputs=(VALUE,),
        constraint=_start_below_maximum,
        step=parabolic_sar_step,
        state_size=lambda _: 7,
        warmup=lambda _: 2,
        uses=(sar_move_step,),
    ),
    Definition(
        name="SuperTrend",
        summary="stop line some average true ranges away, and the trend",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(10), number("factor", "3", "0.01", "100")),
        outputs=(Output("line", Unit.INPUT), Output("trend", Unit.NUMBER)),
        step=supertrend_step,
        state_size=lambda _: 8,
        warmup=lambda s: whole(s) + 1,
        uses=(wilder_step, true_range_step, atr_step),
    ),
    Definition(
        name="Vortex",
        summary="upward and downward vortex",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(Output("plus", Unit.NUMBER), Output("minus", Unit.NUMBER)),
        step=vortex_step,
        state_size=lambda s: 10 + 3 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(sum_step,),
    ),
    Definition(
        name="Ichimoku",
        summary="all lines of the Ichimoku chart over this bar, and the cloud ahead",
        inputs=HIGH_LOW_CLOSE,
        parameters=(
            period(9, name="conversion"),
            period(26, name="baseline"),
            period(52, name="span"),
            period(26, name="displacement"),
        ),
        outputs=ICHIMOKU_LINES,
        step=ichimoku_step,
        state_size=_ichimoku_slots,
        warmup=_ichimoku_start,
        uses=(highest_step, lowest_step, lag_step, middle_step),
        is_linear=True,
    ),
    Definition(
        name="Choppiness",
        aliases=("CHOP",),
        summary="choppiness index, 0 (trend) to 100 (none)",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14, low=2),),
        outputs=(NUMBER_VALUE,),
        step=choppiness_step,
        state_size=lambda s: 8 + 3 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(true_range_step, sum_step, highest_step, lowest_step),
    ),
    Definition(
        name="MassIndex",
        aliases=("MASSI",),
        summary="Dorsey's mass index: widening and narrowing of the bars",
        inputs=HIGH_LOW,
        parameters=(period(25), period(9, name="smoothing")),
        outputs=(NUMBER_VALUE,),
        step=mass_index_step,
        state_size=lambda s: 6 + whole(s),
        warmup=lambda s: whole(s) + 2 * whole(s, "smoothing") - 2,
        uses=(ema_step, sum_step),
    ),
    Definition(
        name="VHF",
        summary="vertical horizontal filter, 0 (no trend) to 1",
        inputs=CLOSE,
        parameters=(period(28),),
        outputs=(NUMBER_VALUE,),
        step=vhf_step,
        state_size=lambda s: 8 + 3 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, highest_step, lowest_step, sum_step),
    ),
    Definition(
        name="ChandeKrollStop",
        aliases=("CKSP",),
        summary="stops of long and short positions, smoothed over some bars",
        inputs=HIGH_LOW_CLOSE,
        parameters=(
            period(10),
            number("factor", "1", "0.01", "100"),
            period(9, name="smoothing"),
        ),
        outputs=(Output("long", Unit.INPUT), Output("short", Unit.INPUT)),
        step=chande_kroll_step,
        state_size=lambda s: 12 + 2 * whole(s) + 2 * whole(s, "smoothing"),
        warmup=lambda s: whole(s) + whole(s, "smoothing"),
        uses=(wilder_step, true_range_step, atr_step, highest_step, lowest_step),
    ),
    Definition(
        name="Alligator",
        summary="three averages of the middle of the bars, each shifted forward",
        inputs=HIGH_LOW,
        parameters=(
            period(13, name="jaw"),
            period(8, name="teeth"),
            period(5, name="lips"),
        ),
        outputs=tuple(Output(name, Unit.INPUT) for name in ("jaw", "teeth", "lips")),
        step=alligator_step,
        state_size=lambda _: 25,
        warmup=_alligator_start,
        uses=(wilder_step, lag_step),
    ),
)
