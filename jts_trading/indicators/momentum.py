"""Momentum: changes of one series over some bars, and averages of them."""

import math

from jts_trading.indicators.adaptive import PATH_STEPS, path_size, path_step
from jts_trading.indicators.averages import ema_step, wma_step
from jts_trading.indicators.definition import (
    CLOSE,
    NUMBER_VALUE,
    VOLUME,
    Definition,
    Output,
    Parameter,
    Settings,
    State,
    Unit,
    fast_below_slow,
    number,
    period,
    whole,
)
from jts_trading.indicators.symbols import derive
from jts_trading.indicators.windows import lag_step, line_step, sum_step


def momentum_step(state: State, at: int, period: int, x: float) -> float:
    """Return the change over `period` bars.

    Formula: x - x[period]

    Source: TA-Lib MOM.

    Slots: those of `lag_step`.
    """
    return x - lag_step(state, at, period, x)


def roc_step(state: State, at: int, period: int, x: float) -> float:
    """Return the change over `period` bars in percent of the value then.

    Formula: 100 * (x - x[period]) / x[period]

    Source: TA-Lib ROC.

    Null: where x[period] is zero.

    Slots: those of `lag_step`.
    """
    before = lag_step(state, at, period, x)
    return 100.0 * (x - before) / before if before != 0.0 else math.nan


def apo_step(state: State, at: int, fast: int, slow: int, x: float) -> float:
    """Return the difference of two exponential averages.

    Formula: EMA(x, fast) - EMA(x, slow)

    Source: TA-Lib APO with exponential averages.

    Slots: two exponential averages.
    """
    return ema_step(state, at, fast, x) - ema_step(state, at + 2, slow, x)


def ppo_step(
    state: State, at: int, fast: int, slow: int, signal: int, x: float
) -> tuple[float, float, float]:
    """Return the difference of two averages in percent of the slow one, its signal, and theirs.

    Formula: line = 100 * (EMA(x, fast) - EMA(x, slow)) / EMA(x, slow), signal = EMA(line, signal),
    histogram = line - signal

    Source: Gerald Appel; TA-Lib PPO with exponential averages.

    Null: where the slow average is zero.

    Slots: three exponential averages.
    """
    quick = ema_step(state, at, fast, x)
    calm = ema_step(state, at + 2, slow, x)
    line = 100.0 * (quick - calm) / calm if calm != 0.0 else math.nan
    average = ema_step(state, at + 4, signal, line)
    return line, average, line - average


def trix_step(state: State, at: int, period: int, x: float) -> float:
    """Return the change of the triple smoothed average in percent.

    Formula: 100 * (E3 - E3[1]) / E3[1] with E1 = EMA(x), E2 = EMA(E1), E3 = EMA(E2)

    Source: Jack Hutson (1983); TA-Lib TRIX.

    Null: where E3[1] is zero.

    Slots: three exponential averages, the last value of the third.
    """
    second = ema_step(state, at + 2, period, ema_step(state, at, period, x))
    third = ema_step(state, at + 4, period, second)
    before = lag_step(state, at + 6, 1, third)
    return 100.0 * (third - before) / before if before != 0.0 else math.nan


def dpo_step(state: State, at: int, period: int, x: float) -> float:
    """Return the numerator of an older value's distance from the mean.

    Formula: x[period / 2 + 1] - SMA(x, period); the value of the past is compared with the mean
    of now, so nothing looks ahead

    Source: TA-Lib DPO.

    Slots: the values of the lag, the sum.
    """
    lag = period // 2 + 1
    before = lag_step(state, at, lag, x)
    return before * period - sum_step(state, at + 1 + lag, period, x)


def cmo_step(state: State, at: int, period: int, x: float) -> float:
    """Return Chande's momentum oscillator, -100 to 100.

    Formula: 100 * (up - down) / (up + down), sums of the rises and falls over `period` changes

    Source: Tushar Chande, The New Technical Trader (1994); TA-Lib CMOU.

    Null: where no price moved in the whole window.

    Slots: the path.
    """
    change, way = path_step(state, at, period, x)
    return 100.0 * change / way if way != 0.0 else math.nan


def efficiency_ratio_step(state: State, at: int, period: int, x: float) -> float:
    """Return Kaufman's efficiency ratio, 0 to 1.

    Formula: abs(x - x[period]) / sum of abs(x - x[1]) over `period` changes

    Source: Perry Kaufman, Trading Systems and Methods (1995); TA-Lib ER.

    Null: where no price moved in the whole window.

    Slots: the path.
    """
    change, way = path_step(state, at, period, x)
    return abs(change) / way if way != 0.0 else math.nan


def tsi_step(
    state: State, at: int, slow: int, fast: int, signal: int, x: float
) -> tuple[float, float]:
    """Return Blau's true strength index, -100 to 100, and its signal average.

    Formula: line = 100 * EMA(EMA(x - x[1], slow), fast) / EMA(EMA(abs(x - x[1]), slow), fast),
    signal = EMA(line, signal)

    Source: William Blau, Momentum, Direction and Divergence (1995); TA-Lib TSI.

    Null: as long as no price has moved.

    Slots: last value with its lag, five exponential averages.
    """
    change = x - lag_step(state, at, 1, x)
    moved = ema_step(state, at + 4, fast, ema_step(state, at + 2, slow, change))
    walked = ema_step(state, at + 8, fast, ema_step(state, at + 6, slow, abs(change)))
    line = 100.0 * moved / walked if walked != 0.0 else math.nan
    return line, ema_step(state, at + 10, signal, line)


def smooth_roc_step(state: State, at: int, bars: int, period: int, x: float) -> float:
    """Return the mean rate of change in percent.

    Slots: the values of the lag, the sum.
    """
    before = lag_step(state, at, bars, x)
    change = 100.0 * (x - before) / before if before != 0.0 else math.nan
    return sum_step(state, at + 1 + bars, period, change) / period


def kst_step(
    state: State,
    at: int,
    roc1: int,
    roc2: int,
    roc3: int,
    roc4: int,
    mean1: int,
    mean2: int,
    mean3: int,
    mean4: int,
    signal: int,
    x: float,
) -> tuple[float, float]:
    """Return Pring's know sure thing and its signal mean.

    Formula: line = R1 + 2 * R2 + 3 * R3 + 4 * R4 with Rk = SMA(ROC(x, rock), meank),
    signal = SMA(line, signal)

    Source: Martin Pring, Stocks & Commodities (1992); TradingView KST.

    Null: where a value that is divided by is zero.

    Slots: four mean rates of change, the sum of the signal.
    """
    line = smooth_roc_step(state, at, roc1, mean1, x)
    at += 3 + roc1 + mean1
    line += 2.0 * smooth_roc_step(state, at, roc2, mean2, x)
    at += 3 + roc2 + mean2
    line += 3.0 * smooth_roc_step(state, at, roc3, mean3, x)
    at += 3 + roc3 + mean3
    line += 4.0 * smooth_roc_step(state, at, roc4, mean4, x)
    at += 3 + roc4 + mean4
    return line, sum_step(state, at, signal, line) / signal


def coppock_step(state: State, at: int, long: int, short: int, mean: int, x: float) -> float:
    """Return Coppock's curve.

    Formula: WMA(ROC(x, long) + ROC(x, short), mean)

    Source: Edwin Coppock, Barron's (1962); TA-Lib COPPOCK.

    Null: where a value that is divided by is zero.

    Slots: the values of two lags, the weighted sum.
    """
    older = lag_step(state, at, long, x)
    newer = lag_step(state, at + 1 + long, short, x)
    change = math.nan
    if older != 0.0 and newer != 0.0:
        change = 100.0 * (x - older) / older + 100.0 * (x - newer) / newer
    weighted = wma_step(state, at + 2 + long + short, mean, change)
    return weighted / (mean * (mean + 1) // 2)


def psychological_step(state: State, at: int, period: int, x: float) -> float:
    """Return a hundred times the number of rises among the last `period` changes.

    Formula: 100 * rises / period

    Source: psychological line of Japanese and Korean charts; pandas-ta-classic psl.

    Slots: the last value with its lag, the count.
    """
    before = lag_step(state, at, 1, x)
    if math.isnan(before):
        return math.nan
    return sum_step(state, at + 2, period, 100.0 if x > before else 0.0)


def disparity_step(state: State, at: int, period: int, x: float) -> float:
    """Return the value in percent of its mean.

    Formula: 100 * x / SMA(x, period)

    Source: disparity of Japanese and Korean charts.

    Null: where the mean is zero.

    Slots: the sum.
    """
    total = sum_step(state, at, period, x)
    return 100.0 * x * period / total if total != 0.0 else math.nan


def forecast_oscillator_step(state: State, at: int, period: int, x: float) -> float:
    """Return the distance from the forecast made one bar ago, in percent.

    Formula: 100 * (x - F[1]) / x, F = the least-squares line of the window carried on by one bar

    Source: Tushar Chande, The New Technical Trader (1994); TA-Lib FOSC.

    Null: where x is zero.

    Slots: the line, its last forecast.
    """
    total, weighted = line_step(state, at, period, x)
    slope = 6.0 * (2.0 * weighted - (period + 1.0) * total) / (period * (period * period - 1.0))
    forecast = total / period + slope * (period + 1.0) / 2.0
    before = lag_step(state, at + 3 + period, 1, forecast)
    return 100.0 * (x - before) / x if x != 0.0 else math.nan


def center_of_gravity_step(state: State, at: int, period: int, x: float) -> float:
    """Return Ehlers' center of gravity.

    Formula: -(1 * x + 2 * x[1] + ... + period * x[period - 1]) / (x + x[1] + ... + x[period - 1])

    Source: John Ehlers, The CG Oscillator (2002).

    Null: where the sum is zero.

    Slots: the line.
    """
    total, weighted = line_step(state, at, period, x)
    return (weighted - (period + 1.0) * total) / total if total != 0.0 else math.nan


def laguerre_rsi_step(state: State, at: int, gamma: float, x: float) -> float:
    """Return Ehlers' Laguerre RSI, 0 to 100.

    Formula: L0 = (1 - g) * x + g * L0[1], L1 = -g * L0 + L0[1] + g * L1[1], L2 and L3 likewise;
    100 * up / (up + down) over the differences L0 - L1, L1 - L2, L2 - L3; all four start at the
    first value

    Source: John Ehlers, Cybernetic Analysis for Stocks and Futures (2004).

    Null: as long as no price has moved.

    Slots: 1 once a value was seen, L0 to L3.
    """
    if math.isnan(x):
        return math.nan
    if state[at] == 0.0:
        state[at] = 1.0
        for i in range(1, 5):
            state[at + i] = x
        return math.nan
    up = 0.0
    down = 0.0
    old = state[at + 1]
    new = (1.0 - gamma) * x + gamma * old
    state[at + 1] = new
    for i in range(2, 5):
        following = old + gamma * (state[at + i] - new)
        old = state[at + i]
        state[at + i] = following
        up += max(new - following, 0.0)
        down += max(following - new, 0.0)
        new = following
    return 100.0 * up / (up + down) if up + down > 0.0 else math.nan


OSCILLATOR_LINES = (
    Output("line", Unit.NUMBER),
    Output("signal", Unit.NUMBER),
    Output("histogram", Unit.NUMBER),
)
LINE_AND_SIGNAL = OSCILLATOR_LINES[:2]
FAST_SLOW = (period(12, name="fast"), period(26, name="slow"))


def _kst_start(settings: Settings) -> int:
    longest = max(whole(settings, f"roc{k}") + whole(settings, f"mean{k}") for k in (1, 2, 3, 4))
    return longest + whole(settings, "signal") - 1


def _kst_size(settings: Settings) -> int:
    found: int = 14 + sum(derive(int, value) for value in settings.values())
    return found


def _periods(**defaults: int) -> tuple[Parameter, ...]:
    return tuple(period(default, name=name) for name, default in defaults.items())


MOMENTUM = (
    Definition(
        name="MOM",
        aliases=("Momentum",),
        summary="change over `period` bars",
        inputs=CLOSE,
        parameters=(period(10),),
        outputs=(Output("value", Unit.INPUT, divisor=lambda _: 1),),
        step=momentum_step,
        state_size=lambda s: 1 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step,),
        is_linear=True,
    ),
    Definition(
        name="ROC",
        summary="change over `period` bars in percent",
        inputs=CLOSE,
        parameters=(period(10),),
        outputs=(NUMBER_VALUE,),
        step=roc_step,
        state_size=lambda s: 1 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step,),
    ),
    Definition(
        name="APO",
        summary="difference of two exponential averages",
        inputs=CLOSE,
        parameters=FAST_SLOW,
        outputs=(Output("value", Unit.INPUT),),
        step=apo_step,
        state_size=lambda _: 4,
        warmup=lambda s: whole(s, "slow"),
        uses=(ema_step,),
        constraint=fast_below_slow,
    ),
    Definition(
        name="PPO",
        summary="difference of two exponential averages in percent, its signal average, theirs",
        inputs=CLOSE,
        parameters=(*FAST_SLOW, period(9, name="signal")),
        outputs=OSCILLATOR_LINES,
        step=ppo_step,
        state_size=lambda _: 6,
        warmup=lambda s: whole(s, "slow") + whole(s, "signal") - 1,
        uses=(ema_step,),
        constraint=fast_below_slow,
    ),
    Definition(
        name="PVO",
        summary="PPO of the volume",
        inputs=VOLUME,
        parameters=(*FAST_SLOW, period(9, name="signal")),
        outputs=OSCILLATOR_LINES,
        step=ppo_step,
        state_size=lambda _: 6,
        warmup=lambda s: whole(s, "slow") + whole(s, "signal") - 1,
        uses=(ema_step,),
        constraint=fast_below_slow,
    ),
    Definition(
        name="TRIX",
        summary="change of a triple smoothed average in percent",
        inputs=CLOSE,
        parameters=(period(18),),
        outputs=(NUMBER_VALUE,),
        step=trix_step,
        state_size=lambda _: 8,
        warmup=lambda s: 3 * whole(s) - 1,
        uses=(ema_step, lag_step),
    ),
    Definition(
        name="DPO",
        summary="distance of an older value from the mean, without trend",
        inputs=CLOSE,
        parameters=(period(20),),
        outputs=(Output("value", Unit.INPUT, divisor=whole),),
        step=dpo_step,
        state_size=lambda s: 4 + whole(s) + whole(s) // 2,
        warmup=lambda s: max(whole(s), whole(s) // 2 + 2),
        uses=(lag_step, sum_step),
        is_linear=True,
    ),
    Definition(
        name="CMO",
        summary="Chande's momentum oscillator, -100 to 100",
        inputs=CLOSE,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=cmo_step,
        state_size=path_size,
        warmup=lambda s: whole(s) + 1,
        uses=PATH_STEPS,
    ),
    Definition(
        name="EfficiencyRatio",
        aliases=("ER",),
        summary="Kaufman's efficiency ratio, 0 (noise) to 1 (trend)",
        inputs=CLOSE,
        parameters=(period(10),),
        outputs=(NUMBER_VALUE,),
        step=efficiency_ratio_step,
        state_size=path_size,
        warmup=lambda s: whole(s) + 1,
        uses=PATH_STEPS,
    ),
    Definition(
        name="TSI",
        summary="Blau's true strength index, -100 to 100, and its signal average",
        inputs=CLOSE,
        parameters=_periods(slow=25, fast=13, signal=13),
        outputs=LINE_AND_SIGNAL,
        step=tsi_step,
        state_size=lambda _: 12,
        warmup=lambda s: derive(int, sum(s.values())) - 1,
        uses=(ema_step, lag_step),
        constraint=fast_below_slow,
    ),
    Definition(
        name="KST",
        summary="Pring's know sure thing and its signal mean",
        inputs=CLOSE,
        parameters=(
            *_periods(roc1=10, roc2=15, roc3=20, roc4=30),
            *_periods(mean1=10, mean2=10, mean3=10, mean4=15, signal=9),
        ),
        outputs=LINE_AND_SIGNAL,
        step=kst_step,
        state_size=_kst_size,
        warmup=_kst_start,
        uses=(lag_step, sum_step, smooth_roc_step),
    ),
    Definition(
        name="Coppock",
        summary="Coppock's curve",
        inputs=CLOSE,
        parameters=_periods(long=14, short=11, mean=10),
        outputs=(NUMBER_VALUE,),
        step=coppock_step,
        state_size=lambda s: 5 + derive(int, sum(s.values())),
        warmup=lambda s: max(whole(s, "long"), whole(s, "short")) + whole(s, "mean"),
        uses=(lag_step, line_step, wma_step),
    ),
    Definition(
        name="Psychological",
        aliases=("PSL",),
        summary="share of rises among the last changes in percent",
        inputs=CLOSE,
        parameters=(period(12),),
        outputs=(Output("value", Unit.NUMBER, divisor=whole),),
        step=psychological_step,
        state_size=lambda s: 4 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, sum_step),
        is_linear=True,
    ),
    Definition(
        name="Disparity",
        summary="value in percent of its mean: 100 is at the mean",
        inputs=CLOSE,
        parameters=(period(20),),
        outputs=(NUMBER_VALUE,),
        step=disparity_step,
        state_size=lambda s: 2 + whole(s),
        warmup=whole,
        uses=(sum_step,),
    ),
    Definition(
        name="ForecastOscillator",
        aliases=("FOSC",),
        summary="distance from the forecast of the bar before in percent",
        inputs=CLOSE,
        parameters=(period(5, low=2),),
        outputs=(NUMBER_VALUE,),
        step=forecast_oscillator_step,
        state_size=lambda s: 5 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, line_step),
    ),
    Definition(
        name="CenterOfGravity",
        aliases=("CG",),
        summary="Ehlers' center of gravity of the window",
        inputs=CLOSE,
        parameters=(period(10),),
        outputs=(NUMBER_VALUE,),
        step=center_of_gravity_step,
        state_size=lambda s: 3 + whole(s),
        warmup=whole,
        uses=(line_step,),
    ),
    Definition(
        name="LaguerreRSI",
        aliases=("LRSI",),
        summary="Ehlers' Laguerre RSI, 0 to 100",
        inputs=CLOSE,
        parameters=(number("gamma", "0.5", "0.01", "0.99"),),
        outputs=(NUMBER_VALUE,),
        step=laguerre_rsi_step,
        state_size=lambda _: 5,
        warmup=lambda _: 2,
    ),
)
