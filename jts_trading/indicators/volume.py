"""Volume indicators."""

import math

from jts_trading.indicators.definition import (
    VOLUME,
    Definition,
    Output,
    State,
    Unit,
    period,
    whole,
)
from jts_trading.indicators.windows import sum_step


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
)
