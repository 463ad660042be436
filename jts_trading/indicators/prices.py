"""Prices made of the four prices of a bar, and of the ends of a window."""

import math

from jts_trading.indicators.definition import (
    CLOSE,
    HIGH_LOW,
    HIGH_LOW_CLOSE,
    OPEN_HIGH_LOW_CLOSE,
    Definition,
    Output,
    State,
    Unit,
    period,
    whole,
)
from jts_trading.indicators.windows import highest_step, lowest_step


def typical_price_step(_state: State, _at: int, high: float, low: float, close: float) -> float:
    """Return the sum of high, low and close.

    Formula: (high + low + close) / 3

    Source: TA-Lib TYPPRICE.

    Slots: none.
    """
    return high + low + close


def median_price_step(_state: State, _at: int, high: float, low: float) -> float:
    """Return the sum of high and low.

    Formula: (high + low) / 2

    Source: TA-Lib MEDPRICE.

    Slots: none.
    """
    return high + low


def weighted_close_step(_state: State, _at: int, high: float, low: float, close: float) -> float:
    """Return the sum of high, low and twice the close.

    Formula: (high + low + 2 * close) / 4

    Source: TA-Lib WCLPRICE.

    Slots: none.
    """
    return high + low + 2.0 * close


def average_price_step(
    _state: State, _at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return the sum of the four prices.

    Formula: (open + high + low + close) / 4

    Source: TA-Lib AVGPRICE.

    Slots: none.
    """
    return open_ + high + low + close


def mid_point_step(state: State, at: int, period: int, x: float) -> float:
    """Return the sum of the highest and the lowest value of the window.

    Formula: (highest(x, period) + lowest(x, period)) / 2

    Source: TA-Lib MIDPOINT.

    Slots: highest and lowest.
    """
    top = highest_step(state, at, period, x)
    return top + lowest_step(state, at + 2 + period, period, x)


def mid_price_step(state: State, at: int, period: int, high: float, low: float) -> float:
    """Return the sum of the highest high and the lowest low of the window.

    Formula: (highest(high, period) + lowest(low, period)) / 2

    Source: TA-Lib MIDPRICE.

    Slots: highest and lowest.
    """
    if math.isnan(high) or math.isnan(low):
        return math.nan
    top = highest_step(state, at, period, high)
    return top + lowest_step(state, at + 2 + period, period, low)


def heikin_ashi_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> tuple[float, float, float, float]:
    """Return open, high, low and close of the Heikin-Ashi candle.

    Formula: close = (open + high + low + close) / 4, open = (open[1] + close[1]) / 2 of the
    Heikin-Ashi candle before, high and low with open and close among them; the first open is
    (open + close) / 2

    Source: Munehisa Homma; TA-Lib HA.

    Slots: 1 once a bar was seen, the last open and close.
    """
    middle = (open_ + high + low + close) / 4.0
    if math.isnan(middle):
        return math.nan, math.nan, math.nan, math.nan
    start = (open_ + close) / 2.0
    if state[at] > 0.0:
        start = (state[at + 1] + state[at + 2]) / 2.0
    state[at] = 1.0
    state[at + 1] = start
    state[at + 2] = middle
    return start, max(high, start, middle), min(low, start, middle), middle


def halves(_settings: object) -> int:
    """Return the divisor of a sum of two prices."""
    return 2


PRICES = (
    Definition(
        name="TypicalPrice",
        aliases=("TYPPRICE", "HLC3"),
        summary="mean of high, low and close",
        inputs=HIGH_LOW_CLOSE,
        parameters=(),
        outputs=(Output("value", Unit.INPUT, divisor=lambda _: 3),),
        step=typical_price_step,
        state_size=lambda _: 0,
        warmup=lambda _: 1,
        is_linear=True,
    ),
    Definition(
        name="MedianPrice",
        aliases=("MEDPRICE", "HL2"),
        summary="mean of high and low",
        inputs=HIGH_LOW,
        parameters=(),
        outputs=(Output("value", Unit.INPUT, divisor=halves),),
        step=median_price_step,
        state_size=lambda _: 0,
        warmup=lambda _: 1,
        is_linear=True,
    ),
    Definition(
        name="WeightedClose",
        aliases=("WCLPRICE", "HLCC4"),
        summary="mean of high, low and twice the close",
        inputs=HIGH_LOW_CLOSE,
        parameters=(),
        outputs=(Output("value", Unit.INPUT, divisor=lambda _: 4),),
        step=weighted_close_step,
        state_size=lambda _: 0,
        warmup=lambda _: 1,
        is_linear=True,
    ),
    Definition(
        name="AveragePrice",
        aliases=("AVGPRICE", "OHLC4"),
        summary="mean of the four prices",
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(),
        outputs=(Output("value", Unit.INPUT, divisor=lambda _: 4),),
        step=average_price_step,
        state_size=lambda _: 0,
        warmup=lambda _: 1,
        is_linear=True,
    ),
    Definition(
        name="MidPoint",
        summary="middle between the highest and the lowest value of the window",
        inputs=CLOSE,
        parameters=(period(14),),
        outputs=(Output("value", Unit.INPUT, divisor=halves),),
        step=mid_point_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=whole,
        uses=(highest_step, lowest_step),
        is_linear=True,
    ),
    Definition(
        name="MidPrice",
        summary="middle between the highest high and the lowest low of the window",
        inputs=HIGH_LOW,
        parameters=(period(14),),
        outputs=(Output("value", Unit.INPUT, divisor=halves),),
        step=mid_price_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=whole,
        uses=(highest_step, lowest_step),
        is_linear=True,
    ),
    Definition(
        name="HeikinAshi",
        aliases=("HA",),
        summary="candle averaged with the one before",
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(),
        outputs=tuple(Output(name, Unit.INPUT) for name in OPEN_HIGH_LOW_CLOSE),
        step=heikin_ashi_step,
        state_size=lambda _: 3,
        warmup=lambda _: 1,
    ),
)
