"""Numbers the instants of bars while groups of rows come in, and keeps the session of each.

Numbers are given in the order of appearance, so that one that was given stays. Most instruments
have the same instants: a run of bars that is a stretch of the instants known so far is found by
one comparison.
"""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.bar_rows import Rows, minute_of
from jts_pipelines.backtest.columns import Ints
from jts_trading.domain.calendars import Calendar
from storage.errors import InputError

_EPOCH = date(1970, 1, 1)
_QUARTER_MS = 15 * 60 * 1000
# Shorter runs of a group are looked up together.
_SHORT = 256
_UNKNOWN = np.iinfo(np.int32).min


class Instants:
    """The instants of all rows so far; used by one thread."""

    def __init__(self) -> None:
        self._times: Ints = np.empty(0, np.int64)
        self._numbers: NDArray[np.int32] = np.empty(0, np.int32)
        self._days: NDArray[np.int32] = np.empty(0, np.int32)
        self._has_days = True

    @property
    def times(self) -> Ints:
        """Every instant, UTC ms, ascending."""
        return self._times

    @property
    def ranks(self) -> NDArray[np.int32]:
        """The place in `times` of each number."""
        found = np.empty(len(self._numbers), np.int32)
        found[self._numbers] = np.arange(len(self._numbers), dtype=np.int32)
        return found

    def number(self, rows: Rows) -> NDArray[np.int32]:
        """Return the number of the instant of each row, and note the sessions of a group.

        Raises:
            InputError: An instant belongs to two sessions.
        """
        stamp, offsets = rows.stamp, rows.offsets
        if len(stamp) < _SHORT * (len(offsets) - 1):
            found = self._looked_up(stamp, np.unique(stamp))
        else:
            found = np.empty(len(stamp), np.int32)
            for first, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
                found[first:end] = self._of_run(stamp[first:end])
        self._note_days(rows, found)
        return found

    def days(self, calendar: Calendar) -> Ints:
        """Return the session of each instant, days since 1970-01-01.

        They are those of the rows; where some rows have none, those of the calendar.

        Raises:
            InputError: A session lies before an earlier one.
        """
        if not self._has_days:
            # A session begins and ends inside one UTC quarter of an hour: one question for each.
            quarters, place = np.unique(
                self._times // _QUARTER_MS * _QUARTER_MS, return_inverse=True
            )
            found = [calendar.session_date(at * 1_000_000) for at in quarters.tolist()]
            return np.array([(day - _EPOCH).days for day in found], np.int64)[place]
        days = self._days[self._numbers].astype(np.int64)
        falls = np.diff(days) < 0
        if falls.any():
            at = int(np.argmax(falls)) + 1
            raise _other_session("a bar", int(self._times[at]), int(days[at]))
        return days

    def _of_run(self, stamp: Ints) -> NDArray[np.int32]:
        """Return the numbers of instants that ascend."""
        at = int(np.searchsorted(self._times, stamp[0]))
        stretch = slice(at, at + len(stamp))
        if np.array_equal(self._times[stretch], stamp):
            return self._numbers[stretch]
        return self._looked_up(stamp, stamp)

    def _looked_up(self, stamp: Ints, ascending: Ints) -> NDArray[np.int32]:
        """Return the numbers of instants; `ascending` has each of them once."""
        place = np.searchsorted(self._times, ascending)
        is_new = np.ones(len(ascending), np.bool_)
        inside = place < len(self._times)
        is_new[inside] = self._times[place[inside]] != ascending[inside]
        if is_new.any():
            known, count = len(self._numbers), int(is_new.sum())
            fresh = np.arange(known, known + count, dtype=np.int32)
            self._times = np.insert(self._times, place[is_new], ascending[is_new])
            self._numbers = np.insert(self._numbers, place[is_new], fresh)
            self._days = np.concatenate((self._days, np.full(count, _UNKNOWN, np.int32)))
        return self._numbers[np.searchsorted(self._times, stamp)]

    def _note_days(self, rows: Rows, numbers: NDArray[np.int32]) -> None:
        self._has_days &= "trade_date" in rows.frame.columns
        if not self._has_days:
            return
        day = rows.frame["trade_date"].to_physical().to_numpy()
        before = self._days[numbers]
        # Backwards, so that the first of rows that differ is the one that counts.
        self._days[numbers[::-1]] = np.where(before == _UNKNOWN, day, before)[::-1]
        is_other = self._days[numbers] != day
        if is_other.any():
            at = int(np.argmax(is_other))
            raise _other_session(rows.frame["symbol"][at], int(rows.stamp[at]), int(day[at]))


def _other_session(whose: str, stamp: int, day: int) -> InputError:
    return InputError(
        f"trade_date of {whose} at {minute_of(stamp)} UTC is {_EPOCH + timedelta(days=day)}; "
        "accepted: one session per instant, none before an earlier one"
    )
