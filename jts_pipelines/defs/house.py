"""The libraries of one instance, composed: what the assets and the demo call.

Pure of Dagster. Opening a `House` opens nothing; every method that reaches a store makes a
connection of its own and closes it, so a count never comes from the connection that moved rows.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from jts_pipelines.defs.facts import (
    PartitionFacts,
    fold,
    known_days_sql,
    per_day_sql,
)
from jts_pipelines.ingest.load import IngestOptions, Progress, ingest_file
from jts_pipelines.ingest.report import IngestReport
from jts_trading.config.settings import Settings
from jts_trading.domain.calendars import Calendar
from jts_trading.domain.sessions import calendar_for
from jts_trading.indicators.catalog import Catalog
from jts_trading.kernels.own_indicators import load_catalog
from jts_trading.ports.clock import Clock, open_clock, today
from storage.embedded.dsn import libpq_url
from storage.errors import RefusedError
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.lake.standing import standings
from storage.ledger.reading import Snapshot, ledger_snapshot
from storage.manifest.catalog import Presence
from storage.manifest.chain import Manifests
from storage.moves.checking import Finding
from storage.moves.mover import Mover
from storage.moves.policy import DueMove
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier

LISTING = Path("reference/instruments.parquet")
"""Where an instance keeps its list of instruments, below its root: symbol, market, name, asset."""


@dataclass(frozen=True, slots=True)
class Moves:
    """A mover with its stores, and what an asset asks before it moves."""

    mover: Mover
    hot: HotStore
    manifests: Manifests

    def copy_in(self, partition: Partition, *tiers: Tier) -> str:
        """Return the manifest id of the copy in the first of these tiers that has one.

        Raises:
            RefusedError: None of them has a copy.
        """
        copies = self.mover.state(partition).copies
        for tier in tiers:
            if tier in copies:
                return copies[tier].manifest_id
        wanted = " or ".join(tiers)
        raise RefusedError(f"{partition.name}: no verified copy in {wanted}; make it first")

    def require_out_of_hot(self, partition: Partition) -> None:
        """Refuse while the hot tier still serves a partition.

        Raises:
            RefusedError: It does.
        """
        if self.mover.state(partition).hot is not Presence.GONE:
            raise RefusedError(f"{partition.name}: still served from hot; evict it there first")

    def problems(self, partitions: Sequence[Partition], tier: Tier) -> list[str]:
        """Open copies again, by path; return one line per copy that is missing or wrong.

        Args:
            partitions: Which ones.
            tier: Where the copy is, or it has moved on from there to a colder tier.
        """
        found = []
        for partition in partitions:
            copies = self._copies_from(partition, tier)
            if not copies:
                found.append(f"{partition.key}: no copy in {tier}")
            found += [f"{partition.key}: {copy.problem}" for copy in copies if copy.problem]
        return found

    def _copies_from(self, partition: Partition, tier: Tier) -> list[Finding]:
        copies = {found.tier: found for found in self.mover.verify(partition)}
        if tier in copies:
            return [copies[tier]]
        return [copies[Tier.COLD]] if Tier.COLD in copies else []


class House:
    """One instance of JTS.

    Args:
        settings: Its configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def root(self) -> Path:
        """The data root."""
        return self.settings.instance.root

    @property
    def listing(self) -> Path | None:
        """The instance's list of instruments; None where nobody has put one there."""
        path = self.root / LISTING
        return path if path.is_file() else None

    @property
    def indicators(self) -> Catalog:
        """The indicators that strategies may call: the native ones and those of the folder.

        Raises:
            OwnIndicatorError: One of the folder cannot be used.
        """
        return load_catalog(self.settings.indicators.own)

    @property
    def clock(self) -> Clock:
        """The instance clock, as it stands in the home now."""
        return open_clock(self.settings.instance.run_directory)

    def today(self, venue: str) -> date:
        """Return the date at a venue on the instance clock."""
        return today(self.clock, venue)

    def calendar(self, venue: str) -> Calendar:
        """Return the sessions of a venue."""
        return calendar_for(venue)

    @contextmanager
    def moves(self) -> Iterator[Moves]:
        """Open a mover for the length of the block."""
        hot = HotStore(self.settings.hot_dsn)
        try:
            manifests = self._manifests()
            mover = Mover(
                hot, manifests, self.settings.tiers, self.root, now=self._now, today=self.today
            )
            yield Moves(mover, hot, manifests)
        finally:
            hot.close()

    def plan(self) -> list[DueMove]:
        """Return the moves that are due on the instance clock."""
        with self.moves() as moves:
            moves.hot.ensure_schema()
            return moves.mover.plan()

    @contextmanager
    def lake(self) -> Iterator[Lake]:
        """Open all tiers for reading, through a new connection, for the length of the block."""
        hot = HotStore(self.settings.hot_dsn)
        try:
            yield Lake(hot, self._manifests(), self.settings.tiers, self.root)
        finally:
            hot.close()

    @contextmanager
    def ledger(self) -> Iterator[Snapshot]:
        """Open the journal's database for reading, at one instant, for the length of the block.

        Raises:
            StorageError: It is not there, or nothing was ever journalled in it.
        """
        with ledger_snapshot(libpq_url(self.settings.postgres_dsn)) as snapshot:
            yield snapshot

    def sql(self, query: str) -> pa.Table:
        """Ask all tiers through a new connection."""
        with self.lake() as lake:
            return lake.sql(query)

    def partition_facts(self, partitions: Sequence[Partition]) -> list[PartitionFacts]:
        """Return what all tiers together serve for some partitions of one family."""
        return fold(partitions, self.sql(per_day_sql(partitions)).to_pylist())

    def partition_bytes(self, partitions: Sequence[Partition]) -> Mapping[str, int]:
        """Return the bytes that serve some partitions of one family, by partition key."""
        with self.moves() as moves:
            dataset = partitions[0].dataset
            found = standings(moves.manifests.catalog(dataset), moves.hot.partitions(dataset))
        wanted = set(partitions)
        return {
            standing.partition.key: sum(h.bytes for h in standing.held.values() if h.serves)
            for standing in found
            if standing.partition in wanted
        }

    def known_days(self, venue: str, interval: str) -> tuple[date, date] | None:
        """Return the first and last day on which any tier serves a family; None without rows."""
        found = self.sql(known_days_sql(venue, interval)).to_pylist()[0]
        return None if found["first"] is None else (found["first"], found["last"])

    def ingest(
        self, path: Path, venue: str, interval: str, *, progress: Progress | None = None
    ) -> IngestReport:
        """Load one file into the hot tier.

        Raises:
            InputError: The file cannot be used; nothing was loaded.
            StorageError: The store failed.
        """
        hot = HotStore(self.settings.hot_dsn)
        lake = Lake(hot, self._manifests(), self.settings.tiers, self.root)
        try:
            hot.ensure_schema()
            return ingest_file(
                path,
                IngestOptions(venue=venue, interval=interval),
                hot=hot,
                home=self.root,
                quarantine=self.settings.tiers.path(self.root, "quarantine"),
                received_at_ns=self.clock.now_ns(),
                stored=lake,
                progress=progress,
            )
        finally:
            hot.close()

    def served_rows(self, partitions: Sequence[Partition]) -> Mapping[str, int]:
        """Count the rows of some partitions of one family over all tiers, by partition key."""
        facts = self.partition_facts(partitions)
        return Counter({fact.partition.key: fact.rows for fact in facts})

    def _now(self) -> datetime:
        seconds, rest_ns = divmod(self.clock.now_ns(), 1_000_000_000)
        moment = datetime.fromtimestamp(seconds, UTC)
        return moment.replace(microsecond=rest_ns // 1000)

    def _manifests(self) -> Manifests:
        return Manifests(self.settings.tiers.path(self.root, "manifests"))
