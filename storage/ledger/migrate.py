"""Forward-only migrations of the ledger's database, one transaction each, under a lock.

A migration is a file `NNNN_name.sql` beside this one. What was applied is noted with its digest;
a changed file, a gap or a database newer than the program is refused, because nobody can say what
its tables are. A killed migration has left nothing and is applied by the next run.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import psycopg

from storage.errors import StorageError

_DIRECTORY = Path(__file__).parent / "migrations"
# One number for all programs that migrate this database.
_LOCK = 0x4A54534C
_LOCK_WAIT = "30s"
_NOTES = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    Attributes:
        digest: SHA-256 of its text.
    """

    version: int
    name: str
    sql: str
    digest: str


def known_migrations() -> list[Migration]:
    """Return all migrations of this program, in order."""
    found = []
    for path in sorted(_DIRECTORY.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        sql = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(sql.encode()).hexdigest()
        found.append(Migration(int(number), name, sql, digest))
    if [each.version for each in found] != list(range(1, len(found) + 1)):
        raise StorageError(f"{_DIRECTORY}: the migrations are not numbered from 1 without gaps")
    return found


def migrate(dsn: str, *, to_version: int | None = None) -> list[int]:
    """Bring a database to the newest schema; return the versions that were applied now.

    Args:
        dsn: URL of the database as libpq reads it, without a driver.
        to_version: Stop after this version; the newest when None.

    Raises:
        StorageError: The database is newer than the program, was migrated by other texts, is
            locked by another migration, or a statement failed.
    """
    known = known_migrations()
    wanted = known[: len(known) if to_version is None else to_version]
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"SET lock_timeout = '{_LOCK_WAIT}'")
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            connection.execute(_NOTES)
            applied = _check(_applied(connection), known)
            due = [each for each in wanted if each.version > applied]
            for each in due:
                _apply(connection, each)
            return [each.version for each in due]
    except psycopg.Error as error:
        raise StorageError(f"ledger migration: {' '.join(str(error).split())}") from error


def require_schema(dsn: str) -> None:
    """Check that a database has the schema of this program.

    Raises:
        StorageError: It is older, newer or other; the message says which.
    """
    known = known_migrations()
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            there = connection.execute("SELECT to_regclass('schema_migrations')").fetchone()
            is_noted = there is not None and there[0] is not None
            version = _check(_applied(connection), known) if is_noted else 0
    except psycopg.Error as error:
        raise StorageError(f"ledger: {' '.join(str(error).split())}") from error
    if version != len(known):
        raise StorageError(
            f"the ledger has schema {version}, this program needs {len(known)}: run jts migrate"
        )


def _applied(connection: psycopg.Connection) -> list[tuple[int, str]]:
    rows = connection.execute("SELECT version, digest FROM schema_migrations ORDER BY version")
    return [(int(version), str(digest)) for version, digest in rows]


def _check(applied: list[tuple[int, str]], known: list[Migration]) -> int:
    if len(applied) > len(known):
        raise StorageError(
            f"the ledger has schema {applied[-1][0]}, newer than the {len(known)} that this"
            " program knows: use a newer program"
        )
    for (version, digest), migration in zip(applied, known, strict=False):
        if (version, digest) != (migration.version, migration.digest):
            raise StorageError(
                f"migration {version} was applied with another text than {migration.version:04}_"
                f"{migration.name}.sql has now"
            )
    return len(applied)


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    with connection.transaction():
        # The text is ours, from a file of the package.
        connection.execute(migration.sql.encode())
        connection.execute(
            "INSERT INTO schema_migrations (version, name, digest) VALUES (%s, %s, %s)",
            (migration.version, migration.name, migration.digest),
        )
