"""Which moves are due: pure rules over a partition's state, its age and the settings."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from storage.manifest.catalog import PartitionState, Presence
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier, TierSettings


class Action(StrEnum):
    """A move."""

    EXPORT = "export"
    COPY = "copy"
    EVICT_HOT = "evict_hot"
    EVICT_WARM = "evict_warm"


@dataclass(frozen=True, slots=True, kw_only=True)
class DueMove:
    """A move that should be made now, and why."""

    partition: Partition
    action: Action
    reason: str


def age_in(tier: Tier, state: PartitionState, today: date) -> int:
    """Return the days that decide about an eviction: since the last day, or since a restore."""
    age = state.partition.age_days(today)
    restored = state.restored_at.get(tier)
    if restored is None:
        return age
    return min(age, (today - date.fromisoformat(restored[:10])).days)


def eviction_due(tier: Tier, state: PartitionState, today: date, settings: TierSettings) -> bool:
    """Return whether the age of a partition lets it leave hot or warm."""
    limit = settings.hot_days if tier is Tier.HOT else settings.warm_days
    return age_in(tier, state, today) > limit


def due_moves(
    state: PartitionState, *, in_hot: bool, exported: bool, today: date, settings: TierSettings
) -> list[DueMove]:
    """Return the moves of one partition in the order in which they must happen.

    Args:
        state: What the chain says.
        in_hot: The hot tier holds rows of it, late ones included.
        exported: The newest revision contains every row of the hot tier.
        today: In the venue's zone.
        settings: Retention.
    """
    partition = state.partition
    if partition.is_open(today):
        return []
    age = partition.age_days(today)
    moves: list[tuple[Action, str]] = []
    exports = in_hot and not exported
    if exports:
        late = state.hot is not Presence.PRESENT
        moves.append((Action.EXPORT, "late rows" if late else "closed, not in warm"))
    present = {tier for tier, copy in state.copies.items() if copy.revision == state.revision}
    if exports:
        present = {Tier.WARM}
    aged = eviction_due(Tier.WARM, state, today, settings)
    if aged and Tier.WARM in present and Tier.COLD not in present:
        moves.append((Action.COPY, f"{age} days old"))
        present.add(Tier.COLD)
    leaves_hot = in_hot or state.hot is not Presence.GONE
    if leaves_hot and present and eviction_due(Tier.HOT, state, today, settings):
        moves.append((Action.EVICT_HOT, f"{age} days old"))
    if aged and present == {Tier.WARM, Tier.COLD}:
        moves.append((Action.EVICT_WARM, f"{age} days old"))
    return [DueMove(partition=partition, action=action, reason=why) for action, why in moves]
