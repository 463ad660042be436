"""Files as batches of rows: Parquet by pyarrow with its page checksums verified, CSV as text.

A CSV file is UTF-8, or CP949 as Korean spreadsheets and the exchange's data portal write it.

Rows are numbered from 1 in file order (the header of a CSV is not a row), so that a row in
quarantine can be found again.
"""

import codecs
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import InputError

ROW = "__row"
_DIGEST_BYTES = 1 << 20
_FORMATS = (".parquet", ".pq", ".csv")
# A file in CP949 is turned into UTF-8 in memory.
_KOREAN_BYTES_MAX = 256 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A readable file.

    Attributes:
        path: Where it is.
        columns: Its column names, in order.
        rows: Number of rows when the file says so; None for CSV.
        digest: SHA-256 of its bytes.
    """

    path: Path
    columns: tuple[str, ...]
    rows: int | None
    digest: str

    def batches(self, batch_rows: int) -> Iterator[pl.DataFrame]:
        """Yield the rows in order, with their number in the column `ROW`.

        Raises:
            InputError: The file is damaged or not what its name says.
        """
        first = 1
        reader = _csv_batches if self.path.suffix.lower() == ".csv" else _parquet_batches
        for batch in reader(self.path, batch_rows):
            yield batch.with_row_index(ROW, offset=first).with_columns(pl.col(ROW).cast(pl.Int64))
            first += batch.height


def open_source(path: Path) -> Source:
    """Look at a file before anything is loaded from it.

    Raises:
        InputError: It is missing, empty, truncated, or of no known format.
    """
    if not _is_file(path):
        raise InputError(f"{path}: {_why_not(path)}")
    if path.suffix.lower() not in _FORMATS:
        raise InputError(f"{path}: unknown format; accepted: {', '.join(_FORMATS)}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes)")
    columns, rows = _look(path)
    if len(set(columns)) != len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise InputError(f"{path}: columns named twice: {', '.join(twice)}")
    if rows == 0:
        raise InputError(f"{path}: the file has columns but no rows")
    return Source(path, tuple(columns), rows, _digest(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(f"{str(path)[:80]}: cannot be looked at: {error.strerror}") from error


def _why_not(path: Path) -> str:
    if path.is_dir():
        return "a directory; name its files, such as 'DIR/*.parquet'"
    return "not a plain file" if path.exists() else "no such file"


def _look(path: Path) -> tuple[list[str], int | None]:
    if path.suffix.lower() != ".csv":
        with _parquet(path) as file:
            return file.schema_arrow.names, file.metadata.num_rows
    try:
        head = pl.read_csv(utf8_source(path), infer_schema=False, n_rows=1)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: not a readable CSV file: {_one_line(error)}") from error
    return head.columns, None if head.height else 0


def utf8_source(path: Path) -> Path | io.BytesIO:
    """Return a text file itself if it is UTF-8; one in CP949 as UTF-8 in memory.

    The beginning decides: a wrong encoding shows in the header or the first rows.

    Raises:
        InputError: It is neither, or too large to be turned into UTF-8.
    """
    with path.open("rb") as file:
        head = file.read(_DIGEST_BYTES)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        return _from_cp949(path, error.start)
    return path


def _from_cp949(path: Path, at: int) -> io.BytesIO:
    if path.stat().st_size > _KOREAN_BYTES_MAX:
        raise InputError(
            f"{path}: not UTF-8 at byte {at}, and too large to be read otherwise; convert it"
            " first, such as with iconv -f CP949 -t UTF-8"
        )
    try:
        return io.BytesIO(path.read_bytes().decode("cp949").encode())
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 at byte {at} and not CP949 at byte {error.start}; accepted: both"
        ) from error


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {_one_line(error)}") from error


def _parquet_batches(path: Path, batch_rows: int) -> Iterator[pl.DataFrame]:
    with _parquet(path) as file:
        try:
            for batch in file.iter_batches(batch_size=batch_rows):
                frame = pl.from_arrow(batch)
                yield frame if isinstance(frame, pl.DataFrame) else frame.to_frame()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: damaged Parquet file: {_one_line(error)}") from error


def _csv_batches(path: Path, batch_rows: int) -> Iterator[pl.DataFrame]:
    lazy = pl.scan_csv(utf8_source(path), infer_schema=False)
    batches = lazy.collect_batches(chunk_size=batch_rows, maintain_order=True)
    try:
        yield from batches
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}: not a readable CSV file: {_one_line(error)}") from error


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_DIGEST_BYTES):
            total.update(block)
    return total.hexdigest()


def _one_line(error: Exception) -> str:
    # What Polars goes on to advise are arguments that our users cannot give.
    return " ".join(str(error).split()).partition(" Consider setting")[0][:200]
