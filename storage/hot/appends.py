"""Rows that the daemon appends as they happen, and how far its readers have come.

Theory of operation. A batch of one partition becomes one part of the table, so it is visible whole
or not at all, whatever is killed in the middle. The same rows may be appended again, alone or in
another batch: they have the same key, and every read shows one row per key.

The server could recognise a repeated batch by a token of its own. That is not used: it notes the
token before it publishes the part, so a server that is killed between the two refuses the
repetition of rows that it does not have (ADR 0012).

A reader notes its place after the rows up to it were appended; killed between the two, it appends
some of them again.
"""

from collections.abc import Mapping

import pyarrow as pa

from storage.errors import HotStoreError, InputError
from storage.hot.connection import HotConnection
from storage.schema.datasets import Dataset

BATCH_ROWS_MAX = 100_000
"""More rows could be cut into several parts."""

_PLACES = """
CREATE TABLE IF NOT EXISTS places
(
    `reader` String,
    `place` String,
    `version` Int64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY reader
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""
_READ_PLACES = "SELECT reader, place, version FROM places FINAL"


class Appends:
    """The way for single batches to come into one hot store."""

    def __init__(self, connection: HotConnection) -> None:
        self._connection = connection
        self._versions: dict[str, int] | None = None

    def ensure_schema(self) -> None:
        """Create the table of places if it does not exist."""
        self._connection.command(_PLACES)

    def append(self, dataset: Dataset, rows: pa.Table) -> int:
        """Make rows of one partition visible, all together; return how many there were.

        Args:
            dataset: One whose rows are appended.
            rows: With the columns of the dataset, typed as `file_schema` of a venue or as
                `hot_schema`.

        Raises:
            InputError: The dataset is filled by loads, or there are too many rows.
            HotStoreError: The server is not there or refused, or the rows belong to more than
                one partition. It may hold them all the same: append them again.
        """
        if not dataset.is_appended:
            raise InputError(f"{dataset.name}: rows come in loads only")
        if rows.num_rows > BATCH_ROWS_MAX:
            raise InputError(
                f"{dataset.name}: {rows.num_rows} rows in one batch; accepted: {BATCH_ROWS_MAX}"
            )
        if not rows.num_rows:
            return 0
        written = self._connection.insert_part(dataset.name, rows)
        if written != rows.num_rows:
            raise HotStoreError(f"{dataset.name}: {rows.num_rows} rows sent, {written} written")
        return written

    def places(self) -> dict[str, str]:
        """Return how far each reader has come, as it noted it.

        Raises:
            HotStoreError: The server is not there or refused.
        """
        found = self._connection.query(_READ_PLACES).to_pylist()
        self._versions = {row["reader"]: int(row["version"]) for row in found}
        return {row["reader"]: row["place"] for row in found}

    def keep_places(self, places: Mapping[str, str]) -> None:
        """Note how far some readers have come; one process at a time may do so for a reader.

        Raises:
            HotStoreError: The server is not there or refused; it may be noted all the same.
        """
        if self._versions is None:
            self.places()
        versions = self._versions or {}
        for reader in places:
            versions[reader] = versions.get(reader, 0) + 1
        columns = {
            "reader": list(places),
            "place": list(places.values()),
            "version": [versions[reader] for reader in places],
        }
        self._versions = versions
        self._connection.insert("places", pa.table(columns))
