"""Candle patterns of three and four bars."""

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
from jts_trading.indicators.candles_double import BODIES, ENDS, INSIDE, inside_of
from jts_trading.indicators.candles_single import Step, pattern
from jts_trading.indicators.definition import (
    NUMBER_VALUE,
    OPEN_HIGH_LOW_CLOSE,
    Definition,
    State,
    number,
)


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


TRIPLE_CANDLES = (
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
