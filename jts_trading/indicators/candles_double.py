"""Candle patterns of two bars."""

import math

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
from jts_trading.indicators.candles_single import pattern
from jts_trading.indicators.definition import (
    NUMBER_VALUE,
    OPEN_HIGH_LOW_CLOSE,
    Definition,
    State,
    number,
)


def doji_star_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at a doji beyond a long black or white body.

    Formula: body[1] longer than the mean of ten; a doji whose body lies above a white, below a
    black body[1]

    Source: TA-Lib CDLDOJISTAR.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    color = color_of(state, before)
    is_beyond = (
        bottom_of(state, now) > top_of(state, before)
        if color > 0.0
        else top_of(state, now) < bottom_of(state, before)
    )
    is_long = body_of(state, before) > mean_body(state, before)
    is_doji = body_of(state, now) <= tenth_range(state, now)
    return -100.0 * color if is_long and is_doji and is_beyond else 0.0


def engulfing_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 where a body covers the one before, of the other color.

    Formula: both ends of the body beyond those of body[1]; 80 or -80 where one end is equal

    Source: TA-Lib CDLENGULFING.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 2.0:
        return math.nan
    now, before = at + 22, at + 29
    color = color_of(state, now)
    above = top_of(state, now) - top_of(state, before)
    below = bottom_of(state, before) - bottom_of(state, now)
    if color == color_of(state, before) or above < 0.0 or below < 0.0 or above + below == 0.0:
        return 0.0
    return color * (100.0 if above > 0.0 and below > 0.0 else 80.0)


def inside_of(state: State, now: int, before: int) -> float:
    """Return 100 where a body lies inside the one before, 80 where ends are equal, else 0."""
    above = top_of(state, before) - top_of(state, now)
    below = bottom_of(state, now) - bottom_of(state, before)
    if above > 0.0 and below > 0.0:
        return 100.0
    return 80.0 if above >= 0.0 and below >= 0.0 else 0.0


def harami_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at a short body inside a long black or white one.

    Formula: body[1] longer than the mean of ten; body up to the mean of ten and inside body[1]; 80
    or -80 where ends are equal

    Source: TA-Lib CDLHARAMI.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    is_long = body_of(state, before) > mean_body(state, before)
    is_short = body_of(state, now) <= mean_body(state, now)
    if not (is_long and is_short):
        return 0.0
    return -color_of(state, before) * inside_of(state, now, before)


def harami_cross_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at a doji inside a long black or white body.

    Formula: as Harami with a doji

    Source: TA-Lib CDLHARAMICROSS.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    is_long = body_of(state, before) > mean_body(state, before)
    is_doji = body_of(state, now) <= tenth_range(state, now)
    if not (is_long and is_doji):
        return 0.0
    return -color_of(state, before) * inside_of(state, now, before)


def piercing_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a piercing line.

    Formula: a long black body, then a long white one that opens below the low[1] and closes inside
    body[1], above its middle

    Source: TA-Lib CDLPIERCING.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    body = body_of(state, before)
    are_long = body > mean_body(state, before) and body_of(state, now) > mean_body(state, now)
    is_there = (
        are_long
        and color_of(state, before) < 0.0
        and color_of(state, now) > 0.0
        and open_ < state[before + 2]
        and close < state[before]
        and close > state[before + 3] + 0.5 * body
    )
    return 100.0 if is_there else 0.0


def dark_cloud_step(
    state: State, at: int, penetration: float, open_: float, high: float, low: float, close: float
) -> float:
    """Return -100 at a dark cloud cover.

    Formula: a long white body, then a black one that opens above high[1] and closes inside
    body[1], below its close by more than `penetration` of it

    Source: TA-Lib CDLDARKCLOUDCOVER.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    body = body_of(state, before)
    is_there = (
        body > mean_body(state, before)
        and color_of(state, before) > 0.0
        and color_of(state, now) < 0.0
        and open_ > state[before + 1]
        and close > state[before]
        and close < state[before + 3] - body * penetration
    )
    return -100.0 if is_there else 0.0


def homing_pigeon_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a short black body inside a long black one.

    Formula: body[1] longer than the mean of ten; body up to the mean of ten and inside body[1],
    both black

    Source: TA-Lib CDLHOMINGPIGEON.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    are_black = color_of(state, now) < 0.0 and color_of(state, before) < 0.0
    is_long = body_of(state, before) > mean_body(state, before)
    is_short = body_of(state, now) <= mean_body(state, now)
    is_there = are_black and is_long and is_short and inside_of(state, now, before) == 100.0
    return 100.0 if is_there else 0.0


def matching_low_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at two black bodies with the same close.

    Formula: both black; closes apart by at most a twentieth of the mean range of five bars

    Source: TA-Lib CDLMATCHINGLOW.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 6.0:
        return math.nan
    now, before = at + 22, at + 29
    slack = near_range(state, before, 0.05)
    are_black = color_of(state, now) < 0.0 and color_of(state, before) < 0.0
    is_same = state[before + 3] - slack <= close <= state[before + 3] + slack
    return 100.0 if are_black and is_same else 0.0


def is_bare(state: State, row: int) -> bool:
    """Return whether a body is long and has hardly any shadow."""
    longest = max(upper_shadow(state, row), lower_shadow(state, row))
    return body_of(state, row) > mean_body(state, row) and longest < tenth_range(state, row)


def kicking_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at two long bodies without shadows, of different color, with a gap.

    Formula: both Marubozu; black then white with low > high[1], or white then black with high <
    low[1]

    Source: TA-Lib CDLKICKING.

    Slots: those of `candle_step` for two bars.
    """
    if not candle_step(state, at, 2, open_, high, low, close) > 11.0:
        return math.nan
    now, before = at + 22, at + 29
    color = color_of(state, now)
    is_apart = low > state[before + 1] if color > 0.0 else high < state[before + 2]
    are_bare = is_bare(state, now) and is_bare(state, before)
    return 100.0 * color if are_bare and is_apart and color != color_of(state, before) else 0.0


BODIES = (candle_step, body_of, mean_body, tenth_range, color_of)
ENDS = (color_of, top_of, bottom_of)
INSIDE = (top_of, bottom_of, inside_of)

DOUBLE_CANDLES = (
    pattern(
        "DojiStar",
        "CDLDOJISTAR",
        "doji beyond a long body",
        doji_star_step,
        bars=2,
        lookback=11,
        uses=(*BODIES, top_of, bottom_of),
    ),
    pattern(
        "Engulfing",
        "CDLENGULFING",
        "body that covers the one before",
        engulfing_step,
        bars=2,
        lookback=2,
        uses=(candle_step, *ENDS),
    ),
    pattern(
        "Harami",
        "CDLHARAMI",
        "short body inside a long one",
        harami_step,
        bars=2,
        lookback=11,
        uses=(*BODIES, *INSIDE),
    ),
    pattern(
        "HaramiCross",
        "CDLHARAMICROSS",
        "doji inside a long body",
        harami_cross_step,
        bars=2,
        lookback=11,
        uses=(*BODIES, *INSIDE),
    ),
    pattern(
        "Piercing",
        "CDLPIERCING",
        "white body that opens below a black one and closes above its middle",
        piercing_step,
        bars=2,
        lookback=11,
        uses=BODIES,
    ),
    Definition(
        name="DarkCloudCover",
        aliases=("CDLDARKCLOUDCOVER",),
        summary="black body that opens above a white one and closes below its middle",
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(number("penetration", "0.5", "0", "1"),),
        outputs=(NUMBER_VALUE,),
        step=dark_cloud_step,
        state_size=lambda _: HEAD_SLOTS + 2 * ROW_SLOTS,
        warmup=lambda _: 12,
        uses=(candle_step, body_of, mean_body, color_of),
    ),
    pattern(
        "HomingPigeon",
        "CDLHOMINGPIGEON",
        "short black body inside a long black one",
        homing_pigeon_step,
        bars=2,
        lookback=11,
        uses=(*BODIES, *INSIDE),
    ),
    pattern(
        "MatchingLow",
        "CDLMATCHINGLOW",
        "two black bodies with the same close",
        matching_low_step,
        bars=2,
        lookback=6,
        uses=(candle_step, color_of, near_range),
    ),
    pattern(
        "Kicking",
        "CDLKICKING",
        "two bodies without shadows, of different color, with a gap between",
        kicking_step,
        bars=2,
        lookback=11,
        uses=(*BODIES, upper_shadow, lower_shadow, is_bare),
    ),
)
