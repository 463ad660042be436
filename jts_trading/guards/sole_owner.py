"""At most one process of a kind on this machine and home: a file lock that dies with its owner."""

import fcntl
import os
from pathlib import Path


class SoleOwner:
    """A lock on a file, held until it is given back or the process ends, however it ends.

    Args:
        path: The file, such as `<home>/run/executor.lock`; its directory is made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process is the only one."""
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lock if nobody has it, and return whether it is held; never waits.

        Raises:
            OSError: The file cannot be made.
        """
        if self._descriptor is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def give_back(self) -> None:
        """Let another process take it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
