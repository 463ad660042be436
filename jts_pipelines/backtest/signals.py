"""The first pass: which rules of a strategy fire on which bar.

Instruments are independent of each other here, so threads share them out: each bar is decided by
that bar and earlier ones of the same instrument, and by nothing else. What comes out does not
depend on how many threads there are, nor on when an instrument has its turn.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import local
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Bars, Bits, Ints
from jts_pipelines.backtest.desk import empty_masks

_THREADS_MAX = 8
# Below this a second thread costs more than it saves.
_ROWS_MIN = 200_000


class RowsPass(Protocol):
    """What has the compiled batch form of a plan."""

    def bind(self, *arguments: Any) -> Callable[..., None]:
        """Return a walk over instruments for one thread, see `kernels.rows.Rows`."""
        ...


class RulePass:
    """The pass over the bars of one run.

    Args:
        module: Has the batch form.
        bars: Bars that traded.
        state_size: Of the plan.
        rules: How many it has.
        extras: What `dsl.lowering.row_extras` asks for, in that order.
        obeyed_from: The first instant on which rules are obeyed; before it nothing fires.

    Attributes:
        masks: Of the rules that fire on each bar, followed by zeros up to a whole word; filled
            by `run`.
    """

    def __init__(
        self,
        module: RowsPass,
        bars: Bars,
        *,
        state_size: int,
        rules: int,
        extras: tuple[NDArray[np.generic], ...] = (),
        obeyed_from: int = 0,
    ) -> None:
        self._module, self._bars, self._extras = module, bars, extras
        self._state_size, self._obeyed_from = state_size, obeyed_from
        self.masks = empty_masks(int(bars.offsets[-1]), rules)
        self._of_thread = local()

    def run(self, first: int, end: int) -> None:
        """Fill in the masks of some instruments; of none, it only compiles."""
        if not hasattr(self._of_thread, "run"):
            self._of_thread.run = self._bound()
        self._of_thread.run(first, end)
        if self._obeyed_from:
            self._forget_early(first, end)

    def _bound(self) -> Callable[..., None]:
        """Return the pass with a state of its own."""
        bars = self._bars
        return self._module.bind(
            bars.prices,
            bars.volume,
            bars.frames_closed,
            bars.moments,
            bars.shift,
            bars.sessions,
            bars.offsets,
            bars.scales,
            np.zeros(self._state_size),
            self.masks,
            *(0, 0),
            *self._extras,
        )

    def run_all(self) -> Bits:
        """Fill in and return all masks."""
        # Over nothing first: what is not compiled yet is compiled in one thread.
        self.run(0, 0)
        rows = int(self._bars.offsets[-1])
        threads = max(1, min(len(os.sched_getaffinity(0)), _THREADS_MAX, rows // _ROWS_MIN))
        if threads == 1:
            self.run(0, len(self._bars.offsets) - 1)
            return self.masks
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda share: self.run(*share), shares(self._bars.offsets, threads)):
                pass
        return self.masks

    def _forget_early(self, first: int, end: int) -> None:
        bars = self._bars
        for at in range(first, end):
            begin, after = int(bars.offsets[at]), int(bars.offsets[at + 1])
            moments = bars.moments[begin + int(bars.shift[at]) : after + int(bars.shift[at])]
            self.masks[begin : begin + int(np.searchsorted(moments, self._obeyed_from))] = 0


def shares(offsets: Ints, count: int) -> list[tuple[int, int]]:
    """Return ranges of instruments with about equally many rows.

    Args:
        offsets: First row of each instrument, and the number of rows at the end.
        count: How many ranges, at most; none is empty.
    """
    wanted = np.arange(1, count) * int(offsets[-1]) // count
    cuts = [0, *np.searchsorted(offsets, wanted).tolist(), len(offsets) - 1]
    return [(first, end) for first, end in pairwise(cuts) if first < end]
