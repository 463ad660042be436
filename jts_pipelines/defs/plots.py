"""Small pictures for the metadata of a run: one PNG as a data URI, stored for ever, so small."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from jts_pipelines.defs.facts import PartitionFacts

BYTES_MAX = 100_000


def rows_plot(facts: Sequence["PartitionFacts"]) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the rows per trading day of a whole run as a picture."""
    days = [rows for fact in facts for _day, rows in sorted(fact.days.items())]
    return {"rows_per_day": picture(days, "rows per day")} if len(days) > 1 else {}


def picture(values: Sequence[float], title: str) -> dg.MarkdownMetadataValue:
    """Return a line over some values as Markdown with the picture inside.

    Raises:
        ValueError: The picture is larger than an event log should keep.
    """
    from jts_pipelines.reports.sparkline import png_sparkline

    encoded = base64.b64encode(png_sparkline(values)).decode()
    if len(encoded) > BYTES_MAX:
        raise ValueError(f"picture {title!r} has {len(encoded)} bytes; accepted: {BYTES_MAX}")
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
