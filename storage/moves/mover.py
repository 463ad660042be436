"""The moves as one object: what the command line, Dagster and the demo call.

All due moves are planned by age (`policy`), made one by one under the partition's lock, and
recorded in the chain. Every move may be killed anywhere and run again.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

from storage.errors import HotStoreError, ManifestError, RefusedError, StorageError
from storage.manifest.catalog import PartitionState
from storage.manifest.chain import Manifests
from storage.manifest.records import Fence
from storage.moves import checking, copying, eviction
from storage.moves.checking import Finding
from storage.moves.context import MoveContext, Moved, no_step
from storage.moves.export import export
from storage.moves.hot_tier import HotTier
from storage.moves.policy import Action, DueMove, due_moves
from storage.moves.volumes import Volumes
from storage.schema.datasets import CANDLES
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier, TierSettings

_LONGEST_CHAIN = 8
"""Moves of one partition in one run: export, copy and two evictions, once more for late rows."""


class Mover:
    """Moves partitions between the tiers.

    Args:
        hot: The hot tier.
        manifests: The chains.
        tiers: Retention, levels and places.
        home: Data root of the instance.
        now: The instance clock as an aware `datetime`.
        today: The calendar day at a venue, on the instance clock; of `now` in UTC when None.
        step: Called with the name of each step as it is done.
    """

    def __init__(
        self,
        hot: HotTier,
        manifests: Manifests,
        tiers: TierSettings,
        home: Path,
        *,
        now: Callable[[], datetime],
        today: Callable[[str], date] | None = None,
        step: Callable[[str], None] = no_step,
    ) -> None:
        self._context = MoveContext(
            hot=hot,
            manifests=manifests,
            settings=tiers,
            volumes=Volumes(tiers, home),
            today=today or (lambda _: now().date()),
            now=now,
            step=step,
        )

    def export(self, partition: Partition, *, correction: str = "") -> Moved:
        """Publish a closed hot partition as the next revision in warm; see `moves.export`."""
        return export(self._context, partition, correction=correction)

    def copy(self, partition: Partition) -> Moved:
        """Publish the newest revision in cold; see `moves.copying`."""
        return copying.copy_cold(self._context, partition)

    def evict(self, manifest_id: str) -> Moved:
        """Empty the hottest tier of a partition, given a colder copy; see `moves.eviction`."""
        return eviction.evict(self._context, manifest_id)

    def restore(self, partition: Partition, to: Tier) -> Moved:
        """Bring the newest revision back to hot or warm; see `moves.copying`."""
        return copying.restore(self._context, partition, to)

    def state(self, partition: Partition) -> PartitionState:
        """Return what the chain says about a partition."""
        return self._context.state(partition)

    def plan(self, dataset: str = CANDLES.name) -> list[DueMove]:
        """Return the moves that are due today, in the order in which `archive` makes them."""
        hot = {found.partition for found in self._context.hot.partitions(dataset)}
        known = {state.partition for state in self._context.manifests.catalog(dataset)}
        return [
            move
            for partition in sorted(hot | known)
            for move in self._due(partition, self._fence(partition) if partition in hot else None)
        ]

    def archive(self, dataset: str = CANDLES.name) -> Iterator[Moved]:
        """Make the due moves and yield each result; what becomes due by a move follows it.

        First, what killed or failed moves have left is finished or cleared away. A partition
        that cannot be moved does not keep the others.

        Raises:
            StorageError: Some partitions could not be moved; the first reason is named.
            HotStoreError: The hot store is not there; nothing else is tried.
        """
        eviction.tidy(self._context, dataset)
        pending = sorted({move.partition for move in self.plan(dataset)})
        failures: list[StorageError] = []
        for partition in pending:
            try:
                yield from self.archive_partition(partition)
            except HotStoreError:
                raise
            except StorageError as error:
                failures.append(error)
        eviction.empty_trash(self._context)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            missed = f"{len(failures)} of {len(pending)} partitions were not moved"
            raise StorageError(f"{missed}; first: {failures[0]}")

    def archive_partition(
        self, partition: Partition, *, only: frozenset[Action] = frozenset(Action)
    ) -> Iterator[Moved]:
        """Make the due moves of one partition and yield each result.

        Args:
            partition: Which one.
            only: Kinds of moves to make; the others stay due.
        """
        for _ in range(_LONGEST_CHAIN):
            before = self._standing(partition)
            due = [move for move in before[1] if move.action in only]
            if not due:
                return
            try:
                moved = self._make(due[0])
            except OSError as error:
                what = f"{due[0].action} of {partition.name}"
                raise StorageError(f"{what}: {error.strerror or error}") from error
            except (RefusedError, ManifestError):
                # A load or another archive came first: what is due now is another question.
                if self._standing(partition) == before:
                    raise
                continue
            yield moved

    def verify(
        self, partition: Partition | None = None, dataset: str = CANDLES.name
    ) -> Iterator[Finding]:
        """Read copies back and compare them with their manifests; see `moves.checking`."""
        return checking.verify(self._context, dataset, partition)

    def scrub(
        self, dataset: str = CANDLES.name, *, turn: int = 0, of: int = 1
    ) -> Iterator[Finding]:
        """Verify one share of the copies and mend what is damaged; see `moves.checking`."""
        return checking.scrub(self._context, dataset, turn=turn, of=of)

    def _fence(self, partition: Partition) -> Fence | None:
        """Return what hot holds of a closed partition; an open one is not asked for."""
        if partition.is_open(self._context.today(partition.venue)):
            return None
        fence = self._context.hot.fence(partition)
        return fence if fence.rows else None

    def _standing(self, partition: Partition) -> tuple[PartitionState, list[DueMove]]:
        return self.state(partition), self._due(partition, self._fence(partition))

    def _due(self, partition: Partition, fence: Fence | None) -> list[DueMove]:
        state = self._context.state(partition)
        return due_moves(
            state,
            in_hot=fence is not None,
            exported=state.revision > 0 and fence == state.fence,
            today=self._context.today(partition.venue),
            settings=self._context.settings,
        )

    def _make(self, move: DueMove) -> Moved:
        partition = move.partition
        match move.action:
            case Action.EXPORT:
                return self.export(partition)
            case Action.COPY:
                return self.copy(partition)
            case Action.EVICT_HOT:
                newest = self.state(partition).newest_copy()
                return self.evict(newest[1].manifest_id if newest else "")
            case Action.EVICT_WARM:
                return self.evict(self.state(partition).copies[Tier.COLD].manifest_id)
