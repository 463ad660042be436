"""Parquet files of a partition: written in file order, read back whole, trusted by digest.

Theory of operation. `write_rows` puts sorted rows under a temporary name and flushes them to the
medium. `read_back` then opens the file by path, after its pages were dropped from the cache, and
reads every byte once: the same bytes are hashed and parsed with page checksums, so what was
verified is what was hashed. Only then may the caller publish the file and record its entry.
Parquet alone does not notice a flipped bit (reliability guide 3.2), hence the digest.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import VerificationError
from storage.manifest.durable import drop_page_cache, open_new, open_read
from storage.manifest.records import FileEntry, Summary
from storage.manifest.summaries import summarise
from storage.schema.arrow import file_schema, parquet_options
from storage.schema.datasets import Dataset
from storage.schema.partitions import Partition

_HASH_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What stood in a file when all of it was read: its rows, bytes, digest and summary."""

    table: pa.Table
    bytes: int
    sha256: str
    summary: Summary

    def entry(self, path: str) -> FileEntry:
        """Return the manifest entry for this content under a path below the tier's root."""
        return FileEntry(path=path, bytes=self.bytes, sha256=self.sha256, summary=self.summary)


def partition_folder(dataset: Dataset, partition: Partition) -> str:
    """Return the folder of a partition below a tier's root."""
    return (
        f"{dataset.name}/v{dataset.version}/venue={partition.venue}"
        f"/interval={partition.interval}/period={partition.key}"
    )


def write_rows(
    path: Path, rows: pa.Table, dataset: Dataset, venue: str, *, level: int, group_rows: int
) -> None:
    """Write rows to a new file and flush it to the medium.

    Args:
        path: A name that is not taken.
        rows: In `dataset.file_sort` order, typed as `file_schema` of the venue.
        dataset: What the rows are.
        venue: Decides the scale of prices and volumes.
        level: zstd level.
        group_rows: Rows per row group.
    """
    # The types follow from the Parquet schema; a copy of it in Arrow's form is 2 kB per file.
    options = {**parquet_options(dataset, venue, level=level), "store_schema": False}
    schema = file_schema(dataset, venue)
    with open_new(path) as file, pq.ParquetWriter(file, schema, **options) as writer:
        writer.write_table(rows.cast(schema), row_group_size=group_rows)


def read_back(path: Path, dataset: Dataset, venue: str) -> Reading:
    """Read a whole file from the medium and check all that a file can say about itself.

    Raises:
        VerificationError: Page checksum, format, schema or order of the rows is wrong, or the
            file is missing.
    """
    try:
        drop_page_cache(path)
        with open_read(path) as file:
            content = file.read()
    except FileNotFoundError as error:
        raise VerificationError(f"{path}: missing") from error
    try:
        source = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        table = source.read()
    except (OSError, pa.ArrowException) as error:
        raise VerificationError(f"{path}: damaged: {' '.join(str(error).split())}") from error
    schema = file_schema(dataset, venue)
    if not table.schema.equals(schema):
        raise VerificationError(f"{path}: its columns are not those of {dataset.name} {venue}")
    check_order(table, dataset, str(path))
    digest = hashlib.sha256(content).hexdigest()
    return Reading(table, len(content), digest, summarise(table, dataset))


def read_verified(
    path: Path, entry: FileEntry, dataset: Dataset, venue: str, columns: Sequence[str] = ()
) -> pa.Table:
    """Return the rows of a file that is exactly what its manifest says.

    Raises:
        VerificationError: It differs.
    """
    reading = read_back(path, dataset, venue)
    compare(reading, entry, path)
    return reading.table.select(list(columns)) if columns else reading.table


def compare(reading: Reading, entry: FileEntry, path: Path) -> None:
    """Compare what was read with what the manifest says.

    Raises:
        VerificationError: They differ; the text names both.
    """
    if reading.sha256 != entry.sha256:
        raise VerificationError(
            f"{path}: digest {reading.sha256[:12]} of {reading.bytes} bytes, "
            f"its manifest says {entry.sha256[:12]} of {entry.bytes}"
        )
    differences = reading.summary.differences(entry.summary)
    if differences:
        raise VerificationError(f"{path}: against its manifest: {'; '.join(differences)}")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in bounded memory.

    Raises:
        FileNotFoundError: Nothing is there.
    """
    mark = hashlib.sha256()
    with open_read(path) as file:
        while block := file.read(_HASH_BLOCK):
            mark.update(block)
    return mark.hexdigest()


def check_order(table: pa.Table, dataset: Dataset, where: str) -> None:
    """Require strictly ascending rows in file order: sorted, and no key twice.

    Raises:
        VerificationError: A row does not follow the one before.
    """
    names = list(dataset.file_sort)
    frame = pl.DataFrame(pl.from_arrow(table.select(names)))
    ascending, equal = pl.lit(value=False), pl.lit(value=True)
    for name in names:
        before = pl.col(name).shift(1)
        ascending = ascending | (equal & (pl.col(name) > before))
        equal = equal & (pl.col(name) == before)
    wrong = frame.select((~ascending).slice(1).arg_true()).to_series()
    if len(wrong):
        raise VerificationError(f"{where}: row {wrong[0] + 1} does not follow the row before it")
