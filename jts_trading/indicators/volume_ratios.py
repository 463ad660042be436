"""Volume against volume, and against the prices of the same bars."""

import math

from jts_trading.indicators.averages import ema_step
from jts_trading.indicators.definition import (
    HIGH_LOW_CLOSE,
    HIGH_LOW_CLOSE_VOLUME,
    NUMBER_VALUE,
    VALUE,
    VOLUME,
    Definition,
    Output,
    State,
    Unit,
    fast_below_slow,
    period,
    whole,
)
from jts_trading.indicators.volume import CLOSE_VOLUME, avg_volume_step
from jts_trading.indicators.windows import lag_step, sum_step


def volume_oscillator_step(state: State, at: int, fast: int, slow: int, volume: float) -> float:
    """Return the difference of a quick and a slow mean volume in percent of the slow one.

    Formula: 100 * (SMA(volume, fast) - SMA(volume, slow)) / SMA(volume, slow)

    Source: pandas-ta-classic vosc.

    Null: where nothing traded in the slow window.

    Slots: two sums.
    """
    quick = sum_step(state, at, fast, volume) * slow
    calm = sum_step(state, at + 2 + fast, slow, volume) * fast
    return 100.0 * (quick - calm) / calm if calm != 0.0 else math.nan


def klinger_step(
    state: State,
    at: int,
    fast: int,
    slow: int,
    signal: int,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> tuple[float, float]:
    """Return Klinger's volume oscillator and its signal average.

    Formula: line = EMA(V, fast) - EMA(V, slow), V = volume where high + low + close did not fall,
    else - volume; signal = EMA(line, signal)

    Source: Stephen Klinger, Stocks & Commodities (1997); TradingView Klinger Oscillator.

    Slots: the last price with its lag, three exponential averages.
    """
    price = high + low + close
    if math.isnan(price) or math.isnan(volume):
        return math.nan, math.nan
    before = lag_step(state, at, 1, price)
    if math.isnan(before):
        return math.nan, math.nan
    flow = volume if price >= before else -volume
    line = ema_step(state, at + 2, fast, flow) - ema_step(state, at + 4, slow, flow)
    return line, ema_step(state, at + 6, signal, line)


def volume_ratio_step(state: State, at: int, period: int, close: float, volume: float) -> float:
    """Return the volume of rises in percent of that of falls.

    Formula: 100 * (up + flat / 2) / (down + flat / 2), sums of the volume over the bars of the
    window on which the close rose, fell, or stayed

    Source: volume ratio of Japanese and Korean charts.

    Null: where nothing traded on falls and flat bars.

    Slots: the last close with its lag, two sums.
    """
    if math.isnan(close) or math.isnan(volume):
        return math.nan
    before = lag_step(state, at, 1, close)
    if math.isnan(before):
        return math.nan
    half = volume if close == before else 0.0
    up = sum_step(state, at + 2, period, 2.0 * volume if close > before else half)
    down = sum_step(state, at + 4 + period, period, 2.0 * volume if close < before else half)
    return 100.0 * up / down if down != 0.0 else math.nan


def market_facilitation_step(
    _state: State, _at: int, high: float, low: float, volume: float
) -> float:
    """Return the range per unit of volume.

    Formula: (high - low) / volume

    Source: Bill Williams, Trading Chaos (1995); TA-Lib MARKETFI.

    Null: where nothing traded.

    Slots: none.
    """
    return (high - low) / volume if volume != 0.0 else math.nan


def williams_ad_step(state: State, at: int, high: float, low: float, close: float) -> float:
    """Return Williams' accumulation and distribution of prices.

    Formula: WAD[1] + close - min(low, close[1]) where the close rose, + close - max(high,
    close[1]) where it fell; starts at 0

    Source: Larry Williams, The Secrets of Selecting Stocks (1972); TA-Lib WAD.

    Slots: 1 once a bar was seen, the last close, the total.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan
    before = state[at + 1]
    state[at + 1] = close
    if state[at] == 0.0:
        state[at] = 1.0
        return 0.0
    if close > before:
        state[at + 2] += close - min(low, before)
    elif close < before:
        state[at + 2] += close - max(high, before)
    return state[at + 2]


def relative_volume_step(state: State, at: int, period: int, volume: float) -> float:
    """Return the volume as a multiple of what is usual.

    Formula: volume / avg_volume(period)

    Source: TA-Lib RVOL.

    Null: where nothing traded on the bars before.

    Slots: those of `sum_step`.
    """
    before = avg_volume_step(state, at, period, volume)
    return volume * period / before if before != 0.0 else math.nan


VOLUME_RATIOS = (
    Definition(
        name="RelativeVolume",
        aliases=("RVOL",),
        summary="volume as a multiple of the mean of the bars before",
        inputs=VOLUME,
        parameters=(period(20),),
        outputs=(NUMBER_VALUE,),
        step=relative_volume_step,
        state_size=lambda s: 2 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(sum_step, avg_volume_step),
    ),
    Definition(
        name="VolumeOscillator",
        aliases=("VOSC",),
        summary="difference of a quick and a slow mean volume in percent",
        inputs=VOLUME,
        parameters=(period(5, name="fast"), period(10, name="slow")),
        outputs=(NUMBER_VALUE,),
        step=volume_oscillator_step,
        state_size=lambda s: 4 + whole(s, "fast") + whole(s, "slow"),
        warmup=lambda s: whole(s, "slow"),
        uses=(sum_step,),
        constraint=fast_below_slow,
    ),
    Definition(
        name="Klinger",
        aliases=("KVO",),
        summary="Klinger's volume oscillator and its signal average",
        inputs=HIGH_LOW_CLOSE_VOLUME,
        parameters=(
            period(34, name="fast"),
            period(55, name="slow"),
            period(13, name="signal"),
        ),
        outputs=(Output("line", Unit.NUMBER), Output("signal", Unit.NUMBER)),
        step=klinger_step,
        state_size=lambda _: 8,
        warmup=lambda s: whole(s, "slow") + whole(s, "signal"),
        uses=(ema_step, lag_step),
        constraint=fast_below_slow,
    ),
    Definition(
        name="VolumeRatio",
        aliases=("VR",),
        summary="volume of rises in percent of that of falls",
        inputs=CLOSE_VOLUME,
        parameters=(period(20),),
        outputs=(NUMBER_VALUE,),
        step=volume_ratio_step,
        state_size=lambda s: 6 + 2 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, sum_step),
    ),
    Definition(
        name="MarketFacilitation",
        aliases=("MARKETFI", "BWMFI"),
        summary="range of the bar per unit of volume",
        inputs=("high", "low", "volume"),
        parameters=(),
        outputs=(VALUE,),
        step=market_facilitation_step,
        state_size=lambda _: 0,
        warmup=lambda _: 1,
    ),
    Definition(
        name="WilliamsAD",
        aliases=("WAD",),
        summary="Williams' accumulation and distribution of prices",
        inputs=HIGH_LOW_CLOSE,
        parameters=(),
        outputs=(VALUE,),
        step=williams_ad_step,
        state_size=lambda _: 3,
        warmup=lambda _: 1,
    ),
)
