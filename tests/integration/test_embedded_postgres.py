"""The embedded PostgreSQL: private, recovers, gone when it is told to be."""

import psycopg2
import pytest

from storage.embedded.dsn import libpq_url

pytestmark = pytest.mark.integration


def test_server_when_started_then_both_databases_exist(postgres_server_dsn: str) -> None:
    """Dagster creates tables, not databases, so both are there from the start."""
    connection = psycopg2.connect(libpq_url(postgres_server_dsn))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            names = {row[0] for row in cursor.fetchall()}
    finally:
        connection.close()

    assert {"dagster", "jts"} <= names


def test_database_when_asked_for_then_it_is_empty_and_ours(postgres_dsn: str) -> None:
    """Each test gets a database without tables."""
    connection = psycopg2.connect(libpq_url(postgres_dsn))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")

            assert cursor.fetchone() == (0,)
    finally:
        connection.close()
