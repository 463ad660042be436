"""The engine of this process: chDB at one path, a fresh handle per request.

chDB allows one path per process and one process per path, so this process owns the directory. A
handle is cheap (0.2 ms) and carries its own settings, database and temporary tables; a fresh one
for each request keeps requests apart without anything to restore. Calls release the interpreter,
so handles of several threads work in parallel.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import chdb
from chdb import ChdbError

from storage.embedded.clickhouse.statement import InsertHead, output_format

# chDB ships no types for it.
_connect: Any = chdb.connect
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_CODE = re.compile(r"Code: (\d+)\. ")
_FALLBACK_CODE = 1002  # UNKNOWN_EXCEPTION
# Where an open file without a name can be opened once more; the beginning counts.
_DESCRIPTORS = "/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"


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


@contextmanager
def _clickhouse_errors() -> Iterator[None]:
    try:
        yield
    except (ChdbError, RuntimeError, UnicodeDecodeError) as error:
        # A message that quotes binary data cannot be decoded by chDB; the bytes are still there.
        if isinstance(error, UnicodeDecodeError):
            text = error.object.decode(errors="replace")
        else:
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

    def insert(self, head: InsertHead, data: IO[bytes]) -> Any:
        """Insert the data of an open file and return chDB's result, which counts the rows.

        chDB also offers an inserter that is fed in pieces. It is not used: when the last step of
        an insert fails (too many partitions, a violated constraint, ...) it reports success and
        has written nothing. A statement that reads a file reports everything.

        Args:
            head: The statement.
            data: A file with the data from its beginning on; it needs no name.

        Raises:
            EngineError: The statement or the data were refused.
        """
        data.flush()
        path = quote(f"{_DESCRIPTORS}/{data.fileno()}")
        source = f"FROM INFILE {path} COMPRESSION 'none'"
        # The line ends keep a comment from swallowing what follows it.
        return self.query(f"{head.sql}\n{source}\n{head.settings}\nFORMAT {head.format}")


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

    def cancel(self, condition: str) -> None:
        """Cancel the running queries for which a condition on `system.processes` holds."""
        with self.handle() as handle, suppress(EngineError):
            handle.query(f"KILL QUERY WHERE {condition} ASYNC")

    def close(self) -> None:
        """Close the engine; parts in memory are flushed."""
        self._root.close()
