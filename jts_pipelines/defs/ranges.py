"""The tags by which one run covers a range of partitions."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
SHOWN = "jts/range"
"""Dagster folds its own tags away in the list of runs; this one says there what a run covers."""


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over all partition keys from the first to the last."""
    return {RANGE_START: first, RANGE_END: last, SHOWN: f"{first}..{last}"}
