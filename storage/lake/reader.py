"""Reads a plan: hot first, then the files; what a read sees is one moment of the lake.

Theory of operation. Moves change where rows are, loads change which rows there are.

Moves. A file of a plan keeps its content wherever it goes: replaced or evicted it stands in the
trash of its tier for days, so a plan's files can be read to the end. Hot rows leave after their
eviction was recorded, so a reader that finds the chain unchanged about a partition after it has
read it has missed nothing; else it reads that partition again where it is now.

Loads. Rows that come into hot while partitions are read one after the other would be seen in part
only. The list of parts, looked at before and after, tells, and the whole read starts again.

Appends. What the daemon records comes in all the time, in batches that are visible whole; waiting
for it to pause would be in vain, so each partition is read as of a moment of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from storage.errors import StorageError
from storage.lake.digests import Digests
from storage.lake.hot_rows import HotContent, HotRows, hot_content, read_hot
from storage.lake.plan import FilePart, ReadPlan, file_parts, plan_read
from storage.lake.selection import Selection
from storage.manifest.catalog import Catalog, PartitionState
from storage.manifest.chain import Manifests
from storage.manifest.durable import TRASH, safe_path
from storage.schema.datasets import Dataset
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier, TierSettings

ATTEMPTS = 20

TIER = "tier"
"""Name of the added column that says which tier served a row."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The lake when a plan was made: what hot held, and just afterwards the chain."""

    content: HotContent
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one dataset over the tiers.

    Attributes:
        check_digests: False trusts the files; for measuring only.
    """

    hot: HotRows
    manifests: Manifests
    settings: TierSettings
    home: Path
    digests: Digests
    check_digests: bool = True

    def plan(self, dataset: Dataset, selection: Selection) -> tuple[ReadPlan, Moment]:
        """Return the places of the wanted rows now, and what that was decided by."""
        content = hot_content(self.hot, dataset)
        moment = Moment(content, self.manifests.catalog(dataset.name))
        return plan_read(moment.catalog, frozenset(content.newest), selection), moment

    def frames(
        self, dataset: Dataset, selection: Selection, columns: Sequence[str]
    ) -> Iterator[pl.DataFrame]:
        """Yield all wanted rows, each once, in frames at the scale of their venue.

        Args:
            dataset: What to read.
            selection: Bounds; rows outside may be yielded too.
            columns: Of the dataset; a column `tier` is added.

        Raises:
            StorageError: A tier is not there, a file is damaged, or partitions kept moving.
        """
        plan, held = self._settled(dataset, selection, columns)
        yield from held
        for part in plan.files:
            yield self.file_frame(part, selection, columns)

    def _settled(
        self, dataset: Dataset, selection: Selection, columns: Sequence[str]
    ) -> tuple[ReadPlan, list[pl.DataFrame]]:
        for _ in range(ATTEMPTS):
            plan, moment = self.plan(dataset, selection)
            held = self.hot_frames(dataset, plan.hot, selection, columns)
            held += self.blended_frames(dataset, plan, selection, columns)
            if not held or not self.has_arrivals_since(moment, dataset, selection):
                return plan, held
        raise StorageError(
            f"{dataset.name}: rows came in during {ATTEMPTS} attempts to read; try again"
        )

    def has_arrivals_since(self, moment: Moment, dataset: Dataset, selection: Selection) -> bool:
        """Return whether rows came in since a plan was made.

        They are in hot, or by now in a new revision of a partition of which hot had no rows. A
        dataset whose rows are appended is not asked.
        """
        if dataset.is_appended:
            return False
        if hot_content(self.hot, dataset).has_arrivals_since(moment.content, selection):
            return True
        return any(
            state.revision > moment.catalog.state(partition).revision
            and partition not in moment.content.newest
            and selection.covers(partition)
            for partition, state in self.manifests.catalog(dataset.name).states.items()
        )

    def path(self, part: FilePart) -> Path:
        """Return where a file of a plan stands, after its digest was compared.

        Raises:
            VerificationError: The file is not the one of its manifest.
            FileNotFoundError: It is nowhere.
        """
        root = self.settings.path(self.home, part.tier.value)
        path = safe_path(root, part.entry.path)
        if not path.exists():
            set_aside = sorted((root / TRASH).glob(f"*/{part.entry.path}"))
            path = set_aside[-1] if set_aside else path
        if self.check_digests:
            self.digests.require(path, part.entry)
        return path

    def file_frame(
        self,
        part: FilePart,
        selection: Selection,
        columns: Sequence[str],
        span: tuple[int, int] | None = None,
    ) -> pl.DataFrame:
        """Return the wanted rows of one file of a plan, wherever it stands by now.

        Args:
            part: The file.
            selection: Bounds.
            columns: Of the dataset; a column `tier` is added.
            span: First row that is looked at and the one after the last; all when None.

        Raises:
            StorageError: It is nowhere.
        """
        for _ in range(ATTEMPTS):
            try:
                lazy = pl.scan_parquet(self.path(part), hive_partitioning=False)
                if span is not None:
                    lazy = lazy.slice(span[0], span[1] - span[0])
                wanted = lazy.filter(*selection.filters()).select(columns)
                return wanted.with_columns(pl.lit(part.tier.value).alias(TIER)).collect()
            except FileNotFoundError:
                parts = list(file_parts(self._catalog(part.partition), part.partition))
                if parts and parts[0].revision == part.revision:
                    part = parts[0]
        raise StorageError(
            f"{part.partition.name}: the file of revision {part.revision} is missing;"
            " see `jts storage verify`"
        )

    def hot_frames(
        self,
        dataset: Dataset,
        partitions: Sequence[Partition],
        selection: Selection,
        columns: Sequence[str],
    ) -> list[pl.DataFrame]:
        """Return the rows of partitions that hot served, some of which may have left since.

        Raises:
            StorageError: They kept moving.
        """
        for _ in range(ATTEMPTS):
            served = [part for part in partitions if self.is_hot(part)]
            frames = read_hot(self.hot, dataset, served, selection, columns) if served else []
            if all(self.is_hot(part) for part in served):
                break
        else:
            raise _moving(dataset.name)
        tagged = [frame.with_columns(pl.lit(Tier.HOT.value).alias(TIER)) for frame in frames]
        return tagged + [
            self.blend(dataset, partition, selection, columns)
            for partition in sorted(set(partitions) - set(served))
        ]

    def blended_frames(
        self, dataset: Dataset, plan: ReadPlan, selection: Selection, columns: Sequence[str]
    ) -> list[pl.DataFrame]:
        """Return the rows of the partitions that stand in files and in hot."""
        return [
            self.blend(dataset, partition, selection, columns)
            for partition in dict.fromkeys(part.partition for part in plan.blended)
        ]

    def blend(
        self, dataset: Dataset, partition: Partition, selection: Selection, columns: Sequence[str]
    ) -> pl.DataFrame:
        """Return file and hot rows of one partition: per key the highest revision.

        Raises:
            StorageError: It kept moving.
        """
        needed = list(dict.fromkeys([*columns, *dataset.key, dataset.revision]))
        for _ in range(ATTEMPTS):
            before = self._state(partition)
            parts = file_parts(self._catalog(partition), partition)
            stored = [self.file_frame(part, selection, needed) for part in parts]
            late = read_hot(self.hot, dataset, [partition], selection, needed)
            if self._state(partition) == before:
                return _newest(dataset, stored, late).select(*columns, TIER)
        raise _moving(partition.name)

    def _catalog(self, partition: Partition) -> Catalog:
        return self.manifests.catalog(partition.dataset)

    def _state(self, partition: Partition) -> PartitionState:
        return self._catalog(partition).state(partition)

    def is_hot(self, partition: Partition) -> bool:
        """Return whether hot serves a partition by now."""
        return self._state(partition).serving() is Tier.HOT


def _newest(
    dataset: Dataset, stored: list[pl.DataFrame], late: list[pl.DataFrame]
) -> pl.DataFrame:
    """Return per key the row with the highest revision; of equals the first.

    That is the one of the file, for which a manifest vouches.
    """
    tagged = [frame.with_columns(pl.lit(Tier.HOT.value).alias(TIER)) for frame in late]
    both = pl.concat([*stored, *tagged]).with_row_index("place")
    return both.sort(dataset.revision, "place", descending=[True, False]).unique(
        subset=list(dataset.key), keep="first", maintain_order=True
    )


def _moving(what: str) -> StorageError:
    return StorageError(f"{what}: moved during {ATTEMPTS} attempts to read; try again")


def polars_schema(schema: pa.Schema) -> pl.Schema:
    """Return the Polars types of an Arrow schema."""
    return pl.DataFrame(pl.from_arrow(schema.empty_table())).schema
