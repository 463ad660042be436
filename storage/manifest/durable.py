"""Files that are whole or not there: the one place that writes to the tiers and the chain.

A file is written under a temporary name in its target directory, flushed to the medium, taken
out of the page cache, read back by path, and only then renamed; the directory is flushed last.
Nobody follows symbolic links on the way, and every path is built from checked parts below a root.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from storage.errors import InputError, ManifestError, StorageError, VerificationError

TEMPORARY = ".tmp-"
"""Prefix of unfinished files; readers trust only names that a manifest lists."""

TRASH = ".trash"
"""Folder of a tier for files that no manifest lists any more; readers may still use them."""

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,99}")
_FILE_MODE = 0o600


def safe_path(root: Path, relative: str) -> Path:
    """Return a path below the root, from a relative path whose every part is plain.

    Raises:
        InputError: A part is empty, hidden, too long, climbs, or holds another character than
            `A-Z a-z 0-9 . _ = -`.
        VerificationError: A part is a symbolic link: a tier has none of its own.
    """
    path = root
    for part in relative.split("/"):
        if not _PART.fullmatch(part) or ".." in part:
            raise InputError(
                f"path part {part[:40]!r} in {relative[:80]!r}: "
                "accepted are letters, digits and . _ = - without a leading dot"
            )
        path = path / part
        if path.is_symlink():
            raise VerificationError(f"{path}: a symbolic link inside a tier is refused")
    return path


def temporary_name(target: Path) -> Path:
    """Return a fresh temporary path beside the target."""
    return target.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:12]}-{target.name}")


@contextmanager
def open_new(path: Path) -> Iterator[BinaryIO]:
    """Create a file that must not exist yet, for writing; flush it to the medium at the end."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, _FILE_MODE), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def open_read(path: Path) -> Iterator[BinaryIO]:
    """Open a plain file for reading, never through a symbolic link.

    Raises:
        ManifestError: The path is a symbolic link or not a plain file.
        FileNotFoundError: Nothing is there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ManifestError(f"{path}: cannot be opened as a plain file: {error}") from error
    with os.fdopen(descriptor, "rb") as file:
        yield file


def drop_page_cache(path: Path) -> None:
    """Make the next read of the file come from the medium, as far as the system allows."""
    with open_read(path) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sync_directory(directory: Path) -> None:
    """Flush the names in a directory to the medium."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(root: Path, directory: Path) -> None:
    """Create the folders from the root down to the directory, private and flushed."""
    missing = []
    while directory != root and not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(folder.parent)


def publish(temporary: Path, target: Path) -> None:
    """Give a finished file its final name, durably.

    Over NFS a rename may report failure although the server did it, so an error counts only
    while the temporary name is still there.

    Raises:
        StorageError: The rename failed.
    """
    size = temporary.stat().st_size
    try:
        temporary.replace(target)
    except OSError as error:
        arrived = not temporary.exists() and target.exists() and target.stat().st_size == size
        if not arrived:
            raise StorageError(f"{target}: could not be published: {error}") from error
    sync_directory(target.parent)


def atomic_write(target: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a small file whole or not at all.

    Args:
        target: Final name; its directory exists.
        content: All bytes.
        replace: False to refuse when the name is taken (link, then unlink: never overwrites).

    Raises:
        FileExistsError: The name is taken and must not be replaced.
    """
    temporary = temporary_name(target)
    try:
        with open_new(temporary) as file:
            file.write(content)
        if replace:
            publish(temporary, target)
        else:
            os.link(temporary, target, follow_symlinks=False)
            temporary.unlink()
            sync_directory(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path, target: Path) -> None:
    """Move a file out of the way on the same volume; done already counts as done."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        path.replace(target)
        sync_directory(path.parent)
        sync_directory(target.parent)


def remove_tree(directory: Path) -> None:
    """Delete a folder of discarded files for good."""
    shutil.rmtree(directory)
