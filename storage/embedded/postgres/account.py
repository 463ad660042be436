"""As whom PostgreSQL runs. It refuses to run as root, and its directories shall stay private.

Running as anyone else, we run it as ourselves. Running as root there are three ways:

1. A user namespace in which our root is another user. On disk everything still belongs to root,
   so directories of mode 0700 below directories of mode 0700 (a checkout in `/root`) just work,
   no user is added to the system and no capability is left. Containers often forbid it.
2. The system user `pgserver`, added if it is missing. The cluster then belongs to that user.
3. If a directory above the cluster, the socket or the programs does not let that user pass, it
   gets one capability, to pass and to read; we never open a directory for everybody instead.
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
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


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

    def enter() -> None:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)

    closed = next((c for path in paths if (c := _closed_for(path, entry)) is not None), None)
    if closed is None:
        return Account(entry.pw_uid, entry.pw_gid, enter, f"system user {SYSTEM_USER}")
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        passing = _keeping(capability, enter)
        if _works(passing):
            text = f"system user {SYSTEM_USER}, let through {closed}"
            return Account(entry.pw_uid, entry.pw_gid, passing, text)
    raise StorageError(
        f"{closed}: user {SYSTEM_USER} may not pass, and PostgreSQL does not run as root; "
        "run JTS as another user than root, put it and JTS_HOME below open directories, "
        "or set postgres.dsn"
    )


def _keeping(capability: int, enter: Callable[[], None]) -> Callable[[], None]:
    """Wrap a change of user so that one capability of root survives it and the exec."""
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    bit = 1 << capability
    # Effective, permitted and inheritable, for capabilities 0 to 31 and then for the others.
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)

    def keep() -> None:
        library.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        enter()
        failed = library.capset(header, sets)
        if failed or library.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0):
            raise PermissionError("the capability cannot be kept")

    return keep


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
