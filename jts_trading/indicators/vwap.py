"""Volume-weighted average prices: of the session, the week, the month, since a date, of a window.

All are one quotient: the sum of (high + low + close) * volume, exact below 2**53, over three times
the sum of the volume. Those that start afresh compare a key with that of the bar before: the
trading day, or what can be computed from it.
"""

import math

from jts_trading.indicators.definition import (
    HIGH_LOW_CLOSE_VOLUME,
    SESSION,
    VALUE,
    Definition,
    Output,
    State,
    Unit,
    date_parameter,
    number,
    period,
    whole,
)
from jts_trading.indicators.windows import sum_step


def keyed_vwap_step(
    state: State, at: int, key: float, high: float, low: float, close: float, volume: float
) -> float:
    """Return the average since the key changed; null where nothing traded.

    Slots: 1 once a bar was seen, key, sum of price times volume, sum of volume.
    """
    price = high + low + close
    if math.isnan(price) or math.isnan(volume):
        return math.nan
    if state[at] == 0.0 or state[at + 1] != key:
        state[at] = 1.0
        state[at + 1] = key
        state[at + 2] = 0.0
        state[at + 3] = 0.0
    state[at + 2] += price * volume
    state[at + 3] += volume
    volumes = 3.0 * state[at + 3]
    return state[at + 2] / volumes if volumes != 0.0 else math.nan


def vwap_step(
    state: State, at: int, high: float, low: float, close: float, volume: float, session: float
) -> float:
    """Return the average of the session so far.

    Formula: sum of T * volume / sum of volume since the session began, T = (high + low +
    close) / 3

    Source: Berkowitz, Logue and Noser (1988); TradingView VWAP; TA-Lib VWAP, which never resets.

    Null: where nothing traded since then.

    Slots: those of `keyed_vwap_step`.
    """
    return keyed_vwap_step(state, at, session, high, low, close, volume)


def week_vwap_step(
    state: State, at: int, high: float, low: float, close: float, volume: float, session: float
) -> float:
    """Return the average of the week so far.

    Formula: as VWAP, since the first session of the week (weeks begin on Monday)

    Source: TradingView VWAP anchored to the week.

    Null: where nothing traded since then.

    Slots: those of `keyed_vwap_step`.
    """
    return keyed_vwap_step(state, at, (session + 3.0) // 7.0, high, low, close, volume)


def month_of(session: float) -> float:
    """Return a number of the month of a day: twelve times the year plus the month.

    The Gregorian calendar counted from 1 March of the year 0, in eras of 400 years (146,097 days).
    """
    day = int(session) + 719468
    era = day // 146097
    inside = day - era * 146097
    year = (inside - inside // 1460 + inside // 36524 - inside // 146096) // 365
    of_year = inside - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return 12.0 * (era * 400 + year) + month


def month_vwap_step(
    state: State, at: int, high: float, low: float, close: float, volume: float, session: float
) -> float:
    """Return the average of the month so far.

    Formula: as VWAP, since the first session of the month

    Source: TradingView VWAP anchored to the month.

    Null: where nothing traded since then.

    Slots: those of `keyed_vwap_step`.
    """
    month = month_of(session)
    return keyed_vwap_step(state, at, month, high, low, close, volume)


def anchored_vwap_step(
    state: State,
    at: int,
    start: int,
    high: float,
    low: float,
    close: float,
    volume: float,
    session: float,
) -> float:
    """Return the average since a date.

    Formula: as VWAP, since the first session on or after `start`; bars before have no value and do
    not count

    Source: Brian Shannon, Maximum Trading Gains with Anchored VWAP (2022).

    Null: before the date, and where nothing traded since then.

    Slots: those of `keyed_vwap_step`.
    """
    if session < start:
        return math.nan
    return keyed_vwap_step(state, at, 0.0, high, low, close, volume)


def rolling_vwap_step(
    state: State, at: int, period: int, high: float, low: float, close: float, volume: float
) -> float:
    """Return the average of a window.

    Formula: sum of T * volume over the window / sum of volume, T = (high + low + close) / 3

    Source: TradingView Rolling VWAP.

    Null: where nothing traded in the whole window.

    Slots: two sums.
    """
    price = high + low + close
    if math.isnan(price) or math.isnan(volume):
        return math.nan
    weighted = sum_step(state, at, period, price * volume)
    volumes = 3.0 * sum_step(state, at + 2 + period, period, volume)
    return weighted / volumes if volumes != 0.0 else math.nan


def vwap_bands_step(
    state: State,
    at: int,
    deviations: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    session: float,
) -> tuple[float, float, float]:
    """Return the average of the session so far, with bands.

    Formula: middle = VWAP, upper and lower = middle +- deviations * sqrt(sum of volume * (T -
    VWAP)^2 / sum of volume), T = (high + low + close) / 3

    Source: TradingView VWAP with bands.

    Null: where nothing traded since the session began.

    Slots: those of `keyed_vwap_step`, the first price of the session, sums of volume times the
    distance from it and its square.
    """
    price = high + low + close
    is_new = state[at] == 0.0 or state[at + 1] != session
    middle = keyed_vwap_step(state, at, session, high, low, close, volume)
    if math.isnan(price) or math.isnan(volume):
        return math.nan, math.nan, math.nan
    if is_new:
        state[at + 4] = price
        state[at + 5] = 0.0
        state[at + 6] = 0.0
    distance = price - state[at + 4]
    state[at + 5] += volume * distance
    state[at + 6] += volume * distance * distance
    volumes = state[at + 3]
    if volumes == 0.0:
        return math.nan, math.nan, math.nan
    mean = state[at + 5] / volumes
    variance = max(state[at + 6] / volumes - mean * mean, 0.0)
    width = deviations * math.sqrt(variance) / 3.0
    return middle + width, middle, middle - width


WITH_SESSION = (*HIGH_LOW_CLOSE_VOLUME, SESSION)
KEYED_SLOTS = 4

VWAP_FAMILY = (
    Definition(
        name="VWAP",
        summary="volume-weighted average price of the session so far",
        inputs=WITH_SESSION,
        parameters=(),
        outputs=(VALUE,),
        step=vwap_step,
        state_size=lambda _: KEYED_SLOTS,
        warmup=lambda _: 1,
        uses=(keyed_vwap_step,),
    ),
    Definition(
        name="VWAPBands",
        summary="volume-weighted average price of the session so far, and bands around it",
        inputs=WITH_SESSION,
        parameters=(number("deviations", "2", "0.01", "100"),),
        outputs=(
            Output("upper", Unit.INPUT),
            Output("middle", Unit.INPUT),
            Output("lower", Unit.INPUT),
        ),
        step=vwap_bands_step,
        state_size=lambda _: KEYED_SLOTS + 3,
        warmup=lambda _: 1,
        uses=(keyed_vwap_step,),
    ),
    Definition(
        name="WeeklyVWAP",
        summary="volume-weighted average price of the week so far",
        inputs=WITH_SESSION,
        parameters=(),
        outputs=(VALUE,),
        step=week_vwap_step,
        state_size=lambda _: KEYED_SLOTS,
        warmup=lambda _: 1,
        uses=(keyed_vwap_step,),
    ),
    Definition(
        name="MonthlyVWAP",
        summary="volume-weighted average price of the month so far",
        inputs=WITH_SESSION,
        parameters=(),
        outputs=(VALUE,),
        step=month_vwap_step,
        state_size=lambda _: KEYED_SLOTS,
        warmup=lambda _: 1,
        uses=(keyed_vwap_step, month_of),
    ),
    Definition(
        name="AnchoredVWAP",
        aliases=("AVWAP",),
        summary="volume-weighted average price since a date",
        inputs=WITH_SESSION,
        parameters=(date_parameter("start"),),
        outputs=(VALUE,),
        step=anchored_vwap_step,
        state_size=lambda _: KEYED_SLOTS,
        warmup=lambda _: 1,
        waits_for="the date of its start",
        uses=(keyed_vwap_step,),
    ),
    Definition(
        name="RollingVWAP",
        summary="volume-weighted average price of the last bars",
        inputs=HIGH_LOW_CLOSE_VOLUME,
        parameters=(period(20),),
        outputs=(VALUE,),
        step=rolling_vwap_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=whole,
        uses=(sum_step,),
    ),
)
