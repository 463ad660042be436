"""Rows of two places as one: per key the highest revision, in file order."""

from typing import Any

import polars as pl
import pyarrow as pa

from storage.schema.datasets import Dataset


def newest_rows(stored: pa.Table, late: pa.Table, dataset: Dataset) -> pa.Table:
    """Return stored and late rows together: of rows with one key the highest revision wins.

    Both tables are typed as a file holds them, and so is the answer, in file order. Of two rows
    with the same key and revision the stored one stays: it is in a manifest already.
    """
    both = pa.concat_tables([stored, late.cast(stored.schema)])
    order = pl.DataFrame(
        pl.from_arrow(both.select([*dataset.key, dataset.revision]))
    ).with_row_index("place")
    best: Any = (
        order.sort(dataset.revision, "place", descending=[True, False])
        .unique(subset=list(dataset.key), keep="first", maintain_order=True)
        .sort(*dataset.file_sort)
        .get_column("place")
    )
    return both.take(best.to_arrow()).combine_chunks()
