"""`python -m storage.embedded.clickhouse`: the owner process of the embedded ClickHouse engine."""

import faulthandler
import ipaddress
import os
import threading
from pathlib import Path

import click

from storage.embedded.foreground import leave_on_errors
from storage.embedded.lifetime import StopRequest
from storage.embedded.private import own_directory
from storage.errors import InputError, StorageError

STOP_SECONDS = 5.0


def serve(path: Path, host: str, port: int, password: str, parent_pid: int | None) -> None:
    """Own the directory and answer until the stop is requested.

    Raises:
        DirectoryOwnedError: Another process owns the directory.
        StorageError: The directory or the port cannot be used.
    """
    stop = StopRequest()
    stop.install(parent_pid)
    owner = own_directory(path, "the ClickHouse data")
    try:
        is_idle = _serve_owned(path.resolve(), (host, port), password, stop)
    finally:
        owner.release()
    if not is_idle:
        # Acknowledged rows are on disk; a query that cannot be cancelled must not keep us.
        os._exit(0)


def _serve_owned(path: Path, address: tuple[str, int], password: str, stop: StopRequest) -> bool:
    """Answer until the stop is requested; False if a query could not be cancelled then."""
    # Imported late: a second owner is refused before it pays for the engine.
    from storage.embedded.clickhouse.engine import Engine
    from storage.embedded.clickhouse.server import Access, ClickHouseServer

    host, port = address
    try:
        server = ClickHouseServer(address, Access(password))
    except OSError as error:
        raise StorageError(f"ClickHouse HTTP {host}:{port}: {error.strerror}") from error
    engine = Engine(path)
    server.attach(engine)
    listener = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    listener.start()
    click.echo(f"clickhouse {engine.version} ready on http://{host}:{server.server_port}")
    stop.wait()
    # Whatever hangs below, this ends the process, and shows where it hung.
    faulthandler.dump_traceback_later(STOP_SECONDS + 3, exit=True)
    server.is_stopping = True
    server.shutdown()
    server.server_close()
    is_idle = server.cancel_all(STOP_SECONDS)
    if is_idle:
        engine.close()
    return is_idle


@click.command()
@click.option("--path", required=True, type=click.Path(path_type=Path), help="Data directory.")
@click.option("--port", required=True, type=click.IntRange(0, 65_535), help="HTTP port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password of user default; no password is asked for without it.",
)
@click.option("--parent-pid", type=int, help="Stop when this process ends.")
def main(
    path: Path, port: int, host: str, password_file: Path | None, parent_pid: int | None
) -> None:
    """Serve the embedded ClickHouse engine over HTTP; SIGTERM stops it."""
    os.umask(0o077)
    password = password_file.read_text(encoding="utf-8").strip() if password_file else ""
    with leave_on_errors():
        _require_safe(host, password)
        serve(path, host, port, password, parent_pid)


def _require_safe(host: str, password: str) -> None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise InputError(f"--host {host}: accepted: an IP address such as 127.0.0.1") from error
    if not is_loopback and not password:
        raise InputError(f"--host {host} is open to others: give a --password-file")


if __name__ == "__main__":
    main()
