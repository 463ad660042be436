"""The only code that deletes market data, and only by the manifest of a colder copy.

Theory of operation, for hot. `evicting` is recorded first, so that readers turn to the files.
The partition is then withdrawn from the live table in one step and compared with the fence of
the manifest: equal, `evicted` is recorded and the withdrawn rows are discarded; different, they
are put back and `kept` is recorded. After a kill, `settle` finds one of three situations: not yet
withdrawn, withdrawn but not recorded, recorded but not discarded, and finishes each.

For warm: `evicting`, read the cold copy back, `evicted`, and the files go to the trash.
"""

from datetime import date

from storage.errors import RefusedError, VerificationError
from storage.manifest.catalog import Copy, PartitionState, Presence
from storage.manifest.durable import TRASH, remove_tree
from storage.manifest.records import Step
from storage.moves.context import MoveContext, Moved
from storage.moves.policy import age_in, eviction_due
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier

TRASH_DAYS = 7
_LEAVING = {Presence.LEAVING, Presence.LATE_LEAVING}


def evict(context: MoveContext, manifest_id: str) -> Moved:
    """Remove the hotter copy of a partition, given the manifest of a colder one.

    The hottest tier that still holds the partition is emptied; call again for the next.

    Args:
        context: The stores.
        manifest_id: Of a published copy in warm or cold, as `Moved.manifest_id`.

    Raises:
        ManifestError: The id names no copy in use.
        RefusedError: The partition is not old enough, the copy is not of the newest revision,
            or hot holds rows that the copy does not.
        VerificationError: The colder copy is not what its manifest says; nothing was removed.
    """
    dataset = manifest_id.partition("/")[0]
    partition = context.manifests.catalog(dataset).find_copy(manifest_id)[0].partition
    with context.locked(partition):
        settle(context, partition)
        state, tier, copy = context.manifests.catalog(dataset).find_copy(manifest_id)
        if copy.revision != state.revision:
            raise RefusedError(
                f"{partition.name}: {manifest_id} is revision {copy.revision}, "
                f"the newest is {state.revision}"
            )
        source = _hottest(context, state)
        changed = source is not None and _is_colder(tier, source)
        if changed and source is not None:
            _require_due(context, state, source)
            context.load(partition, tier, copy)
            if source is Tier.HOT:
                _require_contained(context, state)
                _remove_hot(context, partition, manifest_id)
            else:
                _remove_warm(context, state, manifest_id)
        context.sweep(partition)
    return _moved(partition, source or tier, copy, changed=changed)


def remove_hot(context: MoveContext, partition: Partition, manifest_id: str) -> None:
    """Remove late rows that a verified revision has just taken in; the lock is held."""
    _remove_hot(context, partition, manifest_id)


def settle(context: MoveContext, partition: Partition) -> None:
    """Finish or call off what a killed eviction left; the partition's lock is held."""
    state = context.state(partition)
    warm = state.copies.get(Tier.WARM)
    if warm is not None and warm.presence is Presence.LEAVING:
        _record(context, state, Step.KEPT, Tier.WARM)
        state = context.state(partition)
    if state.hot in _LEAVING and not _is_readable(context, state):
        context.hot.transit.put_back(partition)
        _record(context, state, Step.KEPT, Tier.HOT)
    elif state.hot in _LEAVING:
        _finish_hot(context, partition)
    elif state.hot is Presence.GONE and context.hot.transit.withdrawn(partition).rows:
        context.hot.transit.discard(partition)


def tidy(context: MoveContext, dataset: str) -> None:
    """Finish or clear away what moves that were killed or failed have left."""
    for partition in context.unfinished(dataset):
        with context.locked(partition):
            settle(context, partition)
            context.sweep(partition)


def empty_trash(context: MoveContext) -> int:
    """Delete for good what was set aside `TRASH_DAYS` ago; return the number of days emptied."""
    today = context.now().date()
    emptied = 0
    for tier in (Tier.WARM, Tier.COLD):
        trash = context.volumes.root(tier) / TRASH
        folders = sorted(trash.iterdir()) if trash.is_dir() else []
        for folder in folders:
            set_aside = _day(folder.name)
            if set_aside is not None and (today - set_aside).days >= TRASH_DAYS:
                remove_tree(folder)
                emptied += 1
    return emptied


def _day(name: str) -> date | None:
    """Return the day in a folder's name; a NAS puts folders of its own beside ours."""
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None


def _hottest(context: MoveContext, state: PartitionState) -> Tier | None:
    if state.hot is not Presence.GONE or context.hot.fence(state.partition).rows:
        return Tier.HOT
    return Tier.WARM if Tier.WARM in state.copies else None


def _is_colder(tier: Tier, source: Tier) -> bool:
    order = (Tier.HOT, Tier.WARM, Tier.COLD)
    return order.index(tier) > order.index(source)


def _require_due(context: MoveContext, state: PartitionState, source: Tier) -> None:
    today = context.today(state.partition.venue)
    if not eviction_due(source, state, today, context.settings):
        limit = context.settings.hot_days if source is Tier.HOT else context.settings.warm_days
        raise RefusedError(
            f"{state.partition.name}: {age_in(source, state, today)} days old, it leaves "
            f"{source} after {limit}"
        )


def _require_contained(context: MoveContext, state: PartitionState) -> None:
    fence = context.hot.fence(state.partition)
    if fence != state.fence:
        known = state.fence.rows if state.fence else 0
        raise RefusedError(
            f"{state.partition.name}: hot changed since revision {state.revision} "
            f"({fence.rows} rows, exported were {known}); export it again first"
        )


def _remove_hot(context: MoveContext, partition: Partition, manifest_id: str) -> None:
    state = context.state(partition)
    context.record(partition, Step.EVICTING, Tier.HOT, state.revision, subject=manifest_id)
    context.step("hot:evicting")
    problem = _finish_hot(context, partition)
    if problem:
        raise RefusedError(f"{partition.name} stays in hot: {problem}")


def _finish_hot(context: MoveContext, partition: Partition) -> str:
    """Bring a begun eviction to its end; return why it was called off, or nothing."""
    transit = context.hot.transit
    state = context.state(partition)
    if transit.withdrawn(partition).rows == 0 and context.hot.fence(partition) == state.fence:
        transit.withdraw(partition)
        context.step("hot:withdrawn")
    problem = ""
    if transit.withdrawn(partition) != state.fence:
        problem = "rows arrived meanwhile; export it again"
    if problem:
        transit.put_back(partition)
        _record(context, state, Step.KEPT, Tier.HOT)
        return problem
    _record(context, state, Step.EVICTED, Tier.HOT)
    context.step("hot:recorded")
    transit.discard(partition)
    context.step("hot:discarded")
    return ""


def _is_readable(context: MoveContext, state: PartitionState) -> bool:
    newest = state.newest_copy()
    try:
        return newest is not None and bool(context.load(state.partition, *newest))
    except VerificationError:
        return False


def _remove_warm(context: MoveContext, state: PartitionState, manifest_id: str) -> None:
    partition = state.partition
    context.record(partition, Step.EVICTING, Tier.WARM, state.revision, subject=manifest_id)
    context.step("warm:evicting")
    _record(context, context.state(partition), Step.EVICTED, Tier.WARM)
    context.step("warm:evicted")


def _record(context: MoveContext, state: PartitionState, step: Step, tier: Tier) -> None:
    context.record(state.partition, step, tier, state.revision)


def _moved(partition: Partition, source: Tier, copy: Copy, *, changed: bool) -> Moved:
    return Moved(
        partition=partition,
        action=f"evict_{source}",
        tier=source,
        changed=changed,
        manifest_id=copy.manifest_id,
        revision=copy.revision,
        rows=copy.rows,
        bytes=copy.bytes,
        sha256=copy.files[0].sha256,
    )
