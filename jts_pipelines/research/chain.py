"""Append-only files of JSON lines in one hash chain.

Theory of operation. Each line holds its number, the digest of the line before, a kind and a
payload; its own digest is over those canonical bytes. Writers take an exclusive lock on the file,
read its last whole line and append in one write, then force it to disk; so a reader sees whole
lines, and a process killed while writing leaves at most a torn last line, which the next writer
removes. Nothing else is ever removed or changed, and `entries` finds a line that was: in the chain
itself, or, where the last lines are gone, by the count and the digest of the last one, which are
kept beside the file in `<file>.end`. That is written after the lines, so a writer killed in
between leaves an older end, which lies on the chain as well.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from storage.errors import StorageError

_NOTHING = "0" * 64
# More than one line ever has.
_TAIL_BYTES = 1 << 20


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line.

    Attributes:
        seq: Its number, from 1.
        prev: Digest of the line before.
        at_ns: When it was written, UTC ns.
        kind: What the payload is.
        payload: The fact itself, as JSON.
        digest: SHA-256 of the line without this field.
    """

    seq: int
    prev: str
    at_ns: int
    kind: str
    payload: msgspec.Raw
    digest: str


class End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a chain goes at least: number and digest of its last line, zero of none."""

    seq: int = 0
    digest: str = _NOTHING


@dataclass(frozen=True, slots=True)
class ChainFile:
    """One file; made when the first entry is appended."""

    path: Path

    @property
    def end_file(self) -> Path:
        """Where the end of the chain is kept."""
        return self.path.with_name(f"{self.path.name}.end")

    def append(self, facts: Sequence[tuple[str, msgspec.Struct]], at_ns: int) -> None:
        """Append facts, all or none.

        Args:
            facts: Kind and payload of each.
            at_ns: Instance time, UTC ns.

        Raises:
            StorageError: The file is damaged before its end, lines of its end are gone, or it
                cannot be written.
        """
        if not facts:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                seq, prev = _end_of(file, self.path)
                self._require(self._kept_end(), seq, prev)
                lines = []
                for kind, payload in facts:
                    seq += 1
                    line, prev = _line(seq, prev, at_ns, kind, payload)
                    lines.append(line)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
                self._keep_end(End(seq=seq, digest=prev))
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error}") from error

    def entries(self) -> Iterator[Entry]:
        """Yield all whole lines, oldest first, and check the chain.

        Raises:
            StorageError: A line was changed, removed or added by hand.
        """
        # Read before the lines, which a writer adds first.
        end = self._kept_end()
        prev, count = _NOTHING, 0
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.is_file() else []
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break  # A writer was killed here, or is writing now.
            entry = _read(line, self.path, f"line {number}")
            expected = _line(entry.seq, prev, entry.at_ns, entry.kind, entry.payload)[1]
            if entry.seq != count + 1 or entry.prev != prev or entry.digest != expected:
                raise StorageError(
                    f"{self.path}:{number}: the chain is broken: a line was changed"
                )
            prev, count = entry.digest, entry.seq
            if count == end.seq:
                self._require(end, count, prev)
            yield entry
        if count < end.seq:
            self._require(end, count, prev)

    def verify(self) -> int:
        """Return how many entries there are, after checking the chain.

        Raises:
            StorageError: See `entries`.
        """
        return sum(1 for _ in self.entries())

    def _require(self, end: End, seq: int, digest: str) -> None:
        """Refuse a chain that does not reach its end, or has another line there."""
        if seq < end.seq:
            raise StorageError(
                f"{self.path}: the chain is broken: {end.seq} lines were written, {seq} are there"
            )
        if seq == end.seq and digest != end.digest:
            raise StorageError(f"{self.path}: the chain is broken: line {seq} was replaced")

    def _kept_end(self) -> End:
        try:
            return msgspec.json.decode(self.end_file.read_bytes(), type=End)
        except FileNotFoundError:
            return End()
        except (OSError, msgspec.MsgspecError) as error:
            raise StorageError(f"{self.end_file}: no end of a chain: {error}") from error

    def _keep_end(self, end: End) -> None:
        """Replace the end at once: a crash leaves the old or the new one."""
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(end) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.end_file)
        finally:
            Path(name).unlink(missing_ok=True)


def _end_of(file: BinaryIO, path: Path) -> tuple[int, str]:
    """Return number and digest of the last whole line; cuts a torn one off."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _TAIL_BYTES)
    file.seek(start)
    tail = file.read()
    whole = tail.rfind(b"\n") + 1
    if start + whole != size:
        file.truncate(start + whole)
    if whole == 0:
        return 0, _NOTHING
    entry = _read(tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole], path, "the last line")
    return entry.seq, entry.digest


def _read(line: bytes, path: Path, where: str) -> Entry:
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.MsgspecError as error:
        raise StorageError(f"{path}: {where}: no entry of a chain: {error}") from error


def _line(
    seq: int, prev: str, at_ns: int, kind: str, payload: msgspec.Struct | msgspec.Raw
) -> tuple[bytes, str]:
    fact = msgspec.json.encode(payload, order="sorted")
    head = msgspec.json.encode([seq, prev, at_ns, kind])
    digest = hashlib.sha256(head + b"\0" + fact).hexdigest()
    entry = Entry(
        seq=seq, prev=prev, at_ns=at_ns, kind=kind, payload=msgspec.Raw(fact), digest=digest
    )
    return msgspec.json.encode(entry) + b"\n", digest
