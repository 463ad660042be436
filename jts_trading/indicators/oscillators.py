"""Oscillators around the bars of a market: RSI, MACD, CCI, Awesome and their kin."""

import math
from fractions import Fraction

from jts_trading.indicators.averages import ema_step, swma_step, wilder_step
from jts_trading.indicators.definition import (
    CLOSE,
    HIGH_LOW,
    HIGH_LOW_CLOSE,
    NUMBER_VALUE,
    OPEN_HIGH_LOW_CLOSE,
    PERIOD_MAX,
    Definition,
    Output,
    Parameter,
    ParameterKind,
    Settings,
    State,
    Unit,
    fast_below_slow,
    period,
    whole,
)
from jts_trading.indicators.symbols import derive
from jts_trading.indicators.windows import distance_step, lag_step, sum_step


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


def cci_step(state: State, at: int, period: int, high: float, low: float, close: float) -> float:
    """Return the commodity channel index.

    Formula: (T - SMA(T)) / (0.015 * mean deviation of T from SMA(T)), T = (high + low + close) / 3

    Source: Donald Lambert, Commodities (1980); TA-Lib CCI.

    Null: where all prices of the window are equal.

    Slots: the sum of three times the typical price.
    """
    price = high + low + close
    total = sum_step(state, at, period, price)
    if math.isnan(total):
        return math.nan
    mean = total / period
    deviation = distance_step(state, at, period, mean)
    return (price - mean) / (0.015 * deviation) if deviation > 0.0 else math.nan


def ultimate_step(
    state: State,
    at: int,
    short: int,
    middle: int,
    long: int,
    high: float,
    low: float,
    close: float,
) -> float:
    """Return Williams' ultimate oscillator, 0 to 100.

    Formula: 100 * (4 * P(short) + 2 * P(middle) + P(long)) / 7, P(n) = sum of close - min(low,
    close[1]) over n bars / sum of the true range over n bars

    Source: Larry Williams, Technical Analysis of Stocks & Commodities (1985); TA-Lib ULTOSC.

    Null: where a window has no range.

    Slots: 1 once a bar was seen, the last close, six sums.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan
    before = state[at + 1]
    state[at + 1] = close
    if state[at] == 0.0:
        state[at] = 1.0
        return math.nan
    bottom = min(low, before)
    pressure = close - bottom
    span = max(high, before) - bottom
    at += 2
    quick = sum_step(state, at, short, pressure), sum_step(state, at + 2 + short, short, span)
    at += 4 + 2 * short
    medium = sum_step(state, at, middle, pressure), sum_step(state, at + 2 + middle, middle, span)
    at += 4 + 2 * middle
    calm = sum_step(state, at, long, pressure), sum_step(state, at + 2 + long, long, span)
    if quick[1] == 0.0 or medium[1] == 0.0 or calm[1] == 0.0:
        return math.nan
    total = 4.0 * quick[0] / quick[1] + 2.0 * medium[0] / medium[1] + calm[0] / calm[1]
    return 100.0 * total / 7.0


def awesome_step(state: State, at: int, fast: int, slow: int, high: float, low: float) -> float:
    """Return the numerator of the difference of two means of (high + low) / 2.

    Formula: SMA((high + low) / 2, fast) - SMA((high + low) / 2, slow)

    Source: Bill Williams, Trading Chaos (1995); TA-Lib AO.

    Slots: two sums.
    """
    quick = sum_step(state, at, fast, high + low)
    return quick * slow - sum_step(state, at + 2 + fast, slow, high + low) * fast


def accelerator_step(
    state: State, at: int, fast: int, slow: int, signal: int, high: float, low: float
) -> float:
    """Return the numerator of the awesome oscillator's distance from its mean.

    Formula: AO - SMA(AO, signal), AO = Awesome(fast, slow)

    Source: Bill Williams, New Trading Dimensions (1998); TA-Lib AC.

    Slots: the awesome oscillator, a sum.
    """
    value = awesome_step(state, at, fast, slow, high, low)
    return value * signal - sum_step(state, at + 4 + fast + slow, signal, value)


def bop_step(
    _state: State, _at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return the balance of power, -1 to 1.

    Formula: (close - open) / (high - low)

    Source: Igor Livshin, Stocks & Commodities (2001); TA-Lib BOP.

    Null: where the bar has no range.

    Slots: none.
    """
    return (close - open_) / (high - low) if high != low else math.nan


def rvgi_step(
    state: State, at: int, period: int, open_: float, high: float, low: float, close: float
) -> tuple[float, float]:
    """Return Ehlers' relative vigor index and its signal.

    Formula: line = sum of W(close - open) over the window / sum of W(high - low), signal =
    W(line), W(x) = (x + 2 * x[1] + 2 * x[2] + x[3]) / 6

    Source: John Ehlers, Stocks & Commodities (2002); TradingView RVGI.

    Null: where the window has no range.

    Slots: three weighted sums of four, two sums.
    """
    move, span = close - open_, high - low
    if math.isnan(move) or math.isnan(span):
        return math.nan, math.nan
    rise = sum_step(state, at + 12, period, swma_step(state, at, move))
    width = sum_step(state, at + 14 + period, period, swma_step(state, at + 4, span))
    line = rise / width if width != 0.0 else math.nan
    return line, swma_step(state, at + 8, line) / 6.0


def elder_ray_step(
    state: State, at: int, period: int, high: float, low: float, close: float
) -> tuple[float, float]:
    """Return Elder's bull and bear power.

    Formula: bull = high - EMA(close), bear = low - EMA(close)

    Source: Alexander Elder, Trading for a Living (1993); TA-Lib ERI.

    Slots: the average.
    """
    if math.isnan(high) or math.isnan(low):
        return math.nan, math.nan
    average = ema_step(state, at, period, close)
    return high - average, low - average


def intraday_momentum_step(
    state: State, at: int, period: int, open_: float, close: float
) -> float:
    """Return the intraday momentum index, 0 to 100.

    Formula: 100 * up / (up + down), sums of close - open over the rising and the falling bars of
    the window

    Source: Tushar Chande, The New Technical Trader (1994); TA-Lib IMI.

    Null: where every bar of the window closed at its open.

    Slots: two sums.
    """
    move = close - open_
    total = sum_step(state, at, period, move)
    walked = sum_step(state, at + 2 + period, period, abs(move))
    return 50.0 * (walked + total) / walked if walked != 0.0 else math.nan


def qstick_step(state: State, at: int, period: int, open_: float, close: float) -> float:
    """Return the sum of the bodies of the window.

    Formula: SMA(close - open)

    Source: Tushar Chande, The New Technical Trader (1994); TA-Lib QSTICK.

    Slots: the sum.
    """
    return sum_step(state, at, period, close - open_)


def ar_br_step(
    state: State, at: int, period: int, open_: float, high: float, low: float, close: float
) -> tuple[float, float]:
    """Return AR and BR, the sentiment ratios.

    Formula: ar = 100 * sum of (high - open) / sum of (open - low), br = 100 * sum of max(high -
    close[1], 0) / sum of max(close[1] - low, 0), over the window

    Source: AR and BR of Japanese and Korean charts; pandas-ta-classic brar.

    Null: where a divisor is zero.

    Slots: the last close with its lag, four sums.
    """
    if math.isnan(open_ + high + low + close):
        return math.nan, math.nan
    before = lag_step(state, at, 1, close)
    at += 2
    ups = sum_step(state, at, period, high - open_)
    downs = sum_step(state, at + 2 + period, period, open_ - low)
    at += 4 + 2 * period
    hopes = fears = math.nan
    if not math.isnan(before):
        hopes = sum_step(state, at, period, max(high - before, 0.0))
        fears = sum_step(state, at + 2 + period, period, max(before - low, 0.0))
    ar = 100.0 * ups / downs if downs != 0.0 else math.nan
    return ar, 100.0 * hopes / fears if fears != 0.0 else math.nan


def connors_rsi_step(state: State, at: int, rsi: int, streak: int, rank: int, x: float) -> float:
    """Return the RSI of Connors, 0 to 100.

    Formula: (RSI(x, rsi) + RSI(S, streak) + P) / 3; S counts rises in a row, falls as negative
    numbers, 0 without a change; P is the share in percent of the last `rank` changes in percent
    that were below or equal to the newest one

    Source: Larry Connors and Cesar Alvarez, An Introduction to ConnorsRSI (2012); TradingView
    ConnorsRSI.

    Null: where one of its parts is.

    Slots: two RSIs, last value with its lag, the streak, place and window of the changes.
    """
    if math.isnan(x):
        return math.nan
    strength = rsi_step(state, at, rsi, x)
    before = lag_step(state, at + 12, 1, x)
    run = state[at + 14]
    if x > before:
        run = max(run, 0.0) + 1.0
    elif x < before:
        run = min(run, 0.0) - 1.0
    else:
        run = 0.0
    state[at + 14] = run
    pace = rsi_step(state, at + 6, streak, run)
    if math.isnan(before) or before == 0.0:
        return math.nan
    change = (x - before) / before
    place = int(state[at + 15])
    inside = place - rank if place >= rank else place
    below = 0
    for i in range(at + 16, at + 16 + rank):
        below += state[i] <= change
    state[at + 16 + inside] = change
    state[at + 15] = rank if place + 1 == rank + rank else place + 1
    if place < rank:
        return math.nan
    return (strength + pace + 100.0 * below / rank) / 3.0


def _sum_slots(settings: Settings) -> int:
    return 2 + whole(settings)


FAST_SLOW = (period(5, name="fast"), period(34, name="slow"))

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
        passes_time=True,
    ),
    Definition(
        name="CCI",
        summary="commodity channel index: distance from the mean in mean deviations",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(20),),
        outputs=(NUMBER_VALUE,),
        step=cci_step,
        state_size=_sum_slots,
        warmup=whole,
        uses=(sum_step, distance_step),
    ),
    Definition(
        name="Ultimate",
        aliases=("ULTOSC", "UO"),
        summary="Williams' ultimate oscillator over three windows, 0 to 100",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(7, name="short"), period(14, name="middle"), period(28, name="long")),
        outputs=(NUMBER_VALUE,),
        step=ultimate_step,
        state_size=lambda s: 14 + 2 * derive(int, sum(s.values())),
        warmup=lambda s: 1 + derive(int, max(s.values())),
        uses=(sum_step,),
    ),
    Definition(
        name="Awesome",
        aliases=("AO",),
        summary="difference of a quick and a slow mean of the middle of the bars",
        inputs=HIGH_LOW,
        parameters=FAST_SLOW,
        outputs=(
            Output(
                "value",
                Unit.INPUT,
                divisor=lambda s: 2 * whole(s, "fast") * whole(s, "slow"),
            ),
        ),
        step=awesome_step,
        state_size=lambda s: 4 + whole(s, "fast") + whole(s, "slow"),
        warmup=lambda s: whole(s, "slow"),
        uses=(sum_step,),
        is_linear=True,
        constraint=fast_below_slow,
    ),
    Definition(
        name="Accelerator",
        aliases=("AC",),
        summary="awesome oscillator without its mean",
        inputs=HIGH_LOW,
        parameters=(*FAST_SLOW, period(5, name="signal")),
        outputs=(
            Output(
                "value",
                Unit.INPUT,
                divisor=lambda s: 2 * whole(s, "fast") * whole(s, "slow") * whole(s, "signal"),
            ),
        ),
        step=accelerator_step,
        state_size=lambda s: 6 + derive(int, sum(s.values())),
        warmup=lambda s: whole(s, "slow") + whole(s, "signal") - 1,
        uses=(sum_step, awesome_step),
        is_linear=True,
        constraint=fast_below_slow,
    ),
    Definition(
        name="BOP",
        summary="balance of power: body of the bar over its range, -1 to 1",
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(),
        outputs=(NUMBER_VALUE,),
        step=bop_step,
        state_size=lambda _: 0,
        warmup=lambda _: 1,
    ),
    Definition(
        name="RVGI",
        summary="Ehlers' relative vigor index and its signal",
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(period(10),),
        outputs=(Output("line", Unit.NUMBER), Output("signal", Unit.NUMBER)),
        step=rvgi_step,
        state_size=lambda s: 16 + 2 * whole(s),
        warmup=lambda s: whole(s) + 6,
        uses=(sum_step, swma_step),
    ),
    Definition(
        name="ElderRay",
        aliases=("ERI",),
        summary="Elder's bull and bear power: high and low against the average close",
        inputs=HIGH_LOW_CLOSE,
        parameters=(period(13),),
        outputs=(Output("bull", Unit.INPUT), Output("bear", Unit.INPUT)),
        step=elder_ray_step,
        state_size=lambda _: 2,
        warmup=whole,
        uses=(ema_step,),
    ),
    Definition(
        name="IMI",
        summary="intraday momentum index, 0 to 100",
        inputs=("open", "close"),
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=intraday_momentum_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=whole,
        uses=(sum_step,),
    ),
    Definition(
        name="QStick",
        summary="mean body of the bars",
        inputs=("open", "close"),
        parameters=(period(10),),
        outputs=(Output("value", Unit.INPUT, divisor=whole),),
        step=qstick_step,
        state_size=_sum_slots,
        warmup=whole,
        uses=(sum_step,),
        is_linear=True,
    ),
    Definition(
        name="ARBR",
        aliases=("BRAR",),
        summary="sentiment ratios AR (against the open) and BR (against the last close)",
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(period(26),),
        outputs=(Output("ar", Unit.NUMBER), Output("br", Unit.NUMBER)),
        step=ar_br_step,
        state_size=lambda s: 10 + 4 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, sum_step),
    ),
    Definition(
        name="ConnorsRSI",
        aliases=("CRSI",),
        summary="mean of a quick RSI, the RSI of the streak and the rank of the last change",
        inputs=CLOSE,
        parameters=(period(3, name="rsi"), period(2, name="streak"), period(100, name="rank")),
        outputs=(NUMBER_VALUE,),
        step=connors_rsi_step,
        state_size=lambda s: 16 + whole(s, "rank"),
        warmup=lambda s: max(whole(s, "rsi") + 1, whole(s, "streak") + 1, whole(s, "rank") + 2),
        uses=(wilder_step, rsi_step, lag_step),
    ),
)
