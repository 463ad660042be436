"""Volume indicators: whether prices move with or against the volume."""

import math

from jts_trading.indicators.averages import ema_step
from jts_trading.indicators.definition import (
    HIGH_LOW_CLOSE_VOLUME,
    NUMBER_VALUE,
    VALUE,
    VOLUME,
    Definition,
    Output,
    State,
    Unit,
    fast_below_slow,
    number,
    period,
    whole,
)
from jts_trading.indicators.windows import lag_step, sum_step


def avg_volume_step(state: State, at: int, period: int, volume: float) -> float:
    """Return the sum of the `period` volumes before this bar.

    The bar under judgement is not part of its own yardstick: `volume > avg_volume(20) * 2` asks
    whether this bar trades twice what the twenty closed ones before it did.

    Formula: (volume[1] + ... + volume[period]) / period

    Source: the third listing of the user's documents.

    Slots: those of `sum_step`.
    """
    if math.isnan(volume):
        return math.nan
    before = state[at + 1] if state[at] >= period else math.nan
    sum_step(state, at, period, volume)
    return before


def obv_step(state: State, at: int, close: float, volume: float) -> float:
    """Return the on-balance volume.

    Formula: OBV[1] + volume where the close rose, - volume where it fell; starts at the first
    volume

    Source: Joseph Granville, New Key to Stock Market Profits (1963); TA-Lib OBV.

    Slots: 1 once a bar was seen, the last close, the total.
    """
    if math.isnan(close) or math.isnan(volume):
        return math.nan
    # Products, not branches: which way prices go is nothing that a processor can guess.
    before = state[at + 1] if state[at] > 0.0 else close - 1.0
    total = state[at + 2] + volume * (close > before) - volume * (close < before)
    state[at] = 1.0
    state[at + 1] = close
    state[at + 2] = total
    return total


def money_flow_volume_step(
    _state: State, _at: int, high: float, low: float, close: float, volume: float
) -> float:
    """Return the volume times the place of the close in the bar, -1 to 1; 0 in a flat bar."""
    if high > low:
        return ((close - low) - (high - close)) / (high - low) * volume
    return 0.0 * (high + low + close + volume)


def ad_step(state: State, at: int, high: float, low: float, close: float, volume: float) -> float:
    """Return Chaikin's accumulation/distribution line.

    Formula: AD[1] + volume * ((close - low) - (high - close)) / (high - low); a bar without range
    adds nothing

    Source: Marc Chaikin; TA-Lib AD.

    Slots: the total.
    """
    flow = money_flow_volume_step(state, at, high, low, close, volume)
    if math.isnan(flow):
        return math.nan
    state[at] += flow
    return state[at]


def adosc_step(
    state: State,
    at: int,
    fast: int,
    slow: int,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> float:
    """Return Chaikin's oscillator.

    Formula: E(AD, fast) - E(AD, slow), exponential averages that start at the first value

    Source: Marc Chaikin; TA-Lib ADOSC.

    Slots: AD, bars seen, two averages.
    """
    line = ad_step(state, at, high, low, close, volume)
    if math.isnan(line):
        return math.nan
    if state[at + 1] == 0.0:
        state[at + 2] = line
        state[at + 3] = line
    if state[at + 1] < slow:
        state[at + 1] += 1.0
    state[at + 2] += (line - state[at + 2]) * (2.0 / (fast + 1.0))
    state[at + 3] += (line - state[at + 3]) * (2.0 / (slow + 1.0))
    return state[at + 2] - state[at + 3] if state[at + 1] >= slow else math.nan


def cmf_step(
    state: State, at: int, period: int, high: float, low: float, close: float, volume: float
) -> float:
    """Return Chaikin's money flow, -1 to 1.

    Formula: sum of volume * ((close - low) - (high - close)) / (high - low) over the window / sum
    of the volume; a bar without range adds nothing to the first sum

    Source: Marc Chaikin; TA-Lib CMF.

    Null: where nothing traded in the whole window.

    Slots: two sums.
    """
    flow = money_flow_volume_step(state, at, high, low, close, volume)
    if math.isnan(flow):
        return math.nan
    flows = sum_step(state, at, period, flow)
    volumes = sum_step(state, at + 2 + period, period, volume)
    return flows / volumes if volumes != 0.0 else math.nan


def mfi_step(
    state: State, at: int, period: int, high: float, low: float, close: float, volume: float
) -> float:
    """Return the money flow index, 0 to 100.

    Formula: 100 * up / (up + down), sums of T * volume over the bars of the window where T =
    (high + low + close) / 3 rose, and where it fell

    Source: Gene Quong and Avrum Soudack, Stocks & Commodities (1989); TA-Lib MFI.

    Null: where the price did not move in the whole window.

    Slots: the last price with its lag, two sums.
    """
    price = high + low + close
    if math.isnan(price) or math.isnan(volume):
        return math.nan
    before = lag_step(state, at, 1, price)
    if math.isnan(before):
        return math.nan
    flow = price * volume
    # Products, not branches: which way prices go is nothing that a processor can guess.
    up = sum_step(state, at + 2, period, flow * (price > before))
    down = sum_step(state, at + 4 + period, period, flow * (price < before))
    return 100.0 * up / (up + down) if up + down != 0.0 else math.nan


def force_index_step(state: State, at: int, period: int, close: float, volume: float) -> float:
    """Return Elder's force index.

    Formula: EMA((close - close[1]) * volume, period)

    Source: Alexander Elder, Trading for a Living (1993); TA-Lib EFI.

    Slots: the last close with its lag, the average.
    """
    if math.isnan(close) or math.isnan(volume):
        return math.nan
    before = lag_step(state, at, 1, close)
    return ema_step(state, at + 2, period, (close - before) * volume)


def ease_of_movement_step(
    state: State, at: int, period: int, divisor: float, high: float, low: float, volume: float
) -> float:
    """Return Arms' ease of movement.

    Formula: SMA((M - M[1]) * (high - low) * divisor / volume), M = (high + low) / 2

    Source: Richard Arms, Profits in Volume (1971); TradingView EOM.

    Null: where nothing traded; such a bar does not count for the mean.

    Slots: the last middle with its lag, the sum.
    """
    if math.isnan(high) or math.isnan(low) or math.isnan(volume):
        return math.nan
    middle = (high + low) / 2.0
    before = lag_step(state, at, 1, middle)
    if volume == 0.0:
        return math.nan
    ease = (middle - before) * (high - low) * divisor / volume
    return sum_step(state, at + 2, period, ease) / period


def volume_index_step(state: State, at: int, sign: float, close: float, volume: float) -> float:
    """Return an index that moves with the price only where the volume rose (or fell: sign -1).

    Slots: 1 once a bar was seen, the last close and volume, the index.
    """
    if math.isnan(close) or math.isnan(volume):
        return math.nan
    before, quantity, index = state[at + 1], state[at + 2], state[at + 3]
    if state[at] == 0.0:
        state[at] = 1.0
        index = 1000.0
    elif sign * (volume - quantity) > 0.0 and before != 0.0:
        index += index * (close - before) / before
    state[at + 1] = close
    state[at + 2] = volume
    state[at + 3] = index
    return index


def nvi_step(state: State, at: int, close: float, volume: float) -> float:
    """Return the negative volume index.

    Formula: NVI[1] * close / close[1] where the volume fell, else NVI[1]; starts at 1000

    Source: Paul Dysart; Norman Fosback, Stock Market Logic (1976); TA-Lib NVI.

    Slots: those of `volume_index_step`.
    """
    return volume_index_step(state, at, -1.0, close, volume)


def pvi_step(state: State, at: int, close: float, volume: float) -> float:
    """Return the positive volume index.

    Formula: PVI[1] * close / close[1] where the volume rose, else PVI[1]; starts at 1000

    Source: Paul Dysart; Norman Fosback, Stock Market Logic (1976); TA-Lib PVI.

    Slots: those of `volume_index_step`.
    """
    return volume_index_step(state, at, 1.0, close, volume)


def pvt_step(state: State, at: int, close: float, volume: float) -> float:
    """Return the price volume trend.

    Formula: PVT[1] + volume * (close - close[1]) / close[1]; starts at 0

    Source: TA-Lib PVT.

    Null: where the close before is zero; such a bar adds nothing.

    Slots: 1 once a bar was seen, the last close, the total.
    """
    if math.isnan(close) or math.isnan(volume):
        return math.nan
    before = state[at + 1]
    state[at + 1] = close
    if state[at] == 0.0:
        state[at] = 1.0
        return 0.0
    if before == 0.0:
        return math.nan
    state[at + 2] += volume * (close - before) / before
    return state[at + 2]


CLOSE_VOLUME = ("close", "volume")
FLOW_SIZE = 4

VOLUME_FLOW = (
    Definition(
        name="avg_volume",
        summary="mean volume of the `period` bars before this one",
        inputs=VOLUME,
        parameters=(period(20),),
        outputs=(Output("value", Unit.INPUT, divisor=whole),),
        step=avg_volume_step,
        state_size=lambda s: 2 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(sum_step,),
        is_linear=True,
    ),
    Definition(
        name="OBV",
        summary="on-balance volume: volume added on rises and taken off on falls",
        inputs=CLOSE_VOLUME,
        sources=("source",),
        parameters=(),
        outputs=(NUMBER_VALUE,),
        step=obv_step,
        state_size=lambda _: 3,
        warmup=lambda _: 1,
    ),
    Definition(
        name="AD",
        aliases=("ADLine",),
        summary="Chaikin's accumulation/distribution line",
        inputs=HIGH_LOW_CLOSE_VOLUME,
        parameters=(),
        outputs=(NUMBER_VALUE,),
        step=ad_step,
        state_size=lambda _: 1,
        warmup=lambda _: 1,
        uses=(money_flow_volume_step,),
    ),
    Definition(
        name="ADOSC",
        aliases=("ChaikinOscillator",),
        summary="Chaikin's oscillator: a quick and a slow average of the AD line",
        inputs=HIGH_LOW_CLOSE_VOLUME,
        parameters=(period(3, name="fast"), period(10, name="slow")),
        outputs=(NUMBER_VALUE,),
        step=adosc_step,
        state_size=lambda _: 4,
        warmup=lambda s: whole(s, "slow"),
        uses=(money_flow_volume_step, ad_step),
        constraint=fast_below_slow,
    ),
    Definition(
        name="CMF",
        summary="Chaikin's money flow, -1 to 1",
        inputs=HIGH_LOW_CLOSE_VOLUME,
        parameters=(period(20),),
        outputs=(NUMBER_VALUE,),
        step=cmf_step,
        state_size=lambda s: 4 + 2 * whole(s),
        warmup=whole,
        uses=(sum_step, money_flow_volume_step),
    ),
    Definition(
        name="MFI",
        summary="money flow index: an RSI weighted by volume, 0 to 100",
        inputs=HIGH_LOW_CLOSE_VOLUME,
        parameters=(period(14),),
        outputs=(NUMBER_VALUE,),
        step=mfi_step,
        state_size=lambda s: 6 + 2 * whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, sum_step),
    ),
    Definition(
        name="ForceIndex",
        aliases=("EFI",),
        summary="Elder's force index: average change times volume",
        inputs=CLOSE_VOLUME,
        parameters=(period(13),),
        outputs=(VALUE,),
        step=force_index_step,
        state_size=lambda _: 4,
        warmup=lambda s: whole(s) + 1,
        uses=(ema_step, lag_step),
    ),
    Definition(
        name="EaseOfMovement",
        aliases=("EOM", "EMV"),
        summary="Arms' ease of movement: how far prices move per volume",
        inputs=("high", "low", "volume"),
        parameters=(period(14), number("divisor", "10000", "1", "1000000000000")),
        outputs=(Output("value", Unit.SQUARE),),
        step=ease_of_movement_step,
        state_size=lambda s: 4 + whole(s),
        warmup=lambda s: whole(s) + 1,
        uses=(lag_step, sum_step),
    ),
    Definition(
        name="NVI",
        summary="negative volume index: moves with the price on falling volume",
        inputs=CLOSE_VOLUME,
        parameters=(),
        outputs=(NUMBER_VALUE,),
        step=nvi_step,
        state_size=lambda _: FLOW_SIZE,
        warmup=lambda _: 1,
        uses=(volume_index_step,),
    ),
    Definition(
        name="PVI",
        summary="positive volume index: moves with the price on rising volume",
        inputs=CLOSE_VOLUME,
        parameters=(),
        outputs=(NUMBER_VALUE,),
        step=pvi_step,
        state_size=lambda _: FLOW_SIZE,
        warmup=lambda _: 1,
        uses=(volume_index_step,),
    ),
    Definition(
        name="PVT",
        summary="price volume trend: volume times the change of the price, summed",
        inputs=CLOSE_VOLUME,
        parameters=(),
        outputs=(NUMBER_VALUE,),
        step=pvt_step,
        state_size=lambda _: 3,
        warmup=lambda _: 1,
    ),
)
