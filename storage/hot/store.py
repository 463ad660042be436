# ruff: noqa: S608 - names come from storage.schema and partition ids, values are parameters
"""The hot tier: market rows in ClickHouse, read by partition and loaded in stages.

New rows come in only through `loads` (see `hot.loads`), or through `appends` where the daemon
writes them as they happen (see `hot.appends`); whole partitions go out and come back only
through `transit` (see `hot.transit`), which `storage.moves` alone may use. Every read sees one row
per key, the one with the highest revision.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from storage.hot.appends import Appends
from storage.hot.connection import ANSWER_SECONDS, HotConnection, Parameters
from storage.hot.loads import StagedLoads
from storage.hot.summary import row_hash, summary_columns, summary_of_answer
from storage.hot.transit import Transit
from storage.manifest.records import Fence, Summary
from storage.schema.arrow import file_schema
from storage.schema.clickhouse import PERIOD, create_table
from storage.schema.datasets import DATASETS, DECIMALS, Dataset
from storage.schema.partitions import Partition, partition_of

_PartitionOnDisk = tuple[int, tuple[tuple[str, int], ...]]
# Keys never cross a partition, so each can be reduced to its valid rows on its own.
_PER_PARTITION = "SETTINGS do_not_merge_across_partitions_select_final = 1"


@dataclass(frozen=True, slots=True)
class HotPartition:
    """A partition in the hot tier.

    Attributes:
        partition: Which one.
        rows: Valid rows.
        bytes_on_disk: Of its active parts, compressed.
        parts: Name and rows of each active part; merges change them, so they only inform.
    """

    partition: Partition
    rows: int
    bytes_on_disk: int
    parts: tuple[tuple[str, int], ...]


class HotStore:
    """The hot tier behind one DSN; safe to share between threads.

    Args:
        dsn: `http://user:password@host:8123/database`; the server is first asked when needed.
        answer_seconds: Real seconds without a byte of an answer after which a statement fails.

    Attributes:
        loads: The way for new rows to come in.
        appends: The same for what the daemon records.
        transit: Partitions on their way out or back; for `storage.moves` alone.

    Raises:
        InputError: The DSN is not of that form.
    """

    def __init__(self, dsn: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._connection = HotConnection(dsn, answer_seconds=answer_seconds)
        self.loads = StagedLoads(self._connection)
        self.appends = Appends(self._connection)
        self.transit = Transit(self._connection)

    @property
    def server(self) -> str:
        """Host and port, for messages."""
        return self._connection.server

    def ensure_schema(self) -> None:
        """Create the tables that do not exist.

        Raises:
            HotStoreError: The server is not there or refused.
        """
        for dataset in DATASETS.values():
            self._connection.command(create_table(dataset))
        self.loads.ensure_schema()
        self.appends.ensure_schema()

    def query_arrow(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return the answer to one query; `%(name)s` marks a parameter.

        Raises:
            HotStoreError: The server is not there, refused or broke off.
        """
        return self._connection.query(sql, parameters)

    def stream(self, sql: str, parameters: Parameters | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the answer to one query in batches.

        Raises:
            HotStoreError: As `query_arrow`, also in mid-stream.
        """
        return self._connection.stream(sql, parameters)

    def rows(self, partition: Partition) -> int:
        """Return the number of valid rows of a partition, counted now."""
        where, parameters = _inside(partition)
        answer = self.query_arrow(
            f"SELECT count() AS rows FROM {partition.dataset} FINAL"
            f" WHERE {where} {_PER_PARTITION}",
            parameters,
        )
        return int(answer["rows"][0].as_py())

    def read(self, partition: Partition) -> pa.Table:
        """Return the valid rows of a partition as a file would hold them.

        Sorted by the dataset's file order, typed as `schema.arrow.file_schema` of its venue.
        """
        dataset = DATASETS[partition.dataset]
        where, parameters = _inside(partition)
        order = ", ".join(dataset.file_sort)
        return self._typed(dataset, partition.venue, f"WHERE {where} ORDER BY {order}", parameters)

    def scan(
        self,
        dataset: Dataset,
        venue: str,
        *,
        columns: Sequence[str] = (),
        where: str = "1",
        parameters: Parameters | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the valid rows of a venue that satisfy a condition, in batches and no order.

        Args:
            dataset: Which rows.
            venue: Decides the scale of prices and volumes.
            columns: Names to return; all when empty.
            where: A condition in ClickHouse SQL with `%(name)s` for parameters.
            parameters: Their values.
        """
        schema = file_schema(dataset, venue)
        wanted = pa.schema([schema.field(name) for name in columns or schema.names])
        sql = _select(dataset, wanted, f"WHERE venue = %(venue)s AND ({where})")
        for batch in self.stream(sql, {"venue": venue, **(parameters or {})}):
            yield from pa.table(batch).cast(wanted).to_batches()

    def partitions(self, dataset: str = "candles") -> list[HotPartition]:
        """Return every partition that has rows, sorted."""
        parts = self._parts(dataset)
        counts = self.query_arrow(
            f"SELECT venue, interval, toString({PERIOD}) AS day, count() AS rows"
            f" FROM {dataset} FINAL GROUP BY venue, interval, day {_PER_PARTITION}"
        )
        found = []
        for row in counts.to_pylist():
            identity = (row["venue"], row["interval"], row["day"])
            if identity not in parts:
                continue
            size, names = parts[identity]
            day = date.fromisoformat(row["day"])
            partition = partition_of(dataset, row["venue"], row["interval"], day)
            found.append(HotPartition(partition, int(row["rows"]), size, names))
        return sorted(found, key=lambda hot: hot.partition)

    def fence(self, partition: Partition) -> Fence:
        """Return the valid rows of a partition as a count and a hash that merges do not change."""
        dataset = DATASETS[partition.dataset]
        where, parameters = _inside(partition)
        answer = self.query_arrow(
            f"SELECT count() AS rows, {row_hash(dataset)} AS digest FROM {dataset.name} FINAL"
            f" WHERE {where} {_PER_PARTITION}",
            parameters,
        ).to_pylist()[0]
        return Fence(rows=int(answer["rows"]), digest=str(answer["digest"]))

    def summary(self, partition: Partition) -> Summary:
        """Return what the valid rows of a partition add up to, computed by the server now."""
        dataset = DATASETS[partition.dataset]
        where, parameters = _inside(partition)
        sql = (
            f"SELECT {summary_columns(dataset)} FROM {dataset.name} FINAL"
            f" WHERE {where} {_PER_PARTITION}"
        )
        return summary_of_answer(self.query_arrow(sql, parameters), dataset, partition.venue)

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def _typed(
        self, dataset: Dataset, venue: str, tail: str, parameters: dict[str, Any]
    ) -> pa.Table:
        schema = file_schema(dataset, venue)
        return self.query_arrow(_select(dataset, schema, tail), parameters).cast(schema)

    def _parts(self, dataset: str) -> dict[tuple[str, str, str], _PartitionOnDisk]:
        answer = self.query_arrow(
            "SELECT partition, sum(bytes_on_disk) AS bytes,"
            " arraySort(groupArray(name)) AS names,"
            " arrayMap(part -> part.2, arraySort(groupArray((name, toInt64(rows))))) AS counts"
            " FROM system.parts"
            " WHERE database = currentDatabase() AND table = %(table)s AND active"
            " GROUP BY partition",
            {"table": dataset},
        )
        return {
            ast.literal_eval(row["partition"]): (
                int(row["bytes"]),
                tuple(zip(row["names"], row["counts"], strict=True)),
            )
            for row in answer.to_pylist()
        }


def _inside(partition: Partition) -> tuple[str, dict[str, Any]]:
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


def _select(dataset: Dataset, schema: pa.Schema, tail: str) -> str:
    columns = ", ".join(_cast(dataset, field) for field in schema)
    return f"SELECT {columns} FROM {dataset.name} FINAL {tail} {_PER_PARTITION}"


def _cast(dataset: Dataset, column: pa.Field) -> str:
    name = str(column.name)
    if dataset.column(name).kind not in DECIMALS:
        return name
    kind = f"Decimal({column.type.precision}, {column.type.scale})"
    return f"CAST({name} AS {f'Nullable({kind})' if column.nullable else kind}) AS {name}"
