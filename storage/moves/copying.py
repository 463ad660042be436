"""Warm to cold, and back: one tier's verified copy becomes another's, row for row."""

from storage.errors import RefusedError
from storage.manifest.catalog import Copy, PartitionState, Presence
from storage.manifest.records import Step
from storage.moves.context import MoveContext, Moved
from storage.moves.eviction import settle
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier


def copy_cold(context: MoveContext, partition: Partition) -> Moved:
    """Publish the newest revision in cold, encoded anew at the cold level.

    Raises:
        RefusedError: Nothing was exported yet, or the target is not mounted or has no room.
        VerificationError: The warm copy differs from its manifest, or cold from warm.
    """
    context.require_closed(partition)
    with context.locked(partition):
        settle(context, partition)
        context.sweep(partition)
        moved = _copy(context, partition, Tier.WARM, Tier.COLD, Step.PUBLISHED)
        context.sweep(partition)
    return moved


def restore(context: MoveContext, partition: Partition, to: Tier) -> Moved:
    """Bring the newest revision back to hot or warm, from where it serves again.

    It leaves again by age counted from now. Idempotent.

    Raises:
        RefusedError: Nothing was exported, or cold is asked for.
        VerificationError: A copy differs from its manifest, or hot from the copy.
    """
    if to is Tier.COLD:
        raise RefusedError("cold is filled by `archive`; accepted: hot, warm")
    with context.locked(partition):
        settle(context, partition)
        context.sweep(partition)
        if to is Tier.HOT:
            moved = _to_hot(context, partition)
        else:
            moved = _copy(context, partition, Tier.COLD, Tier.WARM, Step.RESTORED)
        context.sweep(partition)
    return moved


def _copy(
    context: MoveContext, partition: Partition, source: Tier, target: Tier, step: Step
) -> Moved:
    state = context.state(partition)
    present = state.copies.get(target)
    if present is not None and present.revision == state.revision:
        return moved_copy(partition, step, target, present, changed=False)
    copy = _newest(state, source)
    context.volumes.require(target, copy.bytes)
    rows = context.load(partition, source, copy)
    entry = context.publish_copy(context.write_copy(partition, target, state.revision, rows))
    record, _ = context.record(
        partition, step, target, state.revision, files=(entry,), subject=copy.manifest_id
    )
    context.step(f"{target}:recorded")
    context.write_sidecar(record)
    return moved_copy(
        partition, step, target, context.state(partition).copies[target], changed=True
    )


def _to_hot(context: MoveContext, partition: Partition) -> Moved:
    state = context.state(partition)
    newest = state.newest_copy()
    if newest is None:
        raise RefusedError(f"{partition.name}: nothing was ever exported")
    tier, copy = newest
    if state.hot is not Presence.GONE:
        return moved_copy(partition, Step.RESTORED, Tier.HOT, copy, changed=False)
    rows = context.load(partition, tier, copy)
    fence, summary = context.hot.transit.stage(partition, rows)
    differences = summary.differences(copy.files[0].summary)
    if differences:
        raise RefusedError(f"{partition.name}: staged rows differ: {'; '.join(differences)}")
    context.step("hot:staged")
    context.hot.transit.admit(partition)
    context.step("hot:admitted")
    context.record(
        partition,
        Step.RESTORED,
        Tier.HOT,
        state.revision,
        source=fence,
        subject=copy.manifest_id,
    )
    return moved_copy(partition, Step.RESTORED, Tier.HOT, copy, changed=True)


def _newest(state: PartitionState, tier: Tier) -> Copy:
    copy = state.copies.get(tier)
    if copy is None or copy.revision != state.revision:
        raise RefusedError(
            f"{state.partition.name}: {tier} holds no copy of revision {state.revision}"
        )
    return copy


def moved_copy(
    partition: Partition, step: Step, tier: Tier, copy: Copy, *, changed: bool
) -> Moved:
    """Return the result of a move that made or found a copy."""
    action = "restore" if step is Step.RESTORED else "copy"
    return Moved(
        partition=partition,
        action=action,
        tier=tier,
        changed=changed,
        manifest_id=copy.manifest_id,
        revision=copy.revision,
        rows=copy.rows,
        bytes=copy.bytes,
        sha256=copy.files[0].sha256,
    )
