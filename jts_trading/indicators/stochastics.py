"""Oscillators that place a value inside the range of its window."""

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
    fast_below_slow,
    number,
    period,
    whole,
)
from jts_trading.indicators.oscillators import rsi_step
from jts_trading.indicators.symbols import derive
from jts_trading.indicators.windows import highest_step, lowest_step, sum_step


def place_step(state: State, at: int, period: int, high: float, low: float, close: float) -> float:
    """Return the place of the close inside the range of the window, 0 to 100; null without one.

    Slots: highest and lowest.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan
    top = highest_step(state, at, period, high)
    bottom = lowest_step(state, at + 2 + period, period, low)
    return 100.0 * (close - bottom) / (top - bottom) if top != bottom else math.nan


def stochastic_step(
    state: State, at: int, period: int, k: int, d: int, high: float, low: float, close: float
) -> tuple[float, float]:
    """Return the slow stochastic oscillator: %K smoothed, and its mean %D.

    Formula: k = SMA(100 * (close - lowest) / (highest - lowest), k) over the lows and highs of
    `period` bars, d = SMA(k, d)

    Source: George Lane (1984); TA-Lib STOCH.

    Null: where the window has no range; such a bar does not count for the means.

    Slots: highest and lowest, two sums.
    """
    raw = place_step(state, at, period, high, low, close)
    at += 4 + 2 * period
    smooth = sum_step(state, at, k, raw) / k
    return smooth, sum_step(state, at + 2 + k, d, smooth) / d


def fast_stochastic_step(
    state: State, at: int, period: int, d: int, high: float, low: float, close: float
) -> tuple[float, float]:
    """Return the fast stochastic oscillator: %K and its mean %D.

    Formula: k = 100 * (close - lowest) / (highest - lowest) over the lows and highs of `period`
    bars, d = SMA(k, d)

    Source: George Lane (1984); TA-Lib STOCHF.

    Null: where the window has no range; such a bar does not count for the mean.

    Slots: highest and lowest, the sum.
    """
    raw = place_step(state, at, period, high, low, close)
    return raw, sum_step(state, at + 4 + 2 * period, d, raw) / d


def kdj_step(
    state: State, at: int, period: int, k: int, d: int, high: float, low: float, close: float
) -> tuple[float, float, float]:
    """Return K, D and J.

    Formula: k = RMA(100 * (close - lowest) / (highest - lowest), k), d = RMA(k, d),
    j = 3 * k - 2 * d

    Source: TA-Lib KDJ.

    Null: where the window has no range; such a bar does not count for the averages.

    Slots: highest and lowest, two Wilder averages.
    """
    raw = place_step(state, at, period, high, low, close)
    smooth = wilder_step(state, at + 4 + 2 * period, k, raw)
    average = wilder_step(state, at + 6 + 2 * period, d, smooth)
    return smooth, average, 3.0 * smooth - 2.0 * average


def stoch_rsi_step(
    state: State, at: int, rsi: int, period: int, k: int, d: int, x: float
) -> tuple[float, float]:
    """Return the stochastic oscillator of the RSI: %K smoothed, and its mean %D.

    Formula: k = SMA(100 * (R - lowest(R, period)) / (highest(R, period) - lowest(R, period)), k)
    with R = RSI(x, rsi), d = SMA(k, d)

    Source: Tushar Chande and Stanley Kroll, The New Technical Trader (1994); TA-Lib STOCHRSI.

    Null: where the RSI does not move in the whole window.

    Slots: RSI, highest and lowest, two sums.
    """
    strength = rsi_step(state, at, rsi, x)
    raw = place_step(state, at + 6, period, strength, strength, strength)
    at += 10 + 2 * period
    smooth = sum_step(state, at, k, raw) / k
    return smooth, sum_step(state, at + 2 + k, d, smooth) / d


def williams_r_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> float:
    """Return Williams' %R, -100 to 0.

    Formula: -100 * (highest - close) / (highest - lowest) over the highs and lows of the window

    Source: Larry Williams, How I Made One Million Dollars (1973); TA-Lib WILLR.

    Null: where the window has no range.

    Slots: highest and lowest.
    """
    return place_step(state, at, period, high, low, close) - 100.0


def smi_step(
    state: State,
    at: int,
    period: int,
    fast: int,
    slow: int,
    signal: int,
    high: float,
    low: float,
    close: float,
) -> tuple[float, float]:
    """Return Blau's stochastic momentum index, -100 to 100, and its signal average.

    Formula: line = 100 * EMA(EMA(close - (highest + lowest) / 2, slow), fast) /
    (EMA(EMA(highest - lowest, slow), fast) / 2) over the highs and lows of `period` bars,
    signal = EMA(line, signal)

    Source: William Blau, Stocks & Commodities (1993); TA-Lib SMI.

    Null: as long as the smoothed range is zero.

    Slots: highest and lowest, five exponential averages.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan, math.nan
    top = highest_step(state, at, period, high)
    bottom = lowest_step(state, at + 2 + period, period, low)
    at += 4 + 2 * period
    distance = ema_step(state, at, slow, close - (top + bottom) / 2.0)
    distance = ema_step(state, at + 2, fast, distance)
    span = ema_step(state, at + 6, fast, ema_step(state, at + 4, slow, top - bottom))
    line = 200.0 * distance / span if span != 0.0 else math.nan
    return line, ema_step(state, at + 8, signal, line)


def fisher_step(
    state: State, at: int, period: int, high: float, low: float
) -> tuple[float, float]:
    """Return Ehlers' Fisher transform of (high + low) / 2, and its value one bar ago.

    Formula: line = ln((1 + v) / (1 - v)) / 2 + line[1] / 2, v = 0.66 * (p - 0.5) + 0.67 * v[1]
    cut to -0.999 to 0.999 beyond 0.99, p = the place of the price in the range of its window, 0
    to 1; signal = line[1]

    Source: John Ehlers, Using the Fisher Transform (2002); TradingView Fisher Transform.

    Null: where the window has no range; such a bar does not count.

    Slots: v, line, 1 once there was a line, highest and lowest.
    """
    if math.isnan(high) or math.isnan(low):
        return math.nan, math.nan
    price = (high + low) / 2.0
    top = highest_step(state, at + 3, period, price)
    bottom = lowest_step(state, at + 5 + period, period, price)
    if math.isnan(top) or top == bottom:
        return math.nan, math.nan
    value = 0.66 * ((price - bottom) / (top - bottom) - 0.5) + 0.67 * state[at]
    if value > 0.99:
        value = 0.999
    if value < -0.99:
        value = -0.999
    before = state[at + 1]
    line = 0.5 * math.log((1.0 + value) / (1.0 - value)) + 0.5 * before
    signal = before if state[at + 2] > 0.0 else math.nan
    state[at] = value
    state[at + 1] = line
    state[at + 2] = 1.0
    return line, signal


def schaff_step(
    state: State, at: int, period: int, fast: int, slow: int, weight: float, x: float
) -> float:
    """Return Schaff's trend cycle, 0 to 100.

    Formula: twice in a row, first for M = EMA(x, fast) - EMA(x, slow): the place of the series in
    the range of its last `period` values, 0 to 100, smoothed by s = s[1] + weight * (place - s[1])

    Source: Doug Schaff (1999); TradingView Schaff Trend Cycle.

    Null: where a window has no range before the first value; later the place stays where it was.

    Slots: two exponential averages; for each of both turns 1 once there was a value, place,
    smoothed value, highest and lowest.
    """
    series = ema_step(state, at, fast, x) - ema_step(state, at + 2, slow, x)
    at += 4
    for _ in range(2):
        place = place_step(state, at + 3, period, series, series, series)
        if math.isnan(series):
            return math.nan
        if math.isnan(place):
            place = state[at + 1] if state[at] > 0.0 else math.nan
        if math.isnan(place):
            series = math.nan
        elif state[at] == 0.0:
            series = place
        else:
            series = state[at + 2] + weight * (place - state[at + 2])
        if not math.isnan(series):
            state[at] = 1.0
            state[at + 1] = place
            state[at + 2] = series
        at += 7 + 2 * period
    return series


K_AND_D = (Output("k", Unit.NUMBER), Output("d", Unit.NUMBER))


def _range_slots(settings: Settings) -> int:
    return 4 + 2 * whole(settings)


STOCHASTICS = (
    Definition(
        name="Stochastic",
        aliases=("STOCH",),
        summary="place of the close in the range of the window, smoothed, and its mean",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14), period(3, name="k"), period(3, name="d")),
        outputs=K_AND_D,
        step=stochastic_step,
        state_size=lambda s: _range_slots(s) + 4 + whole(s, "k") + whole(s, "d"),
        warmup=lambda s: whole(s) + whole(s, "k") + whole(s, "d") - 2,
        uses=(highest_step, lowest_step, sum_step, place_step),
    ),
    Definition(
        name="FastStochastic",
        aliases=("STOCHF",),
        summary="place of the close in the range of the window, and its mean",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14), period(3, name="d")),
        outputs=K_AND_D,
        step=fast_stochastic_step,
        state_size=lambda s: _range_slots(s) + 2 + whole(s, "d"),
        warmup=lambda s: whole(s) + whole(s, "d") - 1,
        uses=(highest_step, lowest_step, sum_step, place_step),
    ),
    Definition(
        name="KDJ",
        summary="stochastic oscillator smoothed by Wilder's average, and its lead J",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(9), period(3, name="k"), period(3, name="d")),
        outputs=(*K_AND_D, Output("j", Unit.NUMBER)),
        step=kdj_step,
        state_size=lambda s: _range_slots(s) + 4,
        warmup=lambda s: whole(s) + whole(s, "k") + whole(s, "d") - 2,
        uses=(highest_step, lowest_step, wilder_step, place_step),
    ),
    Definition(
        name="StochRSI",
        summary="stochastic oscillator of the RSI",
        inputs=CLOSE,
        parameters=(
            period(14, name="rsi"),
            period(14),
            period(3, name="k"),
            period(3, name="d"),
        ),
        outputs=K_AND_D,
        step=stoch_rsi_step,
        state_size=lambda s: 10 + _range_slots(s) + whole(s, "k") + whole(s, "d"),
        warmup=lambda s: whole(s, "rsi") + whole(s) + whole(s, "k") + whole(s, "d") - 2,
        uses=(highest_step, lowest_step, sum_step, wilder_step, rsi_step, place_step),
    ),
    Definition(
        name="WilliamsR",
        aliases=("WILLR",),
        summary="Williams' %R, -100 to 0",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=williams_r_step,
        state_size=_range_slots,
        warmup=whole,
        uses=(highest_step, lowest_step, place_step),
    ),
    Definition(
        name="SMI",
        summary="Blau's stochastic momentum index, -100 to 100, and its signal average",
        inputs=HIGH_LOW_CLOSE,
        parameters=(
            period(13),
            period(2, name="fast"),
            period(25, name="slow"),
            period(9, name="signal"),
        ),
        outputs=(Output("line", Unit.NUMBER), Output("signal", Unit.NUMBER)),
        step=smi_step,
        state_size=lambda s: _range_slots(s) + 10,
        warmup=lambda s: derive(int, sum(s.values())) - 3,
        uses=(highest_step, lowest_step, ema_step),
        constraint=fast_below_slow,
    ),
    Definition(
        name="Fisher",
        summary="Ehlers' Fisher transform and its value one bar ago",
        inputs=HIGH_LOW,
        parameters=(period(9, low=2),),
        outputs=(Output("line", Unit.NUMBER), Output("signal", Unit.NUMBER)),
        step=fisher_step,
        state_size=lambda s: 3 + _range_slots(s),
        warmup=lambda s: whole(s) + 1,
        uses=(highest_step, lowest_step),
    ),
    Definition(
        name="SchaffTrendCycle",
        aliases=("STC",),
        summary="Schaff's trend cycle, 0 to 100",
        inputs=CLOSE,
        parameters=(
            period(10, low=2),
            period(23, name="fast"),
            period(50, name="slow"),
            number("weight", "0.5", "0.01", "1"),
        ),
        outputs=(NUMBER_VALUE,),
        step=schaff_step,
        state_size=lambda s: 4 + 2 * (3 + _range_slots(s)),
        warmup=lambda s: whole(s, "slow") + 2 * whole(s) - 2,
        uses=(ema_step, highest_step, lowest_step, place_step),
        constraint=fast_below_slow,
    ),
)
