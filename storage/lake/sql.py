# ruff: noqa: S608 - names come from storage.schema, paths are quoted; the query is checked
"""One SQL over all tiers: DuckDB in memory, one SELECT, nothing else.

The views: `candles`, every row of the lake once, with a column `tier`; `quarantine`, refused rows
with their reasons. Files are read by DuckDB itself; the hot part is a Polars source to which
DuckDB hands its projection and filters, so that only wanted rows cross the wire.

The statement is a stranger's: it must be exactly one SELECT, files outside the tiers are out of
reach, settings are locked, memory and time are bounded (reliability guide S09).
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from storage.errors import InputError, StorageError
from storage.lake.plan import FilePart, ReadPlan
from storage.lake.predicates import bounds
from storage.lake.reader import ATTEMPTS, TIER, Moment, Reader, polars_schema
from storage.lake.selection import Selection
from storage.schema.arrow import hot_schema
from storage.schema.datasets import CANDLES, DECIMALS, Dataset
from storage.schema.tiers import Tier

TIMEOUT_SECONDS = 30.0
RESULT_BYTES_MAX = 1 << 30

_MEMORY = "1GB"
_THREADS = "2"
_BATCH_ROWS = 100_000
_WAIT_SECONDS = 0.1
_QUARANTINE_COLUMNS = (
    "dataset",
    "venue",
    "interval",
    "ingest_id",
    "file",
    "row",
    "reason",
    "reasons",
    "original",
)


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
        query: DuckDB SQL over `candles` and `quarantine`.
        timeout_seconds: Real time after which it is broken off.

    Raises:
        InputError: Not one SELECT, unknown names, out of bounds of time or memory.
        StorageError: A tier is not there, a file is damaged, or partitions kept moving.
    """
    require_one_select(query)
    for _ in range(ATTEMPTS):
        plan, moment = reader.plan(CANDLES, Selection())
        session = _Session(reader, plan, moment)
        try:
            answer = session.answer(query, timeout_seconds)
        except (FileNotFoundError, duckdb.IOException) as error:
            if reader.plan(CANDLES, Selection())[0] == plan:
                raise StorageError(f"a file of the lake is not there: {_line(error)}") from error
            continue
        if not session.is_torn:
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


class _Session:
    """One DuckDB in memory with the views of one plan; used once.

    Attributes:
        is_torn: Rows came in while hot was read: some are in the answer, others are not.
    """

    def __init__(self, reader: Reader, plan: ReadPlan, moment: Moment) -> None:
        self._reader = reader
        self._plan = plan
        self._moment = moment
        self.is_torn = False
        self._types = polars_schema(hot_schema(CANDLES))
        self._fetched_rows = 0
        self._fetched_columns: set[str] = set()
        self._failure: Exception | None = None

    def answer(self, query: str, timeout_seconds: float) -> SqlAnswer:
        with self._connected() as connection:
            table = self._execute(connection, query, timeout_seconds)
        return SqlAnswer(
            table, self._fetched_rows, tuple(sorted(self._fetched_columns)), len(self._plan.files)
        )

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
            self._create_views(connection)
            for statement in self._locks():
                connection.execute(statement)
            yield connection
        finally:
            connection.close()

    def _locks(self) -> list[str]:
        places = ("warm", "cold", "quarantine")
        roots = [self._reader.settings.path(self._reader.home, place) for place in places]
        listed = ", ".join(_quoted(f"{root}/") for root in roots)
        return [
            f"SET allowed_directories = [{listed}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ]

    def _create_views(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.register("hot_rows", self._hot_source())
        parts = [f"SELECT *, '{Tier.HOT}' AS {TIER} FROM hot_rows"]
        if self._plan.blended:
            columns = list(self._types)
            frames = [
                frame.cast(self._types)
                for frame in self._reader.blended_frames(CANDLES, self._plan, Selection(), columns)
            ]
            connection.register("blended_rows", pl.concat(frames).to_arrow())
            self._notice_arrivals(Selection())
            parts.append("SELECT * FROM blended_rows")
        parts += [
            _files_select(CANDLES, tier, paths) for tier, paths in self._paths_by_shape().items()
        ]
        connection.execute(f"CREATE VIEW candles AS {' UNION ALL BY NAME '.join(parts)}")
        connection.execute(f"CREATE VIEW quarantine AS {self._quarantine_select()}")

    def _paths_by_shape(self) -> dict[tuple[Tier, str], list[Path]]:
        """Group files by tier and venue: one group has one scale, so it is read as one table."""
        groups: dict[tuple[Tier, str], list[Path]] = {}
        for part in self._plan.files:
            shape = (part.tier, part.partition.venue)
            groups.setdefault(shape, []).append(self._path(part))
        return groups

    def _path(self, part: FilePart) -> Path:
        return self._reader.path(part)

    def _quarantine_select(self) -> str:
        root = self._reader.settings.path(self._reader.home, "quarantine")
        files = sorted((root / CANDLES.name).glob("*.parquet"))
        if files:
            return f"SELECT * FROM read_parquet([{_listed(files)}], union_by_name = true)"
        columns = ", ".join(
            f'CAST(NULL AS {"BIGINT" if name == "row" else "VARCHAR"}) AS "{name}"'
            for name in _QUARANTINE_COLUMNS
        )
        return f"SELECT {columns} WHERE false"

    def _hot_source(self) -> pl.LazyFrame:
        types = self._types

        def source(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            del n_rows, batch_size
            wanted = list(types) if with_columns is None else with_columns
            named = predicate.meta.root_names() if predicate is not None else []
            needed = list(dict.fromkeys([*wanted, *named])) or ["timestamp"]
            for frame in self._fetch(bounds(predicate), needed):
                typed = frame.cast({name: types[name] for name in needed})
                yield (typed if predicate is None else typed.filter(predicate)).select(wanted)

        return register_io_source(source, schema=types)

    def _fetch(self, selection: Selection, columns: list[str]) -> list[pl.DataFrame]:
        partitions = [part for part in self._plan.hot if selection.covers(part)]
        if not partitions:
            return []
        try:
            frames = self._reader.hot_frames(CANDLES, partitions, selection, columns)
            self._notice_arrivals(selection)
        except Exception as error:
            # DuckDB would wrap it in an error of its own.
            self._failure = error
            raise
        self._fetched_rows += sum(frame.height for frame in frames)
        self._fetched_columns.update(columns)
        return frames

    def _notice_arrivals(self, selection: Selection) -> None:
        if self._reader.has_arrivals_since(self._moment, CANDLES, selection):
            self.is_torn = True

    def _execute(
        self, connection: duckdb.DuckDBPyConnection, query: str, timeout_seconds: float
    ) -> pa.Table:
        try:
            return _watched(connection, query, timeout_seconds)
        except duckdb.IOException:
            raise
        except (duckdb.Error, pa.ArrowException) as error:
            if self._failure is not None:
                raise self._failure from error
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


def _files_select(dataset: Dataset, shape: tuple[Tier, str], paths: list[Path]) -> str:
    schema = hot_schema(dataset)
    columns = ", ".join(
        f"CAST({column.name} AS DECIMAL({schema.field(column.name).type.precision}, "
        f"{schema.field(column.name).type.scale})) AS {column.name}"
        if column.kind in DECIMALS
        else f'"{column.name}"'
        for column in dataset.columns
    )
    files = f"read_parquet([{_listed(paths)}], hive_partitioning = false)"
    return f"SELECT {columns}, '{shape[0]}' AS {TIER} FROM {files}"


def _listed(paths: list[Path]) -> str:
    return ", ".join(_quoted(str(path)) for path in paths)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _line(error: Exception) -> str:
    """Return an engine's message as one line, without its drawing of the statement."""
    return " ".join(str(error).partition("\nLINE ")[0].split())
