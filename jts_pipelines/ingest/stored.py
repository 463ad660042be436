"""What is already stored, in whichever tier, as far as a load needs to know it.

`storage.lake.lake.Lake` knows the rows of every tier and is what commands pass.
"""

from typing import Protocol

import pyarrow as pa

from storage.hot.store import HotStore
from storage.schema.partitions import Partition


class StoredRows(Protocol):
    """Rows of every tier."""

    def partitions(self, dataset: str, venue: str, interval: str) -> set[Partition]:
        """Return the partitions that have rows in any tier."""
        ...

    def rows(self, partition: Partition) -> pa.Table:
        """Return the valid rows of a partition, from every tier that serves some.

        Columns at least `symbol`, `timestamp`, `broker`, `revision`, `status`, the prices, the
        quotes and the volume.
        """
        ...


class HotRows:
    """A store that has no tier but the hot one.

    Args:
        hot: The store.
    """

    def __init__(self, hot: HotStore) -> None:
        self._hot = hot

    def partitions(self, dataset: str, venue: str, interval: str) -> set[Partition]:
        """Return the partitions that have rows in the hot tier."""
        return {
            found.partition
            for found in self._hot.partitions(dataset)
            if (found.partition.venue, found.partition.interval) == (venue, interval)
        }

    def rows(self, partition: Partition) -> pa.Table:
        """Return the valid rows of a partition in the hot tier."""
        return self._hot.read(partition)
