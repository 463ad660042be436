"""Writes `krx_closures.csv`: weekday closures and exam days of KRX as exchange-calendars has them.

The package imports pandas and takes over a second to build a calendar, so its dates are written
down once and read in milliseconds (`sessions`). What it lacks stays in the rule table, key
`closed` and `exam_day`. Regenerate after an update of the package:

    python -m jts_trading.domain.closures jts_trading/domain/krx_closures.csv

A test compares the file with the installed package, so drift is noticed.
"""

import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

FIRST = date(1985, 1, 1)
LAST = date(2027, 12, 31)
# The package knows the hours of exam days from here on; earlier hours are not modelled.
_HOURS_FROM = date(1998, 12, 7)
_LONG_CLOSE_FROM = date(2016, 8, 1)
_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


class PackageSession(NamedTuple):
    """One session as exchange-calendars has it; instants in UTC ns."""

    day: date
    open_ns: int
    close_ns: int


def package_sessions(name: str, first: date, last: date) -> list[PackageSession]:
    """Return the sessions of an exchange from exchange-calendars, ascending.

    Takes about a second: the package imports pandas.
    """
    import exchange_calendars
    from pandas.errors import PandasDeprecationWarning

    with warnings.catch_warnings():
        # The package still calls what pandas 3.1 deprecates; its next release is to follow.
        warnings.simplefilter("ignore", PandasDeprecationWarning)
        calendar = exchange_calendars.get_calendar(name, start=str(first), end=str(last))
        schedule = calendar.schedule
        unit = _NS[schedule["open"].dt.unit]
        opens, closes = (schedule[column].astype("int64").tolist() for column in ("open", "close"))
    return [
        PackageSession(at.date(), start * unit, end * unit)
        for at, start, end in zip(schedule.index, opens, closes, strict=True)
    ]


def closures_text() -> str:
    """Return the file's text from the installed package; takes about two seconds."""
    sessions = {at.day: at.close_ns for at in package_sessions("XKRX", FIRST, LAST)}
    lines = ["day,kind", f"{FIRST},first", f"{LAST},last", *_rows(sessions)]
    return "\n".join(lines) + "\n"


def _rows(closes_ns: dict[date, int]) -> Iterator[str]:
    day = FIRST
    while day <= LAST:
        close_ns = closes_ns.get(day)
        if close_ns is None and day.weekday() < 5:
            yield f"{day},closed"
        elif close_ns is not None and day >= _HOURS_FROM:
            late_utc = time(7, 30) if day >= _LONG_CLOSE_FROM else time(7)
            if datetime.fromtimestamp(close_ns // _NS["s"], UTC).time() == late_utc:
                yield f"{day},exam_day"
        day += timedelta(days=1)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(closures_text(), encoding="utf-8")
