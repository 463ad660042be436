"""The engine of this process: chDB at one path, a fresh handle per request.

chDB allows one path per process and one process per path, so this process owns the directory. A
handle is cheap (0.2 ms) and carries its own settings, database and temporary tables; a fresh one
for each request keeps requests apart without anything to restore. Calls release the interpreter,
so handles of several threads work in parallel.
"""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import chdb
from chdb import ChdbError

from storage.embedded.clickhouse.statement import output_format

# chDB ships no types for it.
_connect: Any = chdb.connect
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_CODE = re.compile(r"Code: (\d+)\. ")
_FALLBACK_CODE = 1002  # UNKNOWN_EXCEPTION
INSERT_CHUNK_BYTES = 1 << 20


class EngineError(Exception):
    """The engine refused or failed.

    Attributes:
        code: ClickHouse's error code.
        text: ClickHouse's text, beginning with `Code: `.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def engine_error(code: int, message: str, name: str) -> EngineError:
    """Make an error of our own in ClickHouse's form."""
    return EngineError(code, f"Code: {code}. DB::Exception: {message}. ({name})")


class ReadsBytes(Protocol):
    """What the data of an INSERT are read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""


@contextmanager
def _clickhouse_errors() -> Iterator[None]:
    # Inserts raise RuntimeError, queries raise ChdbError; both carry ClickHouse's text inside.
    try:
        yield
    except (ChdbError, RuntimeError) as error:
        text = str(error)
        found = _CODE.search(text)
        if found is None:
            message = f"Code: {_FALLBACK_CODE}. DB::Exception: {text} (UNKNOWN_EXCEPTION)"
            raise EngineError(_FALLBACK_CODE, message) from error
        raise EngineError(int(found.group(1)), text[found.start() :]) from error


def quote(text: str) -> str:
    """Write a string as a SQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class Handle:
    """One request's connection to the engine; used by one thread at a time, closed by `close`."""

    def __init__(self, path: Path) -> None:
        with _clickhouse_errors():
            self._connection = _connect(str(path))

    def close(self) -> None:
        """Give the handle back; an unfinished stream is cancelled."""
        self._connection.close()

    def use(self, database: str) -> None:
        """Make a database the current one of this handle.

        Raises:
            EngineError: The database does not exist.
        """
        escaped = database.replace("\\", "\\\\").replace("`", "\\`")
        self.query(f"USE `{escaped}`")

    def apply(self, settings: Mapping[str, str]) -> None:
        """Apply settings and `param_...` values to this handle.

        Raises:
            EngineError: A setting is unknown or its value is not accepted.
        """
        for name in settings:
            if not _NAME.match(name):
                raise engine_error(115, f"Unknown setting '{name}'", "UNKNOWN_SETTING")
        if settings:
            pairs = ", ".join(f"{name} = {quote(value)}" for name, value in settings.items())
            self.query(f"SET {pairs}")

    def only_reads(self, sql: str) -> bool:
        """Tell whether the statement returns rows and changes nothing; False if it is not SQL."""
        with _clickhouse_errors():
            judged = self._connection._conn.classify_query(sql)  # noqa: SLF001 - no public way
        return bool(judged["query_class"].name == "READ_ONLY")

    def query(self, sql: str, output: str = "TabSeparated") -> Any:
        """Run a statement to its end and return chDB's result, held in memory.

        Raises:
            EngineError: The engine refused or failed.
        """
        with _clickhouse_errors():
            return self._connection.query(sql, output)

    def stream(self, sql: str, output: str) -> Iterator[bytes]:
        """Run a query and yield its row blocks, each a complete text of the output format.

        Closing the generator cancels the query.

        Raises:
            EngineError: The engine refused or failed, also in the middle.
        """
        with _clickhouse_errors():
            result = self._connection.send_query(sql, output)
        try:
            while True:
                with _clickhouse_errors():
                    block = result.fetch()
                if block is None:
                    return
                yield block.bytes()
        finally:
            with suppress(ChdbError):
                result.cancel()

    def query_into(self, sql: str, output: str, path: Path) -> Any:
        """Run a query and have the engine write its rows into a new file.

        Raises:
            EngineError: The engine refused or failed.
        """
        text = sql.encode()
        clause = output_format(text)
        begin, end = (clause.begin, clause.end) if clause else (len(text), len(text))
        head = text[:begin].decode().rstrip().rstrip(";")
        tail = text[end:].decode()
        # The line ends keep a trailing comment from swallowing what follows it.
        target = f"\nINTO OUTFILE {quote(str(path))} COMPRESSION 'none'\nFORMAT {output}\n"
        return self.query(head + target + tail)

    def insert(self, sql: str, input_format: str, data: ReadsBytes) -> Any:
        """Insert data in an input format; returns the rows written.

        Args:
            sql: The INSERT without its FORMAT clause.
            input_format: The format of the data.
            data: Where they are read from, a megabyte at a time.

        Raises:
            EngineError: The statement or the data were refused.
        """
        with _clickhouse_errors():
            inserter = self._connection.send_insert(sql, input_format)
            with inserter:
                while chunk := data.read(INSERT_CHUNK_BYTES):
                    inserter.append(chunk)
                return inserter.finish()


class Engine:
    """The engine, open from construction to `close`; all methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the engine at a directory that this process owns."""
        self.path = path
        self._root = Handle(path)
        fields = self._root.query("SELECT version(), timezone()").bytes().decode().split()
        self.version, self.timezone = fields
        self.spool = path / "spool"
        self.spool.mkdir(mode=0o700, exist_ok=True)
        for left in self.spool.iterdir():
            left.unlink()

    @contextmanager
    def handle(self) -> Iterator[Handle]:
        """Lend a fresh handle."""
        handle = Handle(self.path)
        try:
            yield handle
        finally:
            handle.close()

    def spool_path(self) -> Path:
        """Return a new name for a file that the engine writes an answer into."""
        return self.spool / uuid.uuid4().hex

    def cancel(self, condition: str, wait: Callable[[], None] | None = None) -> None:
        """Cancel the running queries for which a condition on `system.processes` holds."""
        with self.handle() as handle, suppress(EngineError):
            handle.query(f"KILL QUERY WHERE {condition} ASYNC")
        if wait is not None:
            wait()

    def close(self) -> None:
        """Close the engine; parts in memory are flushed."""
        self._root.close()
