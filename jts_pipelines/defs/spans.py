"""Ranges of partitions without a gap, as the calendar of their venue sees it.

Pure of Dagster. A run covers every partition key between the two ends of its range, so whoever
asks for runs asks for ranges in which nothing else lies.
"""

from collections.abc import Iterable
from datetime import timedelta

from jts_trading.domain.sessions import calendar_for
from storage.schema.partitions import Partition, is_monthly, partition_of

Span = tuple[Partition, Partition]


def contiguous(partitions: Iterable[Partition]) -> list[Span]:
    """Group partitions of one family into ranges: first and last of each, ascending."""
    spans: list[Span] = []
    for partition in sorted(set(partitions)):
        if spans and next_partition(spans[-1][1]) == partition:
            spans[-1] = (spans[-1][0], partition)
        else:
            spans.append((partition, partition))
    return spans


def next_partition(partition: Partition) -> Partition:
    """Return the partition that follows: the next month, or the next session of the venue."""
    if is_monthly(partition.interval):
        day = partition.to_day + timedelta(days=1)
    else:
        day = calendar_for(partition.venue).next_session(partition.to_day)
    return partition_of(partition.dataset, partition.venue, partition.interval, day)
