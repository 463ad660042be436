"""Candle patterns of one bar, some with a look at the bar before."""

import math
from collections.abc import Callable

from jts_trading.indicators.candle_shapes import (
    HEAD_SLOTS,
    ROW_SLOTS,
    body_of,
    bottom_of,
    candle_step,
    color_of,
    lower_shadow,
    mean_body,
    near_range,
    tenth_range,
    top_of,
    upper_shadow,
)
from jts_trading.indicators.definition import (
    NUMBER_VALUE,
    OPEN_HIGH_LOW_CLOSE,
    Definition,
    State,
)


def doji_step(state: State, at: int, open_: float, high: float, low: float, close: float) -> float:
    """Return 100 where open and close are nearly equal.

    Formula: body <= a tenth of the mean range of ten bars

    Source: TA-Lib CDLDOJI.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    return 100.0 if body_of(state, now) <= tenth_range(state, now) else 0.0


def dragonfly_doji_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a doji with a lower shadow and hardly an upper one.

    Formula: a doji; upper shadow below, lower shadow above a tenth of the mean range of ten bars

    Source: TA-Lib CDLDRAGONFLYDOJI.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    small = tenth_range(state, now)
    is_there = (
        body_of(state, now) <= small
        and upper_shadow(state, now) < small
        and lower_shadow(state, now) > small
    )
    return 100.0 if is_there else 0.0


def gravestone_doji_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a doji with an upper shadow and hardly a lower one.

    Formula: a doji; lower shadow below, upper shadow above a tenth of the mean range of ten bars

    Source: TA-Lib CDLGRAVESTONEDOJI.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    small = tenth_range(state, now)
    is_there = (
        body_of(state, now) <= small
        and lower_shadow(state, now) < small
        and upper_shadow(state, now) > small
    )
    return 100.0 if is_there else 0.0


def long_legged_doji_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a doji with a shadow that is longer than its body.

    Formula: a doji; upper or lower shadow longer than the body

    Source: TA-Lib CDLLONGLEGGEDDOJI.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    body = body_of(state, now)
    longest = max(upper_shadow(state, now), lower_shadow(state, now))
    return 100.0 if body <= tenth_range(state, now) and longest > body else 0.0


def marubozu_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at a long white or black body with hardly any shadow.

    Formula: body longer than the mean of ten; both shadows below a tenth of the mean range of ten
    bars

    Source: TA-Lib CDLMARUBOZU.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    longest = max(upper_shadow(state, now), lower_shadow(state, now))
    is_there = body_of(state, now) > mean_body(state, now) and longest < tenth_range(state, now)
    return 100.0 * color_of(state, now) if is_there else 0.0


def spinning_top_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at a short white or black body inside two longer shadows.

    Formula: body shorter than the mean of ten; both shadows longer than the body

    Source: TA-Lib CDLSPINNINGTOP.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    body = body_of(state, now)
    shortest = min(upper_shadow(state, now), lower_shadow(state, now))
    is_there = body < mean_body(state, now) and shortest > body
    return 100.0 * color_of(state, now) if is_there else 0.0


def high_wave_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at a short white or black body inside two very long shadows.

    Formula: body shorter than the mean of ten; both shadows longer than twice the body

    Source: TA-Lib CDLHIGHWAVE.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    body = body_of(state, now)
    shortest = min(upper_shadow(state, now), lower_shadow(state, now))
    is_there = body < mean_body(state, now) and shortest > 2.0 * body
    return 100.0 * color_of(state, now) if is_there else 0.0


def belt_hold_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at a long body that begins at the low (white) or high (black) of its bar.

    Formula: body longer than the mean of ten; the shadow at the open below a tenth of the mean
    range of ten bars

    Source: TA-Lib CDLBELTHOLD.

    Slots: those of `candle_step` for one bar.
    """
    if not candle_step(state, at, 1, open_, high, low, close) > 10.0:
        return math.nan
    now = at + 22
    color = color_of(state, now)
    shadow = lower_shadow(state, now) if color > 0.0 else upper_shadow(state, now)
    is_there = body_of(state, now) > mean_body(state, now) and shadow < tenth_range(state, now)
    return 100.0 * color if is_there else 0.0


def is_pin(state: State, row: int, long: float, short: float) -> bool:
    """Return whether the body is short, one shadow longer than it and the other hardly there."""
    body = body_of(state, row)
    return body < mean_body(state, row) and long > body and short < tenth_range(state, row)


def hammer_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a hammer.

    Formula: body shorter than the mean of ten; lower shadow longer than the body; upper shadow
    below a tenth of the mean range of ten bars; bottom of the body <= low[1] + a fifth of the mean
    range of five bars

    Source: TA-Lib CDLHAMMER.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    is_low = bottom_of(state, now) <= state[before + 2] + near_range(state, before, 0.2)
    pin = is_pin(state, now, lower_shadow(state, now), upper_shadow(state, now))
    return 100.0 if pin and is_low else 0.0


def hanging_man_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return -100 at a hanging man: a hammer at the top.

    Formula: as Hammer, but bottom of the body >= high[1] - a fifth of the mean range of five bars

    Source: TA-Lib CDLHANGINGMAN.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    is_high = bottom_of(state, now) >= state[before + 1] - near_range(state, before, 0.2)
    pin = is_pin(state, now, lower_shadow(state, now), upper_shadow(state, now))
    return -100.0 if pin and is_high else 0.0


def inverted_hammer_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at an inverted hammer.

    Formula: body shorter than the mean of ten; upper shadow longer than the body; lower shadow
    below a tenth of the mean range of ten bars; the body below that of the bar before

    Source: TA-Lib CDLINVERTEDHAMMER.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    pin = is_pin(state, now, upper_shadow(state, now), lower_shadow(state, now))
    return 100.0 if pin and top_of(state, now) < bottom_of(state, before) else 0.0


def shooting_star_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return -100 at a shooting star: an inverted hammer at the top.

    Formula: as InvertedHammer, but the body above that of the bar before

    Source: TA-Lib CDLSHOOTINGSTAR.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    pin = is_pin(state, now, upper_shadow(state, now), lower_shadow(state, now))
    return -100.0 if pin and bottom_of(state, now) > top_of(state, before) else 0.0


BODY = (candle_step, body_of, tenth_range)
SHADOWS = (*BODY, upper_shadow, lower_shadow)
COLORED = (*SHADOWS, mean_body, color_of)
PINS = (*SHADOWS, mean_body, is_pin)

Step = Callable[..., float]


def pattern(
    name: str,
    alias: str,
    summary: str,
    step: Step,
    *,
    bars: int,
    lookback: int,
    uses: tuple[Step, ...],
) -> Definition:
    """Return the definition of a pattern over `bars` bars that needs `lookback` bars before."""
    return Definition(
        name=name,
        aliases=(alias,),
        summary=summary,
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(),
        outputs=(NUMBER_VALUE,),
        step=step,
        state_size=lambda _: HEAD_SLOTS + ROW_SLOTS * bars,
        warmup=lambda _: lookback + 1,
        uses=uses,
    )


def _one(name: str, alias: str, summary: str, step: Step, uses: tuple[Step, ...]) -> Definition:
    return pattern(name, alias, summary, step, bars=1, lookback=10, uses=uses)


def _pin(name: str, alias: str, summary: str, step: Step, *uses: Step) -> Definition:
    return pattern(name, alias, summary, step, bars=2, lookback=11, uses=(*PINS, *uses))


SINGLE_CANDLES = (
    _one("Doji", "CDLDOJI", "open and close nearly equal", doji_step, BODY),
    _one(
        "DragonflyDoji",
        "CDLDRAGONFLYDOJI",
        "doji with a lower shadow only",
        dragonfly_doji_step,
        SHADOWS,
    ),
    _one(
        "GravestoneDoji",
        "CDLGRAVESTONEDOJI",
        "doji with an upper shadow only",
        gravestone_doji_step,
        SHADOWS,
    ),
    _one(
        "LongLeggedDoji",
        "CDLLONGLEGGEDDOJI",
        "doji with a long shadow",
        long_legged_doji_step,
        SHADOWS,
    ),
    _one("Marubozu", "CDLMARUBOZU", "long body without shadows", marubozu_step, COLORED),
    _one(
        "SpinningTop",
        "CDLSPINNINGTOP",
        "short body inside longer shadows",
        spinning_top_step,
        COLORED,
    ),
    _one(
        "HighWave",
        "CDLHIGHWAVE",
        "short body inside very long shadows",
        high_wave_step,
        COLORED,
    ),
    _one(
        "BeltHold",
        "CDLBELTHOLD",
        "long body that begins at the end of its bar",
        belt_hold_step,
        COLORED,
    ),
    _pin(
        "Hammer",
        "CDLHAMMER",
        "short body over a long lower shadow, at a low",
        hammer_step,
        bottom_of,
        near_range,
    ),
    _pin(
        "HangingMan",
        "CDLHANGINGMAN",
        "short body over a long lower shadow, at a high",
        hanging_man_step,
        bottom_of,
        near_range,
    ),
    _pin(
        "InvertedHammer",
        "CDLINVERTEDHAMMER",
        "short body under a long upper shadow, after a gap down",
        inverted_hammer_step,
        bottom_of,
        top_of,
    ),
    _pin(
        "ShootingStar",
        "CDLSHOOTINGSTAR",
        "short body under a long upper shadow, after a gap up",
        shooting_star_step,
        bottom_of,
        top_of,
    ),
)
