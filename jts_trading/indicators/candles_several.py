"""Candle patterns of two and more bars."""

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
from jts_trading.indicators.candles_single import Step, pattern
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


def star_of(state: State, now: int, middle: int, first: int, penetration: float) -> float:
    """Return 100 or -100 where the outer two candles are those of a morning or evening star."""
    color = color_of(state, first)
    body = body_of(state, first)
    if body <= mean_body(state, first) or color_of(state, now) == color:
        return 0.0
    if body_of(state, now) <= mean_body(state, now):
        return 0.0
    if color < 0.0:
        is_apart = top_of(state, middle) < bottom_of(state, first)
        is_back = state[now + 3] > state[first + 3] + body * penetration
    else:
        is_apart = bottom_of(state, middle) > top_of(state, first)
        is_back = state[now + 3] < state[first + 3] - body * penetration
    return -100.0 * color if is_apart and is_back else 0.0


def morning_star_step(
    state: State, at: int, penetration: float, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a morning star.

    Formula: a long black body; a short one below it; a white one, longer than the mean of ten,
    that closes above close[2] by more than `penetration` of body[2]

    Source: TA-Lib CDLMORNINGSTAR.

    Slots: those of `candle_step` for three bars.
    """
    if not candle_step(state, at, 3, open_, high, low, close) > 12.0:
        return math.nan
    now, middle, first = at + 22, at + 29, at + 36
    is_short = body_of(state, middle) <= mean_body(state, middle)
    return max(star_of(state, now, middle, first, penetration), 0.0) if is_short else 0.0


def evening_star_step(
    state: State, at: int, penetration: float, open_: float, high: float, low: float, close: float
) -> float:
    """Return -100 at an evening star.

    Formula: a long white body; a short one above it; a black one, longer than the mean of ten,
    that closes below close[2] by more than `penetration` of body[2]

    Source: TA-Lib CDLEVENINGSTAR.

    Slots: those of `candle_step` for three bars.
    """
    if not candle_step(state, at, 3, open_, high, low, close) > 12.0:
        return math.nan
    now, middle, first = at + 22, at + 29, at + 36
    is_short = body_of(state, middle) <= mean_body(state, middle)
    return min(star_of(state, now, middle, first, penetration), 0.0) if is_short else 0.0


def morning_doji_star_step(
    state: State, at: int, penetration: float, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at a morning star whose middle is a doji.

    Formula: as MorningStar with a doji in the middle

    Source: TA-Lib CDLMORNINGDOJISTAR.

    Slots: those of `candle_step` for three bars.
    """
    if not candle_step(state, at, 3, open_, high, low, close) > 12.0:
        return math.nan
    now, middle, first = at + 22, at + 29, at + 36
    is_doji = body_of(state, middle) <= tenth_range(state, middle)
    return max(star_of(state, now, middle, first, penetration), 0.0) if is_doji else 0.0


def evening_doji_star_step(
    state: State, at: int, penetration: float, open_: float, high: float, low: float, close: float
) -> float:
    """Return -100 at an evening star whose middle is a doji.

    Formula: as EveningStar with a doji in the middle

    Source: TA-Lib CDLEVENINGDOJISTAR.

    Slots: those of `candle_step` for three bars.
    """
    if not candle_step(state, at, 3, open_, high, low, close) > 12.0:
        return math.nan
    now, middle, first = at + 22, at + 29, at + 36
    is_doji = body_of(state, middle) <= tenth_range(state, middle)
    return min(star_of(state, now, middle, first, penetration), 0.0) if is_doji else 0.0


def three_inside_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at three inside up or down.

    Formula: a long body; a short one inside it; one of the other color that closes beyond the open
    of the first

    Source: TA-Lib CDL3INSIDE.

    Slots: those of `candle_step` for three bars.
    """
    if not candle_step(state, at, 3, open_, high, low, close) > 12.0:
        return math.nan
    now, middle, first = at + 22, at + 29, at + 36
    color = color_of(state, first)
    is_long = body_of(state, first) > mean_body(state, first)
    is_short = body_of(state, middle) <= mean_body(state, middle)
    is_beyond = color * (state[first] - close) > 0.0 and color_of(state, now) != color
    is_inside = inside_of(state, middle, first) == 100.0
    return -100.0 * color if is_long and is_short and is_inside and is_beyond else 0.0


def three_outside_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 or -100 at three outside up or down.

    Formula: a body that covers the one before, of the other color, and a close beyond its close

    Source: TA-Lib CDL3OUTSIDE.

    Slots: those of `candle_step` for three bars.
    """
    if not candle_step(state, at, 3, open_, high, low, close) > 3.0:
        return math.nan
    middle, first = at + 29, at + 36
    color = color_of(state, middle)
    is_around = inside_of(state, first, middle) == 100.0 and color != color_of(state, first)
    return 100.0 * color if is_around and color * (close - state[middle + 3]) > 0.0 else 0.0


def follows_up(state: State, now: int, before: int) -> bool:
    """Return whether a white soldier follows another one."""
    return (
        state[now + 3] > state[before + 3]
        and state[now] > state[before]
        and state[now] <= state[before + 3] + near_range(state, before, 0.2)
        and body_of(state, now) > body_of(state, before) - near_range(state, before, 0.6)
    )


def is_soldier(state: State, row: int) -> bool:
    """Return whether a candle is white with hardly an upper shadow."""
    return color_of(state, row) > 0.0 and upper_shadow(state, row) < tenth_range(state, row)


def three_white_soldiers_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return 100 at three advancing white soldiers.

    Formula: three white bodies with upper shadows below a tenth of the mean range of ten bars;
    each closes higher, opens above the open and at most a fifth of the mean range of five bars
    above the close before, and is not shorter than the body before by 0.6 of that range or more;
    the last one is longer than the mean of ten

    Source: TA-Lib CDL3WHITESOLDIERS.

    Slots: those of `candle_step` for three bars.
    """
    if not candle_step(state, at, 3, open_, high, low, close) > 12.0:
        return math.nan
    now, middle, first = at + 22, at + 29, at + 36
    are_soldiers = (
        is_soldier(state, now) and is_soldier(state, middle) and is_soldier(state, first)
    )
    is_march = follows_up(state, now, middle) and follows_up(state, middle, first)
    is_strong = body_of(state, now) > mean_body(state, now)
    return 100.0 if are_soldiers and is_march and is_strong else 0.0


def is_crow(state: State, row: int) -> bool:
    """Return whether a candle is black with hardly a lower shadow."""
    return color_of(state, row) < 0.0 and lower_shadow(state, row) < tenth_range(state, row)


def falls_on(state: State, now: int, before: int) -> bool:
    """Return whether a black crow opens inside the body before and closes lower."""
    return state[before + 3] < state[now] < state[before] and state[now + 3] < state[before + 3]


def three_black_crows_step(
    state: State, at: int, open_: float, high: float, low: float, close: float
) -> float:
    """Return -100 at three black crows.

    Formula: a white candle, then three black ones with lower shadows below a tenth of the mean
    range of ten bars; the first closes below the high of the white one, each next opens inside the
    body before and closes lower

    Source: TA-Lib CDL3BLACKCROWS.

    Slots: those of `candle_step` for four bars.
    """
    if not candle_step(state, at, 4, open_, high, low, close) > 13.0:
        return math.nan
    now, middle, first, white = at + 22, at + 29, at + 36, at + 43
    are_crows = is_crow(state, now) and is_crow(state, middle) and is_crow(state, first)
    is_start = color_of(state, white) > 0.0 and state[white + 1] > state[first + 3]
    is_fall = falls_on(state, now, middle) and falls_on(state, middle, first)
    return -100.0 if are_crows and is_start and is_fall else 0.0


def _star(name: str, alias: str, summary: str, step: Step) -> Definition:
    return Definition(
        name=name,
        aliases=(alias,),
        summary=summary,
        inputs=OPEN_HIGH_LOW_CLOSE,
        parameters=(number("penetration", "0.3", "0", "1"),),
        outputs=(NUMBER_VALUE,),
        step=step,
        state_size=lambda _: HEAD_SLOTS + 3 * ROW_SLOTS,
        warmup=lambda _: 13,
        uses=(candle_step, body_of, mean_body, tenth_range, *ENDS, star_of),
    )


BODIES = (candle_step, body_of, mean_body, tenth_range, color_of)
ENDS = (color_of, top_of, bottom_of)
INSIDE = (top_of, bottom_of, inside_of)

SEVERAL_CANDLES = (
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
    _star("MorningStar", "CDLMORNINGSTAR", "fall, pause below, rise", morning_star_step),
    _star("EveningStar", "CDLEVENINGSTAR", "rise, pause above, fall", evening_star_step),
    _star(
        "MorningDojiStar",
        "CDLMORNINGDOJISTAR",
        "fall, doji below, rise",
        morning_doji_star_step,
    ),
    _star(
        "EveningDojiStar",
        "CDLEVENINGDOJISTAR",
        "rise, doji above, fall",
        evening_doji_star_step,
    ),
    pattern(
        "ThreeInside",
        "CDL3INSIDE",
        "harami and its confirmation",
        three_inside_step,
        bars=3,
        lookback=12,
        uses=(*BODIES, *INSIDE),
    ),
    pattern(
        "ThreeOutside",
        "CDL3OUTSIDE",
        "engulfing and its confirmation",
        three_outside_step,
        bars=3,
        lookback=3,
        uses=(candle_step, color_of, *INSIDE),
    ),
    pattern(
        "ThreeWhiteSoldiers",
        "CDL3WHITESOLDIERS",
        "three advancing white bodies",
        three_white_soldiers_step,
        bars=3,
        lookback=12,
        uses=(*BODIES, upper_shadow, near_range, is_soldier, follows_up),
    ),
    pattern(
        "ThreeBlackCrows",
        "CDL3BLACKCROWS",
        "three falling black bodies after a white one",
        three_black_crows_step,
        bars=4,
        lookback=13,
        uses=(candle_step, color_of, tenth_range, lower_shadow, is_crow, falls_on),
    ),
)
