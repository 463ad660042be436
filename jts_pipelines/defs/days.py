"""The days of reports: days in Korea, whatever the venue."""

from datetime import date

import dagster as dg

OWNERS = ["team:trading"]
GROUP = "trading"
DAYS = dg.DailyPartitionsDefinition(start_date="2015-01-01", timezone="Asia/Seoul", end_offset=1)
"""Every day, sessions or not: crypto trades on all of them. The one that is open now included."""


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """Return the days that a run covers, ascending."""
    return [date.fromisoformat(key) for key in context.partition_keys]
