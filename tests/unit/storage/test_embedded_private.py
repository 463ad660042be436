"""Private directories and their one owner."""

import os
import stat
from pathlib import Path

import pytest

from storage.embedded.private import (
    DirectoryOwnedError,
    make_private,
    own_directory,
    owner_pid,
    require_short_socket,
)
from storage.errors import StorageError


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_make_private_when_parents_are_missing_then_all_are_private(
    umask: int, tmp_path: Path
) -> None:
    """Nobody else may enter, whatever the umask."""
    before = os.umask(umask)
    try:
        path = make_private(tmp_path / "a" / "b")
    finally:
        os.umask(before)

    assert _mode(path) == 0o700
    assert _mode(path.parent) == 0o700


def test_make_private_when_it_was_open_then_it_is_tightened(tmp_path: Path) -> None:
    """An existing directory of ours is closed."""
    tmp_path.chmod(0o777)

    make_private(tmp_path)

    assert _mode(tmp_path) == 0o700


def test_make_private_when_it_is_a_link_or_a_file_then_it_is_refused(tmp_path: Path) -> None:
    """Someone else's preparation in a shared directory is not used."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    (tmp_path / "file").write_text("")

    for name in ("link", "file"):
        with pytest.raises((StorageError, FileExistsError), match=name):
            make_private(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can prepare a stranger's directory")
def test_make_private_when_it_belongs_to_a_stranger_then_it_is_refused(tmp_path: Path) -> None:
    """A directory that another user put there first is not used, not even by root."""
    (tmp_path / "trap").mkdir()
    os.chown(tmp_path / "trap", 4711, 4711)

    with pytest.raises(StorageError, match="4711"):
        make_private(tmp_path / "trap")


def test_own_directory_when_owned_then_the_second_is_refused_with_the_pid(tmp_path: Path) -> None:
    """One owner at a time; the refusal names it; a released directory is free and clean."""
    owner = own_directory(tmp_path / "d", "the data")
    try:
        with pytest.raises(DirectoryOwnedError, match=str(os.getpid())):
            own_directory(tmp_path / "d", "the data")
        assert owner_pid(tmp_path / "d") == os.getpid()
    finally:
        owner.release()

    assert list((tmp_path / "d").iterdir()) == []
    own_directory(tmp_path / "d", "the data").release()


def test_own_directory_when_it_is_a_link_then_its_target_is_owned(tmp_path: Path) -> None:
    """Data may live on another disk behind a link."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "hot").symlink_to(tmp_path / "disk")

    owner = own_directory(tmp_path / "hot", "the data")
    owner.release()

    assert owner.path == tmp_path / "disk"
    assert _mode(tmp_path / "disk") == 0o700


def test_socket_path_when_too_long_then_it_is_refused_with_its_length() -> None:
    """The kernel would cut or refuse it later, with a worse message."""
    with pytest.raises(StorageError, match="120 bytes"):
        require_short_socket(Path("/" + "x" * 119))
    assert require_short_socket(Path("/tmp/s")) == Path("/tmp/s")
