"""As whom PostgreSQL runs. It refuses to run as root, and its directories shall stay private.

Running as anyone else, we run it as ourselves. Running as root there are two ways:

1. A user namespace in which our root is another user. On disk everything still belongs to root,
   so directories of mode 0700 below directories of mode 0700 (a checkout in `/root`) just work,
   and no user is added to the system. Containers often forbid it.
2. The system user `pgserver`, added if it is missing. The cluster then belongs to that user, and
   every directory above the cluster, the socket and the programs must let it pass. None of them is
   opened up by us: if one is closed, the error names it.
"""

import ctypes
import functools
import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from storage.errors import StorageError

SYSTEM_USER = "pgserver"
_CLONE_NEWUSER = 0x10000000


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs PostgreSQL.

    Attributes:
        uid: Who owns its files, as seen from outside.
        gid: The group of its files, as seen from outside.
        enter: Becomes that account; to be called in the child between fork and exec.
        description: For a person.
    """

    uid: int
    gid: int
    enter: Callable[[], None]
    description: str


def choose_account(paths: Iterable[Path]) -> Account:
    """Choose the account.

    Args:
        paths: Where PostgreSQL must be able to go: its programs, its cluster, its socket.

    Raises:
        StorageError: We are root and neither way is open; the message says what would help.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), lambda: None, "the running user")
    inner = _unprivileged_uid()
    enter = _namespace_entry(inner)
    if inner and _works(enter):
        return Account(0, os.getegid(), enter, "root, as another user of a user namespace")
    return _system_account(paths)


def _unprivileged_uid() -> int:
    """An id other than root's that has a name, which initdb asks for; 0 if there is none."""
    return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid), 0)


def _namespace_entry(inner: int) -> Callable[[], None]:
    # Looked up before the fork: the child must not import.
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    uid, gid = os.geteuid(), os.getegid()

    def enter() -> None:
        if unshare is None or unshare(_CLONE_NEWUSER) != 0:
            raise PermissionError("no user namespace")
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{inner} {uid} 1"),
            ("gid_map", f"{inner} {gid} 1"),
        ):
            descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(descriptor, line.encode())
            os.close(descriptor)

    return enter


def _works(enter: Callable[[], None]) -> bool:
    try:
        trial = subprocess.run(["true"], preexec_fn=enter, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return trial.returncode == 0


def _system_account(paths: Iterable[Path]) -> Account:
    entry = _system_user()
    for path in paths:
        closed = _closed_for(path, entry)
        if closed is not None:
            raise StorageError(
                f"{closed}: user {SYSTEM_USER} may not pass, and PostgreSQL does not run as root; "
                "run JTS as another user than root, put it and JTS_HOME below open directories, "
                "or set postgres.dsn"
            )

    def enter() -> None:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)

    return Account(entry.pw_uid, entry.pw_gid, enter, f"system user {SYSTEM_USER}")


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    program = shutil.which("useradd")
    if program is None:
        raise StorageError(
            f"PostgreSQL does not run as root and user {SYSTEM_USER} is missing (no useradd); "
            "run JTS as another user or set postgres.dsn"
        )
    options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    added = subprocess.run(
        [program, *options, SYSTEM_USER], capture_output=True, text=True, check=False
    )
    if added.returncode != 0:
        raise StorageError(f"user {SYSTEM_USER} cannot be added: {added.stderr.strip()}")
    return pwd.getpwnam(SYSTEM_USER)


def _closed_for(path: Path, entry: pwd.struct_passwd) -> Path | None:
    """Return the first directory above the path that the user may not pass."""
    groups = {entry.pw_gid, *(g.gr_gid for g in grp.getgrall() if entry.pw_name in g.gr_mem)}
    for directory in reversed(path.absolute().parents):
        if not directory.exists():
            return None
        found = directory.stat()
        if found.st_uid == entry.pw_uid:
            allowed = found.st_mode & stat.S_IXUSR
        elif found.st_gid in groups:
            allowed = found.st_mode & stat.S_IXGRP
        else:
            allowed = found.st_mode & stat.S_IXOTH
        if not allowed:
            return directory
    return None


def former_uids() -> tuple[int, ...]:
    """Return the other ids that root may find as the owner of a cluster, from another way."""
    if os.geteuid() != 0:
        return ()
    try:
        return (pwd.getpwnam(SYSTEM_USER).pw_uid,)
    except KeyError:
        return ()


def give_tree(path: Path, account: Account) -> None:
    """As root, make a whole cluster belong to the account; a no-op for anyone else."""
    if os.geteuid() != 0 or path.lstat().st_uid == account.uid:
        return
    give = functools.partial(os.chown, uid=account.uid, gid=account.gid, follow_symlinks=False)
    for directory, _, files in os.walk(path):
        give(directory)
        for name in files:
            give(Path(directory, name))
