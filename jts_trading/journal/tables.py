"""Rows and tables: the statements that read and write them, derived from the structs.

Field and column names are the same, so a statement is built once per table from the names of the
struct; values are always parameters.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from psycopg import sql

from jts_trading.domain.ledger_rows import ROWS, Row
from jts_trading.ports.journal import Consumed, StoredEvent

_UUID_COLUMNS = frozenset({("orders", "id"), ("orders", "strategy_id"), ("strategies", "id")})
_UUID_ANYWHERE = frozenset({"order_id"})
# Facts: written once and never changed.
_INSERT_ONLY = frozenset({"fills", "ledger_entries"})
_Row = TypeVar("_Row", bound=Row)

EVENT_COLUMNS = (
    "seq",
    "writer",
    "position",
    "stream",
    "type",
    "schema_version",
    "event_id",
    "correlation_id",
    "causation_id",
    "ts_ns",
    "consumer",
    "source",
    "major",
    "minor",
    "payload",
    "prev_hash",
    "hash",
)
_EVENT_NAMES = sql.SQL(", ").join(map(sql.Identifier, EVENT_COLUMNS))
INSERT_EVENT = (
    sql.SQL("INSERT INTO events ({}) VALUES ({})")
    .format(_EVENT_NAMES, sql.SQL(", ").join(map(sql.Placeholder, EVENT_COLUMNS)))
    .as_bytes()
)
SELECT_EVENTS = (
    sql.SQL("SELECT {} FROM events WHERE seq > %(after)s ORDER BY seq LIMIT %(limit)s")
    .format(_EVENT_NAMES)
    .as_bytes()
)
SELECT_STREAM = (
    sql.SQL("SELECT {} FROM events WHERE stream = %(stream)s ORDER BY seq DESC LIMIT %(limit)s")
    .format(_EVENT_NAMES)
    .as_bytes()
)


def event_values(stored: StoredEvent) -> dict[str, object]:
    """Return the columns of an event."""
    values: dict[str, object] = {
        name: getattr(stored, name) for name in stored.__slots__ if name != "consumed"
    }
    read = stored.consumed
    values["consumer"] = read.consumer if read else None
    values["source"] = read.source if read else None
    values["major"], values["minor"] = read.position if read else (None, None)
    return values


def read_event(row: Mapping[str, Any]) -> StoredEvent:
    """Return the event in a row of table `events`."""
    values = {name: row[name] for name in StoredEvent.__slots__ if name != "consumed"}
    consumed = None
    if row["consumer"] is not None:
        consumed = Consumed(
            consumer=row["consumer"], source=row["source"], position=(row["major"], row["minor"])
        )
    return StoredEvent(**values, consumed=consumed)


def row_values(row: Row) -> dict[str, object]:
    """Return the columns of a row."""
    return {name: _plain(getattr(row, name)) for name in row.__struct_fields__}


def read_row(kind: type[_Row], row: Mapping[str, Any]) -> _Row:
    """Return a row of a projection, as it was written."""
    return msgspec.convert(dict(row), kind)


def select(kind: type[Row], condition: str = "TRUE") -> bytes:
    """Return a query for rows of a table, aliased `r`; the condition is a text of ours."""
    query = sql.SQL("SELECT {} FROM {} AS r WHERE {}").format(
        sql.SQL(", ").join(_selected(kind, name) for name in _names(kind)),
        sql.Identifier(kind.TABLE),
        sql.SQL(condition),
    )
    return query.as_bytes()


def write(kind: type[Row]) -> bytes:
    """Return the statement that inserts a row, or replaces the one of the same key."""
    return _WRITES[kind]


def delete_all() -> list[sql.Composed]:
    """Return the statements that empty all projections, in the order in which they can be."""
    return [
        sql.SQL("DELETE FROM {}").format(sql.Identifier(kind.TABLE)) for kind in reversed(ROWS)
    ]


def _names(kind: type[Row]) -> Sequence[str]:
    return kind.__struct_fields__


def _selected(kind: type[Row], name: str) -> sql.Composable:
    if (kind.TABLE, name) in _UUID_COLUMNS or name in _UUID_ANYWHERE:
        return sql.SQL("r.{0}::text AS {0}").format(sql.Identifier(name))
    return sql.SQL("r.{}").format(sql.Identifier(name))


def _write_statement(kind: type[Row]) -> sql.Composed:
    names = _names(kind)
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(kind.TABLE),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(map(sql.Placeholder, names)),
    )
    if kind.TABLE in _INSERT_ONLY:
        return statement
    return statement + sql.SQL(" ON CONFLICT ({}) DO UPDATE SET {}").format(
        sql.SQL(", ").join(map(sql.Identifier, kind.KEY)),
        sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name))
            for name in names
            if name not in kind.KEY
        ),
    )


def _plain(value: object) -> object:
    return value.value if isinstance(value, StrEnum) else value


# Rendered once: it would cost more than the statement itself every time.
_WRITES = {kind: _write_statement(kind).as_bytes() for kind in ROWS}
