"""The ledger's database as commands read it: one snapshot, read-only, whoever else is running."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from jts_trading.commands import words
from jts_trading.config.settings import Settings
from jts_trading.domain.ledger_rows import (
    AttemptRow,
    BalanceRow,
    FillRow,
    LedgerRow,
    OrderRow,
    StrategyRow,
)
from jts_trading.journal.tables import EVENT_COLUMNS, read_event, read_row, select
from jts_trading.ports.journal import StoredEvent
from jts_trading.telemetry import console
from storage.embedded.dsn import libpq_url

_CONNECT_S = 5
_OPTIONS = "-c default_transaction_read_only=on -c statement_timeout=60s -c timezone=UTC"
_Row = TypeVar("_Row", OrderRow, AttemptRow, FillRow, LedgerRow, BalanceRow, StrategyRow)


class LedgerReader:
    """Reads rows and events of one moment.

    Args:
        connection: In a transaction that sees one snapshot.
    """

    def __init__(self, connection: "psycopg.Connection[dict[str, Any]]") -> None:
        self._connection = connection

    def rows(
        self,
        kind: type[_Row],
        condition: str = "TRUE",
        values: Mapping[str, Any] | None = None,
        *,
        order: str = "",
    ) -> list[_Row]:
        """Return rows of a projection, aliased `r`; condition and order are texts of ours."""
        query = select(kind, condition) + (f" ORDER BY {order}".encode() if order else b"")
        cursor = self._connection.execute(query, values or {})
        return [read_row(kind, _plain(row)) for row in cursor.fetchall()]

    def events(self, condition: str, values: Mapping[str, Any]) -> list[StoredEvent]:
        """Return events in order, aliased `r`; the condition is a text of ours."""
        query = sql.SQL("SELECT {} FROM events AS r WHERE {} ORDER BY r.seq").format(
            sql.SQL(", ").join(map(sql.Identifier, EVENT_COLUMNS)), sql.SQL(condition)
        )
        cursor = self._connection.execute(query.as_bytes(), values)
        return [read_event(row) for row in cursor.fetchall()]

    def table(self, query: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query of ours."""
        cursor = self._connection.execute(query.encode(), values or {})
        return [_plain(row) for row in cursor.fetchall()]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose numbers are written as people write them: 10, not 10.00000000."""
    return {
        name: words.plain(value) if isinstance(value, Decimal) else value
        for name, value in row.items()
    }


@contextmanager
def open_ledger(settings: Settings) -> Iterator[LedgerReader]:
    """Open the ledger of an installation for the time of a block.

    Raises:
        CommandError: It does not answer, or has no tables yet.
    """
    try:
        with psycopg.connect(
            libpq_url(settings.postgres_dsn),
            row_factory=dict_row,
            connect_timeout=_CONNECT_S,
            options=_OPTIONS,
        ) as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield LedgerReader(connection)
    except psycopg.errors.UndefinedTable as error:
        raise console.CommandError(
            "the ledger has no tables yet; make them with: jts migrate", console.STORAGE_FAILED
        ) from error
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        raise console.CommandError(
            f"the ledger does not answer ({reason}); start it with: jts up",
            console.STORAGE_FAILED,
        ) from error
