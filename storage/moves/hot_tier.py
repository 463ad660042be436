"""The hot tier as the moves need it; `storage.hot.store.HotStore` is the real one."""

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from storage.manifest.records import Fence, Summary
from storage.schema.partitions import Partition


class HotRows(Protocol):
    """A partition that has rows in the hot tier."""

    @property
    def partition(self) -> Partition:
        """Which partition."""
        ...

    @property
    def rows(self) -> int:
        """Valid rows, one per key."""
        ...

    @property
    def bytes_on_disk(self) -> int:
        """Compressed size."""
        ...


class Transit(Protocol):
    """Partitions on their way out of hot or back; each step may be repeated after a crash."""

    def withdraw(self, partition: Partition) -> None:
        """Take the partition out of the live table, in one step."""
        ...

    def put_back(self, partition: Partition) -> None:
        """Return a withdrawn partition to the live table."""
        ...

    def withdrawn(self, partition: Partition) -> Fence:
        """Return the content of the withdrawn partition; zero rows when there is none."""
        ...

    def discard(self, partition: Partition) -> None:
        """Delete a withdrawn partition for good."""
        ...

    def stage(self, partition: Partition, rows: pa.Table) -> tuple[Fence, Summary]:
        """Load rows beside the live table; return what the server then holds."""
        ...

    def admit(self, partition: Partition) -> None:
        """Move staged rows into the live table, in one step."""
        ...


class HotTier(Protocol):
    """Reads of the live table, and the way out."""

    @property
    def transit(self) -> Transit:
        """The way out and back."""
        ...

    def partitions(self, dataset: str = "candles") -> Sequence[HotRows]:
        """Return every partition that has rows, sorted."""
        ...

    def fence(self, partition: Partition) -> Fence:
        """Return the content of a partition, computed now."""
        ...

    def summary(self, partition: Partition) -> Summary:
        """Return what a partition adds up to, computed by the server now."""
        ...

    def read(self, partition: Partition) -> pa.Table:
        """Return the valid rows in file order, typed as a file holds them."""
        ...
