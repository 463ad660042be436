"""What is already stored, in whichever tier, as far as a load needs to know it.

`storage.lake.lake.Lake` knows the rows of every tier and is what commands pass.
"""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import polars as pl
import pyarrow as pa

from storage.hot.store import HotStore
from storage.schema.arrow import file_schema
from storage.schema.datasets import DATASETS
from storage.schema.partitions import Partition


class StoredRows(Protocol):
    """Rows of every tier."""

    def partitions(self, dataset: str, venue: str, interval: str) -> set[Partition]:
        """Return the partitions that have rows in any tier."""
        ...

    def read(
        self,
        dataset: str,
        *,
        venue: str,
        interval: str,
        symbols: Sequence[str],
        start: date,
        end: date,
    ) -> pl.DataFrame:
        """Return the valid rows of some symbols and trading days, one per key.

        Columns as in `schema.arrow.file_schema` of the venue.
        """
        ...


class HotRows:
    """A store that has no tier but the hot one.

    Args:
        hot: The store.
    """

    def __init__(self, hot: HotStore) -> None:
        self._hot = hot

    def partitions(self, dataset: str, venue: str, interval: str) -> set[Partition]:
        """Return the partitions that have rows in the hot tier."""
        return {
            found.partition
            for found in self._hot.partitions(dataset)
            if (found.partition.venue, found.partition.interval) == (venue, interval)
        }

    def read(
        self,
        dataset: str,
        *,
        venue: str,
        interval: str,
        symbols: Sequence[str],
        start: date,
        end: date,
    ) -> pl.DataFrame:
        """Return the valid rows of some symbols and trading days."""
        batches = self._hot.scan(
            DATASETS[dataset],
            venue,
            where="interval = %(interval)s AND symbol IN %(symbols)s"
            " AND trade_date BETWEEN %(start)s AND %(end)s",
            parameters={
                "interval": interval,
                "symbols": list(symbols),
                "start": start.isoformat(),
                "end": end.isoformat(),
            },
        )
        rows = pa.Table.from_batches(batches, schema=file_schema(DATASETS[dataset], venue))
        return pl.DataFrame(rows)
