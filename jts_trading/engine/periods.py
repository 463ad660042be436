"""Which coarser bars closed before a bar: they are another period than the bar seen before it."""

import numpy as np

from jts_trading.dsl.plan import Timeframe
from jts_trading.engine.columns import DAY, OPEN_MS, STAMP_MS, Ints
from jts_trading.strategy.frames import period_number


def frames_closed(frames: tuple[Timeframe, ...], seen: Ints, rows: Ints, when: Ints) -> Ints:
    """Return the bits of the frames whose pending bar closed before each bar.

    Args:
        frames: Above the one of the bars.
        seen: [instrument, column]: the newest bar of each.
        rows: Row of the instrument of each bar.
        when: Session, label (ms) and open of the session (ms) of all of them.
    """
    closed = np.zeros(len(rows), np.int64)
    if not frames:
        return closed
    newest = seen[rows]
    is_known = newest[:, DAY] >= 0
    for bit, frame in enumerate(frames):
        before = period_number(
            newest[:, DAY], newest[:, STAMP_MS], newest[:, OPEN_MS], frame.seconds
        )
        now = period_number(int(when[0]), int(when[1]), int(when[2]), frame.seconds)
        closed |= ((before != now) & is_known).astype(np.int64) << bit
    return closed
