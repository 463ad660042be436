"""One connection to PostgreSQL that comes back by itself, one statement sequence at a time.

Every wait has a limit on the server's side too, so that a writer that is paused in the middle of a
transaction cannot hold the journal's lock.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from jts_trading.domain.orders import InvariantError
from jts_trading.ports.journal import FencedError, JournalUnavailableError
from storage.embedded.dsn import libpq_url

Connection = psycopg.AsyncConnection[dict[str, Any]]

CHANNEL = "jts_outbox"
_TIMEOUT_S = 10.0
_CONNECT_S = 5
_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "5s",
    "synchronous_commit": "on",
    "timezone": "UTC",
}
_FENCED = "JT003"
_REFUSED = ("JT001", "JT002", "JT004")


class Database:
    """A connection that is opened when it is first used and again after it broke.

    Args:
        dsn: URL in either spelling.
        timeout_s: Limit for a whole sequence of statements.
    """

    def __init__(self, dsn: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._url = libpq_url(dsn)
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self._listening: Connection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def transaction(
        self, *, is_pipelined: bool = False, timeout_s: float | None = None
    ) -> AsyncIterator[Connection]:
        """Run statements in one transaction; an error takes all of them back.

        Args:
            is_pipelined: Send statements without waiting for the answers before.
            timeout_s: Another limit than the usual one.

        Raises:
            JournalUnavailableError: It is not known whether they are committed.
            FencedError: A lease is not held any more.
            InvariantError: A constraint refused them.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(timeout_s or self._timeout_s):
                    connection = await self._open()
                    if is_pipelined:
                        async with connection.pipeline(), connection.transaction():
                            yield connection
                    else:
                        async with connection.transaction():
                            yield connection
            except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
                await self._drop()
                raise JournalUnavailableError(f"journal: {_one_line(error)}") from error
            except psycopg.Error as error:
                raise _translated(error) from error
            except asyncio.CancelledError:
                # The server may still work on what was sent: that connection is of no more use.
                await self._drop()
                raise

    def twin(self) -> "Database":
        """Return another connection to the same database."""
        return Database(self._url, timeout_s=self._timeout_s)

    async def notified(self, seconds: float) -> bool:
        """Return whether a commit of the journal was told within a time, as soon as it is.

        The connection is busy meanwhile: use one for nothing else.

        Raises:
            JournalUnavailableError: The database did not answer.
        """
        async with self._turn:
            try:
                connection = await self._open()
                if self._listening is not connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._listening = connection
                    # What was committed before nobody listened is news too.
                    return True
                told = [each async for each in connection.notifies(timeout=seconds, stop_after=1)]
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                await self._drop()
                raise JournalUnavailableError(f"journal: {_one_line(error)}") from error
            except asyncio.CancelledError:
                await self._drop()
                raise
            return bool(told)

    async def close(self) -> None:
        """Give the connection back."""
        async with self._turn:
            await self._drop()

    async def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            options = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
            self._connection = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=_CONNECT_S,
                options=options,
            )
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _translated(error: psycopg.Error) -> Exception:
    text = f"journal: {_one_line(error)}"
    if error.sqlstate == _FENCED:
        return FencedError(text)
    if error.sqlstate in _REFUSED or isinstance(error, psycopg.IntegrityError):
        return InvariantError(text)
    return JournalUnavailableError(text)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
