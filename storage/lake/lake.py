"""The lake: one table per dataset over hot, warm and cold, each row exactly once.

    lake = Lake(hot, manifests, tiers, home)
    lake.scan("candles", venue="KRX", interval="1d", symbols=["005930"]).collect()
    lake.sql("SELECT tier, count(*) FROM candles GROUP BY tier")

A scan decides where its rows are when it is collected, not when it is built. Prices and volumes
come at the venue's own scale when one venue is asked for, else at eight decimals.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from storage.errors import InputError
from storage.lake.digests import Digests
from storage.lake.hot_rows import HotRows, hot_content
from storage.lake.predicates import bounds
from storage.lake.reader import TIER, Reader, polars_schema
from storage.lake.selection import Selection, select
from storage.lake.sql import TIMEOUT_SECONDS, SqlAnswer, run_sql
from storage.lake.streaming import stream_rows
from storage.manifest.chain import Manifests
from storage.schema.arrow import file_schema, hot_schema
from storage.schema.datasets import CANDLES, DATASETS, PRICE_SCALE, Dataset
from storage.schema.partitions import Partition, partition_of
from storage.schema.tiers import Tier, TierSettings


@dataclass(frozen=True, slots=True)
class Served:
    """Rows of one partition by the tier that serves them."""

    partition: Partition
    tier: Tier
    rows: int


class Lake:
    """Reads all tiers; used by one thread at a time.

    Args:
        hot: The hot tier.
        manifests: The chains.
        tiers: Where warm and cold are.
        home: Data root of the instance.
        check_digests: False trusts the files; for measuring only.
    """

    def __init__(
        self,
        hot: HotRows,
        manifests: Manifests,
        tiers: TierSettings,
        home: Path,
        *,
        check_digests: bool = True,
    ) -> None:
        digests = Digests(home / "cache" / "digests.json")
        self._reader = Reader(hot, manifests, tiers, home, digests, check_digests)

    def scan(
        self,
        dataset: str = CANDLES.name,
        *,
        venue: str | None = None,
        interval: str | None = None,
        symbols: Sequence[str] | None = None,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        columns: Sequence[str] | None = None,
        with_tier: bool = False,
    ) -> pl.LazyFrame:
        """Return a lazy table of a dataset over all tiers, in no promised order.

        Args:
            dataset: Its name.
            venue: One venue; then numbers have its scale, else eight decimals.
            interval: One bar interval.
            symbols: The venue's own spelling.
            start: First trading day (a date) or bar start (an aware instant).
            end: Last trading day or bar start, inclusive.
            columns: All when None.
            with_tier: Add a column `tier`: hot, warm or cold.

        Raises:
            InputError: Unknown dataset, venue or column, or an instant without a zone.
        """
        known = _dataset(dataset)
        selection = select(venue=venue, interval=interval, symbols=symbols, start=start, end=end)
        schema = _schema(known, venue)
        wanted = _wanted(schema, columns)
        if with_tier and TIER not in wanted:
            wanted.append(TIER)
        lazy = self._lazy(known, schema, selection)
        return lazy.filter(*selection.filters()).select(wanted)

    def batches(
        self,
        dataset: str = CANDLES.name,
        *,
        venue: str | None = None,
        interval: str | None = None,
        symbols: Sequence[str] | None = None,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        columns: Sequence[str] | None = None,
        rows_max: int = 1 << 19,
    ) -> Iterator[pl.DataFrame]:
        """Yield what `scan` finds in frames of about so many rows: for reads that take long.

        Args:
            dataset: As of `scan`; so are the other bounds.
            venue: One venue.
            interval: One bar interval.
            symbols: The venue's own spelling.
            start: First trading day or bar start.
            end: Last trading day or bar start, inclusive.
            columns: All when None.
            rows_max: Rows of a frame, about.

        Raises:
            InputError: As `scan`.
            MovedError: Rows moved or came in meanwhile; forget what came and begin again.
            StorageError: A tier is not there, or a file is damaged.
        """
        known = _dataset(dataset)
        selection = select(venue=venue, interval=interval, symbols=symbols, start=start, end=end)
        schema, filters = _schema(known, venue), selection.filters()
        wanted = _wanted(schema, columns)
        types = polars_schema(schema)
        named = [name for each in filters for name in each.meta.root_names()]
        needed = list(dict.fromkeys([*wanted, *named]))
        for frame in stream_rows(self._reader, known, selection, needed, rows_max=rows_max):
            typed = frame.select(pl.col(name).cast(types[name]) for name in needed)
            yield typed.filter(*filters).select(wanted)
        self._reader.digests.save()

    def read(
        self,
        dataset: str = CANDLES.name,
        *,
        venue: str | None = None,
        interval: str | None = None,
        symbols: Sequence[str] | None = None,
        start: date | datetime | None = None,
        end: date | datetime | None = None,
        columns: Sequence[str] | None = None,
        with_tier: bool = False,
    ) -> pl.DataFrame:
        """Return what `scan` finds, sorted by those file sort columns that are asked for."""
        lazy = self.scan(
            dataset,
            venue=venue,
            interval=interval,
            symbols=symbols,
            start=start,
            end=end,
            columns=columns,
            with_tier=with_tier,
        )
        names = lazy.collect_schema().names()
        order = [name for name in _dataset(dataset).file_sort if name in names]
        frame = lazy.collect()
        self._reader.digests.save()
        return frame.sort(order) if order else frame

    def rows(self, partition: Partition) -> pa.Table:
        """Return the rows of one partition from whatever tiers serve it, with a column `tier`."""
        frame = self.read(
            partition.dataset,
            venue=partition.venue,
            interval=partition.interval,
            start=partition.from_day,
            end=partition.to_day,
            with_tier=True,
        )
        return frame.to_arrow()

    def partitions(
        self, dataset: str, venue: str | None = None, interval: str | None = None
    ) -> set[Partition]:
        """Return the partitions that have rows in any tier."""
        known = _dataset(dataset)
        selection = select(venue=venue, interval=interval)
        in_hot = set(hot_content(self._reader.hot, known).newest)
        catalog = self._reader.manifests.catalog(dataset)
        return {part for part in in_hot | set(catalog.states) if selection.covers(part)}

    def count(self, dataset: str = CANDLES.name) -> int:
        """Return the number of rows over all tiers, read from the tiers themselves."""
        return int(self.scan(dataset, columns=["timestamp"]).select(pl.len()).collect().item())

    def summary(self, dataset: str = CANDLES.name) -> list[Served]:
        """Return the rows of each partition by serving tier, read from the tiers themselves."""
        frame = (
            self.scan(dataset, columns=["venue", "interval", "trade_date"], with_tier=True)
            .group_by("venue", "interval", "trade_date", TIER)
            .len()
            .collect()
        )
        counted: dict[tuple[Partition, Tier], int] = {}
        for venue, interval, day, tier, rows in frame.iter_rows():
            place = (partition_of(dataset, venue, interval, day), Tier(tier))
            counted[place] = counted.get(place, 0) + rows
        return [Served(*place, rows) for place, rows in sorted(counted.items())]

    def sql(self, query: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> pa.Table:
        """Return the answer to one SELECT over the views; see `lake.sql`.

        Raises:
            InputError: Not one SELECT statement, or it cannot be answered.
            StorageError: A tier is not there or a file is damaged.
        """
        return self.ask(query, timeout_seconds=timeout_seconds).table

    def ask(self, query: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> SqlAnswer:
        """As `sql`, with what it took to answer."""
        answer = run_sql(self._reader, query, timeout_seconds=timeout_seconds)
        self._reader.digests.save()
        return answer

    def _lazy(self, dataset: Dataset, schema: pa.Schema, selection: Selection) -> pl.LazyFrame:
        types = polars_schema(schema)

        def source(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            del batch_size
            wanted = with_columns if with_columns is not None else [*types, TIER]
            named = predicate.meta.root_names() if predicate is not None else []
            needed = [name for name in dict.fromkeys([*wanted, *named]) if name != TIER]
            narrow = selection.narrowed(bounds(predicate))
            left = n_rows
            for frame in self._reader.frames(dataset, narrow, needed):
                typed = frame.cast({name: types[name] for name in needed})
                found = typed if predicate is None else typed.filter(predicate)
                part = found.select(wanted)
                if left is not None:
                    part = part.head(left)
                    left -= part.height
                yield part
                if left == 0:
                    return

        return register_io_source(source, schema={**types, TIER: pl.String()})


def _schema(dataset: Dataset, venue: str | None) -> pa.Schema:
    if venue is None:
        return hot_schema(dataset)
    if venue not in PRICE_SCALE:
        raise InputError(f"unknown venue {venue!r}; accepted: {', '.join(PRICE_SCALE)}")
    return file_schema(dataset, venue)


def _wanted(schema: pa.Schema, columns: Sequence[str] | None) -> list[str]:
    """Return the names that are asked for, all when None."""
    wanted = list(schema.names if columns is None else columns)
    unknown = [name for name in wanted if name not in {*schema.names, TIER}]
    if unknown:
        raise InputError(f"unknown column {unknown[0]!r}; known: {', '.join(schema.names)}")
    return wanted


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise InputError(f"unknown dataset {name!r}; known: {', '.join(DATASETS)}")
    return DATASETS[name]
