"""Reads the rows of a plan a portion at a time, for those who cannot hold all of them at once.

Theory of operation. What was handed out cannot be taken back, so a read that sees that rows moved
or came in while it went on says so, and who asked begins again (`MovedError`). Hot comes first:
once its rows are read and nothing moved, the files of the plan keep their content wherever they go
(see `reader`), and take as long as they take.
"""

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow.parquet as pq

from storage.errors import MovedError
from storage.lake.hot_rows import stream_hot
from storage.lake.plan import ReadPlan
from storage.lake.reader import Reader
from storage.lake.selection import Selection
from storage.parquet.row_groups import portions, wanted_spans
from storage.schema.datasets import Dataset


def stream_rows(
    reader: Reader,
    dataset: Dataset,
    selection: Selection,
    columns: Sequence[str],
    *,
    rows_max: int,
) -> Iterator[pl.DataFrame]:
    """Yield all wanted rows, each once, in frames at the scale of their venue.

    Args:
        reader: Of the tiers.
        dataset: What to read.
        selection: Bounds; rows outside may be yielded too.
        columns: Of the dataset; a column `tier` is added to some frames.
        rows_max: How many rows a frame has, about; those of a partition that stands in files and
            in hot come together.

    Raises:
        MovedError: Rows moved or came in; what was yielded is not one moment of the lake.
        StorageError: A tier is not there, or a file is damaged.
    """
    plan, moment = reader.plan(dataset, selection)
    yield from _held(reader, dataset, plan, selection, columns, rows_max=rows_max)
    if (plan.hot or plan.blended) and reader.has_arrivals_since(moment, dataset, selection):
        raise MovedError(f"{dataset.name}: rows came in while they were read; try again")
    for part in plan.files:
        metadata = pq.read_metadata(reader.path(part))
        for span in portions(wanted_spans(metadata, selection.symbols), rows_max):
            yield reader.file_frame(part, selection, columns, span)


def _held(
    reader: Reader,
    dataset: Dataset,
    plan: ReadPlan,
    selection: Selection,
    columns: Sequence[str],
    *,
    rows_max: int,
) -> Iterator[pl.DataFrame]:
    """Yield what hot has, alone or beside files."""
    served = [partition for partition in plan.hot if reader.is_hot(partition)]
    if served:
        yield from stream_hot(reader.hot, dataset, served, selection, columns, rows_max=rows_max)
    if not all(map(reader.is_hot, served)):
        raise MovedError(f"{dataset.name}: rows moved while they were read; try again")
    blended = {*plan.hot, *(part.partition for part in plan.blended)} - set(served)
    for partition in sorted(blended):
        yield reader.blend(dataset, partition, selection, columns)
