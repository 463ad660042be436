"""The first pass: which rules of a strategy fire on which bar.

Instruments are independent of each other here, so threads share them out: each bar is decided by
that bar and earlier ones of the same instrument, and by nothing else. What comes out does not
depend on how many threads there are.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Bars, Bits
from jts_pipelines.backtest.desk import empty_masks

_THREADS_MAX = 8
# Below this a second thread costs more than it saves.
_ROWS_MIN = 200_000


def fire_rules(
    module: ModuleType,
    bars: Bars,
    *,
    state_size: int,
    rules: int,
    extras: tuple[NDArray[np.generic], ...] = (),
) -> Bits:
    """Return the mask of the rules that fire on each bar, followed by zeros up to a whole word.

    Args:
        module: The compiled batch form of a plan, see `dsl.lowering`.
        bars: Bars that traded.
        state_size: Of the plan.
        rules: How many it has.
        extras: What `dsl.lowering.row_extras` asks for, in that order.
    """
    masks = empty_masks(int(bars.offsets[-1]), rules)

    def run(share: tuple[int, int]) -> None:
        module.run_rows(
            bars.prices,
            bars.volume,
            bars.frames_closed,
            bars.moments,
            bars.shift,
            bars.sessions,
            bars.offsets,
            bars.scales,
            np.zeros(state_size),
            masks,
            *share,
            *extras,
        )

    # Over nothing first: numba compiles, or loads what it compiled before, in one thread.
    run((0, 0))
    shares = _shares(bars, _threads(int(bars.offsets[-1])))
    if len(shares) == 1:
        run(shares[0])
        return masks
    with ThreadPoolExecutor(len(shares)) as threads:
        for _ in threads.map(run, shares):
            pass
    return masks


def _threads(rows: int) -> int:
    return max(1, min(len(os.sched_getaffinity(0)), _THREADS_MAX, rows // _ROWS_MIN))


def _shares(bars: Bars, count: int) -> list[tuple[int, int]]:
    """Return ranges of instruments with about equally many rows."""
    wanted = np.arange(1, count) * int(bars.offsets[-1]) // count
    cuts = [0, *np.searchsorted(bars.offsets, wanted).tolist(), len(bars.offsets) - 1]
    return list(pairwise(cuts))
