# ruff: noqa: S608 - names come from storage.schema and partition ids, values are parameters
"""Staged loads: rows become visible all together, or not at all.

Theory of operation. A load writes into a table of its own, `candles_load_<id>`, and its fate is
kept in the table `ingests`:

    loading  ->  publishing  ->  done
       |             |
    abandoned        +-- found by `recover` after a crash: rolled forward to done

While `loading`, nothing is visible. `publish` compares what the server holds with what was sent
and only then writes `publishing`; from there on the load can only be completed. Parts are attached
by one statement, which links files and takes milliseconds; should the server die inside it, some
partitions are visible and others not, and `recover` attaches the missing ones. Every row of a
partition comes in one insert, hence in one part, and a part is attached whole or not at all.

An owner (one home directory) runs one load at a time: its caller holds a lock, so a load found
by `recover` belongs to nobody alive.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pyarrow as pa

from storage.errors import HotStoreError
from storage.hot.connection import HotConnection
from storage.hot.summary import summary_columns, summary_of_answer
from storage.manifest.records import Summary
from storage.manifest.summaries import summarise
from storage.schema.datasets import Dataset

_INGESTS = """
CREATE TABLE IF NOT EXISTS ingests
(
    `ingest_id` String,
    `owner` String,
    `dataset` LowCardinality(String),
    `venue` LowCardinality(String),
    `state` LowCardinality(String),
    `path` String,
    `file_digest` String,
    `options_digest` String,
    `received_at_ms` Int64,
    `rows` Int64,
    `report` String,
    `version` Int64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY ingest_id"""

_COLUMNS = (
    "ingest_id",
    "owner",
    "dataset",
    "venue",
    "state",
    "path",
    "file_digest",
    "options_digest",
    "received_at_ms",
    "rows",
    "report",
)


class LoadState(StrEnum):
    """How far a load has come."""

    LOADING = "loading"
    PUBLISHING = "publishing"
    DONE = "done"
    ABANDONED = "abandoned"


_VERSION = {
    LoadState.LOADING: 1,
    LoadState.PUBLISHING: 2,
    LoadState.DONE: 3,
    LoadState.ABANDONED: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRecord:
    """One load, as the table `ingests` keeps it.

    Attributes:
        ingest_id: Letters and digits; names the staging table.
        owner: Whose lock protects the load.
        dataset: Where its rows belong.
        venue: Of all its rows; decides the scale of prices.
        state: How far it has come.
        path: The file, as it was named.
        file_digest: SHA-256 of the file's bytes.
        options_digest: SHA-256 of everything else that decides what the rows become.
        received_at_ms: Instance time of its start, UTC ms.
        rows: Rows published.
        report: The report as JSON; empty until it is published.
    """

    ingest_id: str
    owner: str
    dataset: str
    venue: str
    state: LoadState
    path: str
    file_digest: str
    options_digest: str
    received_at_ms: int
    rows: int = 0
    report: str = ""


class StagedLoads:
    """Loads on their way into one hot store."""

    def __init__(self, connection: HotConnection) -> None:
        self._connection = connection

    def ensure_schema(self) -> None:
        """Create the table of loads if it does not exist."""
        self._connection.command(_INGESTS)

    def open(self, record: LoadRecord, dataset: Dataset) -> "OpenLoad":
        """Begin a load; the returned object takes its rows.

        Raises:
            HotStoreError: The server is not there, refused, or knows a load of that id.
        """
        if not record.ingest_id.isalnum():
            raise HotStoreError(f"load id {record.ingest_id!r}: accepted are letters and digits")
        self._write(record)
        staging = _staging(record)
        self._connection.command(f"CREATE TABLE {staging} AS {dataset.name}")
        return OpenLoad(self._connection, self, record, dataset)

    def published(self, file_digest: str, options_digest: str) -> LoadRecord | None:
        """Return the finished load of this very file with these very options, if there is one."""
        found = self._read(
            "state = 'done' AND file_digest = %(file)s AND options_digest = %(options)s",
            {"file": file_digest, "options": options_digest},
        )
        return found[-1] if found else None

    def attempts(self, file_digest: str) -> int:
        """Return how many loads of this very file were begun, so that the next is told apart."""
        return len(self._read("file_digest = %(file)s", {"file": file_digest}))

    def records(self) -> list[LoadRecord]:
        """Return every load, oldest first."""
        return self._read("1", {})

    def recover(self, owner: str) -> list[LoadRecord]:
        """Finish what this owner left: publish what was verified, drop what was not.

        Call it while holding the owner's lock, before the first load. Running it again changes
        nothing.

        Returns:
            The loads that were found unfinished, in the state they were left.
        """
        found = self._read(
            "owner = %(owner)s AND state IN ('loading', 'publishing')", {"owner": owner}
        )
        for record in found:
            if record.state is LoadState.PUBLISHING:
                self._roll_forward(record)
            else:
                self.abandon(record)
        self._drop_leftovers(owner)
        return found

    def abandon(self, record: LoadRecord) -> None:
        """Drop a load that was not published, with its rows."""
        self._connection.command(f"DROP TABLE IF EXISTS {_staging(record)} SYNC")
        self._write(replace(record, state=LoadState.ABANDONED))

    def finish(self, record: LoadRecord) -> None:
        """Make the rows of a verified load visible and close it."""
        self._write(replace(record, state=LoadState.PUBLISHING))
        self._connection.command(
            f"ALTER TABLE {record.dataset} ATTACH PARTITION ALL FROM {_staging(record)}"
        )
        self._close(record)

    def _roll_forward(self, record: LoadRecord) -> None:
        for partition_id in self._missing(record):
            self._connection.command(
                f"ALTER TABLE {record.dataset} ATTACH PARTITION ID '{partition_id}'"
                f" FROM {_staging(record)}"
            )
        self._close(record)

    def _close(self, record: LoadRecord) -> None:
        # What was attached may have left for the archive by now, so it is not looked for here.
        self._write(replace(record, state=LoadState.DONE))
        self._connection.command(f"DROP TABLE IF EXISTS {_staging(record)} SYNC")

    def _missing(self, record: LoadRecord) -> list[str]:
        """Partitions of the staging table whose rows are not all in the dataset's table."""
        answer = self._connection.query(
            f"SELECT id FROM (SELECT _partition_id AS id, count() AS staged"
            f" FROM {_staging(record)} GROUP BY id) AS s"
            f" LEFT JOIN (SELECT _partition_id AS id, count() AS present FROM {record.dataset}"
            " WHERE ingest_id = %(ingest_id)s GROUP BY id) AS p USING (id)"
            " WHERE staged > present ORDER BY id",
            {"ingest_id": record.ingest_id},
        )
        return [str(value) for value in answer["id"].to_pylist()]

    def _drop_leftovers(self, owner: str) -> None:
        """Drop staging tables of loads that were closed just before a crash."""
        tables = self._connection.query(
            "SELECT name FROM system.tables"
            " WHERE database = currentDatabase() AND match(name, '_load_[a-zA-Z0-9]+$')"
        )["name"].to_pylist()
        closed = self._read(
            "owner = %(owner)s AND state IN ('done', 'abandoned')", {"owner": owner}
        )
        for record in closed:
            if _staging(record) in tables:
                self._connection.command(f"DROP TABLE IF EXISTS {_staging(record)} SYNC")

    def _write(self, record: LoadRecord) -> None:
        values: dict[str, list[Any]] = {name: [getattr(record, name)] for name in _COLUMNS}
        values["state"] = [record.state.value]
        values["version"] = [_VERSION[record.state]]
        self._connection.insert("ingests", pa.table(values))

    def _read(self, where: str, parameters: dict[str, str]) -> list[LoadRecord]:
        answer = self._connection.query(
            f"SELECT {', '.join(_COLUMNS)} FROM ingests FINAL WHERE {where}"
            " ORDER BY received_at_ms, ingest_id",
            parameters,
        )
        return [
            LoadRecord(**{**row, "state": LoadState(row["state"])}) for row in answer.to_pylist()
        ]


class OpenLoad:
    """A load that still takes rows; made by `StagedLoads.open`."""

    def __init__(
        self,
        connection: HotConnection,
        loads: StagedLoads,
        record: LoadRecord,
        dataset: Dataset,
    ) -> None:
        self._connection = connection
        self._loads = loads
        self._dataset = dataset
        self._sent: list[Summary] = []
        self.record = record

    def append(self, rows: pa.Table) -> None:
        """Send whole partitions, typed as `file_schema` of the load's venue.

        All rows of a partition must come in one call: its part is then attached whole.

        Raises:
            HotStoreError: The server is not there or refused; abandon the load.
        """
        self._sent.append(summarise(rows, self._dataset))
        self._connection.insert(_staging(self.record), rows)

    def publish(self, report: str) -> LoadRecord:
        """Compare what the server holds with what was sent, then make it visible.

        Args:
            report: Kept with the load, to be shown when the same file comes again.

        Raises:
            HotStoreError: The server holds something else (nothing became visible), or broke off
                (the next `recover` completes the load).
        """
        try:
            self._verify()
        except HotStoreError:
            self.abandon()
            raise
        rows = sum(sent.rows for sent in self._sent)
        record = replace(self.record, rows=rows, report=report)
        self._loads.finish(record)
        return replace(record, state=LoadState.DONE)

    def abandon(self) -> None:
        """Drop the load and its rows; a store that is gone leaves that to the next `recover`."""
        with suppress(HotStoreError):
            self._loads.abandon(self.record)

    def _verify(self) -> None:
        staging = _staging(self.record)
        answer = self._connection.query(f"SELECT {summary_columns(self._dataset)} FROM {staging}")
        held = summary_of_answer(answer, self._dataset, self.record.venue)
        sent_rows = sum(sent.rows for sent in self._sent)
        if held.rows != sent_rows:
            raise HotStoreError(f"{staging} holds {held.rows} rows, sent were {sent_rows}")
        for name, total in held.sums.items():
            sent_total = sum(int(sent.sums[name]) for sent in self._sent)
            if int(total) != sent_total:
                raise HotStoreError(f"{staging}: sum of {name} is {total}, sent was {sent_total}")


def _staging(record: LoadRecord) -> str:
    return f"{record.dataset}_load_{record.ingest_id}"
