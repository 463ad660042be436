"""What the lake serves for a partition, as numbers, and whether that is sound.

Pure of Dagster: one SQL query brings one row per trading day, the rest is arithmetic. All checks
of a run judge the same numbers, name the worst partition and cost no further pass.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from storage.schema.partitions import Partition, partition_of
from storage.schema.protocols import Calendar

PER_DAY = """
SELECT
    trade_date AS day,
    tier,
    count(*) AS rows,
    count(*) FILTER (status = 'halted') AS halted,
    count(DISTINCT symbol) AS symbols,
    count(*) - count(DISTINCT (symbol, timestamp, broker)) AS duplicates,
    count(*) FILTER (
        quality = 'ok' AND (low > least(open, close) OR high < greatest(open, close))
    ) AS disordered,
    count(*) FILTER (least(open, high, low, close) <= 0 OR volume < 0) AS unpositive,
    CAST(sum(open) AS VARCHAR) AS open_sum,
    CAST(sum(high) AS VARCHAR) AS high_sum,
    CAST(sum(low) AS VARCHAR) AS low_sum,
    CAST(sum(close) AS VARCHAR) AS close_sum,
    CAST(sum(volume) AS VARCHAR) AS volume_sum
FROM candles
WHERE venue = '{venue}' AND interval = '{interval}'
  AND trade_date BETWEEN DATE '{first}' AND DATE '{last}'
GROUP BY trade_date, tier
ORDER BY trade_date, tier
"""

KNOWN_DAYS = """
SELECT min(trade_date) AS first, max(trade_date) AS last
FROM candles WHERE venue = '{venue}' AND interval = '{interval}'
"""

_SUMS = ("open_sum", "high_sum", "low_sum", "close_sum", "volume_sum")
_COUNTS = ("halted", "duplicates", "disordered", "unpositive")


@dataclass(frozen=True, slots=True)
class PartitionFacts:
    """What the lake serves for one partition.

    Attributes:
        partition: Which one.
        rows: Rows served, by all tiers together.
        symbols: Most symbols on one day.
        halted, duplicates, disordered, unpositive: Rows of that kind.
        tiers: Rows by serving tier.
        days: Rows by trading day, ascending.
        digest: SHA-256 over the exact sums of each day; empty without rows.
    """

    partition: Partition
    rows: int
    symbols: int
    halted: int
    duplicates: int
    disordered: int
    unpositive: int
    tiers: Mapping[str, int]
    days: Mapping[date, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check over all partitions of a run.

    Attributes:
        check: Its name.
        count: Rows, partitions or sessions that offend; 0 where it passed.
        worst: Key of the partition with most of them; empty where it passed.
        found: One line for a person.
        blocks: Whether nothing downstream may run.
    """

    check: str
    count: int
    worst: str
    found: str
    blocks: bool = True


def per_day_sql(partitions: Sequence[Partition]) -> str:
    """Return the query whose rows `fold` reads, over the span of the partitions."""
    first = min(partition.from_day for partition in partitions)
    last = max(partition.to_day for partition in partitions)
    one = partitions[0]
    return PER_DAY.format(venue=one.venue, interval=one.interval, first=first, last=last)


def known_days_sql(venue: str, interval: str) -> str:
    """Return the query for the first and last trading day of a family."""
    return KNOWN_DAYS.format(venue=venue, interval=interval)


def fold(
    partitions: Sequence[Partition], days: Iterable[Mapping[str, Any]]
) -> list[PartitionFacts]:
    """Add the days of a `per_day_sql` answer up by partition.

    Returns:
        One entry per partition asked for, in that order, with zeros where nothing is served.
    """
    by_partition: dict[Partition, list[Mapping[str, Any]]] = defaultdict(list)
    one = partitions[0]
    for row in days:
        holder = partition_of(one.dataset, one.venue, one.interval, row["day"])
        by_partition[holder].append(row)
    return [_facts(partition, by_partition[partition]) for partition in partitions]


def _facts(partition: Partition, rows: Sequence[Mapping[str, Any]]) -> PartitionFacts:
    tiers: dict[str, int] = defaultdict(int)
    days: dict[date, int] = defaultdict(int)
    for row in rows:
        tiers[row["tier"]] += row["rows"]
        days[row["day"]] += row["rows"]
    counts = {name: sum(row[name] for row in rows) for name in _COUNTS}
    return PartitionFacts(
        partition=partition,
        rows=sum(days.values()),
        symbols=max((row["symbols"] for row in rows), default=0),
        tiers=dict(tiers),
        days=dict(days),
        digest=_digest(rows),
        **counts,
    )


def _digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash the exact sums of each day; the same whatever tier serves which row."""
    if not rows:
        return ""
    sums: dict[date, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * (1 + len(_SUMS)))
    for row in rows:
        values = [Decimal(row["rows"]), *(Decimal(row[name] or 0) for name in _SUMS)]
        sums[row["day"]] = [old + new for old, new in zip(sums[row["day"]], values, strict=True)]
    lines = (
        f"{day}|{'|'.join(str(value.normalize()) for value in sums[day])}" for day in sorted(sums)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def judge(
    facts: Sequence[PartitionFacts], *, calendar: Calendar, known: tuple[date, date] | None
) -> list[Verdict]:
    """Return the verdict of every check over the partitions of a run.

    Args:
        facts: As `fold` returned them.
        calendar: Sessions of the venue.
        known: First and last day on which the lake serves the family at all. Sessions between
            them are expected; what lies outside is not a gap but not there yet.
    """
    return [
        _worst("rows_present", facts, {f.partition.key: int(f.rows == 0) for f in facts}, "empty"),
        _worst("keys_unique", facts, _column(facts, "duplicates"), "rows with a repeated key"),
        _worst("prices_ordered", facts, _column(facts, "disordered"), "rows out of OHLC order"),
        _worst("prices_positive", facts, _column(facts, "unpositive"), "rows not positive"),
        _worst("sessions_only", facts, _strangers(facts, calendar), "days that are no session"),
        _worst(
            "sessions_covered",
            facts,
            _gaps(facts, calendar, known),
            "sessions without rows",
            blocks=False,
        ),
    ]


def _column(facts: Sequence[PartitionFacts], name: str) -> dict[str, int]:
    return {fact.partition.key: int(getattr(fact, name)) for fact in facts}


def _strangers(facts: Sequence[PartitionFacts], calendar: Calendar) -> dict[str, int]:
    return {
        fact.partition.key: sum(not calendar.is_session(day) for day in fact.days)
        for fact in facts
    }


def _gaps(
    facts: Sequence[PartitionFacts], calendar: Calendar, known: tuple[date, date] | None
) -> dict[str, int]:
    if known is None:
        return {}
    gaps = {}
    for fact in facts:
        first = max(fact.partition.from_day, known[0])
        last = min(fact.partition.to_day, known[1])
        expected = calendar.sessions(first, last) if first <= last else []
        gaps[fact.partition.key] = sum(day not in fact.days for day in expected)
    return gaps


def _worst(
    check: str,
    facts: Sequence[PartitionFacts],
    counts: Mapping[str, int],
    what: str,
    *,
    blocks: bool = True,
) -> Verdict:
    total = sum(counts.values())
    if total == 0:
        return Verdict(check, 0, "", f"{len(facts)} partitions are sound", blocks)
    worst = max(counts, key=lambda key: counts[key])
    bad = sum(count > 0 for count in counts.values())
    found = f"{total} {what} in {bad} partitions; worst is {worst} with {counts[worst]}"
    return Verdict(check, total, worst, found, blocks)
