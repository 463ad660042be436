# ruff: noqa: S608 - names come from storage.schema, values are parameters
"""Partitions on their way out of the hot tier, or back into it.

`ALTER TABLE ... MOVE PARTITION` takes a partition out of the live table in one step, rows that
arrive a moment later start a new one and are seen as late. So what is compared with the manifest
is exactly what is discarded. Only `storage.moves` may use this room.
"""

import pyarrow as pa

from storage.hot.connection import HotConnection
from storage.hot.summary import row_hash, summary_columns, summary_of_answer
from storage.manifest.records import Fence, Summary
from storage.schema.clickhouse import create_table
from storage.schema.datasets import DATASETS
from storage.schema.partitions import Partition

_SETTINGS = "SETTINGS max_partition_size_to_drop = 0"


class Transit:
    """Two tables beside the live one: `<dataset>_leaving` and `<dataset>_returning`."""

    def __init__(self, connection: HotConnection) -> None:
        self._connection = connection
        self._ready: set[str] = set()

    def withdraw(self, partition: Partition) -> None:
        """Take the partition out of the live table, in one step."""
        self._move(partition, partition.dataset, self._table(partition, "leaving"))

    def put_back(self, partition: Partition) -> None:
        """Return a withdrawn partition to the live table."""
        self._move(partition, self._table(partition, "leaving"), partition.dataset)

    def withdrawn(self, partition: Partition) -> Fence:
        """Return the content of the withdrawn partition; zero rows when there is none."""
        dataset = DATASETS[partition.dataset]
        where, parameters = _inside(partition)
        answer = self._connection.query(
            f"SELECT count() AS rows, {row_hash(dataset)} AS digest"
            f" FROM {self._table(partition, 'leaving')} FINAL WHERE {where}",
            parameters,
        ).to_pylist()[0]
        return Fence(rows=int(answer["rows"]), digest=str(answer["digest"]))

    def discard(self, partition: Partition) -> None:
        """Delete a withdrawn partition for good."""
        self._drop(partition, self._table(partition, "leaving"))

    def stage(self, partition: Partition, rows: pa.Table) -> tuple[Fence, Summary]:
        """Load rows beside the live table and return what the server then holds."""
        dataset = DATASETS[partition.dataset]
        table = self._table(partition, "returning")
        self._drop(partition, table)
        self._connection.insert(table, rows)
        where, parameters = _inside(partition)
        answer = self._connection.query(
            f"SELECT {summary_columns(dataset)}, {row_hash(dataset)} AS digest"
            f" FROM {table} FINAL WHERE {where}",
            parameters,
        )
        summary = summary_of_answer(answer, dataset, partition.venue)
        return Fence(rows=summary.rows, digest=str(answer["digest"][0].as_py())), summary

    def admit(self, partition: Partition) -> None:
        """Move staged rows into the live table, in one step."""
        self._move(partition, self._table(partition, "returning"), partition.dataset)

    def _table(self, partition: Partition, suffix: str) -> str:
        name = f"{partition.dataset}_{suffix}"
        if name not in self._ready:
            self._connection.command(create_table(DATASETS[partition.dataset], table=name))
            self._ready.add(name)
        return name

    def _move(self, partition: Partition, source: str, target: str) -> None:
        for identity in self._identities(partition, source):
            self._connection.command(
                f"ALTER TABLE {source} MOVE PARTITION ID '{identity}' TO TABLE {target}"
            )

    def _drop(self, partition: Partition, table: str) -> None:
        for identity in self._identities(partition, table):
            # An archived partition may be larger than the server's guard against slips of hand.
            self._connection.command(
                f"ALTER TABLE {table} DROP PARTITION ID '{identity}' {_SETTINGS}"
            )

    def _identities(self, partition: Partition, table: str) -> list[str]:
        where, parameters = _inside(partition)
        found = self._connection.query(
            f"SELECT DISTINCT _partition_id AS id FROM {table} WHERE {where}", parameters
        )
        return [str(identity) for identity in found["id"].to_pylist()]


def _inside(partition: Partition) -> tuple[str, dict[str, str]]:
    condition = (
        "venue = %(venue)s AND interval = %(interval)s"
        " AND trade_date >= %(from_day)s AND trade_date <= %(to_day)s"
    )
    return condition, {
        "venue": partition.venue,
        "interval": partition.interval,
        "from_day": partition.from_day.isoformat(),
        "to_day": partition.to_day.isoformat(),
    }
