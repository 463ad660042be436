"""The schema of the ledger: migrations, and promises that no program can break."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from jts_trading.domain.orders import EDGES, FILLABLE, TERMINAL, OrderState
from storage.embedded.dsn import libpq_url
from storage.errors import StorageError
from storage.ledger import migrate as migrations
from storage.ledger.migrate import known_migrations, migrate, require_schema

pytestmark = pytest.mark.integration
ORDER = "00000000-0000-0000-0000-000000000001"
# The tables of the user's own document, with `timestamptz` for its TIMESTAMP.
USER_COLUMNS = {
    "strategies": {
        "id": "uuid",
        "name": "character varying(255)",
        "dsl_code": "text",
        "status": "character varying(50)",
        "created_at": "timestamp with time zone",
    },
    "orders": {
        "id": "uuid",
        "strategy_id": "uuid",
        "symbol": "character varying(50)",
        "side": "character varying(10)",
        "quantity": "numeric",
        "price": "numeric",
        "status": "character varying(50)",
        "broker": "character varying(50)",
        "created_at": "timestamp with time zone",
    },
}


@pytest.fixture
def url(postgres_dsn: str) -> str:
    """An empty database."""
    return libpq_url(postgres_dsn)


@pytest.fixture
def ledger(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database with the newest schema and one order."""
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        add_event(connection, 1)
        add_event(connection, 2)
        connection.execute(
            """INSERT INTO orders VALUES (%s, NULL, '005930', 'buy', 10, 70000, 'intent', 'paper',
            DEFAULT, 'a', 'i', 'KRX:005930', 'KRX', 'KRW', 'day', '', '', '', 0, %s, 0, 1, 1, 0,
            0, NULL, NULL, '')""",
            (ORDER, 1_717_372_800_123_456_789),
        )
        yield connection


def add_event(connection: psycopg.Connection[Any], seq: int) -> None:
    """A row of the journal for others to refer to."""
    connection.execute(
        """INSERT INTO events VALUES (%s, 'w', %s, 's', 't', 1, %s, '', '', 0, NULL, NULL, NULL,
        NULL, '{}', %s, %s)""",
        (seq, seq, f"e{seq}", bytes([seq]) * 32, bytes([seq + 1]) * 32),
    )


def test_migrate_when_run_twice_then_the_second_has_nothing_to_apply(url: str) -> None:
    """Every version is applied once, in order."""
    assert migrate(url) == [each.version for each in known_migrations()]
    assert migrate(url) == []
    require_schema(url)


def test_migrate_when_the_database_is_of_the_first_version_then_rows_survive(url: str) -> None:
    """A database of the first release is brought to the newest schema with all it holds."""
    assert migrate(url, to_version=1) == [1]
    with psycopg.connect(url, autocommit=True) as connection:
        add_event(connection, 1)
    with pytest.raises(StorageError, match="has schema 1"):
        require_schema(url)

    assert migrate(url) == [each.version for each in known_migrations()][1:]
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT seq, payload FROM v_events").fetchone()
    assert row == (1, {})


def test_migrate_when_many_start_at_once_then_each_version_is_applied_once(url: str) -> None:
    """The lock makes starting processes wait for one another."""
    applied: list[int] = []
    threads = [threading.Thread(target=lambda: applied.extend(migrate(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(applied) == [each.version for each in known_migrations()]


def test_f54_migrate_when_a_step_fails_then_it_leaves_nothing_and_resumes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken step is taken back whole; the next run goes on from there."""
    for each in known_migrations()[:1]:
        (tmp_path / f"{each.version:04}_{each.name}.sql").write_text(each.sql)
    second = tmp_path / "0002_broken.sql"
    second.write_text("CREATE TABLE half (a INT); SELECT 1/0;")
    monkeypatch.setattr(migrations, "_DIRECTORY", tmp_path)
    with pytest.raises(StorageError, match="division by zero"):
        migrate(url)
    second.write_text("CREATE TABLE half (a INT);")

    assert migrate(url) == [2]


def test_migrate_when_a_text_changed_or_the_database_is_newer_then_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody works on tables that the program does not know."""
    migrate(url)
    first, *others = known_migrations()
    (tmp_path / "0001_journal.sql").write_text(first.sql + "\n-- changed")
    for each in others:
        (tmp_path / f"{each.version:04d}_other.sql").write_text(each.sql)
    monkeypatch.setattr(migrations, "_DIRECTORY", tmp_path)
    with pytest.raises(StorageError, match="another text"):
        migrate(url)
    (tmp_path / f"{others[-1].version:04d}_other.sql").unlink()
    with pytest.raises(StorageError, match="newer"):
        require_schema(url)


def test_tables_when_introspected_then_the_columns_of_the_user_are_there(url: str) -> None:
    """`orders` and `strategies` keep every name and type of the user's document."""
    migrate(url)
    with psycopg.connect(url) as connection:
        for table, columns in USER_COLUMNS.items():
            rows = connection.execute(
                """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped""",
                (table,),
            ).fetchall()
            assert columns.items() <= dict(rows).items()


def test_edges_when_compared_then_table_and_program_agree(url: str) -> None:
    """The database allows exactly the moves of the program, and fills."""
    migrate(url)
    expected = {
        (before.value, after.value)
        for before, edges in EDGES.items()
        for after in edges.values()
        if before is not after
    }
    for before in FILLABLE - TERMINAL:
        expected.add((before.value, "filled"))
        if before not in {OrderState.PARTIAL, OrderState.CANCELLING}:
            expected.add((before.value, "partial"))
    # A refused cancel of an order that is filled in part.
    expected.add(("cancelling", "partial"))
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT before, after FROM order_edges").fetchall()

    assert set(rows) == expected


def test_created_at_when_read_then_it_is_the_instant_of_the_event(
    ledger: psycopg.Connection[Any],
) -> None:
    """The user's column is the instance time of the journal, to the microsecond."""
    row = ledger.execute("SELECT extract(epoch FROM created_at) FROM orders").fetchone()
    assert row == (Decimal("1717372800.123456"),)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE events SET payload = 'x' WHERE seq = 1", "append-only"),
        ("DELETE FROM events WHERE seq = 2", "append-only"),
        ("TRUNCATE events CASCADE", "append-only"),
        ("UPDATE orders SET filled = 11", "filled_within_ordered"),
        ("UPDATE orders SET status = 'filled'", "intent cannot become filled"),
        ("UPDATE orders SET filled = 1; UPDATE orders SET filled = 0", "filled fell"),
        (
            "INSERT INTO attempts SELECT 'c', id, 1, '', 'sender', 7, 'sending', 1 FROM orders",
            "not held under token 7",
        ),
        (
            """INSERT INTO ledger_entries VALUES
            (1, 1, 'b', 'a', 'i', 'cash', '', 'KRW', 10, 0, 0),
            (1, 2, 'b', 'a', 'i', 'capital', '', 'KRW', 0, 9, 0)""",
            "out of balance by 1",
        ),
        (
            """INSERT INTO ledger_entries VALUES
            (1, 1, 'b', 'a', 'i', 'cash', '', 'KRW', 10.5, 0, 0),
            (1, 2, 'b', 'a', 'i', 'capital', '', 'KRW', 0, 10.5, 0)""",
            "whole_won",
        ),
        (
            """INSERT INTO ledger_entries VALUES
            (1, 1, 'b', 'a', 'i', 'cash', '', 'KRW', 10, 10, 0)""",
            "violates check constraint",
        ),
        (
            """INSERT INTO events VALUES (3, 'w', 3, 's', 't', 1, 'e3', '', '', 0, NULL, NULL,
            NULL, NULL, '{}', decode(repeat('02', 32), 'hex'), decode(repeat('09', 32), 'hex'))""",
            "events_writer_prev_hash_key",
        ),
    ],
)
def test_statement_when_it_breaks_a_promise_then_the_database_refuses(
    ledger: psycopg.Connection[Any], statement: str, problem: str
) -> None:
    """History, fills, states, fencing, balance and the chain are kept by constraints."""
    with pytest.raises(psycopg.Error, match=problem), ledger.transaction():
        ledger.execute(statement)


def test_second_attempt_when_the_first_lives_then_the_database_refuses(
    ledger: psycopg.Connection[Any],
) -> None:
    """One order has one attempt at most that is not proven absent."""
    ledger.execute(
        "INSERT INTO leases VALUES ('sender', 'me', 7, clock_timestamp() + INTERVAL '1 hour')"
    )
    row = "INSERT INTO attempts VALUES (%s, %s, %s, '', 'sender', 7, %s, 1)"
    ledger.execute(row, ("c1", ORDER, 1, "unknown"))
    with pytest.raises(psycopg.errors.UniqueViolation, match="one_live_attempt"):
        ledger.execute(row, ("c2", ORDER, 2, "sending"))
    ledger.execute("UPDATE attempts SET status = 'absent'")
    ledger.execute(row, ("c2", ORDER, 2, "sending"))


def test_fill_when_inserted_twice_then_the_database_refuses(
    ledger: psycopg.Connection[Any],
) -> None:
    """A trade of a venue is unique per account and instrument, and never edited."""
    row = """INSERT INTO fills VALUES ('KRX', 'a', 'KRX:005930', 't1', 'paper', 'i', %s, 'buy',
        1, 70000, 70000, 0, 0, 0, 'KRW', 0, %s)"""
    ledger.execute(row, (ORDER, 1))
    with pytest.raises(psycopg.errors.UniqueViolation):
        ledger.execute(row, (ORDER, 2))
    with pytest.raises(psycopg.Error, match="append-only"):
        ledger.execute("UPDATE fills SET price = 1")
