"""Which rows of a Parquet file are worth reading, and in which portions."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence

import pyarrow.parquet as pq

Span = tuple[int, int]
"""First row, and the row after the last one."""


def wanted_spans(metadata: pq.FileMetaData, symbols: Collection[str] | None) -> list[Span]:
    """Return the rows of the row groups that may have some symbols, by their statistics.

    Args:
        metadata: Of the file.
        symbols: Values of the column `symbol`; all when None.

    Returns:
        Spans in order, of row groups that follow each other one.
    """
    place = _place_of_symbol(metadata)
    wanted = None if symbols is None or place is None else sorted(symbols)
    spans: list[Span] = []
    end = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        start, end = end, end + group.num_rows
        if wanted is not None and not _may_have(group.column(place).statistics, wanted):
            continue
        if spans and spans[-1][1] == start:
            start, _ = spans.pop()
        spans.append((start, end))
    return spans


def portions(spans: Sequence[Span], rows_max: int) -> Iterator[Span]:
    """Yield spans cut into pieces of some rows at most."""
    for start, end in spans:
        for first in range(start, end, rows_max):
            yield first, min(first + rows_max, end)


def _place_of_symbol(metadata: pq.FileMetaData) -> int | None:
    for place in range(metadata.num_columns if metadata.num_row_groups else 0):
        if metadata.row_group(0).column(place).path_in_schema == "symbol":
            return place
    return None


def _may_have(statistics: pq.Statistics | None, wanted: Sequence[str]) -> bool:
    if statistics is None or not statistics.has_min_max or not isinstance(statistics.min, str):
        return True
    at = bisect_left(wanted, statistics.min)
    return at < len(wanted) and wanted[at] <= statistics.max
