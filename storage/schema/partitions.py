"""Partitions: the unit that is exported, verified, moved and evicted.

Daily bars are partitioned by calendar month, everything finer by trading day. A partition names
its span of days, so that day files, month files and compaction are one thing.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import date

from storage.errors import InputError

_KEY = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?")


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """The rows of one dataset, venue and interval whose `trade_date` lies in a span of days."""

    dataset: str
    venue: str
    interval: str
    from_day: date
    to_day: date

    @property
    def key(self) -> str:
        """The span as Dagster spells it: `2024-01` for a month, `2024-01-31` for a day."""
        if self.from_day == self.to_day:
            return self.from_day.isoformat()
        return self.from_day.strftime("%Y-%m")

    @property
    def name(self) -> str:
        """The whole identity in one word, for messages and locks."""
        return f"{self.dataset}/{self.venue}/{self.interval}/{self.key}"

    def age_days(self, today: date) -> int:
        """Return the calendar days since the last day; negative while it still lies ahead."""
        return (today - self.to_day).days

    def is_open(self, today: date) -> bool:
        """Return whether the partition can still receive the rows of a session."""
        return self.age_days(today) <= 0


def is_monthly(interval: str) -> bool:
    """Return whether bars of this interval are partitioned by month."""
    return interval == "1d"


def partition_of(dataset: str, venue: str, interval: str, day: date) -> Partition:
    """Return the partition that holds the rows of a trading day."""
    if not is_monthly(interval):
        return Partition(dataset, venue, interval, day, day)
    last = calendar.monthrange(day.year, day.month)[1]
    return Partition(dataset, venue, interval, day.replace(day=1), day.replace(day=last))


def parse_partition(dataset: str, venue: str, interval: str, key: str) -> Partition:
    """Return the partition of a key such as `2024-01` or `2024-01-31`.

    Raises:
        InputError: The key is not a month for daily bars, or not a day for finer ones.
    """
    match = _KEY.fullmatch(key)
    wanted = "a month such as 2024-01" if is_monthly(interval) else "a day such as 2024-01-31"
    if match is None or (match[3] is None) != is_monthly(interval):
        raise InputError(f"partition {key!r} of {venue} {interval}: accepted is {wanted}")
    try:
        day = date(int(match[1]), int(match[2]), int(match[3] or 1))
    except ValueError as error:
        raise InputError(f"partition {key!r} of {venue} {interval}: {error}") from error
    return partition_of(dataset, venue, interval, day)
