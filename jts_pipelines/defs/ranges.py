"""The tags by which one run covers a range of partitions."""

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over all partition keys from the first to the last."""
    return {RANGE_START: first, RANGE_END: last}
