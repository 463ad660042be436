"""Receives the body of a request whole: any transfer, any compression, bounded memory.

The engine sees a body only when all of it has arrived, so a client that dies in the middle of an
upload has inserted nothing.
"""

import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

import lz4.frame  # type: ignore[import-untyped]  # ships no types
from backports import zstd

READ_BYTES = 1 << 20
MEMORY_BYTES_MAX = 8 << 20
ACCEPTED_ENCODINGS = "zstd, lz4, gzip, deflate"


class BodyError(Exception):
    """The body cannot be received.

    Attributes:
        status: The HTTP status that says so.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Expander(Protocol):
    """One direction of a compression library, bounded by what it may return at once."""

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Yield what a part of the body expands to, in bounded pieces."""

    def is_complete(self) -> bool:
        """Tell whether the body ended where the compression ended."""


class _Plain:
    def feed(self, part: bytes) -> Iterator[bytes]:
        yield part

    def is_complete(self) -> bool:
        return True


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._inner = zlib.decompressobj(window_bits)

    def feed(self, part: bytes) -> Iterator[bytes]:
        is_full = False
        while part or is_full:
            if self._inner.eof:
                self._inner = zlib.decompressobj(self._window_bits)
            piece = self._inner.decompress(part, READ_BYTES)
            yield piece
            # A full piece may leave more inside although all of the part was taken.
            is_full = len(piece) == READ_BYTES and not self._inner.eof
            part = self._inner.unconsumed_tail or self._inner.unused_data

    def is_complete(self) -> bool:
        return self._inner.eof


class _Frames:
    """zstd and lz4 frames: the two libraries share the interface of the standard library."""

    def __init__(self, make: Callable[[], zstd.ZstdDecompressor | lz4.frame.LZ4FrameDecompressor]):
        self._make = make
        self._inner = make()

    def feed(self, part: bytes) -> Iterator[bytes]:
        while True:
            if self._inner.eof:
                if not part:
                    return
                self._inner = self._make()
            yield self._inner.decompress(part, READ_BYTES)
            part = (self._inner.unused_data or b"") if self._inner.eof else b""
            if not self._inner.eof and self._inner.needs_input:
                return

    def is_complete(self) -> bool:
        return self._inner.eof


def _expander(encoding: str) -> _Expander:
    match encoding:
        case "" | "identity":
            return _Plain()
        case "gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(15)
        case "zstd":
            return _Frames(zstd.ZstdDecompressor)
        case "lz4":
            return _Frames(lz4.frame.LZ4FrameDecompressor)
        case _:
            raise BodyError(
                415,
                f"Content-Encoding {encoding} is not supported (accepted: {ACCEPTED_ENCODINGS})",
            )


def receive(parts: Iterator[bytes], encoding: str, directory: Path, bytes_max: int) -> IO[bytes]:
    """Receive a body and return it, expanded and rewound.

    Args:
        parts: The body as it was transferred.
        encoding: The Content-Encoding.
        directory: Where a body above 8 MiB is kept, in a file without a name.
        bytes_max: The largest expanded body that is accepted.

    Raises:
        BodyError: Unknown encoding, damaged or cut compression, or too large.
    """
    expander = _expander(encoding.strip().lower())
    spool = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX, dir=str(directory))  # noqa: SIM115 - the caller closes it
    try:
        _expand(parts, expander, spool, bytes_max)
    except (zlib.error, zstd.ZstdError, RuntimeError, EOFError) as error:
        spool.close()
        raise BodyError(400, f"the body is not {encoding}: {error}") from error
    except BaseException:
        spool.close()
        raise
    spool.seek(0)
    return spool


def _expand(parts: Iterator[bytes], expander: _Expander, spool: IO[bytes], bytes_max: int) -> None:
    size = received = 0
    for part in parts:
        received += len(part)
        for piece in expander.feed(part):
            size += len(piece)
            if size > bytes_max:
                raise BodyError(413, f"the body is larger than {bytes_max} bytes")
            spool.write(piece)
    if received and not expander.is_complete():
        raise BodyError(400, "the compressed body ends too early")
