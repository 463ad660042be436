"""`python -m storage.embedded.redis`: the owner process of the embedded Redis."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import click

from storage.embedded.foreground import leave_on_errors
from storage.embedded.lifetime import StopRequest
from storage.embedded.native import NativeServer, end_leftovers, run_until_stopped
from storage.embedded.private import make_private, own_directory, require_short_socket
from storage.embedded.probe import answers_redis, wait_until
from storage.embedded.redis.program import command, find_program

# Loading a large append-only file takes its time.
READY_SECONDS = 60
STOP_SIGNALS = ((signal.SIGTERM, 8.0),)


def serve(path: Path, socket: Path, parent_pid: int | None) -> None:
    """Own the directory and run Redis until the stop is requested.

    Raises:
        DirectoryOwnedError: Another process owns the directory.
        StorageError: Redis is missing, does not start, or ended by itself.
    """
    stop = StopRequest()
    stop.install(parent_pid)
    path, socket = path.resolve(), require_short_socket(socket.absolute())
    program = find_program()
    owner = own_directory(path, "the Redis data")
    try:
        make_private(socket.parent)
        end_leftovers(program.name, path)
        run_until_stopped(
            NativeServer(
                "Redis", command(program, path, socket), STOP_SIGNALS, lambda: None, path
            ),
            stop,
            lambda goes_on: _open(socket, goes_on),
        )
    finally:
        owner.release()


def _open(socket: Path, goes_on: Callable[[], bool]) -> None:
    wait_until("Redis", lambda: answers_redis(socket), seconds=READY_SECONDS, is_running=goes_on)
    click.echo(f"redis ready on unix://{socket}")


@click.command()
@click.option("--path", required=True, type=click.Path(path_type=Path), help="Data directory.")
@click.option("--socket", required=True, type=click.Path(path_type=Path), help="Unix socket.")
@click.option("--parent-pid", type=int, help="Stop when this process ends.")
def main(path: Path, socket: Path, parent_pid: int | None) -> None:
    """Run the embedded Redis in the foreground; SIGTERM stops it."""
    os.umask(0o077)
    with leave_on_errors():
        serve(path, socket, parent_pid)


if __name__ == "__main__":
    main()
