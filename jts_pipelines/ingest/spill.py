"""Accepted rows on their way from file order to partition order, in bounded memory.

Batches are written to a scratch file as they are judged; DuckDB, which sorts beyond memory, brings
them into the order (partition, symbol, time, broker, row) and finds what only the whole file
shows: prices on mixed scales and the close before each bar.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from storage.quality.scales import mixed_scale_sql

PREVIOUS_CLOSE = "previous_close"
PERIOD_DAY = "period_day"
_MEMORY = "512MB"


class Spill:
    """The rows of one load, in a scratch directory that its caller removes.

    Args:
        directory: An existing, empty directory.
    """

    def __init__(self, directory: Path) -> None:
        self._raw = directory / "judged.parquet"
        self._sorted = directory / "sorted.parquet"
        self._directory = directory
        self._writer: pq.ParquetWriter | None = None

    def append(self, rows: pa.Table) -> None:
        """Add rows with the columns of the file schema, `row` and `PERIOD_DAY`."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._raw, rows.schema, compression="lz4")
        self._writer.write_table(rows)

    def sort(self) -> list[int]:
        """Close the scratch file and sort it.

        Returns:
            Numbers of the rows on another price scale than their symbol; they are left out of
            the sorted rows.
        """
        if self._writer is None:
            return []
        self._writer.close()
        with duckdb.connect(config={"memory_limit": _MEMORY, "threads": 2}) as engine:
            engine.execute(f"SET temp_directory = {_quoted(self._directory / 'duckdb')}")
            source = f"read_parquet({_quoted(self._raw)})"
            engine.execute(f"CREATE TEMP TABLE mixed AS {mixed_scale_sql(source)}")
            engine.execute(
                f"COPY (SELECT *, lag(close) OVER (PARTITION BY symbol, broker"  # noqa: S608 - own paths
                f" ORDER BY timestamp, row) AS {PREVIOUS_CLOSE}"
                f" FROM {source} ANTI JOIN mixed USING (row)"
                f" ORDER BY {PERIOD_DAY}, symbol, timestamp, broker, row)"
                f" TO {_quoted(self._sorted)} (FORMAT parquet, COMPRESSION lz4)"
            )
            found = engine.execute("SELECT row FROM mixed ORDER BY row").fetchall()
        return [int(row) for (row,) in found]

    def partitions(self, batch_rows: int) -> Iterator[pl.DataFrame]:
        """Yield all rows of one partition at a time, in the order of the sort."""
        if self._writer is None:
            return
        held: list[pl.DataFrame] = []
        schema = self._writer.schema
        schema = schema.append(pa.field(PREVIOUS_CLOSE, schema.field("close").type))
        with pq.ParquetFile(self._sorted) as file:
            for batch in file.iter_batches(batch_size=batch_rows):
                # DuckDB knows times with a zone in microseconds only.
                frame = pl.DataFrame(pa.table(batch).cast(schema))
                for part in frame.partition_by(PERIOD_DAY, maintain_order=True):
                    if held and held[0][PERIOD_DAY][0] != part[PERIOD_DAY][0]:
                        yield pl.concat(held)
                        held = []
                    held.append(part)
        if held:
            yield pl.concat(held)


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
