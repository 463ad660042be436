"""Hot to warm: write, read back, compare with a fresh query of the source, publish."""

from dataclasses import dataclass

import pyarrow as pa

from storage.errors import RefusedError, VerificationError
from storage.manifest.catalog import PartitionState, Presence
from storage.manifest.records import Fence, Step, Summary
from storage.manifest.summaries import summarise
from storage.moves.context import MoveContext, Moved
from storage.moves.eviction import remove_hot, settle
from storage.moves.merge import newest_rows
from storage.schema.datasets import DATASETS
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier

_ATTEMPTS = 3
_BYTES_PER_ROW = 64
"""Room asked for before anything is written; measured files need 5 to 25 bytes a row."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Rows to publish, the hot content (fence) that they contain, and the server's own count."""

    rows: pa.Table
    fence: Fence
    counted: Summary


def export(context: MoveContext, partition: Partition, *, correction: str = "") -> Moved:
    """Publish a closed partition of the hot tier as the next revision in warm.

    Idempotent: when the newest revision already holds exactly these rows, nothing is written.
    Rows that came after an eviction are merged with the newest revision and leave hot at once.

    Args:
        context: The stores.
        partition: A closed one.
        correction: Why the new revision may have fewer rows than the newest one.

    Raises:
        RefusedError: The partition is open or empty, would shrink without a correction, rows
            keep arriving, or the target has no room or is not mounted.
        VerificationError: What was read back is not what the source holds.
    """
    context.require_closed(partition)
    with context.locked(partition):
        settle(context, partition)
        context.sweep(partition)
        state = context.state(partition)
        fence = context.hot.fence(partition)
        newest = state.newest_copy()
        if newest is not None and _is_contained(state, fence):
            return _unchanged(state)
        context.volumes.require(Tier.WARM, fence.rows * _BYTES_PER_ROW)
        source = _gather(context, state, fence)
        _refuse_loss(state, source.rows.num_rows, correction)
        if newest is not None and _same_rows(context, state, source.rows):
            moved = _confirm(context, state, source)
        else:
            moved = _publish(context, state, source, correction)
        if state.hot is Presence.GONE:
            remove_hot(context, partition, moved.manifest_id)
        context.sweep(partition)
    return moved


def _is_contained(state: PartitionState, fence: Fence) -> bool:
    return fence == state.fence or (state.hot is Presence.GONE and fence.rows == 0)


def _gather(context: MoveContext, state: PartitionState, fence: Fence) -> _Source:
    """Read the hot rows while they stand still; add the file where hot is no longer whole."""
    partition = state.partition
    for _ in range(_ATTEMPTS):
        rows = context.hot.read(partition)
        counted = context.hot.summary(partition)
        after = context.hot.fence(partition)
        if fence == after:
            break
        fence = after
    else:
        raise RefusedError(f"{partition.name}: rows kept arriving while it was read; try again")
    newest = state.newest_copy()
    if state.hot is Presence.GONE and newest is not None:
        # The file to come holds more than hot does, so what was read is compared here.
        dataset = DATASETS[partition.dataset]
        _require_source(partition, summarise(rows, dataset), counted)
        rows = newest_rows(context.load(partition, *newest), rows, dataset)
    return _Source(rows, fence, counted)


def _require_source(partition: Partition, read: Summary, counted: Summary) -> None:
    differences = read.differences(counted)
    if differences:
        raise VerificationError(
            f"{partition.name}: rows read from hot against its own count: {'; '.join(differences)}"
        )


def _refuse_loss(state: PartitionState, rows: int, correction: str) -> None:
    newest = state.newest_copy()
    before = newest[1].rows if newest else 0
    if rows == 0:
        raise RefusedError(f"{state.partition.name}: the hot tier has no rows of it")
    if rows < before and not correction:
        raise RefusedError(
            f"{state.partition.name}: hot holds {rows} rows, revision {state.revision} has "
            f"{before}; fewer rows are published only with a correction that says why"
        )


def _same_rows(context: MoveContext, state: PartitionState, rows: pa.Table) -> bool:
    newest = state.newest_copy()
    if newest is None or newest[1].rows != rows.num_rows:
        return False
    stored = context.load(state.partition, *newest)
    return bool(stored.equals(rows.cast(stored.schema)))


def _confirm(context: MoveContext, state: PartitionState, source: _Source) -> Moved:
    context.record(state.partition, Step.CONFIRMED, Tier.HOT, state.revision, source=source.fence)
    return _unchanged(state)


def _publish(
    context: MoveContext, state: PartitionState, source: _Source, correction: str
) -> Moved:
    partition, revision = state.partition, state.revision + 1
    draft = context.write_copy(partition, Tier.WARM, revision, source.rows)
    entry = context.publish_copy(draft)
    if state.hot is Presence.PRESENT:
        _require_source(partition, entry.summary, source.counted)
    record, manifest_id = context.record(
        partition,
        Step.PUBLISHED,
        Tier.WARM,
        revision,
        files=(entry,),
        source=source.fence,
        correction=correction,
    )
    context.step("warm:recorded")
    context.write_sidecar(record)
    return Moved(
        partition=partition,
        action="export",
        tier=Tier.WARM,
        changed=True,
        manifest_id=manifest_id,
        revision=revision,
        rows=entry.summary.rows,
        bytes=entry.bytes,
        sha256=entry.sha256,
        stale=context.hot.fence(partition) != source.fence,
    )


def _unchanged(state: PartitionState) -> Moved:
    newest = state.newest_copy()
    if newest is None:
        raise RefusedError(f"{state.partition.name}: nothing was ever exported")
    tier, copy = newest
    return Moved(
        partition=state.partition,
        action="export",
        tier=tier,
        changed=False,
        manifest_id=copy.manifest_id,
        revision=copy.revision,
        rows=copy.rows,
        bytes=copy.bytes,
        sha256=copy.files[0].sha256,
    )
