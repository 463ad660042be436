"""What stands where: rows by serving tier, copies apart, bytes; from the chain and hot counts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from storage.manifest.catalog import Catalog, Presence
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier


class HotCount(Protocol):
    """Rows and bytes of one hot partition, as `HotStore.partitions` returns them."""

    @property
    def partition(self) -> Partition:
        """Which partition."""
        ...

    @property
    def rows(self) -> int:
        """Valid rows."""
        ...

    @property
    def bytes_on_disk(self) -> int:
        """Compressed size."""
        ...


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Rows and bytes of a partition in one tier; `serves` says whether readers see them."""

    rows: int
    bytes: int
    serves: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One partition over the tiers.

    Attributes:
        serving: The tier that serves it; late rows in hot are served in addition.
        revision: Newest published revision, 0 before the first export.
        held: By tier.
    """

    partition: Partition
    serving: Tier
    revision: int
    held: dict[Tier, Held]

    @property
    def rows(self) -> int:
        """Rows that readers see."""
        return sum(held.rows for held in self.held.values() if held.serves)


class TierTotals(msgspec.Struct, frozen=True, kw_only=True):
    """One tier over many partitions.

    Attributes:
        rows: Served from here.
        partitions: Served from here.
        copies: Partitions that stand here but are served from another tier.
        bytes: Of everything that stands here.
        bytes_per_row: Bytes by rows that stand here; None without rows.
    """

    rows: int = 0
    partitions: int = 0
    copies: int = 0
    bytes: int = 0
    bytes_per_row: float | None = None


def standings(catalog: Catalog, hot: Iterable[HotCount]) -> list[Standing]:
    """Return every partition of a dataset, ordered.

    Args:
        catalog: Newest state of the chain.
        hot: Counts of the hot partitions of the same dataset.
    """
    counts = {found.partition: found for found in hot}
    return [
        _standing(catalog, partition, counts.get(partition))
        for partition in sorted(counts.keys() | catalog.states.keys())
    ]


def totals(found: Sequence[Standing]) -> Mapping[Tier, TierTotals]:
    """Add partitions up by tier."""
    return {tier: _total(found, tier) for tier in Tier}


def _standing(catalog: Catalog, partition: Partition, hot: HotCount | None) -> Standing:
    state = catalog.state(partition)
    newest = state.newest_copy()
    serving = state.serving()
    if serving is Tier.HOT and hot is None and newest is not None:
        serving = newest[0]
    held = {
        tier: Held(rows=copy.rows, bytes=copy.bytes, serves=tier is serving)
        for tier, copy in sorted(state.copies.items(), reverse=True)
    }
    if hot is not None:
        # Rows of a partition on its way out are the same as those of the file.
        leaving = state.hot in {Presence.LEAVING, Presence.LATE_LEAVING}
        held[Tier.HOT] = Held(rows=hot.rows, bytes=hot.bytes_on_disk, serves=not leaving)
    return Standing(partition=partition, serving=serving, revision=state.revision, held=held)


def _total(found: Sequence[Standing], tier: Tier) -> TierTotals:
    here = [(standing, standing.held[tier]) for standing in found if tier in standing.held]
    rows = sum(held.rows for _, held in here)
    size = sum(held.bytes for _, held in here)
    return TierTotals(
        rows=sum(held.rows for _, held in here if held.serves),
        partitions=sum(standing.serving is tier for standing, _ in here),
        copies=sum(standing.serving is not tier for standing, _ in here),
        bytes=size,
        bytes_per_row=round(size / rows, 3) if rows else None,
    )
