"""PostgreSQL URLs in the two spellings that SQLAlchemy and libpq want."""

from pathlib import Path

import psycopg2.extensions
import pytest
from sqlalchemy.engine import make_url

from storage.embedded.dsn import libpq_url, normalise_dsn, socket_dsn, without_password
from storage.errors import InputError


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db.example:5433/jts",
        "postgres://u:p@db.example:5433/jts",
        "postgresql+psycopg2://u:p@db.example:5433/jts",
        "  postgresql://u:p@db.example:5433/jts\n",
    ],
)
def test_normalise_dsn_when_any_usual_spelling_then_the_driver_is_psycopg2(url: str) -> None:
    """SQLAlchemy 2.1 would otherwise look for psycopg 3, which is not installed."""
    dsn = normalise_dsn(url)

    parsed = make_url(dsn)
    assert parsed.drivername == "postgresql+psycopg2"
    assert parsed.get_dialect().driver == "psycopg2"
    assert (parsed.host, parsed.port, parsed.database) == ("db.example", 5433, "jts")


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("mysql://h/d", "mysql"),
        ("postgresql+asyncpg://h/d", "asyncpg"),
        ("postgresql+psycopg://h/d", "psycopg"),
        ("host=h dbname=d", "none"),
        ("", "none"),
        ("postgresql://h", "no database"),
        ("postgresql://h/", "no database"),
    ],
)
def test_normalise_dsn_when_it_cannot_be_opened_then_it_is_named(url: str, names: str) -> None:
    """The refusal names what was found and what is accepted, and no password."""
    with pytest.raises(InputError, match=names) as refusal:
        normalise_dsn(url)
    assert "accepted" in str(refusal.value)


def test_libpq_url_when_sqlalchemy_spelling_then_libpq_reads_it() -> None:
    """Libpq knows no driver in the scheme."""
    dsn = socket_dsn(Path("/tmp/a dir"), "jts")

    parsed = psycopg2.extensions.parse_dsn(libpq_url(dsn))

    assert parsed == {"user": "postgres", "dbname": "jts", "host": "/tmp/a dir"}
    assert libpq_url("host=h dbname=d") == "host=h dbname=d"


def test_socket_dsn_when_normalised_then_it_stays_the_same() -> None:
    """The embedded server's own URL is already in the form that everyone opens."""
    dsn = socket_dsn(Path("/tmp/jts-1"), "dagster")

    assert normalise_dsn(dsn) == dsn
    assert dsn == "postgresql+psycopg2://postgres@/dagster?host=/tmp/jts-1"


def test_without_password_when_one_is_set_then_it_is_masked() -> None:
    """A URL in a message never shows its password."""
    assert without_password("postgresql://u:s3cret@h:1/d") == "postgresql://u:***@h:1/d"
    assert without_password("postgresql://u@h/d") == "postgresql://u@h/d"
