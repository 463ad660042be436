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
from storage.embedded.postgres.account import choose_account, former_uids, give_tree
from storage.embedded.postgres.cluster import (
    clear_leftovers,
    command,
    create_databases,
    prepare,
    programs,
    says_ready,
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
    path, socket_dir = path.resolve(), socket_dir.absolute()
    require_short_socket(socket_dir / SOCKET_NAME)
    account = choose_account((programs() / "postgres", path, socket_dir))
    ids, others = (account.uid, account.gid), former_uids()
    owner = own_directory(path, "the PostgreSQL cluster", ids, others)
    try:
        make_private(socket_dir, ids, others)
        data = prepare(path, account)
        clear_leftovers(data)
        give_tree(data, account)
        server = NativeServer(
            "PostgreSQL", command(data, socket_dir), STOP_SIGNALS, account.enter, path
        )
        run_until_stopped(server, stop, lambda goes_on: _open(data, socket_dir, goes_on))
    finally:
        owner.release()


def _open(data: Path, socket_dir: Path, goes_on: Callable[[], bool]) -> None:
    url = libpq_url(socket_dsn(socket_dir, "postgres"))

    def is_ready() -> bool:
        # Asked too early, PostgreSQL writes FATAL lines that worry people.
        return says_ready(data) and answers_postgres(url)

    wait_until("PostgreSQL", is_ready, seconds=READY_SECONDS, is_running=goes_on)
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
