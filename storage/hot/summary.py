"""Summaries and fences in ClickHouse SQL, equal to those computed over files.

Counts, time spans and sums of whole units are equal in ClickHouse, DuckDB, Polars and Arrow;
sums of floats are not. `storage.manifest.summaries` computes over Arrow rows what
`summary_columns` lets the server compute over its table.
"""

from decimal import Decimal

import pyarrow as pa

from storage.manifest.records import Summary
from storage.manifest.summaries import SUMMED
from storage.schema.arrow import file_schema
from storage.schema.datasets import Dataset


def summary_columns(dataset: Dataset) -> str:
    """Return the select list whose one-row answer `summary_of_answer` reads."""
    sums = [f"toString(sum({name})) AS sum_{name}" for name in _summed(dataset)]
    nulls = [f"countIf({name} IS NULL) AS null_{name}" for name in _nullable(dataset)]
    statuses = [f"countIf(status = '{status}') AS status_{status}" for status in dataset.statuses]
    columns = [
        "count() AS rows",
        "uniqExact(symbol) AS symbols",
        "min(toUnixTimestamp64Milli(timestamp)) AS first_ms",
        "max(toUnixTimestamp64Milli(timestamp)) AS last_ms",
    ]
    return ", ".join(columns + sums + nulls + statuses)


def summary_of_answer(answer: pa.Table, dataset: Dataset, venue: str) -> Summary:
    """Return the summary in the answer to a query for `summary_columns`."""
    row = answer.to_pylist()[0]
    rows = int(row["rows"])
    schema = file_schema(dataset, venue)
    counts = {status: int(row[f"status_{status}"]) for status in dataset.statuses}
    return Summary(
        rows=rows,
        min_timestamp_ms=int(row["first_ms"]) if rows else None,
        max_timestamp_ms=int(row["last_ms"]) if rows else None,
        symbols=int(row["symbols"]),
        sums={
            name: _units(row[f"sum_{name}"], schema.field(name).type) for name in _summed(dataset)
        },
        nulls={name: int(row[f"null_{name}"]) for name in _nullable(dataset)},
        statuses={status: count for status, count in counts.items() if count},
    )


def row_hash(dataset: Dataset) -> str:
    """Return the expression for the order-independent hash of whole rows."""
    columns = ", ".join(column.name for column in dataset.columns)
    each = f"cityHash64(tuple({columns}))"
    return f"hex(groupBitXor({each})) || hex(sum({each}))"


def _summed(dataset: Dataset) -> list[str]:
    return [column.name for column in dataset.columns if column.kind in SUMMED]


def _nullable(dataset: Dataset) -> list[str]:
    return [column.name for column in dataset.columns if column.nullable]


def _units(value: str | int | None, kind: pa.DataType) -> str:
    if value is None:
        return "0"
    scale = kind.scale if pa.types.is_decimal(kind) else 0
    return str(int(Decimal(value).scaleb(scale)))
