"""The spread of best quotes in whole ticks: (ask - bid) / mid, the same bits wherever it is asked.

Quotes that cross, or of which one is zero, are none: the spread is NaN.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def spread_of(bid: int, ask: int) -> float:
    """Return the spread of two quotes in ticks; NaN where one is not known (0), or they cross."""
    return 2 * (ask - bid) / (ask + bid) if 0 < bid <= ask else math.nan


def spreads_of(bids: Floats, asks: Floats) -> Floats:
    """Return the spread of each pair of quotes, whole ticks as floats; see `spread_of`."""
    found = np.full(len(bids), np.nan)
    known = (bids > 0) & (asks >= bids)
    bid, ask = bids[known], asks[known]
    found[known] = 2 * (ask - bid) / (ask + bid)
    return found
