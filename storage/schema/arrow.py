"""Arrow schemas and Parquet options of a dataset."""

from typing import Any

import pyarrow as pa

from storage.errors import InputError
from storage.schema.datasets import DECIMALS, PRICE_SCALE, VOLUME_SCALE, Column, Dataset, Kind

HOT_SCALE = 8
"""Decimal places of prices and volumes in the hot tier, one table for all venues."""

_PRICE_PRECISION = 18
_VOLUME_PRECISION = {0: 18, 8: 38}
# Eighteen digits with eight decimals end at ten billion, which an account in won exceeds.
_MONEY_PRECISION = 38


def file_schema(dataset: Dataset, venue: str) -> pa.Schema:
    """Return the schema of files and of exchanged tables: decimals at the venue's own scale.

    Raises:
        InputError: The venue is unknown.
    """
    if venue not in PRICE_SCALE:
        raise InputError(f"unknown venue {venue!r}; known: {', '.join(PRICE_SCALE)}")
    return _schema(dataset, PRICE_SCALE[venue], VOLUME_SCALE[venue])


def hot_schema(dataset: Dataset) -> pa.Schema:
    """Return the schema of rows on their way into or out of the hot table."""
    return _schema(dataset, HOT_SCALE, HOT_SCALE)


def _schema(dataset: Dataset, price_scale: int, volume_scale: int) -> pa.Schema:
    fields = [
        pa.field(column.name, _arrow_type(column, price_scale, volume_scale), column.nullable)
        for column in dataset.columns
    ]
    return pa.schema(fields)


_PLAIN = {
    Kind.TIMESTAMP_MS: pa.timestamp("ms", tz="UTC"),
    Kind.TIMESTAMP_NS: pa.timestamp("ns", tz="UTC"),
    Kind.DAY: pa.date32(),
    Kind.LABEL: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.COUNT: pa.int64(),
    Kind.FLAG: pa.bool_(),
}
_INTEGERS = DECIMALS | {Kind.TIMESTAMP_MS, Kind.TIMESTAMP_NS, Kind.DAY, Kind.COUNT}


def _arrow_type(column: Column, price_scale: int, volume_scale: int) -> pa.DataType:
    if column.kind is Kind.PRICE:
        return pa.decimal128(_PRICE_PRECISION, price_scale)
    if column.kind is Kind.VOLUME:
        return pa.decimal128(_VOLUME_PRECISION[volume_scale], volume_scale)
    if column.kind is Kind.MONEY:
        return pa.decimal128(_MONEY_PRECISION, price_scale)
    return _PLAIN[column.kind]


def parquet_options(dataset: Dataset, venue: str, *, level: int) -> dict[str, Any]:
    """Return the keyword arguments of `pyarrow.parquet.ParquetWriter` for this dataset.

    Decimals up to 18 digits and times are delta encoded integers (measured smallest and fastest),
    labels are dictionaries, texts are plain, page checksums are written.
    """
    schema = file_schema(dataset, venue)
    labels = [column.name for column in dataset.columns if column.kind is Kind.LABEL]
    deltas = {
        column.name: "DELTA_BINARY_PACKED"
        for column in dataset.columns
        if column.kind in _INTEGERS and not _is_wide(schema.field(column.name).type)
    }
    return {
        "compression": "zstd",
        "compression_level": level,
        "use_dictionary": labels,
        "column_encoding": deltas,
        "store_decimal_as_integer": True,
        "write_page_checksum": True,
        "write_statistics": True,
        "version": "2.6",
    }


def _is_wide(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) and kind.precision > _PRICE_PRECISION)
