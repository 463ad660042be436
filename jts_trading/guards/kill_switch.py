"""The kill switch: a durable file, and a flag in the memory of whoever was told directly.

Theory of operation. `<home>/run/KILL` exists while the switch is latched; its content says at
which level, who did it and why. The sender asks `level()` before every send: one `stat`, no store,
no network, so the switch works with everything else dead. A restart changes nothing. A file that
cannot be read, or a run directory that is gone, counts as latched: nobody can say that it is not.

    ENTRIES (K1)   no new position: cancels and reducing orders still leave
    ALL (K2)       working orders are cancelled; nothing but cancels leaves

A level only rises; releasing takes two steps (`release_code`, then `release` with it) and is
refused when the latch changed in between. Latching never waits for anything: the audit file is
tried first, and a full disk does not stop it.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

import msgspec

from jts_trading.domain.errors import TerminalError
from jts_trading.guards.audit_trail import AuditTrail
from jts_trading.ports.clock import SystemClock

FILE_NAME = "KILL"
AUDIT_NAME = "kill-audit.jsonl"
_SUBJECT = "kill_switch"
_Stamp = tuple[int, int, int]


class KillLevel(IntEnum):
    """How much is stopped."""

    NONE = 0
    ENTRIES = 1
    ALL = 2


class KillRefusedError(TerminalError):
    """The switch was not released: it is not latched, or not as the code says."""


class KillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file.

    Attributes:
        at_ns: Real time of the newest latch, UTC ns.
    """

    level: KillLevel
    who: str
    why: str
    at_ns: int
    version: int = 1


class KillSwitch:
    """The switch of one instance, as one process sees it.

    Args:
        run_directory: `<home>/run`.
        now_ns: Reads the real time (UTC ns) for the record.
    """

    def __init__(self, run_directory: Path, now_ns: Callable[[], int] | None = None) -> None:
        self._directory = run_directory
        self._path = run_directory / FILE_NAME
        self._audit = AuditTrail(run_directory / AUDIT_NAME)
        self._now_ns = now_ns or SystemClock().now_ns
        self._tripped = KillLevel.NONE
        self._seen: tuple[_Stamp, KillRecord] | None = None

    def level(self) -> KillLevel:
        """Return how much is stopped now; ask before every send."""
        return max(self._tripped, self._level_of_file())

    def record(self) -> KillRecord | None:
        """Return who latched it and why; None when it is not latched by a readable file."""
        stamp = self._stamp()
        if stamp is None:
            return None
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return self._read(stamp)
        return None

    def trip(self, level: KillLevel) -> None:
        """Stop this process at once, from a signal say; `latch` makes it last."""
        self._tripped = max(self._tripped, level)

    def latch(self, level: KillLevel, *, who: str, why: str) -> KillRecord:
        """Stop everything that this level stops, for all processes, until it is released.

        Raises:
            OSError: The file could not be written; this process is stopped all the same.
        """
        self.trip(level)
        before = self.record()
        level = max(level, before.level if before else KillLevel.NONE)
        record = KillRecord(level=level, who=who, why=why, at_ns=self._now_ns())
        with contextlib.suppress(OSError):
            self._note("latch", record)
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            _replace(self._path, msgspec.json.encode(record) + b"\n")
        except OSError:
            # An empty file may still fit on a full disk, and counts.
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
            return record
        # From now on the file speaks, and its removal by a release is heard.
        self._tripped = KillLevel.NONE
        return record

    def restore(self) -> KillRecord | None:
        """Latch again what was removed without a release; ask once at the start of a process."""
        lines = [line for line in self._audit.lines() if line.subject == _SUBJECT]
        newest = next((ln for ln in reversed(lines) if ln.action in {"latch", "release"}), None)
        if newest is None or newest.action == "release" or self._stamp() is not None:
            return None
        why = f"the file was removed without a release; latched by {newest.who}: {newest.why}"
        return self.latch(_level_named(newest.detail), who="restore", why=why)

    def release_code(self) -> str:
        """Return the code that releases the latch as it is now: the first of two steps.

        Raises:
            KillRefusedError: It is not latched.
        """
        try:
            return hashlib.sha256(self._path.read_bytes()).hexdigest()[:8]
        except FileNotFoundError:
            raise KillRefusedError("the kill switch is not latched") from None

    def release(self, code: str, *, who: str, why: str) -> KillRecord:
        """Let orders leave again; return what it stood at.

        Args:
            code: What `release_code` returned.
            who: Person.
            why: In their words; required.

        Raises:
            KillRefusedError: It is not latched, was latched anew since the code was given, or no
                reason is given.
            OSError: The audit line could not be written; it stays latched.
        """
        if not why.strip():
            raise KillRefusedError("say why the kill switch is released")
        if code != self.release_code():
            self._audit.append(
                at_ns=self._now_ns(), action="refused", subject=_SUBJECT, who=who, why=why
            )
            raise KillRefusedError("the code is not that of the latch as it is now: ask again")
        stood = self.record() or KillRecord(
            level=KillLevel.ENTRIES, who="", why="the file could not be read", at_ns=0
        )
        self._note("release", msgspec.structs.replace(stood, who=who, why=why))
        self._path.unlink(missing_ok=True)
        _sync_directory(self._directory)
        self._tripped = KillLevel.NONE
        return stood

    def _note(self, action: str, record: KillRecord) -> None:
        self._audit.append(
            at_ns=self._now_ns(),
            action=action,
            subject=_SUBJECT,
            who=record.who,
            why=record.why,
            detail=record.level.name,
        )

    def _level_of_file(self) -> KillLevel:
        try:
            stamp = self._stamp()
            if stamp is None:
                return KillLevel.NONE
            return self._read(stamp).level
        except (OSError, msgspec.DecodeError):
            return KillLevel.ENTRIES

    def _stamp(self) -> _Stamp | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - the one call that every send makes
        except FileNotFoundError:
            os.stat(self._directory)  # noqa: PTH116 - a lost directory must not read as released
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def _read(self, stamp: _Stamp) -> KillRecord:
        if self._seen is None or self._seen[0] != stamp:
            record = msgspec.json.decode(self._path.read_bytes(), type=KillRecord)
            self._seen = (stamp, record)
        return self._seen[1]


def _level_named(name: str) -> KillLevel:
    return KillLevel.__members__.get(name, KillLevel.ENTRIES)


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
