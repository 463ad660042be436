"""Summaries over Arrow rows, batch by batch; equal to what the hot tier computes in SQL."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from storage.manifest.records import Summary
from storage.schema.datasets import DECIMALS, Dataset, Kind

SUMMED = DECIMALS | {Kind.COUNT}
_DIGITS = 38
_MILLISECONDS = pa.timestamp("ms", tz="UTC")


class Summariser:
    """Adds rows up; sums are whole units of each column's last decimal place."""

    def __init__(self, dataset: Dataset) -> None:
        self._summed = [column.name for column in dataset.columns if column.kind in SUMMED]
        self._nullable = [column.name for column in dataset.columns if column.nullable]
        self._counts_statuses = bool(dataset.statuses)
        self._rows = 0
        self._first: int | None = None
        self._last: int | None = None
        self._symbols: set[str] = set()
        self._sums: Counter[str] = Counter()
        self._nulls: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()

    def add(self, rows: pa.Table) -> None:
        """Count more rows, typed as a file holds them."""
        if rows.num_rows == 0:
            return
        self._rows += rows.num_rows
        instants = rows["timestamp"].cast(_MILLISECONDS, safe=False).cast(pa.int64())
        bounds = pc.min_max(instants).as_py()
        self._first = min(bounds["min"], self._first if self._first is not None else bounds["min"])
        self._last = max(bounds["max"], self._last if self._last is not None else bounds["max"])
        self._symbols.update(pc.unique(rows["symbol"]).to_pylist())
        for name in self._summed:
            self._sums[name] += _units(rows[name])
        for name in self._nullable:
            self._nulls[name] += rows[name].null_count
        if not self._counts_statuses:
            return
        for entry in pc.value_counts(rows["status"]).to_pylist():
            self._statuses[entry["values"]] += entry["counts"]

    def summary(self) -> Summary:
        """Return what was added so far."""
        return Summary(
            rows=self._rows,
            min_timestamp_ms=self._first,
            max_timestamp_ms=self._last,
            symbols=len(self._symbols),
            sums={name: str(self._sums[name]) for name in self._summed},
            nulls={name: self._nulls[name] for name in self._nullable},
            statuses=dict(sorted(self._statuses.items())),
        )


def summarise(rows: pa.Table, dataset: Dataset) -> Summary:
    """Return the summary of one table."""
    summariser = Summariser(dataset)
    summariser.add(rows)
    return summariser.summary()


def _units(column: pa.ChunkedArray) -> int:
    if not pa.types.is_decimal(column.type):
        return int(pc.sum(column).as_py() or 0)
    # The sum of a decimal keeps its precision, which 18 digits could overflow.
    total = pc.sum(column.cast(pa.decimal128(_DIGITS, column.type.scale))).as_py()
    return int(total.scaleb(column.type.scale)) if total is not None else 0
