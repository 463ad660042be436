"""Runs a request in the engine and gives its rows as chunks of bytes.

An answer is either known to its end (commands, inserts) or a stream; the first block of a stream
is fetched before the answer is returned, so most errors still become a proper HTTP status.
"""

import io
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any

from storage.embedded.clickhouse.engine import Engine, EngineError, Handle, engine_error
from storage.embedded.clickhouse.frames import is_arrow, is_joinable, joined
from storage.embedded.clickhouse.request import ExternalTable, Request
from storage.embedded.clickhouse.statement import InsertHead, names_local_files, output_format

FILE_CHUNK_BYTES = 1 << 18
# Totals follow the rows only when the engine writes the answer itself.
_TOTALS = re.compile(r"\bWITH\s+TOTALS\b", re.IGNORECASE)
_DICTIONARIES = "output_format_arrow_low_cardinality_as_dictionary"
_NO_STREAM = "Streaming query is not supported"


@dataclass(slots=True)
class Answer:
    """What goes back: chunks of bytes, and what is known about them beforehand.

    Attributes:
        format: The output format; None if the statement returns no rows.
        chunks: The bytes.
        summary: Counters of the X-ClickHouse-Summary header; numbers are strings there.
    """

    format: str | None
    chunks: Iterator[bytes]
    summary: dict[str, str] = field(default_factory=dict)


def run(engine: Engine, request: Request, stack: ExitStack, *, reads_only: bool) -> Answer:
    """Run a request.

    Args:
        engine: The engine.
        request: What to run.
        stack: Holds what the answer needs until its last chunk; the caller closes it.
        reads_only: Refuse a statement that changes anything (requests by GET).

    Raises:
        EngineError: The engine refused or failed before the first chunk.
    """
    started = time.monotonic_ns()
    handle = stack.enter_context(engine.handle())
    if request.database:
        handle.use(request.database)
    # The mark lets a request be cancelled by another thread.
    handle.apply({"log_comment": request.query_id, **request.settings})
    for table in request.external:
        _create_external(engine, handle, table)
    if request.insert is not None and request.data is not None:
        _refuse_write(reads_only)
        with _data_file(engine, request.data) as file:
            written = handle.insert(request.insert, file)
        return Answer(None, iter(()), _written(written, started))
    if names_local_files(request.sql.encode()):
        raise engine_error(
            48, "INTO OUTFILE and FROM INFILE name files of the client", "NOT_IMPLEMENTED"
        )
    if not handle.only_reads(request.sql):
        _refuse_write(reads_only)
        return _command(handle, request, started)
    return _rows(engine, handle, request, stack)


def _refuse_write(reads_only: bool) -> None:
    if reads_only:
        raise engine_error(
            164, "Cannot execute query in readonly mode: use POST to change anything", "READONLY"
        )


def _create_external(engine: Engine, handle: Handle, table: ExternalTable) -> None:
    handle.query(f"CREATE TEMPORARY TABLE `{table.name}` ({table.structure}) ENGINE = Memory")
    head = InsertHead(f"INSERT INTO `{table.name}`", "", table.format, 0)
    with _data_file(engine, io.BytesIO(table.content)) as file:
        handle.insert(head, file)


def _data_file(engine: Engine, data: IO[bytes]) -> IO[bytes]:
    """Copy the rest of a body into a file without a name; data in front of it are no data."""
    file = tempfile.TemporaryFile(dir=engine.spool)  # noqa: SIM115 - the caller closes it
    try:
        shutil.copyfileobj(data, file, FILE_CHUNK_BYTES)
    except BaseException:
        file.close()
        raise
    return file


def _command(handle: Handle, request: Request, started: int) -> Answer:
    """A statement that changes something; a few of them (KILL QUERY, ...) return rows as well."""
    clause = output_format(request.sql.encode())
    output = clause.name if clause else request.output
    result = handle.query(request.sql, output)
    content = result.bytes()
    summary = {
        **_written(result, started),
        "read_rows": str(result.storage_rows_read()),
        "read_bytes": str(result.storage_bytes_read()),
        "result_rows": str(result.rows_read()),
        "result_bytes": str(len(content)),
    }
    return Answer(output if content else None, iter((content,) if content else ()), summary)


def _written(result: Any, started: int) -> dict[str, str]:
    zeros = dict.fromkeys(("read_rows", "read_bytes", "result_rows", "result_bytes"), "0")
    return {
        **zeros,
        "written_rows": str(result.rows_written()),
        "written_bytes": str(result.bytes_written()),
        "total_rows_to_read": "0",
        "elapsed_ns": str(time.monotonic_ns() - started),
    }


def _rows(engine: Engine, handle: Handle, request: Request, stack: ExitStack) -> Answer:
    clause = output_format(request.sql.encode())
    output = clause.name if clause else request.output
    if not is_joinable(output) or _needs_the_whole(output, request):
        return _rows_by_file(engine, handle, request.sql, output, stack)
    blocks = handle.stream(request.sql, output)
    stack.callback(_close, blocks)
    chunks = joined(output, blocks)
    stack.callback(_close, chunks)
    try:
        first = next(chunks, b"")
    except EngineError as error:
        if _NO_STREAM not in error.text:
            raise
        # DESCRIBE, SHOW and the like have few rows; they come at once.
        first = handle.query(request.sql, output).bytes()
    if not first and is_arrow(output):
        # No block came, so no schema either: the engine writes it when asked for the whole.
        first = handle.query(request.sql, output).bytes()
    return Answer(output, chain((first,) if first else (), chunks))


def _needs_the_whole(output: str, request: Request) -> bool:
    """Tell whether blocks alone would lose something: totals, or dictionaries of an Arrow file."""
    has_dictionaries = request.settings.get(_DICTIONARIES, "0") not in {"0", "false"}
    return bool(_TOTALS.search(request.sql)) or (output.lower() == "arrow" and has_dictionaries)


def _close(iterator: Iterator[bytes]) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def _rows_by_file(
    engine: Engine, handle: Handle, sql: str, output: str, stack: ExitStack
) -> Answer:
    path = engine.spool_path()
    try:
        handle.query_into(sql, output, path)
        file = stack.enter_context(path.open("rb"))
    finally:
        path.unlink(missing_ok=True)
    return Answer(output, iter(lambda: file.read(FILE_CHUNK_BYTES), b""))
