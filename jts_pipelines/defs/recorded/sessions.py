"""What the hot tier holds of trading days that have closed; pure of Dagster.

A look counts cheaply, without telling repeated rows apart; only a day whose count has changed
since the last look is counted exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from storage.hot.store import HotStore

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House

DAYS_LOOKED_BACK = 10
"""Hot keeps seven days; older ones have been reported."""

_ROUGHLY = """
SELECT venue, toString(trade_date) AS day, count() AS rows
FROM {dataset}
WHERE trade_date BETWEEN '{first}' AND '{last}'
GROUP BY venue, trade_date ORDER BY venue, trade_date
"""


@dataclass(frozen=True, slots=True, order=True)
class ClosedDay:
    """A trading day of a venue that can get no more rows of its session.

    Attributes:
        rough: Rows in hot, repeated ones included: changes when anything was written.
    """

    venue: str
    day: date
    rough: int


@dataclass(frozen=True, slots=True)
class TickFacts:
    """The recorded ticks of a closed day.

    Attributes:
        feeds: Rows by feed.
        first, last: Times of the first and the last trade.
        gaps: How many gaps of the venue began on the day, by kind.
        missing: Shares, trades or frames that are known to be missing.
    """

    rows: int
    symbols: int
    feeds: Mapping[str, int]
    first: datetime
    last: datetime
    gaps: Mapping[str, int]
    missing: Decimal


def closed_days(house: "House", dataset: str, venues: Sequence[str]) -> list[ClosedDay]:
    """Return the closed days of some venues of which hot has rows, ascending.

    Raises:
        StorageError: The hot tier does not answer.
    """
    now_ns = house.clock.now_ns()
    found: list[ClosedDay] = []
    hot = HotStore(house.settings.hot_dsn)
    try:
        hot.ensure_schema()
        today = max(house.today(venue) for venue in venues)
        query = _ROUGHLY.format(
            dataset=dataset, first=today - timedelta(days=DAYS_LOOKED_BACK), last=today
        )
        for row in hot.query_arrow(query).to_pylist():
            day = date.fromisoformat(row["day"])
            if row["venue"] in venues and _closed_at_ns(house, row["venue"], day) <= now_ns:
                found.append(ClosedDay(row["venue"], day, row["rows"]))
    finally:
        hot.close()
    return sorted(found)


def tick_facts(house: "House", venue: str, day: date) -> TickFacts | None:
    """Return the facts about a day's ticks over all tiers; None without rows."""
    with house.lake() as lake:
        ticks = lake.scan("ticks", venue=venue, start=day, end=day)
        feeds = (
            ticks.group_by("feed")
            .agg(
                rows=pl.len(),
                first_ms=pl.col("timestamp").min().dt.epoch("ms"),
                last_ms=pl.col("timestamp").max().dt.epoch("ms"),
            )
            .sort("feed")
            .collect()
        )
        symbols = ticks.select(pl.col("symbol").n_unique()).collect().item()
        gaps = (
            lake.scan("gaps", start=day, end=day)
            .filter(venue=venue)
            .group_by("kind")
            .agg(count=pl.len(), missing=pl.col("missing").sum())
            .sort("kind")
            .collect()
        )
    if feeds.height == 0:
        return None
    return TickFacts(
        rows=int(feeds["rows"].sum()),
        symbols=int(symbols),
        feeds=dict(feeds.select("feed", "rows").iter_rows()),
        first=_instant(min(feeds["first_ms"])),
        last=_instant(max(feeds["last_ms"])),
        gaps=dict(gaps.select("kind", "count").iter_rows()),
        missing=sum(gaps["missing"].to_list(), Decimal(0)),
    )


def rows_of(house: "House", datasets: Sequence[str], day: date) -> dict[str, int]:
    """Count the rows of some datasets on a trading day over all tiers and venues."""
    with house.lake() as lake:
        return {
            dataset: int(lake.scan(dataset, start=day, end=day).select(pl.len()).collect().item())
            for dataset in datasets
        }


def _instant(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _closed_at_ns(house: "House", venue: str, day: date) -> int:
    calendar = house.calendar(venue)
    # Rows on a day without a session are there all the same; nothing closes after its end.
    return calendar.closed_at_ns(day) if calendar.is_session(day) else 0
