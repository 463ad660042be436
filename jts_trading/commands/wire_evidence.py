"""The frame that a chain begins with: its bytes as they arrived, and what they say."""

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec

from jts_trading.commands import words
from jts_trading.domain.errors import JtsError
from jts_trading.market_store.frames import KeptFrame, read_frames
from jts_trading.market_store.segments import SegmentError

_FRAME = re.compile(r"([a-z0-9-]{1,64}):([1-9][0-9]{0,15})")


class ShownFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One raw frame.

    Attributes:
        number: Among all kept frames of the feed.
        problem: Why its bytes cannot be shown; empty when they can.
        session: Number of the connection.
        raw: The bytes as text; what is no UTF-8 is escaped.
        sha256: Of the bytes.
        says: What they say, one document for each tick or notice; empty where they are encrypted
            or no codec reads them.
    """

    feed: str
    number: int
    problem: str = ""
    received_at: str | None = None
    session: int = 0
    raw: str = ""
    sha256: str = ""
    says: tuple[dict[str, Any], ...] = ()


def find_frame(home: Path, correlation_id: str, venue: str) -> ShownFrame | None:
    """Return the frame that a correlation id names; None where it names none.

    Args:
        home: The data root.
        correlation_id: `<feed>:<frame>`, such as `kis-1:4711`.
        venue: Whose clock the time is shown by.
    """
    found = _FRAME.fullmatch(correlation_id)
    if found is None:
        return None
    feed, number = found[1], int(found[2])
    directory = home / "trading" / "frames" / feed
    try:
        frame = next(read_frames(directory, number, number), None)
    except (SegmentError, OSError) as error:
        return ShownFrame(feed=feed, number=number, problem=f"cannot be read: {error}")
    if frame is None:
        return ShownFrame(feed=feed, number=number, problem="is not kept any more")
    return ShownFrame(
        feed=feed,
        number=number,
        received_at=words.iso(frame.ts_recv_ns, venue),
        session=frame.session,
        raw=frame.raw.decode("utf-8", "backslashreplace"),
        sha256=hashlib.sha256(frame.raw).hexdigest(),
        says=_says(feed, frame),
    )


def _says(feed: str, frame: KeptFrame) -> tuple[dict[str, Any], ...]:
    if feed.partition("-")[0] != "kis":
        return ()
    from jts_trading.brokers.kis.frames import decode_frame

    try:
        # Without the keys of its session an encrypted notice stays what it is.
        decoded = decode_frame(frame.raw, frame.ts_recv_ns)
    except JtsError:
        return ()
    if not isinstance(decoded, tuple):
        return ()
    return tuple(msgspec.to_builtins(each) for each in decoded)
