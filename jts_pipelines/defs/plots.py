"""Small pictures for the metadata of a run: one PNG as a data URI, kept in the event log for ever.

Drawn with zlib alone, because importing a plotting library would cost each run more than its work.
"""

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from jts_pipelines.defs.facts import PartitionFacts

BYTES_MAX = 100_000
WIDTH, HEIGHT = 480, 96

_PAPER, _INK = 255, 90
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def rows_plot(facts: Sequence["PartitionFacts"]) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the rows per trading day of a whole run as a picture; nothing for a single day."""
    days = [rows for fact in facts for _day, rows in sorted(fact.days.items())]
    return {"rows_per_day": picture(days, "rows per day")} if len(days) > 1 else {}


def picture(
    values: Sequence[float], title: str, *, floor: float = 0.0
) -> dg.MarkdownMetadataValue:
    """Return values over time as Markdown with the picture inside.

    Args:
        values: At least one, in order.
        title: Text for those who do not see it.
        floor: Value at the lower edge.
    """
    encoded = base64.b64encode(area_png(values, floor=floor)).decode()
    return dg.MetadataValue.md(
        f"![{title}](data:image/png;base64,{encoded})\n\n"
        f"{title}: {len(values)} values, {min(values):,.0f} to {max(values):,.0f}"
    )


def area_png(values: Sequence[float], *, floor: float = 0.0) -> bytes:
    """Draw values as a filled area: a grey PNG of `WIDTH` x `HEIGHT`, a few kilobytes."""
    span = max(max(values) - floor, 1e-9)
    tops = [
        round((HEIGHT - 1) * min(max((_at(values, x) - floor) / span, 0.0), 1.0))
        for x in range(WIDTH)
    ]
    rows = (
        bytes(_INK if HEIGHT - 1 - y <= top else _PAPER for top in tops) for y in range(HEIGHT)
    )
    # Each row begins with its filter type; 0 is none.
    pixels = zlib.compress(b"".join(b"\x00" + row for row in rows), 9)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    return _SIGNATURE + b"".join(chunks)


def _at(values: Sequence[float], x: int) -> float:
    """Return the largest value that falls on a column, so that no peak is lost."""
    first = x * len(values) // WIDTH
    last = max((x + 1) * len(values) // WIDTH, first + 1)
    return max(values[first:last])


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
