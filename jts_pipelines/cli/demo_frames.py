"""Count kept raw frames as an outsider: from the files alone, without the program that wrote them.

A log is a folder of segments `<first number>.log`, packed ones `.log.zst`. After eight bytes of
magic come records: length of the payload (u32), crc32 of number and payload (u32), number (u64),
payload. The payload of a frame begins with session (u32) and time of arrival (i64); the rest came
off the socket.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from storage.errors import InputError

_MAGIC = b"JTSLOG1\n"
_RECORD = struct.Struct("<IIQ")
_NUMBER = struct.Struct("<Q")
_FRAME = struct.Struct("<Iq")


class FrameCount(msgspec.Struct, frozen=True, kw_only=True):
    """The kept frames of one feed.

    Attributes:
        frames: How many; their numbers are consecutive.
        bytes: Of the frames themselves, as they came off the socket.
        sessions: Connections that they came in.
        first_ns: Arrival of the first one, instance time, UTC ns.
        last_ns: Arrival of the last one.
    """

    frames: int
    bytes: int
    sessions: int
    first_ns: int
    last_ns: int


def count_frames(folder: Path) -> FrameCount | None:
    """Count the frames of a feed; None where none is kept.

    Args:
        folder: `<home>/trading/frames/<feed>`.

    Raises:
        InputError: A record is damaged, or a number is missing.
    """
    frames = size = last_ns = 0
    first_ns: int | None = None
    sessions: set[int] = set()
    before: int | None = None
    for number, payload in _records(folder):
        if before is not None and number != before + 1:
            raise InputError(f"{folder}: frame {before} is followed by {number}")
        before = number
        session, ts_ns = _FRAME.unpack_from(payload)
        first_ns = ts_ns if first_ns is None else first_ns
        frames, size, last_ns = frames + 1, size + len(payload) - _FRAME.size, ts_ns
        sessions.add(session)
    if first_ns is None:
        return None
    return FrameCount(
        frames=frames, bytes=size, sessions=len(sessions), first_ns=first_ns, last_ns=last_ns
    )


def _records(folder: Path) -> Iterator[tuple[int, bytes]]:
    if not folder.is_dir():
        return
    plain = {path.name.partition(".")[0]: path for path in sorted(folder.glob("*.log"))}
    packed = {path.name.partition(".")[0]: path for path in sorted(folder.glob("*.log.zst"))}
    for path in [each for _, each in sorted((plain | packed).items())]:
        yield from _records_of(path)


def _records_of(path: Path) -> Iterator[tuple[int, bytes]]:
    content = path.read_bytes()
    if path.suffix == ".zst":
        from backports import zstd

        content = zstd.decompress(content)
    if not content.startswith(_MAGIC):
        raise InputError(f"{path}: no log of frames")
    at = len(_MAGIC)
    while at + _RECORD.size <= len(content):
        length, digest, number = _RECORD.unpack_from(content, at)
        payload = content[at + _RECORD.size : at + _RECORD.size + length]
        at += _RECORD.size + length
        if len(payload) < length:
            return  # Being written.
        if zlib.crc32(_NUMBER.pack(number) + payload) != digest:
            raise InputError(f"{path}: record {number} is damaged")
        yield number, payload
