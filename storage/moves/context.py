"""What every move needs: the stores, the chain, the volumes, the clock, and the lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.errors import RefusedError, VerificationError
from storage.manifest.catalog import Copy, PartitionState
from storage.manifest.chain import Manifests
from storage.manifest.durable import (
    TEMPORARY,
    TRASH,
    atomic_write,
    make_directories,
    publish,
    safe_path,
    set_aside,
    temporary_name,
)
from storage.manifest.locks import unfinished_marked
from storage.manifest.records import Fence, FileEntry, Record, Step, digest, encode
from storage.moves.hot_tier import HotTier
from storage.moves.volumes import Volumes
from storage.parquet.files import partition_folder, read_back, read_verified, write_rows
from storage.schema.arrow import file_schema
from storage.schema.datasets import DATASETS
from storage.schema.partitions import Partition, parse_partition
from storage.schema.tiers import Tier, TierSettings

SIDECAR = "_manifest.json"
_LOCK = ".lock"
WRITER = "jts/1"


def no_step(name: str) -> None:
    """Ignore the name of a step; tests pass a function that stops the process there."""
    del name


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The result of a move.

    Attributes:
        changed: False when everything was already as asked.
        manifest_id: Of the copy that the move made or relied on.
        stale: Rows arrived during the move; the partition is due again.
    """

    partition: Partition
    action: str
    tier: Tier
    changed: bool
    manifest_id: str
    revision: int
    rows: int
    bytes: int
    sha256: str
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A written file that nobody trusts yet."""

    partition: Partition
    tier: Tier
    revision: int
    temporary: Path
    rows: pa.Table

    def require_equal(self, table: pa.Table) -> None:
        """Compare every row with what was written.

        Raises:
            VerificationError: They differ.
        """
        if not table.equals(self.rows.cast(table.schema)):
            raise VerificationError(f"{self.temporary}: rows differ from those written")


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveContext:
    """Everything that a move works on; one per process, used by one thread at a time."""

    hot: HotTier
    manifests: Manifests
    settings: TierSettings
    volumes: Volumes
    today: Callable[[str], date]
    now: Callable[[], datetime]
    step: Callable[[str], None] = no_step

    def state(self, partition: Partition) -> PartitionState:
        """Return what the chain says about a partition now."""
        return self.manifests.catalog(partition.dataset).state(partition)

    @contextmanager
    def locked(self, partition: Partition) -> Iterator[None]:
        """Hold the partition's lock: one move at a time, over all processes of the instance."""
        name = f"{partition.venue}_{partition.interval}_{partition.key}{_LOCK}"
        with unfinished_marked(self._locks(partition.dataset) / name):
            yield

    def unfinished(self, dataset: str) -> list[Partition]:
        """Return the partitions of which a move was killed or failed, sorted."""
        folder = self._locks(dataset)
        if not folder.is_dir():
            return []
        names = [path.stem for path in folder.iterdir() if path.stat().st_size]
        return sorted(parse_partition(dataset, *name.split("_")) for name in names)

    def _locks(self, dataset: str) -> Path:
        return safe_path(self.manifests.root, f"{dataset}/locks")

    def require_closed(self, partition: Partition) -> None:
        """Refuse a partition that can still receive rows of a session.

        Raises:
            RefusedError: It is open today.
        """
        today = self.today(partition.venue)
        if partition.is_open(today):
            raise RefusedError(
                f"{partition.name} is open until {partition.to_day}, today is {today} there"
            )

    def record(
        self,
        partition: Partition,
        step: Step,
        tier: Tier,
        revision: int,
        *,
        files: tuple[FileEntry, ...] = (),
        source: Fence | None = None,
        subject: str = "",
        correction: str = "",
    ) -> tuple[Record, str]:
        """Append a record about a partition to the chain."""
        dataset = DATASETS[partition.dataset]
        schema = file_schema(dataset, partition.venue)
        fields: dict[str, Any] = {
            "step": step,
            "venue": partition.venue,
            "interval": partition.interval,
            "from_day": partition.from_day,
            "to_day": partition.to_day,
            "tier": tier,
            "revision": revision,
            "files": files,
            "source": source,
            "subject": subject,
            "schema_version": dataset.version,
            "schema_hash": digest(schema.serialize().to_pybytes()),
            "writer": WRITER,
            "created_at": self.now().isoformat(),
            "correction": correction,
        }
        return self.manifests.append(dataset.name, **fields)

    def folder(self, partition: Partition, tier: Tier) -> Path:
        """Return the folder of a partition's files in a tier."""
        name = partition_folder(DATASETS[partition.dataset], partition)
        return safe_path(self.volumes.root(tier), name)

    def path(self, tier: Tier, entry: FileEntry) -> Path:
        """Return where a file of a manifest stands."""
        return safe_path(self.volumes.root(tier), entry.path)

    def load(self, partition: Partition, tier: Tier, copy: Copy) -> pa.Table:
        """Return the rows of a copy after all of it was read back and compared.

        Raises:
            VerificationError: A file differs from its manifest.
        """
        dataset = DATASETS[partition.dataset]
        tables = [
            read_verified(self.path(tier, entry), entry, dataset, partition.venue)
            for entry in copy.files
        ]
        return pa.concat_tables(tables)

    def write_copy(self, partition: Partition, tier: Tier, revision: int, rows: pa.Table) -> Draft:
        """Write rows to a tier under a temporary name, and flush them."""
        folder = self.folder(partition, tier)
        make_directories(self.volumes.root(tier), folder)
        temporary = temporary_name(folder / f"part-r{revision:04d}.parquet")
        level = self.settings.warm_level if tier is Tier.WARM else self.settings.cold_level
        dataset = DATASETS[partition.dataset]
        group_rows = self.settings.row_group_rows
        try:
            write_rows(
                temporary, rows, dataset, partition.venue, level=level, group_rows=group_rows
            )
        except Exception:
            temporary.unlink(missing_ok=True)
            raise
        self.step(f"{tier}:written")
        return Draft(partition, tier, revision, temporary, rows)

    def publish_copy(self, draft: Draft) -> FileEntry:
        """Read a draft back from the medium, compare every row, and give it its name.

        Raises:
            VerificationError: What was read is not what was written; the draft is removed.
        """
        dataset = DATASETS[draft.partition.dataset]
        try:
            reading = read_back(draft.temporary, dataset, draft.partition.venue)
            draft.require_equal(reading.table)
        except Exception:
            draft.temporary.unlink(missing_ok=True)
            raise
        self.step(f"{draft.tier}:verified")
        name = f"part-r{draft.revision:04d}-{reading.sha256[:8]}.parquet"
        folder = partition_folder(dataset, draft.partition)
        publish(draft.temporary, draft.temporary.with_name(name))
        self.step(f"{draft.tier}:renamed")
        return reading.entry(f"{folder}/{name}")

    def write_sidecar(self, record: Record) -> None:
        """Put a copy of a published record beside its files, for recovery without the chain."""
        folder = self.folder(record.partition, record.tier)
        atomic_write(folder / SIDECAR, encode(record))

    def sweep(self, partition: Partition) -> None:
        """Clear the partition's folders of what no manifest lists: drafts, and replaced files.

        Drafts are removed; whole files go to the tier's trash until `empty_trash`.
        """
        state = self.state(partition)
        for tier in (Tier.WARM, Tier.COLD):
            folder = self.folder(partition, tier)
            copy = state.copies.get(tier)
            listed = {Path(entry.path).name for entry in copy.files} if copy else set()
            if listed:
                listed.add(SIDECAR)
            if folder.is_dir():
                self._sweep_folder(folder, tier, listed)

    def _sweep_folder(self, folder: Path, tier: Tier, listed: set[str]) -> None:
        root = self.volumes.root(tier)
        day = self.now().date().isoformat()
        for path in sorted(folder.iterdir()):
            if path.name.startswith(TEMPORARY):
                path.unlink()
            elif path.name not in listed:
                set_aside(path, root / TRASH / day / path.relative_to(root))
        if not listed:
            folder.rmdir()
