"""Time frames: which period of a frame a bar belongs to. The same arithmetic on one bar and many.

Hours of KRX start at the open of the session, days are sessions, weeks begin on Monday. A coarser
bar is closed for the first traded bar that starts at or after its end, which is the first bar of
another period; so it is never seen before it is complete.
"""

import re
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from jts_trading.domain.errors import TerminalError

DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS
# 1970-01-01 was a Thursday: weeks start on Monday.
_THURSDAY = 3
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": DAY_SECONDS, "w": WEEK_SECONDS}
_INTERVAL = re.compile(r"([1-9][0-9]{0,4})([smhdw])")

Whole = TypeVar("Whole", int, NDArray[np.int64])


class IntervalError(TerminalError):
    """A text is no bar interval, or one that bars cannot have."""


def interval_seconds(text: str) -> int:
    """Return the length of an interval such as `1s`, `5m`, `1h` or `1d`.

    Raises:
        IntervalError: It is not written like that, or is longer than a day and no week.
    """
    found = _INTERVAL.fullmatch(text)
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]] if found else 0
    if not seconds or (seconds > DAY_SECONDS and seconds != WEEK_SECONDS):
        raise IntervalError(f"time frame {text} is not known; accepted: up to 1d, and 1w")
    return seconds


def bucket_number(stamp_ms: Whole, open_ms: Whole, seconds: int) -> Whole:
    """Return which interval of its session a bar belongs to, counted from the open.

    Args:
        stamp_ms: Start of the bar, UTC ms.
        open_ms: Open of its session, UTC ms.
        seconds: Length of the interval; of a day or more there is one in a session.
    """
    if seconds >= DAY_SECONDS:
        return stamp_ms * 0
    return (stamp_ms - open_ms) // (seconds * 1000)


def period_number(day: Whole, stamp_ms: Whole, open_ms: Whole, seconds: int) -> Whole:
    """Return a number of the frame's period that a bar belongs to; another period, another one.

    Args:
        day: Session of the bar, days since 1970-01-01.
        stamp_ms: Start of the bar, UTC ms.
        open_ms: Open of its session, UTC ms.
        seconds: Length of the frame.
    """
    if seconds == WEEK_SECONDS:
        return (day + _THURSDAY) // 7
    return day * DAY_SECONDS + bucket_number(stamp_ms, open_ms, seconds)
