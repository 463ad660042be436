"""Append-only files of numbered records: SIGKILL leaves whole ones behind, and counting goes on.

Theory of operation. A log is a directory of segments named by the number of their first record.
Records are numbered from 1 without gaps. The newest segment is plain and grows by one write per
record, so that a record is in the hands of the system before `append` returns; a process that is
killed loses nothing that it appended. A record is

    length of payload (u32) | crc32 of number and payload (u32) | number (u64) | payload

On opening, the newest segment is cut behind its last whole record. A segment that is full is
closed; `compact` packs closed ones with zstd and drops the oldest beyond the bytes that are kept.
`compact` touches closed segments only, so it may run in a thread beside `append`.

One process writes a log; a lock on the directory refuses a second. Anybody may read.
"""

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import msgspec
from backports import zstd

from jts_trading.domain.errors import TerminalError

MAGIC = b"JTSLOG1\n"
PAYLOAD_BYTES_MAX = 1 << 26
_HEADER = struct.Struct("<IIQ")
_NUMBER = struct.Struct("<Q")
_PLAIN = ".log"
_PACKED = ".log.zst"
_COPY_BYTES = 1 << 20


class SegmentError(TerminalError):
    """A segment is damaged, or another process writes the log; the message names the file."""


class SegmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large a log may become.

    Attributes:
        segment_bytes: Size at which a segment is closed.
        retained_bytes: Bytes of all closed segments; the oldest beyond them are dropped.
    """

    segment_bytes: int = 32 << 20
    retained_bytes: int = 8 << 30


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a log.

    Attributes:
        first: Number of its first record, also while it has none.
    """

    path: Path
    first: int

    @property
    def is_packed(self) -> bool:
        """Whether it is closed and compressed."""
        return self.path.name.endswith(_PACKED)


class SegmentLog:
    """Writes one log.

    Args:
        directory: Created when missing, private to its owner.
        settings: Sizes.

    Raises:
        SegmentError: Another process writes this log.
        OSError: The directory cannot be written.
    """

    def __init__(self, directory: Path, settings: SegmentSettings | None = None) -> None:
        self.directory = directory
        self._settings = settings or SegmentSettings()
        self._next = 1
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(directory)
        segments = list_segments(directory)
        newest = segments[-1] if segments else None
        if newest is None or newest.is_packed:
            after = _last_number(newest) + 1 if newest is not None else 1
            self._open(after)
        else:
            self._reopen(newest)

    @property
    def next_number(self) -> int:
        """Number of the record that will be appended next."""
        return self._next

    @property
    def is_full(self) -> bool:
        """Whether the next record begins a new segment."""
        return self._size >= self._settings.segment_bytes

    @property
    def is_new_segment(self) -> bool:
        """Whether the next record is the first of its segment."""
        return self._size == len(MAGIC)

    def append(self, payload: bytes) -> int:
        """Append a record and return its number; it survives the end of this process.

        Raises:
            OSError: The medium does not take it; then the log ends before it.
        """
        if self.is_full:
            self.roll()
        number = self._next
        record = _record(number, payload)
        try:
            _write_all(self._file, record)
        except OSError:
            # Half a record would hide all that follow it.
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(record)
        self._next = number + 1
        return number

    def roll(self) -> None:
        """Close the segment and begin another."""
        self.skip_to(self._next)

    def skip_to(self, number: int) -> None:
        """Leave numbers out that were given before and lost with the machine's memory.

        The segment is closed; the next record has this number, or the one it would have had.
        """
        os.fsync(self._file)
        os.close(self._file)
        empty = self._path if self.is_new_segment else None
        self._open(max(number, self._next))
        if empty is not None and empty != self._path:
            empty.unlink()

    def compact(self) -> None:
        """Pack closed segments and drop the oldest beyond what is kept.

        Raises:
            OSError: The medium does not take the packed form; the plain one stays.
        """
        for segment in list_segments(self.directory):
            if segment.path != self._path and not segment.is_packed:
                _pack(segment.path)
        closed = [s for s in list_segments(self.directory) if s.path != self._path]
        sizes = [segment.path.stat().st_size for segment in closed]
        excess = sum(sizes) - self._settings.retained_bytes
        for segment, size in zip(closed, sizes, strict=True):
            if excess <= 0:
                break
            segment.path.unlink(missing_ok=True)
            excess -= size

    def close(self) -> None:
        """Give files and lock back; nothing is lost without it."""
        os.close(self._file)
        os.close(self._lock)

    def _open(self, first: int) -> None:
        self._path = self.directory / f"{first:020d}{_PLAIN}"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        _write_all(self._file, MAGIC)
        self._size = len(MAGIC)
        self._next = first

    def _reopen(self, segment: Segment) -> None:
        self._path = segment.path
        self._size, self._next = _whole(segment)
        if self._size < len(MAGIC):
            self._open(segment.first)
            return
        self._file = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(self._file, self._size)
        os.lseek(self._file, self._size, os.SEEK_SET)


def list_segments(directory: Path) -> list[Segment]:
    """Return the segments of a log, oldest first; a packed one stands for its plain twin."""
    found: dict[int, Segment] = {}
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(directory.iterdir()):
            stem, _, _ = path.name.partition(".")
            if not stem.isdecimal() or not path.name.endswith((_PLAIN, _PACKED)):
                continue
            # `.log.zst` sorts behind `.log`, and is whole whenever it is there.
            found[int(stem)] = Segment(path, int(stem))
    return [found[first] for first in sorted(found)]


def read_records(
    directory: Path, first: int = 1, last: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield records by number, as far as they are kept.

    The end of the newest segment is where the writer is at that moment; half a record there is
    not yielded.

    Args:
        directory: The log.
        first: Number of the first that is wanted.
        last: Number of the last; all that follow when None.

    Raises:
        SegmentError: A closed segment is damaged; what came before was yielded.
    """
    segments = list_segments(directory)
    for at, segment in enumerate(segments):
        following = segments[at + 1].first if at + 1 < len(segments) else None
        if following is not None and following <= first:
            continue
        if last is not None and segment.first > last:
            return
        for number, payload in _records(segment, is_closed=following is not None):
            if last is not None and number > last:
                return
            if number >= first:
                yield number, payload


def _records(segment: Segment, *, is_closed: bool) -> Iterator[tuple[int, bytes]]:
    try:
        with _opened(segment) as file:
            is_whole = yield from _read_file(file, segment)
        # Half a record is no damage where somebody still writes.
        if is_closed and not is_whole:
            raise SegmentError(f"{segment.path}: damaged: a record is not whole")
    except FileNotFoundError:
        # Packed, or dropped, since it was listed.
        twin = segment.path.with_suffix(_PACKED)
        if segment.is_packed or not twin.exists():
            return
        yield from _records(Segment(twin, segment.first), is_closed=is_closed)
    except (EOFError, zstd.ZstdError) as error:
        raise SegmentError(f"{segment.path}: damaged: {error}") from error


def _read_file(file: IO[bytes], segment: Segment) -> Generator[tuple[int, bytes], None, bool]:
    """Yield records; returns whether the file ends where one does."""
    if file.read(len(MAGIC)) != MAGIC:
        return False
    expected = segment.first
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, crc, number = _HEADER.unpack(header)
        payload = file.read(length) if length <= PAYLOAD_BYTES_MAX else b""
        if len(payload) != length or number != expected or _crc(number, payload) != crc:
            return False
        yield number, payload
        expected += 1
    return not header


def _opened(segment: Segment) -> IO[bytes]:
    if segment.is_packed:
        return cast("IO[bytes]", zstd.ZstdFile(segment.path, "r"))
    return segment.path.open("rb")


def _whole(segment: Segment) -> tuple[int, int]:
    """Return the bytes of a plain segment up to its last whole record, and the next number."""
    with segment.path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return 0, segment.first
        file.seek(0)
        size, number = len(MAGIC), segment.first
        for found, payload in _read_file(file, segment):
            size += _HEADER.size + len(payload)
            number = found + 1
        return size, number


def _last_number(segment: Segment) -> int:
    last = segment.first - 1
    for number, _ in _records(segment, is_closed=True):
        last = number
    return last


def _pack(path: Path) -> None:
    partial = path.with_suffix(".tmp")
    with path.open("rb") as source, partial.open("wb") as target:
        packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1})
        while chunk := source.read(_COPY_BYTES):
            target.write(packer.compress(chunk))
        target.write(packer.flush())
        target.flush()
        os.fsync(target.fileno())
    partial.chmod(0o600)
    partial.replace(path.with_suffix(_PACKED))
    path.unlink()


def _record(number: int, payload: bytes) -> bytes:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a record of {len(payload)} bytes; accepted: {PAYLOAD_BYTES_MAX}")
    return _HEADER.pack(len(payload), _crc(number, payload), number) + payload


def _crc(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_NUMBER.pack(number)))


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SegmentError(f"{directory}: another process writes this log") from None
    return descriptor
