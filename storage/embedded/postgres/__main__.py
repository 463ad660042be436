"""`python -m storage.embedded.postgres`: the owner process of the embedded PostgreSQL."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import click

from storage.embedded.dsn import libpq_url, socket_dsn
from storage.embedded.foreground import leave_on_errors
from storage.embedded.lifetime import StopRequest
from storage.embedded.native import NativeServer, run_until_stopped
from storage.embedded.postgres.account import choose_account, give_tree
from storage.embedded.postgres.cluster import (
    clear_leftovers,
    command,
    create_databases,
    prepare,
    programs,
)
from storage.embedded.private import make_private, own_directory, require_short_socket
from storage.embedded.probe import answers_postgres, wait_until

DATABASES = ("dagster", "jts")
READY_SECONDS = 60
SOCKET_NAME = ".s.PGSQL.5432"
# Fast shutdown, then immediate; a checkpoint on a slow disk may take its time.
STOP_SIGNALS = ((signal.SIGINT, 7.0), (signal.SIGQUIT, 2.0))


def serve(path: Path, socket_dir: Path, parent_pid: int | None) -> None:
    """Own the directory and run PostgreSQL until the stop is requested.

    Raises:
        DirectoryOwnedError: Another process owns the directory.
        StorageError: PostgreSQL cannot be prepared or started, or ended by itself.
    """
    stop = StopRequest()
    stop.install(parent_pid)
    path, socket_dir = path.absolute(), socket_dir.absolute()
    require_short_socket(socket_dir / SOCKET_NAME)
    account = choose_account((programs() / "postgres", path / "data", socket_dir / SOCKET_NAME))
    owner = own_directory(path, "the PostgreSQL cluster")
    try:
        make_private(path, (account.uid, account.gid))
        make_private(socket_dir, (account.uid, account.gid))
        data = prepare(path, account)
        clear_leftovers(data)
        give_tree(data, account)
        server = NativeServer(
            "PostgreSQL", command(data, socket_dir), STOP_SIGNALS, account.enter, path
        )
        run_until_stopped(server, stop, lambda goes_on: _open(socket_dir, goes_on))
    finally:
        owner.release()


def _open(socket_dir: Path, goes_on: Callable[[], bool]) -> None:
    url = libpq_url(socket_dsn(socket_dir, "postgres"))
    wait_until(
        "PostgreSQL", lambda: answers_postgres(url), seconds=READY_SECONDS, is_running=goes_on
    )
    create_databases(url, DATABASES)
    click.echo(f"postgres ready on {socket_dsn(socket_dir, 'jts')}")


@click.command()
@click.option("--path", required=True, type=click.Path(path_type=Path), help="Data directory.")
@click.option(
    "--socket-dir", required=True, type=click.Path(path_type=Path), help="Directory of the socket."
)
@click.option("--parent-pid", type=int, help="Stop when this process ends.")
def main(path: Path, socket_dir: Path, parent_pid: int | None) -> None:
    """Run the embedded PostgreSQL in the foreground; SIGTERM stops it."""
    os.umask(0o077)
    with leave_on_errors():
        serve(path, socket_dir, parent_pid)


if __name__ == "__main__":
    main()
