"""Reads files of bars: Parquet by groups of rows, CSV as a whole."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from jts_pipelines.backtest.bar_layout import Group, groups_of
from jts_pipelines.backtest.bar_rows import COLUMNS, QUOTES
from jts_pipelines.backtest.history import GROUP_ROWS
from storage.errors import InputError

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

_READ = frozenset({*COLUMNS, *QUOTES, "session_date", "interval"})
_TEXTS = dict.fromkeys(("symbol", "ticker", "Code"), pl.String)

Sieve = Callable[[pl.DataFrame], pl.DataFrame]
"""Returns the rows of a group that are wanted; called by several threads."""


def file_groups(path: Path, sieve: Sieve, symbols: Sequence[str] | None) -> list[Group]:
    """Return the rows of a Parquet or CSV file in groups, in its order.

    Args:
        path: Of the file.
        sieve: What is wanted of each group.
        symbols: Groups that have none of them, by their statistics, are not read.

    Raises:
        InputError: It is not there, not whole, or of another kind. Groups raise it too.
    """
    if path.suffix != ".parquet":
        return list(groups_of(sieve(read_table(path))))
    return list(_parquet_groups(path, sieve, symbols))


def read_table(path: Path) -> pl.DataFrame:
    """Read a whole Parquet or CSV file; symbols stay text.

    Raises:
        InputError: It is not there, not whole, or of another kind.
    """
    _require(path)
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, try_parse_dates=True, schema_overrides=_TEXTS)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error


def column_names(path: Path) -> list[str]:
    """Return the names of a file's columns.

    Raises:
        InputError: It is not there, not whole, or of another kind.
    """
    if path.suffix == ".parquet":
        return list(_metadata(path).schema.to_arrow_schema().names)
    _require(path)
    try:
        return pl.read_csv(path, n_rows=0).columns
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error


def _parquet_groups(path: Path, sieve: Sieve, symbols: Sequence[str] | None) -> Iterator[Group]:
    metadata = _metadata(path)
    names = metadata.schema.to_arrow_schema().names
    lazy = pl.scan_parquet(path).select(name for name in names if name in _READ)

    def group(first: int, rows: int) -> Group:
        def read() -> pl.DataFrame:
            try:
                return sieve(lazy.slice(first, rows).collect())
            except (pl.exceptions.PolarsError, OSError) as error:
                raise _unreadable(path, error) from error

        return Group(rows, read)

    for start, end in _wanted_rows(metadata, names, symbols):
        # A file without rows has columns all the same, which may be the wrong ones.
        for first in range(start, max(end, start + 1), GROUP_ROWS):
            yield group(first, min(GROUP_ROWS, end - first))


def _wanted_rows(
    metadata: "FileMetaData", names: Sequence[str], symbols: Sequence[str] | None
) -> list[tuple[int, int]]:
    """Return the rows of the row groups that are wanted, as far as these follow each other."""
    spans, end = [(0, 0)], 0
    for number in range(metadata.num_row_groups):
        start, end = end, end + metadata.row_group(number).num_rows
        if _may_have(metadata, number, names, symbols):
            if spans[-1][1] == start:
                start, _ = spans.pop()
            spans.append((start, end))
    return spans[1:] if len(spans) > 1 and spans[0] == (0, 0) else spans


def _metadata(path: Path) -> "FileMetaData":
    import pyarrow as pa
    import pyarrow.parquet as pq

    _require(path)
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _may_have(
    metadata: "FileMetaData", number: int, names: Sequence[str], symbols: Sequence[str] | None
) -> bool:
    """Return whether a row group may have one of some symbols, by its statistics."""
    if symbols is None or "symbol" not in names:
        return True
    for place in range(metadata.num_columns):
        column = metadata.row_group(number).column(place)
        if column.path_in_schema == "symbol":
            found = column.statistics
            if found is None or not found.has_min_max or not isinstance(found.min, str):
                return True
            wanted = sorted(symbols)
            at = bisect_left(wanted, found.min)
            return at < len(wanted) and wanted[at] <= found.max
    return True


def _require(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix not in {".parquet", ".csv"}:
        raise InputError(f"{path}: accepted are .parquet and .csv")


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read: {' '.join(str(error).split())}")
