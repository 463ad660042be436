"""Raw frames of a feed as they arrived: kept before anybody decodes them, numbered for ever.

The number of a frame is the first link of every chain of evidence: `kis-1:4711` in a correlation
id is frame 4711 below `<home>/trading/frames/kis-1`. Numbers begin at 1 and go on without gaps
over restarts; see `segments` for what survives which end of the process.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jts_trading.market_store.segments import (
    SegmentError,
    SegmentLog,
    SegmentSettings,
    read_records,
)

_HEAD = struct.Struct("<Iq")


class KeptFrame(NamedTuple):
    """One frame.

    Attributes:
        number: Its number in the feed.
        session: Number of the connection, growing over restarts.
        ts_recv_ns: When it arrived, instance time, UTC ns.
        raw: Its bytes.
    """

    number: int
    session: int
    ts_recv_ns: int
    raw: bytes


class FrameKeeper:
    """Writes the frames of one feed.

    Args:
        directory: `<home>/trading/frames/<feed>`.
        settings: Sizes.

    Raises:
        SegmentError: Another process keeps this feed.
        OSError: The directory cannot be written.
    """

    def __init__(self, directory: Path, settings: SegmentSettings | None = None) -> None:
        self._log = SegmentLog(directory, settings)

    @property
    def next_number(self) -> int:
        """Number of the frame that will be kept next."""
        return self._log.next_number

    def keep(self, raw: bytes, session: int, ts_recv_ns: int) -> int:
        """Keep a frame and return its number.

        Raises:
            OSError: The medium does not take it.
        """
        return self._log.append(_HEAD.pack(session, ts_recv_ns) + raw)

    def last(self) -> KeptFrame | None:
        """Return the newest frame that is kept, if there is one."""
        return next(self.after(self._log.next_number - 2), None)

    def after(self, number: int) -> Iterator[KeptFrame]:
        """Yield the kept frames behind a number."""
        return read_frames(self._log.directory, number + 1)

    def skip_to(self, number: int) -> None:
        """Leave numbers out that were given before and are known to be lost."""
        self._log.skip_to(number)

    def compact(self) -> None:
        """Pack and drop old segments; may run in a thread beside `keep`."""
        self._log.compact()

    def close(self) -> None:
        """Give the files back."""
        self._log.close()


def read_frames(directory: Path, first: int = 1, last: int | None = None) -> Iterator[KeptFrame]:
    """Yield the frames of a feed by number, as far as they are kept; anybody may, at any time.

    Raises:
        SegmentError: A closed segment is damaged; what came before was yielded.
    """
    for number, payload in read_records(directory, first, last):
        if len(payload) < _HEAD.size:
            raise SegmentError(f"{directory}: record {number} is no frame")
        session, ts_recv_ns = _HEAD.unpack_from(payload)
        yield KeptFrame(number, session, ts_recv_ns, payload[_HEAD.size :])
