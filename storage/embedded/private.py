"""Private directories, and who owns one.

Every embedded server lives in a directory that nobody else may enter. This room makes such
directories, refuses ones that someone else prepared, and lets exactly one process own one.

Ownership is an exclusive `flock` on the directory itself: the kernel drops it when the owner dies,
however it dies, and no lock file stays behind. The file `owner.pid` only tells a person who it is.
"""

import fcntl
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from storage.errors import StorageError

OWNER_FILE = "owner.pid"
# sockaddr_un.sun_path holds 108 bytes with the closing zero; macOS holds 104.
SOCKET_PATH_BYTES_MAX = 103


class DirectoryOwnedError(StorageError):
    """Another process owns the directory; a second owner leaves with exit code 3."""


def make_private(
    path: Path, owner: tuple[int, int] | None = None, accepts: Collection[int] = ()
) -> Path:
    """Create a directory with mode 0700, or tighten an existing one of ours.

    Args:
        path: The directory; missing parents are created with mode 0700 too.
        owner: User and group id that shall own it; the running user when None. Only root can give
            a directory to somebody else.
        accepts: Further user ids whose directory root may take over.

    Returns:
        The absolute path.

    Raises:
        StorageError: The path is a link or no directory, or belongs to another user.
    """
    path = path.absolute()
    for parent in [p for p in reversed(path.parents) if not p.exists()]:
        parent.mkdir(mode=0o700, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    uid, gid = owner or (os.geteuid(), os.getegid())
    # Opening without following links means that what is checked is what is changed.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise StorageError(f"{path}: not a directory of ours ({error.strerror})") from error
    try:
        found = os.fstat(handle)
        if found.st_uid not in {uid, os.geteuid(), *accepts}:
            raise StorageError(
                f"{path}: belongs to user {found.st_uid}; expected {uid}, so it is not used"
            )
        if (found.st_uid, found.st_gid) != (uid, gid) and os.geteuid() == 0:
            os.fchown(handle, uid, gid)
        if stat.S_IMODE(found.st_mode) != 0o700:
            os.fchmod(handle, 0o700)
    finally:
        os.close(handle)
    return path


def require_short_socket(path: Path) -> Path:
    """Return the path if a Unix socket may have it.

    Raises:
        StorageError: The path is longer than the kernel accepts.
    """
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise StorageError(
            f"{path}: a socket path of {length} bytes; accepted: at most {SOCKET_PATH_BYTES_MAX}"
        )
    return path


@dataclass(slots=True)
class DirectoryOwner:
    """The lock of one process on one directory; released by `release` or by the death of it."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Give the directory up; nothing stays behind."""
        if self.descriptor < 0:
            return
        (self.path / OWNER_FILE).unlink(missing_ok=True)
        os.close(self.descriptor)
        self.descriptor = -1


def own_directory(
    path: Path,
    what: str,
    owner: tuple[int, int] | None = None,
    accepts: Collection[int] = (),
) -> DirectoryOwner:
    """Become the one owner of a private directory.

    Args:
        path: The directory; created with mode 0700 if it does not exist. It may be a link, so
            that data can live on another disk.
        what: What the directory is, for the message of a refusal ("ClickHouse data").
        owner: As for `make_private`.
        accepts: As for `make_private`.

    Raises:
        DirectoryOwnedError: Another process owns it; the message names its pid.
        StorageError: The directory cannot be made private.
    """
    path = make_private(path.resolve(), owner, accepts)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DirectoryOwnedError(
            f"{path}: {what} is owned by process {owner_pid(path) or 'unknown'}; "
            "one process at a time may open it"
        ) from error
    (path / OWNER_FILE).write_text(f"{os.getpid()}\n", encoding="ascii")
    return DirectoryOwner(path, descriptor)


def owner_pid(path: Path) -> int | None:
    """Return the pid that an owner left in the directory, or None if nobody did."""
    try:
        return int((path / OWNER_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
