"""The chain folded: which copies of each partition exist and which tier serves it.

A `Catalog` is an immutable snapshot with a version (the sequence of the newest record). `fold`
applies one record and refuses every step that cannot follow from the state before, so a chain
that was tampered with does not fold.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum

import msgspec

from storage.errors import ManifestError
from storage.manifest.records import GENESIS, Fence, FileEntry, Record, Step
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier


class Presence(StrEnum):
    """Where a copy stands. LATE_LEAVING: only rows that came after an eviction are removed."""

    PRESENT = "present"
    LEAVING = "leaving"
    LATE_LEAVING = "late_leaving"
    GONE = "gone"


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A verified copy in warm or cold."""

    manifest_id: str
    revision: int
    files: tuple[FileEntry, ...]
    since: str
    presence: Presence = Presence.PRESENT

    @property
    def rows(self) -> int:
        """Rows in the files of the copy."""
        return sum(entry.summary.rows for entry in self.files)

    @property
    def bytes(self) -> int:
        """Bytes in the files of the copy."""
        return sum(entry.bytes for entry in self.files)


class PartitionState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the chain says about one partition.

    Attributes:
        revision: Newest revision that was published.
        hot: Whether the hot tier is the owner of the rows.
        fence: Content of the hot partition that the newest revision is known to contain.
        copies: By tier, warm and cold; an older revision may still stand in cold.
        restored_at: By tier, the instant of the last restore.
    """

    partition: Partition
    revision: int = 0
    hot: Presence = Presence.PRESENT
    fence: Fence | None = None
    copies: dict[Tier, Copy] = {}
    restored_at: dict[Tier, str] = {}

    def newest_copy(self) -> tuple[Tier, Copy] | None:
        """Return the copy that serves when hot does not: newest revision, warm before cold."""
        for wanted in (Presence.PRESENT, Presence.LEAVING):
            for tier in (Tier.WARM, Tier.COLD):
                copy = self.copies.get(tier)
                if copy and copy.revision == self.revision and copy.presence is wanted:
                    return tier, copy
        return None

    def serving(self) -> Tier:
        """Return the one tier that serves the partition.

        Raises:
            ManifestError: Hot gave the rows up and no copy of the newest revision is left.
        """
        if self.hot is Presence.PRESENT:
            return Tier.HOT
        newest = self.newest_copy()
        if newest is None:
            raise ManifestError(f"{self.partition.name}: no tier holds revision {self.revision}")
        return newest[0]


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable state of one dataset; partitions that were never exported are not in it."""

    dataset: str
    version: int = 0
    head: str = GENESIS
    states: dict[Partition, PartitionState] = {}

    def state(self, partition: Partition) -> PartitionState:
        """Return the state of a partition; that of an unknown one is hot and never exported."""
        return self.states.get(partition) or PartitionState(partition=partition)

    def __iter__(self) -> Iterator[PartitionState]:
        """Iterate over the known partitions, ordered by venue, interval and day."""
        return iter(sorted(self.states.values(), key=lambda state: state.partition))

    def find_copy(self, manifest_id: str) -> tuple[PartitionState, Tier, Copy]:
        """Return the copy that a manifest published.

        Raises:
            ManifestError: No present copy has this id.
        """
        for state in self.states.values():
            for tier, copy in state.copies.items():
                if copy.manifest_id == manifest_id:
                    return state, tier, copy
        raise ManifestError(f"manifest {manifest_id[:80]!r}: it names no copy that is in use")


def fold(
    states: Mapping[Partition, PartitionState], record: Record, digest: str
) -> PartitionState:
    """Return the state of the record's partition after it.

    Args:
        states: State of all partitions before.
        record: The next record of the chain.
        digest: SHA-256 of its bytes.

    Raises:
        ManifestError: The step cannot follow.
    """
    state = states.get(record.partition) or PartitionState(partition=record.partition)
    manifest_id = f"{record.dataset}/{record.sequence:08d}-{digest[:12]}"
    match record.step:
        case Step.PUBLISHED | Step.RESTORED:
            return _with_copy(state, record, manifest_id)
        case Step.CONFIRMED:
            _require(record.revision == state.revision, record, "names another revision")
            return msgspec.structs.replace(state, fence=record.source)
        case Step.EVICTING | Step.KEPT | Step.EVICTED:
            return _FOLD_EVICTION[record.tier is Tier.HOT](state, record)


def _with_copy(state: PartitionState, record: Record, manifest_id: str) -> PartitionState:
    restored = record.step is Step.RESTORED
    marks = (
        {**state.restored_at, record.tier: record.created_at} if restored else state.restored_at
    )
    if record.tier is Tier.HOT:
        _require(restored, record, "hot is filled by loads, not published")
        _require(state.hot is Presence.GONE, record, "hot still holds the partition")
        return msgspec.structs.replace(
            state, hot=Presence.PRESENT, fence=record.source, restored_at=marks
        )
    present = state.copies.get(record.tier)
    newer = record.revision == state.revision + 1 and not restored
    filling = record.revision == state.revision and state.revision > 0
    taken = present is not None and present.revision >= record.revision and not restored
    _require(newer or filling, record, f"follows revision {state.revision}")
    _require(not taken, record, "is a duplicate")
    _require(bool(record.files), record, "lists no file")
    copy = Copy(
        manifest_id=manifest_id,
        revision=record.revision,
        files=record.files,
        since=record.created_at,
    )
    return msgspec.structs.replace(
        state,
        revision=record.revision,
        fence=record.source if newer else state.fence,
        copies={**state.copies, record.tier: copy},
        restored_at=marks,
    )


def _fold_hot_eviction(state: PartitionState, record: Record) -> PartitionState:
    match record.step, state.hot:
        case Step.EVICTING, Presence.PRESENT | Presence.GONE:
            _require(state.newest_copy() is not None, record, "has no colder copy")
            late = state.hot is Presence.GONE
            after = Presence.LATE_LEAVING if late else Presence.LEAVING
        case Step.KEPT, Presence.LEAVING:
            after = Presence.PRESENT
        case Step.KEPT, Presence.LATE_LEAVING:
            after = Presence.GONE
        case Step.EVICTED, Presence.LEAVING | Presence.LATE_LEAVING:
            after = Presence.GONE
        case _:
            raise ManifestError(_sentence(record, f"cannot follow while hot is {state.hot}"))
    return msgspec.structs.replace(state, hot=after)


def _fold_warm_eviction(state: PartitionState, record: Record) -> PartitionState:
    warm, cold = state.copies.get(Tier.WARM), state.copies.get(Tier.COLD)
    _require(record.tier is Tier.WARM, record, "removes the last copy")
    _require(cold is not None and cold.revision == state.revision, record, "has no cold copy")
    if warm is None:
        raise ManifestError(_sentence(record, "concerns no copy"))
    expected = Presence.PRESENT if record.step is Step.EVICTING else Presence.LEAVING
    _require(warm.presence is expected, record, f"cannot follow while warm is {warm.presence}")
    copies: dict[Tier, Copy] = dict(state.copies)
    del copies[Tier.WARM]
    if record.step is not Step.EVICTED:
        after = Presence.LEAVING if record.step is Step.EVICTING else Presence.PRESENT
        copies[Tier.WARM] = msgspec.structs.replace(warm, presence=after)
    return msgspec.structs.replace(state, copies=copies)


_FOLD_EVICTION = {True: _fold_hot_eviction, False: _fold_warm_eviction}


def _require(holds: bool, record: Record, problem: str) -> None:
    if not holds:
        raise ManifestError(_sentence(record, problem))


def _sentence(record: Record, problem: str) -> str:
    return (
        f"manifest {record.dataset}/{record.sequence:08d}: {record.step} {record.partition.name} "
        f"revision {record.revision} in {record.tier} {problem}"
    )
