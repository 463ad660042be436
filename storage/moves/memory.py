"""A hot tier in memory: the second implementation of `HotTier`, for simulated years."""

import hashlib
from dataclasses import dataclass

import pyarrow as pa

from storage.manifest.records import Fence, Summary
from storage.manifest.summaries import summarise
from storage.moves.merge import newest_rows
from storage.schema.arrow import file_schema
from storage.schema.datasets import DATASETS
from storage.schema.partitions import Partition


@dataclass(frozen=True, slots=True)
class MemoryRows:
    """A partition that has rows."""

    partition: Partition
    rows: int
    bytes_on_disk: int


class MemoryTransit:
    """Partitions on their way out or back, as tables in memory."""

    def __init__(self, live: dict[Partition, pa.Table]) -> None:
        self._live = live
        self._leaving: dict[Partition, pa.Table] = {}
        self._returning: dict[Partition, pa.Table] = {}

    def withdraw(self, partition: Partition) -> None:
        """Take the partition out of the live rows."""
        _move(partition, self._live, self._leaving)

    def put_back(self, partition: Partition) -> None:
        """Return a withdrawn partition to the live rows."""
        _move(partition, self._leaving, self._live)

    def withdrawn(self, partition: Partition) -> Fence:
        """Return the content of the withdrawn partition."""
        return _fence(self._leaving.get(partition))

    def discard(self, partition: Partition) -> None:
        """Forget a withdrawn partition."""
        self._leaving.pop(partition, None)

    def stage(self, partition: Partition, rows: pa.Table) -> tuple[Fence, Summary]:
        """Keep rows beside the live ones."""
        self._returning[partition] = rows
        return _fence(rows), summarise(rows, DATASETS[partition.dataset])

    def admit(self, partition: Partition) -> None:
        """Move staged rows into the live ones."""
        _move(partition, self._returning, self._live)


class MemoryHot:
    """Live rows by partition; `add` is the only way in."""

    def __init__(self) -> None:
        self._live: dict[Partition, pa.Table] = {}
        self.transit = MemoryTransit(self._live)

    def add(self, partition: Partition, rows: pa.Table) -> None:
        """Add rows typed as a file holds them; of one key the highest revision stays."""
        _add(self._live, partition, rows)

    def partitions(self, dataset: str = "candles") -> list[MemoryRows]:
        """Return every partition that has rows, sorted."""
        return [
            MemoryRows(partition, rows.num_rows, rows.nbytes)
            for partition, rows in sorted(self._live.items(), key=lambda item: item[0])
            if partition.dataset == dataset
        ]

    def fence(self, partition: Partition) -> Fence:
        """Return the content of a partition."""
        return _fence(self._live.get(partition))

    def summary(self, partition: Partition) -> Summary:
        """Return what a partition adds up to."""
        return summarise(self.read(partition), DATASETS[partition.dataset])

    def read(self, partition: Partition) -> pa.Table:
        """Return the rows in file order."""
        empty = file_schema(DATASETS[partition.dataset], partition.venue).empty_table()
        return self._live.get(partition, empty)


def _fence(rows: pa.Table | None) -> Fence:
    if rows is None or rows.num_rows == 0:
        return Fence(rows=0, digest="")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    mark = hashlib.sha256(sink.getvalue().to_pybytes()).hexdigest()
    return Fence(rows=rows.num_rows, digest=mark)


def _add(tables: dict[Partition, pa.Table], partition: Partition, rows: pa.Table) -> None:
    dataset = DATASETS[partition.dataset]
    present = tables.get(partition, rows.slice(0, 0))
    tables[partition] = newest_rows(present, rows, dataset)


def _move(
    partition: Partition, source: dict[Partition, pa.Table], target: dict[Partition, pa.Table]
) -> None:
    rows = source.pop(partition, None)
    if rows is not None:
        _add(target, partition, rows)
