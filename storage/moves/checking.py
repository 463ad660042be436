"""Verify and scrub: read copies back from the medium, compare them with their manifests, mend.

`verify` only reports. `scrub` also takes a damaged file out of service (to the quarantine
folder, for a person to look at) and writes it anew from a tier that holds the same revision.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pyarrow as pa

from storage.errors import ManifestError, StorageError, VerificationError
from storage.manifest.catalog import Copy, PartitionState, Presence
from storage.manifest.durable import safe_path
from storage.manifest.records import Step, decode
from storage.moves.context import SIDECAR, MoveContext
from storage.moves.eviction import settle
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One copy that was checked.

    Attributes:
        problem: One line; empty when the copy is what its manifest says.
        mended: A damaged copy was written anew and verified.
    """

    partition: Partition
    tier: Tier
    manifest_id: str
    rows: int
    bytes: int
    problem: str = ""
    mended: bool = False


def verify(context: MoveContext, dataset: str, only: Partition | None = None) -> Iterator[Finding]:
    """Read copies back and compare them with their manifests; first the chain itself, whole.

    Args:
        context: The stores.
        dataset: Which chain.
        only: One partition; then the chain is read as far as a catalog needs it.

    Raises:
        ManifestError: The chain is broken; no copy can be trusted then.
    """
    if only is None:
        context.manifests.verify(dataset)
    for state, tier, copy in copies(context, dataset):
        if only is None or state.partition == only:
            yield _check(context, state, tier, copy)
    if only is None:
        yield from _unknown(context, dataset)


def scrub(context: MoveContext, dataset: str, *, turn: int = 0, of: int = 1) -> Iterator[Finding]:
    """Verify one share of all copies and mend what is damaged.

    Args:
        context: The stores.
        dataset: Which chain.
        turn: Number of the share, counted up from run to run.
        of: Into how many shares the copies are divided, by a hash of the partition's name.
    """
    context.manifests.verify(dataset)
    for state, tier, copy in copies(context, dataset):
        share = int(hashlib.sha256(state.partition.name.encode()).hexdigest(), 16) % of
        if share != turn % of:
            continue
        finding = _check(context, state, tier, copy)
        yield _mend(context, finding) if finding.problem else finding


def copies(context: MoveContext, dataset: str) -> Iterator[tuple[PartitionState, Tier, Copy]]:
    """Yield every copy in warm and cold, ordered by partition."""
    for state in context.manifests.catalog(dataset):
        for tier, copy in sorted(state.copies.items(), reverse=True):
            yield state, tier, copy


def _check(context: MoveContext, state: PartitionState, tier: Tier, copy: Copy) -> Finding:
    problem = ""
    try:
        context.load(state.partition, tier, copy)
        _check_sidecar(context, state.partition, tier)
    except StorageError as error:
        problem = str(error)
    return Finding(
        partition=state.partition,
        tier=tier,
        manifest_id=copy.manifest_id,
        rows=copy.rows,
        bytes=copy.bytes,
        problem=problem,
    )


def _unknown(context: MoveContext, dataset: str) -> Iterator[Finding]:
    """Yield copies that describe themselves but that the chain never heard of: it lost records."""
    catalog = context.manifests.catalog(dataset)
    for tier in (Tier.WARM, Tier.COLD):
        for path in sorted(context.volumes.root(tier).glob(f"{dataset}/v*/*/*/*/{SIDECAR}")):
            content = path.read_bytes()
            try:
                record = decode(content)
            except msgspec.MsgspecError:
                continue
            known = tier in catalog.state(record.partition).copies
            if known or context.manifests.content(dataset, record.sequence) == content:
                continue
            yield Finding(
                partition=record.partition,
                tier=tier,
                manifest_id=record.manifest_id,
                rows=record.rows,
                bytes=record.bytes,
                problem=f"{path.parent}: {record.rows} rows that no manifest names: the chain lost"
                f" record {record.sequence:08d}; restore {context.manifests.root / dataset}",
            )


def _check_sidecar(context: MoveContext, partition: Partition, tier: Tier) -> None:
    """Require that the chain knows the record beside the file: it does not after a roll-back."""
    path = context.folder(partition, tier) / SIDECAR
    if not path.exists():
        return
    content = path.read_bytes()
    try:
        sequence = decode(content).sequence
    except msgspec.MsgspecError as error:
        raise ManifestError(f"{path}: not a manifest record: {error}") from error
    if context.manifests.content(partition.dataset, sequence) != content:
        raise ManifestError(
            f"{path}: record {sequence:08d} beside the file is not in the chain: "
            "the chain was rolled back, or the copy belongs to another instance"
        )


def _mend(context: MoveContext, finding: Finding) -> Finding:
    """Take a damaged file out of service and write it anew from another tier."""
    partition, tier = finding.partition, finding.tier
    with context.locked(partition):
        settle(context, partition)
        state = context.state(partition)
        copy = state.copies.get(tier)
        if copy is None or copy.manifest_id != finding.manifest_id:
            return finding
        if _is_whole(context, state, tier, copy):
            return finding
        rows = _rows_elsewhere(context, state, tier)
        _quarantine(context, tier, copy)
        if rows is None:
            return finding
        entry = context.publish_copy(context.write_copy(partition, tier, copy.revision, rows))
        if entry.sha256 != copy.files[0].sha256:
            record, _ = context.record(
                partition, Step.RESTORED, tier, copy.revision, files=(entry,)
            )
            context.write_sidecar(record)
        context.sweep(partition)
    return replace(finding, mended=True)


def _quarantine(context: MoveContext, tier: Tier, copy: Copy) -> None:
    stamp = context.now().strftime("%Y%m%dT%H%M%S")
    for entry in copy.files:
        folder, _, name = entry.path.rpartition("/")
        path = safe_path(context.volumes.root(tier), folder) / name
        place = context.volumes.quarantine / "files" / f"{stamp}-{tier}-{path.name}"
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.copyfile(path, _made(place))
            path.unlink()


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _is_whole(context: MoveContext, state: PartitionState, tier: Tier, copy: Copy) -> bool:
    try:
        context.load(state.partition, tier, copy)
    except VerificationError:
        return False
    return True


def _rows_elsewhere(context: MoveContext, state: PartitionState, damaged: Tier) -> pa.Table | None:
    """Return the rows of the newest revision from a place that is still whole."""
    partition = state.partition
    if state.hot is Presence.PRESENT and context.hot.fence(partition) == state.fence:
        return context.hot.read(partition)
    for tier, copy in state.copies.items():
        if tier is damaged or copy.revision != state.copies[damaged].revision:
            continue
        if _is_whole(context, state, tier, copy):
            return context.load(partition, tier, copy)
    return None
