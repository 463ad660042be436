"""One pooled HTTP connection to ClickHouse, for the embedded engine and for a real server alike.

The client is clickhouse-connect, unmodified. Whatever goes wrong below arrives as one
`HotStoreError` of one line that names the server.
"""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as ClickHouseError

from storage.errors import HotStoreError, InputError

Parameters = dict[str, Any]

# What goes wrong is raised as one error; the libraries below would log it a second time.
for _name in ("clickhouse_connect", "urllib3.connectionpool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_PORTS = {"http": 8123, "https": 8443}
_CONNECT_SECONDS = 5
ANSWER_SECONDS = 300.0
_MESSAGE_LENGTH = 300
# urllib3 wraps the reason in the address of the query, several lines long.
_REFUSED = re.compile(r"Max retries exceeded.*\[Errno \d+\] ([\w ]+)")

# Loads go through tables of their own, so a block is inserted whole and at once, whatever number
# of partitions it touches.
_INSERT_SETTINGS = {"async_insert": 0, "max_partitions_per_insert_block": 0}
# A part is atomic, an insert of several parts is not: killed in the middle, the server keeps some.
_PART_SETTINGS = {
    "async_insert": 0,
    "max_insert_threads": 1,
    "max_partitions_per_insert_block": 1,
    "throw_on_max_partitions_per_insert_block": 1,
    "min_insert_block_size_rows": 1 << 20,
    "min_insert_block_size_bytes": 0,
}


class HotConnection:
    """Statements and rows over HTTP; safe to share between threads.

    Args:
        dsn: `http://user:password@host:8123/database`.
        answer_seconds: Real seconds without a byte of an answer after which a statement fails.

    Raises:
        InputError: The DSN is not of that form.
    """

    def __init__(self, dsn: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        parts = urlsplit(dsn)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise InputError(
                f"hot DSN {_masked(dsn)!r}: accepted is http://user:password@host:8123/database"
            )
        self.server = f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"
        self._dsn = dsn
        self._answer_seconds = answer_seconds
        self._client: Client | None = None
        self._opening = threading.Lock()

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """Return the answer to one query as an Arrow table.

        Args:
            sql: May hold `%(name)s` for parameters, which are quoted by the client.
            parameters: Their values.

        Raises:
            HotStoreError: The server is not there, refused the query or broke off.
        """
        with self._translated():
            return self._open().query_arrow(sql, parameters=parameters, use_strings=True)

    def stream(
        self, sql: str, parameters: Parameters | None = None, *, block_rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        """Yield the answer to one query batch by batch, in bounded memory.

        Raises:
            HotStoreError: As `query`; also in mid-stream, never a silently shorter answer.
        """
        with self._translated():
            batches = self._open().query_arrow_stream(
                sql,
                parameters=parameters,
                settings={"max_block_size": block_rows},
                use_strings=True,
            )
            with batches:
                yield from batches

    def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement that returns nothing.

        Raises:
            HotStoreError: As `query`.
        """
        with self._translated():
            self._open().command(sql, parameters=parameters)

    def insert(self, table: str, rows: pa.Table) -> None:
        """Insert rows by column name; returns when the server holds them.

        Raises:
            HotStoreError: As `query`; then some of the rows may be there.
        """
        with self._translated():
            self._open().insert_arrow(table, rows, settings=dict(_INSERT_SETTINGS))

    def insert_part(self, table: str, rows: pa.Table) -> int:
        """Insert rows of one partition as one part, visible whole or not at all.

        Returns:
            How many rows the server wrote.

        Raises:
            HotStoreError: As `query`, or the rows belong to more than one partition.
        """
        with self._translated():
            written = self._open().insert_arrow(
                table, rows.combine_chunks(), settings=dict(_PART_SETTINGS)
            )
            return int(written.written_rows)

    def close(self) -> None:
        """Give the connections back; a later statement opens new ones."""
        with self._opening:
            if self._client is not None:
                self._client.close()
            self._client = None

    def _open(self) -> Client:
        with self._opening:
            if self._client is None:
                self._client = clickhouse_connect.get_client(
                    dsn=self._dsn,
                    connect_timeout=_CONNECT_SECONDS,
                    send_receive_timeout=self._answer_seconds,
                    query_retries=2,
                    # One session admits one query at a time; without it threads work in parallel.
                    autogenerate_session_id=False,
                )
            return self._client

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ClickHouseError as error:
            raise HotStoreError(f"hot store {self.server}: {_one_line(error)}") from error
        except (OSError, pa.ArrowException) as error:
            raise HotStoreError(
                f"hot store {self.server} broke off: {_one_line(error)}"
            ) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    refused = _REFUSED.search(text)
    if refused:
        return f"cannot be reached: {refused[1]}"
    return text if len(text) <= _MESSAGE_LENGTH else f"{text[:_MESSAGE_LENGTH]}…"


def _masked(dsn: str) -> str:
    head, at, tail = dsn.rpartition("@")
    return f"…@{tail}" if at and head else dsn
