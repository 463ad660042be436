"""The hot part of a read: only the wanted rows and columns cross the wire."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from storage.lake.selection import Selection
from storage.schema.datasets import Dataset
from storage.schema.partitions import Partition, partition_of

_CONTENT = """
SELECT partition, max(max_block_number) AS newest FROM system.parts
WHERE database = currentDatabase() AND table = %(table)s AND active AND rows > 0
GROUP BY partition"""


class HotRows(Protocol):
    """The hot tier as readers need it; `storage.hot.store.HotStore` is the real one."""

    def query_arrow(self, sql: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """Return the answer to one query."""
        ...

    def scan(
        self,
        dataset: Dataset,
        venue: str,
        *,
        columns: Sequence[str] = (),
        where: str = "1",
        parameters: dict[str, Any] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the valid rows of a venue that satisfy a condition."""
        ...


_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class HotContent:
    """What the hot tier holds at one moment, from its list of parts alone.

    Attributes:
        newest: Number of the newest block of each partition that has rows. Loads and returning
            partitions raise it; merges keep it.
    """

    newest: Mapping[Partition, int]

    def has_arrivals_since(self, before: "HotContent", selection: Selection) -> bool:
        """Return whether rows came into a wanted partition after the other look."""
        return any(
            block > before.newest.get(partition, -1)
            for partition, block in self.newest.items()
            if selection.covers(partition)
        )


def hot_content(hot: HotRows, dataset: Dataset) -> HotContent:
    """Return what the hot tier holds now."""
    answer = hot.query_arrow(_CONTENT, {"table": dataset.name})
    newest = {}
    for row in answer.to_pylist():
        venue, interval, day = ast.literal_eval(row["partition"])
        partition = partition_of(dataset.name, venue, interval, date.fromisoformat(day))
        newest[partition] = int(row["newest"])
    return HotContent(newest)


def read_hot(
    hot: HotRows,
    dataset: Dataset,
    partitions: Iterable[Partition],
    selection: Selection,
    columns: Sequence[str],
) -> list[pl.DataFrame]:
    """Return the wanted rows of some hot partitions, one frame per venue at its own scale."""
    return list(stream_hot(hot, dataset, partitions, selection, columns, rows_max=_ALL))


def stream_hot(
    hot: HotRows,
    dataset: Dataset,
    partitions: Iterable[Partition],
    selection: Selection,
    columns: Sequence[str],
    *,
    rows_max: int,
) -> Iterator[pl.DataFrame]:
    """Yield the wanted rows of some hot partitions, about so many at a time."""
    by_venue: dict[str, list[Partition]] = defaultdict(list)
    for partition in partitions:
        by_venue[partition.venue].append(partition)
    for venue, wanted in sorted(by_venue.items()):
        where, parameters = condition(wanted, selection.without_long_lists())
        batches: list[pa.RecordBatch] = []
        count = 0
        for batch in hot.scan(dataset, venue, columns=columns, where=where, parameters=parameters):
            batches.append(batch)
            count += batch.num_rows
            if count >= rows_max:
                yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches)))
                batches, count = [], 0
        if batches:
            yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches)))


def condition(partitions: Sequence[Partition], selection: Selection) -> tuple[str, dict[str, Any]]:
    """Return a ClickHouse condition for wanted rows of partitions of one venue, and its values."""
    parameters: dict[str, Any] = {}
    spans = []
    for number, (interval, first, last) in enumerate(_spans(partitions)):
        parameters |= {f"i{number}": interval, f"f{number}": first, f"l{number}": last}
        spans.append(
            f"(interval = %(i{number})s AND trade_date >= %(f{number})s"
            f" AND trade_date <= %(l{number})s)"
        )
    clauses = [f"({' OR '.join(spans)})"]
    last_ms = selection.end_ms
    for name, value, sign in (
        ("start_ms", selection.start_ms, ">="),
        ("before_ms", None if last_ms is None else last_ms + 1, "<"),
    ):
        if value is not None:
            parameters[name] = value
            clauses.append(f"timestamp {sign} fromUnixTimestamp64Milli(%({name})s, 'UTC')")
    for name, day, sign in (
        ("from_day", selection.from_day, ">="),
        ("to_day", selection.to_day, "<="),
    ):
        if day is not None:
            parameters[name] = day.isoformat()
            clauses.append(f"trade_date {sign} %({name})s")
    if selection.symbols is not None:
        names = {f"s{n}": symbol for n, symbol in enumerate(sorted(selection.symbols))}
        parameters |= names
        listed = ", ".join(f"%({name})s" for name in names)
        clauses.append(f"symbol IN ({listed})" if names else "0")
    return " AND ".join(clauses), parameters


def _spans(partitions: Sequence[Partition]) -> Iterator[tuple[str, str, str]]:
    """Join partitions whose days follow each other, so that conditions stay short."""
    open_span: Partition | None = None
    first = date.min
    for partition in sorted(partitions):
        follows = (
            open_span is not None
            and open_span.interval == partition.interval
            and (partition.from_day - open_span.to_day).days == 1
        )
        if open_span is not None and not follows:
            yield open_span.interval, first.isoformat(), open_span.to_day.isoformat()
        if not follows:
            first = partition.from_day
        open_span = partition
    if open_span is not None:
        yield open_span.interval, first.isoformat(), open_span.to_day.isoformat()
