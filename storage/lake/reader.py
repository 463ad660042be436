"""Reads a plan: hot first, then the same plan again or another try, then the files.

Theory of operation. A partition may move while it is read. Evictions are recorded before rows
leave hot, so a reader that finds its plan unchanged after it has read hot has missed nothing; if
the plan changed, it reads hot again by the new one. Files are opened afterwards: when one has
moved on meanwhile, the copy of the same revision in the colder tier holds the same rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from storage.errors import StorageError
from storage.lake.digests import Digests
from storage.lake.hot_rows import HotRows, present_partitions, read_hot
from storage.lake.plan import FilePart, ReadPlan, file_parts, plan_read
from storage.lake.selection import Selection
from storage.manifest.chain import Manifests
from storage.manifest.durable import safe_path
from storage.schema.datasets import Dataset
from storage.schema.tiers import Tier, TierSettings

ATTEMPTS = 8

TIER = "tier"
"""Name of the added column that says which tier served a row."""


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

    def plan(self, dataset: Dataset, selection: Selection) -> ReadPlan:
        """Return the places of the wanted rows now."""
        in_hot = present_partitions(self.hot, dataset)
        return plan_read(self.manifests.catalog(dataset.name), in_hot, selection)

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
        plan, held = self.settled(
            dataset, selection, lambda plan: self._from_hot(dataset, plan, selection, columns)
        )
        yield from held
        for part in plan.files:
            yield self.file_frame(dataset, part, selection, columns)

    def settled(
        self,
        dataset: Dataset,
        selection: Selection,
        read: Callable[[ReadPlan], list[pl.DataFrame]],
    ) -> tuple[ReadPlan, list[pl.DataFrame]]:
        """Read by a plan that was still valid afterwards; return both.

        Raises:
            StorageError: Partitions kept moving.
        """
        for _ in range(ATTEMPTS):
            plan = self.plan(dataset, selection)
            try:
                held = read(plan)
            except FileNotFoundError:
                continue
            if self.is_current(dataset, selection, plan):
                return plan, held
        raise StorageError(
            f"{dataset.name}: partitions moved during {ATTEMPTS} attempts to read; try again"
        )

    def is_current(self, dataset: Dataset, selection: Selection, plan: ReadPlan) -> bool:
        """Return whether the chain still leads to this plan."""
        blended = {part.partition for part in plan.blended}
        in_hot = frozenset(plan.hot) | blended
        again = plan_read(self.manifests.catalog(dataset.name), in_hot, selection)
        return again.hot == plan.hot and again.blended == plan.blended

    def path(self, part: FilePart) -> Path:
        """Return where a file stands, after its digest was compared.

        Raises:
            VerificationError: The file is not the one of its manifest.
            FileNotFoundError: It is not there any more.
        """
        path = safe_path(self.settings.path(self.home, part.tier.value), part.entry.path)
        if self.check_digests:
            self.digests.require(path, part.entry)
        return path

    def file_frame(
        self, dataset: Dataset, part: FilePart, selection: Selection, columns: Sequence[str]
    ) -> pl.DataFrame:
        """Return the wanted rows of one file, wherever its revision stands by now.

        Raises:
            StorageError: The revision is gone.
        """
        for _ in range(ATTEMPTS):
            try:
                lazy = pl.scan_parquet(self.path(part), hive_partitioning=False)
                wanted = lazy.filter(*selection.filters()).select(columns)
                return wanted.with_columns(pl.lit(part.tier.value).alias(TIER)).collect()
            except FileNotFoundError:
                catalog = self.manifests.catalog(dataset.name)
                elsewhere = list(file_parts(catalog, part.partition))
                if not elsewhere or elsewhere[0].revision != part.revision:
                    break
                part = elsewhere[0]
        raise StorageError(
            f"{part.partition.name}: revision {part.revision} was replaced while it was read, "
            "or its file is missing; try again, then `jts storage verify`"
        )

    def _from_hot(
        self, dataset: Dataset, plan: ReadPlan, selection: Selection, columns: Sequence[str]
    ) -> list[pl.DataFrame]:
        frames = read_hot(self.hot, dataset, plan.hot, selection, columns) if plan.hot else []
        tagged = [frame.with_columns(pl.lit(Tier.HOT.value).alias(TIER)) for frame in frames]
        return tagged + [self.blend(dataset, part, selection, columns) for part in plan.blended]

    def blend(
        self, dataset: Dataset, part: FilePart, selection: Selection, columns: Sequence[str]
    ) -> pl.DataFrame:
        """Return file and hot rows of one partition: per key the highest revision."""
        needed = list(dict.fromkeys([*columns, *dataset.key, dataset.revision]))
        stored = self.file_frame(dataset, part, selection, needed)
        late = read_hot(self.hot, dataset, [part.partition], selection, needed)
        tagged = [frame.with_columns(pl.lit(Tier.HOT.value).alias(TIER)) for frame in late]
        # At equal revisions the first of equals stays: the one that a manifest vouches for.
        both = pl.concat([stored, *tagged]).with_row_index("place")
        best = both.sort(dataset.revision, "place", descending=[True, False]).unique(
            subset=list(dataset.key), keep="first", maintain_order=True
        )
        return best.select(*columns, TIER)


def polars_schema(schema: pa.Schema) -> pl.Schema:
    """Return the Polars types of an Arrow schema."""
    return pl.DataFrame(pl.from_arrow(schema.empty_table())).schema
