# ruff: noqa: S608 - names come from storage.schema, paths are quoted
"""The views of one SQL session: each dataset over all tiers, positions, and refused rows.

Files are read by DuckDB itself; the hot part is a Polars source to which DuckDB hands its
projection and filters, so that only wanted rows cross the wire. Looking where rows are costs time,
so only the datasets that the query names are planned; the view of another one has all columns, and
says so should it be scanned after all.

Times are microseconds here: nanoseconds are a type of their own in DuckDB, which neither compares
with other times nor has functions. `Lake.scan` has them in full.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
from polars.io.plugins import register_io_source

from storage.lake.plan import ReadPlan
from storage.lake.predicates import bounds
from storage.lake.reader import TIER, Moment, Reader, polars_schema
from storage.lake.selection import Selection
from storage.schema.arrow import hot_schema
from storage.schema.datasets import CANDLES, DATASETS, DECIMALS, Dataset, Kind
from storage.schema.tiers import Tier

POSITIONS = "positions"
QUARANTINE = "quarantine"

_QUARANTINE_COLUMNS = (
    "dataset",
    "venue",
    "interval",
    "ingest_id",
    "file",
    "row",
    "reason",
    "reasons",
    "original",
)
_POSITIONS = """
SELECT broker, account, instance, instrument_id, venue, symbol, currency,
    sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END - fee_quantity) AS quantity,
    sum(CASE side WHEN 'buy' THEN quantity ELSE 0 END) AS bought,
    sum(CASE side WHEN 'sell' THEN quantity ELSE 0 END) AS sold,
    sum(CASE side WHEN 'buy' THEN gross ELSE 0 END) AS paid,
    sum(CASE side WHEN 'sell' THEN gross ELSE 0 END) AS received,
    sum(fee) AS fee,
    sum(tax) AS tax,
    count(*) AS fills,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at
FROM fills GROUP BY ALL"""

_WORD = re.compile(r"\w+")

Plans = dict[str, tuple[ReadPlan, Moment]]
"""Where the rows of datasets are, by name."""


@dataclass(slots=True)
class Traffic:
    """What a session fetched from the hot tier.

    Attributes:
        failure: What went wrong there; DuckDB wraps it in an error of its own.
        is_torn: Rows came in while hot was read: some are in the answer, others are not.
        unplanned: Datasets that were scanned without a plan.
    """

    rows: int = 0
    columns: set[str] = field(default_factory=set)
    failure: Exception | None = None
    is_torn: bool = False
    unplanned: set[str] = field(default_factory=set)


class UnplannedError(Exception):
    """A query scanned a dataset that was not planned; it is among `Traffic.unplanned`."""


def datasets_of(query: str) -> frozenset[str]:
    """Return the datasets whose names stand in a query, `positions` taken for its fills.

    A guess that saves work: what a query reads without naming it is found out when it is scanned.
    """
    words = set(_WORD.findall(query.lower()))
    return frozenset(words & DATASETS.keys()) | ({"fills"} if POSITIONS in words else frozenset())


def create_views(
    connection: duckdb.DuckDBPyConnection, reader: Reader, plans: Plans, traffic: Traffic
) -> None:
    """Create every view; rows are fetched when a query scans them.

    Args:
        connection: Where to.
        reader: Of the lake.
        plans: Of the datasets that the query is expected to read.
        traffic: Filled while the query runs.

    Raises:
        StorageError: A file is damaged, or a tier is not there.
    """
    for name, dataset in DATASETS.items():
        if name in plans:
            _View(reader, dataset, *plans[name], traffic).create(connection)
        else:
            _create_unplanned(connection, dataset, traffic)
    connection.execute(f"CREATE VIEW {POSITIONS} AS {_POSITIONS}")
    connection.execute(f"CREATE VIEW {QUARANTINE} AS {_quarantine_select(reader)}")


class _View:
    """One dataset as DuckDB sees it."""

    def __init__(
        self,
        reader: Reader,
        dataset: Dataset,
        plan: ReadPlan,
        moment: Moment,
        traffic: Traffic,
    ) -> None:
        self._reader = reader
        self._dataset = dataset
        self._plan = plan
        self._moment = moment
        self._traffic = traffic
        self._types = _view_types(dataset)

    def create(self, connection: duckdb.DuckDBPyConnection) -> None:
        name = self._dataset.name
        connection.register(f"{name}_hot_rows", self._hot_source())
        parts = [f"SELECT *, '{Tier.HOT}' AS {TIER} FROM {name}_hot_rows"]
        if self._plan.blended:
            connection.register(f"{name}_blended_rows", self._blended().to_arrow())
            parts.append(f"SELECT * FROM {name}_blended_rows")
        parts += [
            _files_select(self._dataset, tier, paths)
            for (tier, _), paths in self._paths_by_shape().items()
        ]
        connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")

    def _blended(self) -> pl.DataFrame:
        frames = self._reader.blended_frames(
            self._dataset, self._plan, Selection(), list(self._types)
        )
        self._notice_arrivals(Selection())
        return pl.concat([frame.cast(self._types) for frame in frames])

    def _paths_by_shape(self) -> dict[tuple[Tier, str], list[Path]]:
        """Group files by tier and venue: one group has one scale, so it is read as one table."""
        groups: dict[tuple[Tier, str], list[Path]] = {}
        for part in self._plan.files:
            shape = (part.tier, part.partition.venue)
            groups.setdefault(shape, []).append(self._reader.path(part))
        return groups

    def _hot_source(self) -> pl.LazyFrame:
        types = self._types

        def source(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            del n_rows, batch_size
            wanted = list(types) if with_columns is None else with_columns
            named = predicate.meta.root_names() if predicate is not None else []
            needed = list(dict.fromkeys([*wanted, *named])) or ["timestamp"]
            for frame in self._fetch(bounds(predicate), needed):
                typed = frame.cast({name: types[name] for name in needed})
                yield (typed if predicate is None else typed.filter(predicate)).select(wanted)

        return register_io_source(source, schema=types)

    def _fetch(self, selection: Selection, columns: list[str]) -> list[pl.DataFrame]:
        partitions = [part for part in self._plan.hot if selection.covers(part)]
        if not partitions:
            return []
        try:
            frames = self._reader.hot_frames(self._dataset, partitions, selection, columns)
            self._notice_arrivals(selection)
        except Exception as error:
            self._traffic.failure = error
            raise
        self._traffic.rows += sum(frame.height for frame in frames)
        self._traffic.columns.update(columns)
        return frames

    def _notice_arrivals(self, selection: Selection) -> None:
        if self._reader.has_arrivals_since(self._moment, self._dataset, selection):
            self._traffic.is_torn = True


def _create_unplanned(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, traffic: Traffic
) -> None:
    """Create a view with all columns whose scan says that it has no plan."""

    def source(*_: object) -> Iterator[pl.DataFrame]:
        traffic.unplanned.add(dataset.name)
        raise UnplannedError(dataset.name)

    types = {**_view_types(dataset), TIER: pl.String()}
    connection.register(f"{dataset.name}_unplanned", register_io_source(source, schema=types))
    connection.execute(f"CREATE VIEW {dataset.name} AS SELECT * FROM {dataset.name}_unplanned")


def _view_types(dataset: Dataset) -> pl.Schema:
    types = polars_schema(hot_schema(dataset))
    for column in dataset.columns:
        if column.kind is Kind.TIMESTAMP_NS:
            types[column.name] = pl.Datetime("us", "UTC")
    return types


def _quarantine_select(reader: Reader) -> str:
    root = reader.settings.path(reader.home, "quarantine")
    files = sorted((root / CANDLES.name).glob("*.parquet"))
    if files:
        return f"SELECT * FROM read_parquet([{_listed(files)}], union_by_name = true)"
    columns = ", ".join(
        f'CAST(NULL AS {"BIGINT" if name == "row" else "VARCHAR"}) AS "{name}"'
        for name in _QUARANTINE_COLUMNS
    )
    return f"SELECT {columns} WHERE false"


def _files_select(dataset: Dataset, tier: Tier, paths: list[Path]) -> str:
    schema = hot_schema(dataset)
    columns = []
    for column in dataset.columns:
        kind = schema.field(column.name).type
        if column.kind in DECIMALS:
            shown = f"CAST({column.name} AS DECIMAL({kind.precision}, {kind.scale}))"
        elif column.kind is Kind.TIMESTAMP_NS:
            shown = f"CAST({column.name} AS TIMESTAMPTZ)"
        else:
            shown = f'"{column.name}"'
        columns.append(f'{shown} AS "{column.name}"')
    files = f"read_parquet([{_listed(paths)}], hive_partitioning = false)"
    return f"SELECT {', '.join(columns)}, '{tier}' AS {TIER} FROM {files}"


def _listed(paths: list[Path]) -> str:
    return ", ".join(quoted(str(path)) for path in paths)


def quoted(text: str) -> str:
    """Return a text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"
