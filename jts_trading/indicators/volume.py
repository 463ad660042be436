"""Volume indicators."""

import math

from jts_trading.indicators.averages import sma_step
from jts_trading.indicators.definition import Definition, Output, State, Unit, period


def avg_volume_step(state: State, at: int, period: int, volume: float) -> float:
    """Return the sum of the `period` volumes before this bar; null before.

    The bar under judgement is not part of its own yardstick: `volume > avg_volume(20) * 2` asks
    whether this bar trades twice what the twenty closed ones before it did. Slots:
    those of the simple mean.
    """
    if math.isnan(volume):
        return math.nan
    before = state[at + 1] if state[at] >= period else math.nan
    sma_step(state, at, period, volume)
    return before


VOLUME = (
    Definition(
        name="avg_volume",
        summary="mean volume of the `period` bars before this one",
        inputs=("volume",),
        parameters=(period(20),),
        outputs=(Output("value", Unit.INPUT, divisor="period"),),
        step=avg_volume_step,
        state_size=lambda s: 2 + int(s["period"]),
        warmup=lambda s: int(s["period"]) + 1,
        uses=(sma_step,),
        is_linear=True,
    ),
)
