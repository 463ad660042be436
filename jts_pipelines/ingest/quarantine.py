"""Refused rows: kept whole, with their reasons, where `jts sql` finds them.

One file per load, `<home>/quarantine/<dataset>/<ingest_id>.parquet`, written before the load is
published. The values are those of the source file, as text in one JSON object per row, so that
the file has the same columns whatever the source looked like.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from jts_pipelines.ingest.sources import ROW, Source
from storage.manifest.durable import make_directories, open_new, publish, temporary_name

SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("venue", pa.string(), nullable=False),
        pa.field("interval", pa.string(), nullable=False),
        pa.field("ingest_id", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("reasons", pa.string(), nullable=False),
        pa.field("original", pa.string(), nullable=False),
    ]
)
"""One row per refused row, sorted by `row`; `reasons` lists all, comma separated."""


def quarantine_path(root: Path, dataset: str, ingest_id: str) -> Path:
    """Return where the refused rows of a load lie, if it had any."""
    return root / dataset / f"{ingest_id}.parquet"


class Quarantine:
    """The refused rows of one load.

    Args:
        home: Folder of all quarantine files.
        dataset: Of the load.
        venue: Of the load.
        interval: Of the load.
        ingest_id: Of the load.
    """

    def __init__(
        self, home: Path, *, dataset: str, venue: str, interval: str, ingest_id: str
    ) -> None:
        self._root = home
        self._labels = {
            "dataset": dataset,
            "venue": venue,
            "interval": interval,
            "ingest_id": ingest_id,
        }
        self._refused: list[pl.DataFrame] = []

    @property
    def path(self) -> Path:
        """Where the file lies once it is written."""
        return quarantine_path(self._root, self._labels["dataset"], self._labels["ingest_id"])

    @property
    def rows(self) -> int:
        """Rows refused so far."""
        return sum(part.height for part in self._refused)

    def add(self, rows: pl.DataFrame) -> None:
        """Refuse rows: columns `row` and `reasons`, a list that is not empty."""
        if rows.height:
            self._refused.append(rows.select("row", "reasons"))

    def reasons(self) -> dict[str, int]:
        """Return refused rows per leading reason, most frequent first."""
        if not self._refused:
            return {}
        leading = pl.concat(self._refused).select(reason=pl.col("reasons").list.first())
        counts = leading.group_by("reason").len().sort(["len", "reason"], descending=[True, False])
        return dict(counts.iter_rows())

    def write(self, source: Source, batch_rows: int) -> Path | None:
        """Write the refused rows with their original values, durably; None without any.

        Reads the source once more: what it says there is what is kept.
        """
        if not self._refused:
            return None
        self._root.parent.mkdir(parents=True, exist_ok=True)
        make_directories(self._root.parent, self.path.parent)
        temporary = temporary_name(self.path)
        try:
            with open_new(temporary) as file, pq.ParquetWriter(file, SCHEMA, **_OPTIONS) as writer:
                for part in self._originals(source, batch_rows):
                    writer.write_table(part)
            publish(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        return self.path

    def _originals(self, source: Source, batch_rows: int) -> Iterator[pa.Table]:
        refused = pl.concat(self._refused).sort("row")
        for batch in source.batches(batch_rows):
            found = batch.join(
                refused, left_on=ROW, right_on="row", how="inner", maintain_order="left"
            )
            if not found.height:
                continue
            original = pl.struct(_as_text(name, found.schema[name]) for name in source.columns)
            kept = found.select(
                *(pl.lit(value).alias(name) for name, value in self._labels.items()),
                file=pl.lit(str(source.path)),
                row=pl.col(ROW),
                reason=pl.col("reasons").list.first(),
                reasons=pl.col("reasons").list.join(","),
                original=original.struct.json_encode(),
            )
            yield kept.select(SCHEMA.names).to_arrow().cast(SCHEMA)


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    """Return a column as JSON can hold it: lists and structs as they are, all else as text."""
    if kind == pl.Binary:
        return pl.col(name).bin.encode("hex")
    return pl.col(name) if kind.is_nested() else pl.col(name).cast(pl.String)


_OPTIONS = {"compression": "zstd", "write_page_checksum": True, "version": "2.6"}
