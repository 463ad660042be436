"""One SQL over all tiers: DuckDB in memory, one SELECT, nothing else.

The views (`lake.views`): each dataset with a column `tier`, every row of the lake once;
`positions`, what the fills add up to; `quarantine`, refused rows with their reasons. Only the
datasets that a query names are looked for.

The statement is a stranger's: it must be exactly one SELECT, files outside the tiers are out of
reach, settings are locked, memory and time are bounded (reliability guide S09).
"""

import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from storage.errors import InputError, StorageError
from storage.lake.plan import ReadPlan
from storage.lake.reader import ATTEMPTS, Reader
from storage.lake.selection import Selection
from storage.lake.views import (
    POSITIONS,
    QUARANTINE,
    Plans,
    Traffic,
    UnplannedError,
    create_views,
    datasets_of,
    quoted,
)
from storage.schema.datasets import DATASETS

TIMEOUT_SECONDS = 30.0
RESULT_BYTES_MAX = 1 << 30

_MEMORY = "1GB"
_THREADS = "2"
_BATCH_ROWS = 100_000
_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """The answer to a query.

    Attributes:
        table: Its rows.
        hot_rows: Rows that were fetched from the hot tier for it.
        hot_columns: Columns that were fetched from there.
        files: Files of warm and cold that the views list.
    """

    table: pa.Table
    hot_rows: int
    hot_columns: tuple[str, ...]
    files: int


def run_sql(reader: Reader, query: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> SqlAnswer:
    """Answer one SELECT consistently: should partitions move meanwhile, it runs again.

    Args:
        reader: Of the lake.
        query: DuckDB SQL over the views.
        timeout_seconds: Real time after which it is broken off.

    Raises:
        InputError: Not one SELECT, unknown names, out of bounds of time or memory.
        StorageError: A tier is not there, a file is damaged, or partitions kept moving.
    """
    require_one_select(query)
    names = datasets_of(query)
    for _ in range(ATTEMPTS):
        plans = _plan(reader, names)
        session = _Session(reader, plans)
        try:
            answer = session.answer(query, timeout_seconds)
        except UnplannedError:
            names |= session.traffic.unplanned
            continue
        except (FileNotFoundError, duckdb.IOException) as error:
            if _places(_plan(reader, names)) == _places(plans):
                raise StorageError(f"a file of the lake is not there: {_line(error)}") from error
            continue
        if not session.traffic.is_torn:
            return answer
    raise StorageError(f"the lake changed during {ATTEMPTS} attempts to answer; try again")


def require_one_select(query: str) -> None:
    """Check that a text is exactly one SELECT statement.

    Raises:
        InputError: It is something else.
    """
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise InputError(f"SQL: {_line(error)}") from error
    kinds = [statement.type for statement in statements]
    if kinds != [duckdb.StatementType.SELECT]:
        found = ", ".join(str(kind).rpartition(".")[2] for kind in kinds) or "nothing"
        raise InputError(f"SQL: accepted is exactly one SELECT statement; found {found}")


def _plan(reader: Reader, names: Collection[str]) -> Plans:
    return {name: reader.plan(DATASETS[name], Selection()) for name in sorted(names)}


def _places(plans: Plans) -> dict[str, ReadPlan]:
    return {name: plan for name, (plan, _) in plans.items()}


class _Session:
    """One DuckDB in memory with the views of one moment; used once."""

    def __init__(self, reader: Reader, plans: Plans) -> None:
        self._reader = reader
        self._plans = plans
        self.traffic = Traffic()

    def answer(self, query: str, timeout_seconds: float) -> SqlAnswer:
        with self._connected() as connection:
            table = self._execute(connection, query, timeout_seconds)
        files = sum(len(plan.files) for plan, _ in self._plans.values())
        columns = tuple(sorted(self.traffic.columns))
        return SqlAnswer(table, self.traffic.rows, columns, files)

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": _MEMORY,
            "threads": _THREADS,
            "temp_directory": "",
        }
        connection = duckdb.connect(":memory:", config=settings)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            create_views(connection, self._reader, self._plans, self.traffic)
            for statement in self._locks():
                connection.execute(statement)
            yield connection
        finally:
            connection.close()

    def _locks(self) -> list[str]:
        places = ("warm", "cold", "quarantine")
        roots = [self._reader.settings.path(self._reader.home, place) for place in places]
        listed = ", ".join(quoted(f"{root}/") for root in roots)
        return [
            f"SET allowed_directories = [{listed}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ]

    def _execute(
        self, connection: duckdb.DuckDBPyConnection, query: str, timeout_seconds: float
    ) -> pa.Table:
        try:
            return _watched(connection, query, timeout_seconds)
        except duckdb.IOException:
            raise
        except (duckdb.Error, pa.ArrowException) as error:
            if self.traffic.unplanned:
                raise UnplannedError(*sorted(self.traffic.unplanned)) from error
            if self.traffic.failure is not None:
                raise self.traffic.failure from error
            if "INTERRUPT" in str(error):
                raise InputError(
                    f"SQL: not answered within {timeout_seconds:g} s; "
                    "ask for less, or allow more with --timeout"
                ) from error
            raise InputError(f"SQL: {_line(error)}") from error


def _watched(
    connection: duckdb.DuckDBPyConnection, query: str, timeout_seconds: float
) -> pa.Table:
    """Run a query in a thread of its own: the engine hears no Ctrl-C, who waits for it does."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(_collected, connection, query)
        deadline = time.monotonic() + timeout_seconds
        try:
            # In short waits: a signal that another thread got is only seen between two of them.
            while not running.done() and time.monotonic() < deadline:
                wait((running,), min(_WAIT_SECONDS, timeout_seconds))
        finally:
            while not running.done():
                # Again and again: the engine forgets what comes before it begins.
                connection.interrupt()
                wait((running,), _WAIT_SECONDS)
        return running.result()


def _collected(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    reader = connection.sql(query).to_arrow_reader(_BATCH_ROWS)
    batches, held = [], 0
    for batch in reader:
        batches.append(batch)
        held += batch.nbytes
        if held > RESULT_BYTES_MAX:
            raise InputError(
                f"SQL: the answer is larger than {RESULT_BYTES_MAX} bytes; aggregate or LIMIT it"
            )
    return pa.Table.from_batches(batches, schema=reader.schema)


def _line(error: Exception) -> str:
    """Return an engine's message as one line, without its drawing of the statement.

    Of an unknown table the engine guesses at its own ones; ours are few enough to be listed.
    """
    line = " ".join(str(error).partition("\nLINE ")[0].split())
    unknown, is_missing, _ = line.partition(" does not exist!")
    if not (is_missing and "Table with name" in unknown):
        return line
    accepted = ", ".join((*DATASETS, POSITIONS, QUARANTINE))
    return f"{unknown.removeprefix('Catalog Error: ')} does not exist; accepted: {accepted}"
