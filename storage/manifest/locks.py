"""Locks between processes: advisory, on a file; the kernel frees them when their owner dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StorageError

LOCK_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.02


@contextmanager
def exclusive(path: Path, *, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
    """Hold a lock file for the length of the block.

    Args:
        path: Lock file; it and its folder are created and stay.
        wait_seconds: How long to wait for the present owner, in real seconds.

    Raises:
        StorageError: Another process kept the lock for all of that time.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        _acquire(descriptor, path, wait_seconds)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def unfinished_marked(path: Path, *, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
    """Hold a lock file as `exclusive`; it stays non-empty unless the block ends well.

    So a lock file with content that nobody holds tells of work that was killed or failed.
    """
    with exclusive(path, wait_seconds=wait_seconds):
        path.write_bytes(b"unfinished\n")
        yield
        path.write_bytes(b"")


def _acquire(descriptor: int, path: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise StorageError(
                    f"{path.name}: still locked by another process after {wait_seconds:g} s"
                ) from error
            time.sleep(_PAUSE_SECONDS)
        else:
            return
