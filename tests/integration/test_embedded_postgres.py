"""The embedded PostgreSQL: private, recovers, gone when it is told to be."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy

from storage.embedded.dsn import libpq_url
from storage.embedded.native import processes_in
from storage.embedded.probe import answers_postgres, wait_until

pytestmark = pytest.mark.integration
Launch = Callable[..., Any]


def _options(home: Path) -> tuple[str, ...]:
    return ("--path", str(home / "pg"), "--socket-dir", str(home / "s"))


def _run(dsn: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each committed, and return the rows of the last one."""
    with closing(psycopg2.connect(libpq_url(dsn))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _postmaster(home: Path) -> int:
    return int((home / "pg" / "data" / "postmaster.pid").read_text().split("\n")[0])


def _await_no_postgres(home: Path) -> None:
    data = (home / "pg" / "data").resolve()
    wait_until("the end of postgres", lambda: not processes_in("postgres", data), seconds=15)


def test_server_when_started_then_both_databases_exist(postgres_server_dsn: str) -> None:
    """Dagster creates tables, not databases, so both are there from the start."""
    rows = _run(postgres_server_dsn, "SELECT datname FROM pg_database")

    assert {("dagster",), ("jts",)} <= set(rows)


def test_server_when_started_then_it_is_safe_by_default(postgres_server_dsn: str) -> None:
    """Commits are durable, pages have checksums, nothing waits for ever, no port is open."""
    settings = dict(_run(postgres_server_dsn, "SELECT name, setting FROM pg_settings"))

    assert [settings[name] for name in ("fsync", "synchronous_commit", "data_checksums")] == [
        "on"
    ] * 3
    assert settings["listen_addresses"] == ""
    assert settings["lock_timeout"] == "30000"
    assert settings["statement_timeout"] == "60000"
    assert settings["idle_in_transaction_session_timeout"] == "300000"
    assert settings["TimeZone"] == "UTC"
    assert settings["server_version"].startswith("18.")


def test_database_when_asked_for_then_it_is_empty_and_ours(postgres_dsn: str) -> None:
    """Each test gets a database without tables, by a URL that SQLAlchemy opens as it is."""
    engine = sqlalchemy.create_engine(postgres_dsn)
    try:
        with engine.connect() as connection:
            count = connection.execute(
                sqlalchemy.text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            )

            assert count.scalar_one() == 0
    finally:
        engine.dispose()


def test_directories_when_the_umask_is_open_then_nothing_is(
    launch_server: Launch, short_home: Path, find_open: Callable[[Path], list[str]]
) -> None:
    """Cluster and socket are for one user alone; as root that user is root itself or pgserver."""
    launch_server("postgres", *_options(short_home))

    assert find_open(short_home / "pg") == []
    assert find_open(short_home / "s") == []
    owner = (short_home / "pg" / "data").stat().st_uid
    assert (short_home / "s").stat().st_uid == owner
    assert (short_home / "s" / ".s.PGSQL.5432").is_socket()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become someone else")
def test_server_when_started_by_root_then_it_is_no_root_inside(
    launch_server: Launch, short_home: Path
) -> None:
    """PostgreSQL has no privilege of root, but at most the one to pass closed directories."""
    launch_server("postgres", *_options(short_home))

    status = Path(f"/proc/{_postmaster(short_home)}/status").read_text()

    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    to_pass = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, see postgres/account.py
    assert int(found["CapEff"], 16) & ~to_pass == 0
    assert int(found["CapPrm"], 16) & ~to_pass == 0


def test_server_when_stopped_then_nothing_is_left(launch_server: Launch, short_home: Path) -> None:
    """SIGTERM: exit code 0, no process, no socket, no lock, even with a client in a query."""
    server = launch_server("postgres", *_options(short_home))
    with closing(psycopg2.connect(libpq_url(server.address))) as client:
        with client.cursor() as cursor:
            cursor.execute("SELECT 1")

        assert server.stop() == 0

    _await_no_postgres(short_home)
    assert list((short_home / "s").iterdir()) == []
    assert [entry.name for entry in (short_home / "pg").iterdir()] == ["data"]
    assert not (short_home / "pg" / "data" / "postmaster.pid").exists()


@pytest.mark.parametrize("victim", ["postmaster", "owner"])
def test_server_when_killed_then_committed_rows_are_still_there(
    victim: str, launch_server: Launch, short_home: Path
) -> None:
    """SIGKILL of either process ends both; the next start has every committed row."""
    server = launch_server("postgres", *_options(short_home))
    insert = "INSERT INTO t SELECT count(*) FROM t"
    _run(server.address, "CREATE TABLE t (a int PRIMARY KEY)", *[insert] * 200)

    if victim == "postmaster":
        os.kill(_postmaster(short_home), signal.SIGKILL)
        assert server.popen.wait(15) == 5
        assert "ended by itself" in server.log.read_text().splitlines()[-1]
    else:
        server.kill()
    again = launch_server("postgres", *_options(short_home))

    assert _run(again.address, "SELECT count(*), sum(a) FROM t") == [(200, 19_900)]


def test_server_when_its_pid_file_names_a_stranger_then_it_starts(
    launch_server: Launch, short_home: Path
) -> None:
    """After a crash in a container the old pid may belong to any other process."""
    server = launch_server("postgres", *_options(short_home))
    pid_file = short_home / "pg" / "data" / "postmaster.pid"
    content = pid_file.read_text()
    server.stop()
    pid_file.write_text(content.replace(content.split("\n")[0], str(os.getpid()), 1))
    pid_file.chmod(0o600)

    again = launch_server("postgres", *_options(short_home))

    assert answers_postgres(again.address)


def test_cluster_when_its_making_was_cut_then_the_next_start_makes_it(
    launch_server: Launch, short_home: Path
) -> None:
    """A half-made cluster is never taken for a whole one."""
    half = short_home / "pg" / "data.new" / "base"
    half.mkdir(parents=True)
    (half.parent / "PG_VERSION").write_text("18\n")

    server = launch_server("postgres", *_options(short_home))

    assert answers_postgres(server.address)
    assert not half.exists()


def test_server_when_there_is_one_then_a_second_is_refused_with_its_pid(
    launch_server: Launch, short_home: Path
) -> None:
    """One clear line and exit code 3."""
    server = launch_server("postgres", *_options(short_home))

    second = subprocess.run(
        [sys.executable, "-m", "storage.embedded.postgres", *_options(short_home)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert second.returncode == 3
    assert str(server.popen.pid) in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert answers_postgres(server.address)


def test_server_when_its_supervisor_dies_then_both_processes_stop(
    launch_server: Launch, short_home: Path, mortal: subprocess.Popen[bytes]
) -> None:
    """`--parent-pid` reaches the postmaster too."""
    server = launch_server("postgres", *_options(short_home), "--parent-pid", str(mortal.pid))
    mortal.kill()

    assert server.popen.wait(15) == 0
    _await_no_postgres(short_home)
