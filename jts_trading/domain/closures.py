"""Writes `krx_closures.csv`: weekday closures and exam days of KRX as exchange-calendars has them.

The package imports pandas and takes over a second to build a calendar, so its dates are written
down once and read in milliseconds (`sessions`). What it lacks stays in the rule table, key
`closed` and `exam_day`. Regenerate after an update of the package:

    python -m jts_trading.domain.closures jts_trading/domain/krx_closures.csv

A test compares the file with the installed package, so drift is noticed.
"""

import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

FIRST = date(1985, 1, 1)
LAST = date(2027, 12, 31)
# The package knows the hours of exam days from here on; earlier hours are not modelled.
_HOURS_FROM = date(1998, 12, 7)
_LONG_CLOSE_FROM = date(2016, 8, 1)


def closures_text() -> str:
    """Return the file's text from the installed package; takes about two seconds."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar(
        "XKRX", start=FIRST.isoformat(), end=LAST.isoformat()
    )
    schedule = calendar.schedule
    closes = schedule["close"].dt.tz_convert("Asia/Seoul").dt.strftime("%H:%M")
    sessions = dict(zip((at.date() for at in schedule.index), closes, strict=True))
    lines = ["day,kind", f"{FIRST},first", f"{LAST},last", *_rows(sessions)]
    return "\n".join(lines) + "\n"


def _rows(sessions: dict[date, str]) -> Iterator[str]:
    day = FIRST
    while day <= LAST:
        close = sessions.get(day)
        if close is None and day.weekday() < 5:
            yield f"{day},closed"
        elif close is not None and day >= _HOURS_FROM:
            late = "16:30" if day >= _LONG_CLOSE_FROM else "16:00"
            if close == late:
                yield f"{day},exam_day"
        day += timedelta(days=1)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(closures_text(), encoding="utf-8")
