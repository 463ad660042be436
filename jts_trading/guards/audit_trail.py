"""A local file of who did what, append-only and chained: it needs no store to be written.

One JSON object a line; `prev` is the SHA-256 of the line before, so a changed or missing line
shows. Whoever copies lines elsewhere may do so later: the file is the record.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

_GENESIS = ""


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One act.

    Attributes:
        at_ns: Real time, UTC ns.
        action: Such as latch or release.
        subject: What it was done to, such as kill_switch.
        who: Person or role.
        why: In their words.
        detail: Such as the level.
        prev: SHA-256 of the line before; empty for the first.
    """

    at_ns: int
    action: str
    subject: str
    who: str
    why: str
    detail: str = ""
    prev: str = _GENESIS


class AuditTrail:
    """The lines of one file.

    Args:
        path: The file; its directory is made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(
        self, *, at_ns: int, action: str, subject: str, who: str, why: str, detail: str = ""
    ) -> AuditLine:
        """Write a line and return it when it is on the disk.

        Raises:
            OSError: It could not be written.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked() as descriptor:
            lines = self._raw_lines()
            line = AuditLine(
                at_ns=at_ns,
                action=action,
                subject=subject,
                who=who,
                why=why,
                detail=detail,
                prev=hashlib.sha256(lines[-1]).hexdigest() if lines else _GENESIS,
            )
            # A line that was cut by a crash stands alone and is seen as damage, not joined.
            lead = b"" if not lines or self._path.read_bytes().endswith(b"\n") else b"\n"
            os.write(descriptor, lead + msgspec.json.encode(line) + b"\n")
            os.fsync(descriptor)
        return line

    def lines(self) -> list[AuditLine]:
        """Return every line that can be read, oldest first."""
        found = []
        for raw in self._raw_lines():
            try:
                found.append(msgspec.json.decode(raw, type=AuditLine))
            except msgspec.DecodeError:
                continue
        return found

    def first_bad_line(self) -> int | None:
        """Return the number (from 1) of the first line that breaks the chain; None when whole."""
        prev = _GENESIS
        for number, raw in enumerate(self._raw_lines(), 1):
            try:
                line = msgspec.json.decode(raw, type=AuditLine)
            except msgspec.DecodeError:
                return number
            if line.prev != prev:
                return number
            prev = hashlib.sha256(raw).hexdigest()
        return None

    def _raw_lines(self) -> list[bytes]:
        try:
            return [line for line in self._path.read_bytes().split(b"\n") if line]
        except FileNotFoundError:
            return []

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
