"""How a server process leaves: one line on stderr and the exit code of the outer contract."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from storage.embedded.private import DirectoryOwnedError
from storage.errors import InputError, StorageError

EXIT_INPUT = 2
EXIT_NOT_THE_OWNER = 3
EXIT_STORAGE = 5


@contextmanager
def leave_on_errors() -> Iterator[None]:
    """Turn our errors into one line and an exit code: 3 not the owner, 5 storage, 2 input."""
    try:
        yield
    except DirectoryOwnedError as error:
        _leave(error, EXIT_NOT_THE_OWNER)
    except StorageError as error:
        _leave(error, EXIT_STORAGE)
    except InputError as error:
        _leave(error, EXIT_INPUT)


def _leave(error: Exception, code: int) -> None:
    click.echo(f"error: {' '.join(str(error).split())}", err=True)
    sys.exit(code)
