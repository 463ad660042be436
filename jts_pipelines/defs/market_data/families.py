"""One family of assets per venue and bar interval.

A family is a row of `FAMILIES`: its candles, their warm and cold copies, the evictions, the
archive job and the landing folder are all derived from it, so the next venue is one more line.
Daily bars are partitioned by month, finer bars by session, in the venue's own time zone and
including the partition that is open now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache

import dagster as dg

from jts_trading.domain.sessions import calendar_for, closures
from storage.schema.datasets import CANDLES
from storage.schema.partitions import Partition, is_monthly, parse_partition

_WEEKEND = "0 0 * * 0,6"

OWNERS = ["team:market-data"]


@dataclass(frozen=True, slots=True)
class Family:
    """The candles of one venue and interval, in all tiers.

    Attributes:
        venue: Where it trades.
        interval: Length of a bar.
        start: First day that can hold rows; partitions begin here.
        title: What the user interface calls it.
    """

    venue: str
    interval: str
    start: date
    title: str

    @property
    def name(self) -> str:
        """Prefix of asset keys, group and job: `krx_1d`."""
        return f"{self.venue.lower()}_{self.interval}"

    @property
    def archive_job(self) -> str:
        """Name of the job that moves the family's partitions."""
        return f"archive_{self.name}"

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of one asset of the family."""
        return dg.AssetKey([self.name, asset])

    def partition(self, key: str) -> Partition:
        """Return the partition of the lake that a partition key names."""
        return parse_partition(CANDLES.name, self.venue, self.interval, key)

    def partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """Return the partitions of every asset of the family."""
        return _partitions(self)

    def tags(self, tier: str) -> Mapping[str, str]:
        """Return the tags of an asset that lives in a tier."""
        # Dagster stores tags as plain text; a member of an enumeration would not do.
        return {"venue": self.venue, "interval": self.interval, "tier": str(tier)}


FAMILIES: tuple[Family, ...] = (
    Family("KRX", "1d", date(1985, 1, 1), "KRX daily bars"),
    Family("KRX", "1m", date(2015, 1, 1), "KRX minute bars"),
    Family("UPBIT", "1m", date(2017, 10, 1), "Upbit minute bars"),
)


def family_of(venue: str, interval: str) -> Family | None:
    """Return the family of a venue and interval, or None where no assets are declared."""
    for family in FAMILIES:
        if (family.venue, family.interval) == (venue, interval):
            return family
    return None


@cache
def _partitions(family: Family) -> dg.TimeWindowPartitionsDefinition:
    timezone = calendar_for(family.venue).timezone
    if is_monthly(family.interval):
        return dg.MonthlyPartitionsDefinition(
            start_date=family.start.strftime("%Y-%m"), fmt="%Y-%m", timezone=timezone, end_offset=1
        )
    return dg.DailyPartitionsDefinition(
        start_date=family.start.isoformat(),
        timezone=timezone,
        end_offset=1,
        exclusions=_exclusions(family) or None,
    )


def _exclusions(family: Family) -> list[str | datetime]:
    """Weekends as a rule and each closure as a date; nothing where a venue never closes.

    Partitions end one after the present one, so closures beyond the calendar do not matter yet.
    """
    closed = [day for day in closures(family.venue) if day >= family.start]
    if not closed:
        return []
    return [_WEEKEND, *(datetime.combine(day, time()) for day in closed)]
