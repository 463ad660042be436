"""Rows as the stores take them: checked against the dataset's declaration, exact or refused.

A batch belongs to one partition (venue, interval and trading day, or month of daily bars), because
that is what every store can make visible all together.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import pyarrow as pa

from jts_trading.ports.market import MarketRefusedError, Row
from storage.errors import InputError
from storage.hot.appends import BATCH_ROWS_MAX
from storage.schema.arrow import file_schema
from storage.schema.datasets import DATASETS, Dataset
from storage.schema.partitions import Partition, partition_of

_Place = tuple[object, object, object]


def find_dataset(name: str) -> Dataset:
    """Return the dataset of a name.

    Raises:
        MarketRefusedError: It is unknown; the message lists the known.
    """
    if name not in DATASETS:
        raise MarketRefusedError(f"dataset {name!r} is unknown; known: {', '.join(DATASETS)}")
    return DATASETS[name]


def batch_of(name: str, rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table typed as files of their venue, in the order of the columns.

    Raises:
        MarketRefusedError: The dataset is not appended to, a column is missing or unknown, a value
            does not fit its column exactly, or the rows are of more than one partition.
    """
    dataset = find_dataset(name)
    if not dataset.is_appended:
        raise MarketRefusedError(f"{name}: rows come in loads; nothing can be appended")
    if len(rows) > BATCH_ROWS_MAX:
        raise MarketRefusedError(f"{name}: {len(rows)} rows at once; accepted: {BATCH_ROWS_MAX}")
    names = [column.name for column in dataset.columns]
    wanted = set(names)
    for row in rows:
        if row.keys() != wanted:
            raise MarketRefusedError(f"{name}: {_difference(wanted, row)}")
    partitions = {_partition(dataset, place) for place in _places(rows)}
    if len(partitions) > 1:
        listed = ", ".join(sorted(partition.name for partition in partitions))
        raise MarketRefusedError(f"a batch is of one partition; found {listed}")
    try:
        schema = file_schema(dataset, next(iter(partitions)).venue)
    except InputError as error:
        raise MarketRefusedError(f"{name}: {error}") from error
    return pa.table([_column(schema.field(each), rows) for each in names], schema=schema)


def split_by_partition(name: str, rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows as batches, each of one partition and in the order given.

    Raises:
        MarketRefusedError: The dataset is unknown, or a row names no partition.
    """
    dataset = find_dataset(name)
    partitions = {place: _partition(dataset, place) for place in _places(rows)}
    batches: dict[Partition, list[Row]] = {}
    for place, row in zip(_each_place(rows), rows, strict=True):
        batches.setdefault(partitions[place], []).append(row)
    return list(batches.values())


def key_of(dataset: Dataset, row: Row) -> tuple[object, ...]:
    """Return what identifies a row."""
    return tuple(row[name] for name in dataset.key)


def _places(rows: Sequence[Row]) -> dict[_Place, None]:
    return dict.fromkeys(_each_place(rows))


def _each_place(rows: Iterable[Row]) -> Iterable[_Place]:
    return ((row.get("venue"), row.get("interval"), row.get("trade_date")) for row in rows)


def _partition(dataset: Dataset, place: _Place) -> Partition:
    venue, interval, day = place
    if not (isinstance(venue, str) and isinstance(interval, str) and isinstance(day, date)):
        raise MarketRefusedError(
            f"{dataset.name}: venue, interval and trade_date are {venue!r}, {interval!r}, {day!r}"
        )
    return partition_of(dataset.name, venue, interval, day)


def _column(field: pa.Field, rows: Sequence[Row]) -> pa.Array:
    values = [row[field.name] for row in rows]
    try:
        column = pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise MarketRefusedError(
            f"column {field.name}: {_first_bad(field, values)} is no {field.type}"
        ) from error
    if column.null_count and not field.nullable:
        raise MarketRefusedError(f"column {field.name} has no value in a row")
    return column


def _first_bad(field: pa.Field, values: Sequence[object]) -> str:
    for value in values:
        try:
            pa.array([value], field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return repr(value)[:80]
    return "a value"


def _difference(wanted: set[str], row: Row) -> str:
    missing, unknown = sorted(wanted - row.keys()), sorted(row.keys() - wanted)
    parts = [
        f"{what} {', '.join(names)}"
        for what, names in (("missing", missing), ("unknown", unknown))
        if names
    ]
    return f"columns: {'; '.join(parts)}"
