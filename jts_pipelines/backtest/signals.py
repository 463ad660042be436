"""The first compiled pass: which rules of a strategy fire on which bar.

One instrument after the other; the strategy's generated `step` is called once for each bar in
which something traded, so halted and absent bars leave its state alone. A decision at a bar sees
that bar and earlier ones of the same instrument, nothing else.

This module is read as text: `kernel_text` joins it to the source of a strategy, which defines
`step` and `init_state`, and numba compiles the result. What a strategy needs beyond the columns of
every bar (`Plan.needs`: the session) is added to the call of `step` there.
"""

from collections.abc import Callable

from jts_pipelines.backtest.columns import Bars, Floats, Ints

init_state: Callable[[Floats], None]
step: Callable[..., int]


def evaluate_rules(bars: Bars, state: Floats, fired: Ints) -> None:
    """Fill `fired` with the rule mask of each bar; `state` is one row that is overwritten."""
    for instrument in range(len(bars.offsets) - 1):
        state[:] = 0.0
        init_state(state)  # noqa: F821 - the source of the strategy defines it
        for row in range(bars.offsets[instrument], bars.offsets[instrument + 1]):
            if bars.is_traded[row]:
                fired[row] = step(  # noqa: F821 - the source of the strategy defines it
                    state,
                    bars.open[row],
                    bars.high[row],
                    bars.low[row],
                    bars.close[row],
                    bars.volume[row],
                    bars.frames_closed[row],
                )
