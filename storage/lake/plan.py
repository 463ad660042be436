"""Where the rows of a read are: which partitions from hot, which files, which from both.

Every partition has one serving tier. Where files serve and hot holds rows all the same (rows that
came late, an eviction or a restore under way), the two are blended: per key the highest revision.
A partition that hot should serve but has lost altogether is served by its copy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.lake.selection import Selection
from storage.manifest.catalog import Catalog
from storage.manifest.records import FileEntry
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file of a partition, in the tier that serves it."""

    partition: Partition
    tier: Tier
    revision: int
    entry: FileEntry


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """All places of one read; equal plans read the same rows."""

    hot: tuple[Partition, ...] = ()
    files: tuple[FilePart, ...] = ()
    blended: tuple[FilePart, ...] = ()


@dataclass(slots=True)
class _Places:
    hot: list[Partition] = field(default_factory=list)
    files: list[FilePart] = field(default_factory=list)
    blended: list[FilePart] = field(default_factory=list)


def plan_read(catalog: Catalog, in_hot: frozenset[Partition], selection: Selection) -> ReadPlan:
    """Return the places of all rows that a selection may want.

    Args:
        catalog: The newest state of the chain.
        in_hot: Partitions with rows in the hot tier.
        selection: What is wanted.
    """
    places = _Places()
    for partition in sorted(in_hot | set(catalog.states)):
        if selection.covers(partition):
            _place(places, catalog, partition, partition in in_hot)
    return ReadPlan(
        tuple(places.hot),
        tuple(part for part in places.files if selection.covers_file(part.entry)),
        tuple(places.blended),
    )


def _place(places: _Places, catalog: Catalog, partition: Partition, in_hot: bool) -> None:
    state = catalog.state(partition)
    hot_serves = state.serving() is Tier.HOT
    if hot_serves and in_hot:
        places.hot.append(partition)
        return
    parts = list(file_parts(catalog, partition))
    if in_hot:
        places.blended.extend(parts)
    else:
        places.files.extend(parts)


def file_parts(catalog: Catalog, partition: Partition) -> Iterator[FilePart]:
    """Yield the files of the copy that serves a partition when hot does not."""
    state = catalog.state(partition)
    newest = state.newest_copy()
    if newest is not None:
        tier, copy = newest
        for entry in copy.files:
            yield FilePart(partition, tier, copy.revision, entry)
