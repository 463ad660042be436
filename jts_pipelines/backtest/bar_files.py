"""Reads files of bars: Parquet by groups of rows, CSV as a whole."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from jts_pipelines.backtest.bar_layout import Group, groups_of
from jts_pipelines.backtest.bar_rows import COLUMNS, QUOTES
from jts_pipelines.backtest.bar_table import GROUP_ROWS
from jts_pipelines.ingest.sources import utf8_source
from storage.errors import InputError

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

_READ = frozenset({*COLUMNS, *QUOTES, "session_date", "interval"})
_TEXTS = dict.fromkeys(("symbol", "ticker", "Code", "종목코드", "단축코드", "티커"), pl.String)
_LOOKED_AT = 100

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
        return _csv(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error


def table_schema(path: Path) -> dict[str, pl.DataType]:
    """Return the types of a file's columns by name, those of a CSV by its first rows.

    Raises:
        InputError: It is not there, not whole, or of another kind.
    """
    _require(path)
    try:
        if path.suffix == ".parquet":
            return dict(pl.read_parquet_schema(path))
        return dict(_csv(path, n_rows=_LOOKED_AT).schema)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(path, error) from error


def _csv(path: Path, n_rows: int | None = None) -> pl.DataFrame:
    source = utf8_source(path)
    return pl.read_csv(source, n_rows=n_rows, try_parse_dates=True, schema_overrides=_TEXTS)


def _parquet_groups(path: Path, sieve: Sieve, symbols: Sequence[str] | None) -> Iterator[Group]:
    from storage.parquet.row_groups import portions, wanted_spans

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

    found = list(portions(wanted_spans(metadata, symbols), GROUP_ROWS))
    # A file without rows has columns all the same, which may be the wrong ones.
    for start, end in found or [(0, 0)]:
        yield group(start, end - start)


def _metadata(path: Path) -> "FileMetaData":
    import pyarrow as pa
    import pyarrow.parquet as pq

    _require(path)
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _require(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix not in {".parquet", ".csv"}:
        raise InputError(f"{path}: accepted are .parquet and .csv")


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read: {' '.join(str(error).split())}")
