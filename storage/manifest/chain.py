"""The chain on disk: `<manifests>/<dataset>/00000042.json`, appended under a lock.

Theory of operation. Each record names the hash of the one before, so an edit, a gap or a swapped
file breaks the chain; `HEAD.json` names the newest record, so a chain that was cut short is seen
as well. Records are written whole or not at all and never replaced. HEAD is written after the
record: a kill in between leaves it one behind, which is legal; ahead of the chain is not.

Reading is incremental: a process keeps its last catalog and looks for the next name only. A new
process starts from `snapshot.json`, a cache that is used only while size, inode and change time
of every record that it covers are as they were; otherwise the whole chain is folded again.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from storage.errors import ManifestError
from storage.manifest.catalog import Catalog, PartitionState, fold
from storage.manifest.durable import atomic_write
from storage.manifest.locks import exclusive
from storage.manifest.records import GENESIS, Record, decode, digest, encode

SNAPSHOT_EVERY = 128
"""Records folded beyond the snapshot before it is written anew."""

_HEAD = "HEAD.json"
_SNAPSHOT = "snapshot.json"
_LOCK = "chain.lock"


class _Head(msgspec.Struct, frozen=True):
    sequence: int
    hash: str


class _Snapshot(msgspec.Struct, frozen=True):
    sequence: int
    head: str
    fingerprint: str
    states: list[PartitionState]


class Manifests:
    """All chains below one folder; one object may be used by one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._catalogs: dict[str, Catalog] = {}

    @property
    def root(self) -> Path:
        """Folder of the chains."""
        return self._root

    def catalog(self, dataset: str) -> Catalog:
        """Return the newest state of a dataset.

        Raises:
            ManifestError: The chain is broken, shortened or does not fold; the text names where.
        """
        known = self._catalogs.get(dataset)
        if known is None or not self._still_there(known):
            known = self._from_snapshot(dataset)
        folded = self._extend(known)
        self._check_head(folded, known.version)
        self._catalogs[dataset] = folded
        return folded

    def append(self, dataset: str, **fields: Any) -> tuple[Record, str]:
        """Add one record to the chain and return it with its manifest id.

        Args:
            dataset: Name of the chain.
            fields: Of `Record`, all but sequence, prev_hash and dataset.

        Raises:
            ManifestError: The chain is broken, or the step cannot follow; nothing is written.
        """
        folder = self._root / dataset
        with exclusive(folder / _LOCK):
            before = self.catalog(dataset)
            record = Record(
                sequence=before.version + 1, prev_hash=before.head, dataset=dataset, **fields
            )
            content = encode(record)
            mark = digest(content)
            fold(before.states, record, mark)
            atomic_write(self._path(dataset, record.sequence), content, replace=False)
            head = _Head(record.sequence, mark)
            atomic_write(folder / _HEAD, msgspec.json.encode(head))
            after = self.catalog(dataset)
            if after.version % SNAPSHOT_EVERY == 0:
                self._write_snapshot(after)
        return record, f"{dataset}/{record.sequence:08d}-{mark[:12]}"

    def verify(self, dataset: str) -> list[Record]:
        """Read the whole chain, ignoring every cache, and return its records.

        Raises:
            ManifestError: The chain is broken anywhere; the text names the record.
        """
        records: list[Record] = []
        self._require_contiguous(dataset)
        catalog = self._extend(Catalog(dataset=dataset), records)
        self._check_head(catalog, 0)
        self._catalogs[dataset] = catalog
        return records

    def content(self, dataset: str, sequence: int) -> bytes:
        """Return the bytes of one record; empty when the chain has none of that number."""
        try:
            return self._path(dataset, sequence).read_bytes()
        except FileNotFoundError:
            return b""

    def _path(self, dataset: str, sequence: int) -> Path:
        return self._root / dataset / f"{sequence:08d}.json"

    def _still_there(self, known: Catalog) -> bool:
        return known.version == 0 or self._path(known.dataset, known.version).exists()

    def _extend(self, known: Catalog, records: list[Record] | None = None) -> Catalog:
        version, head, states = known.version, known.head, dict(known.states)
        while True:
            path = self._path(known.dataset, version + 1)
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                break
            record = _parse(path, content)
            _check_link(path, record, known.dataset, version + 1, head)
            head = digest(content)
            states[record.partition] = fold(states, record, head)
            version += 1
            if records is not None:
                records.append(record)
        if version == known.version:
            return known
        return Catalog(dataset=known.dataset, version=version, head=head, states=states)

    def _check_head(self, catalog: Catalog, folded_from: int) -> None:
        path = self._root / catalog.dataset / _HEAD
        try:
            named = msgspec.json.decode(path.read_bytes(), type=_Head)
        except FileNotFoundError:
            named = _Head(0, GENESIS)
        except msgspec.MsgspecError as error:
            raise ManifestError(f"{path}: not a chain head: {error}") from error
        # Another process may have appended between our last look and this one.
        if named.sequence > catalog.version:
            if self._path(catalog.dataset, catalog.version + 1).exists():
                return
            raise ManifestError(
                f"chain {catalog.dataset}: rolled back or cut: HEAD names record "
                f"{named.sequence:08d}, record {catalog.version + 1:08d} is missing"
            )
        if named.sequence == catalog.version and named.hash != catalog.head:
            raise ManifestError(
                f"chain {catalog.dataset}: record {named.sequence:08d} has hash "
                f"{catalog.head[:12]}, HEAD names {named.hash[:12]}"
            )
        if named.sequence == 0 and catalog.version > 1 and folded_from == 0:
            raise ManifestError(f"{path}: missing, the chain has {catalog.version} records")

    def _require_contiguous(self, dataset: str) -> None:
        numbers = [int(entry.name[:8]) for entry in _entries(self._root / dataset)]
        for expected, found in enumerate(numbers, start=1):
            if expected != found:
                raise ManifestError(f"chain {dataset}: record {expected:08d} is missing")

    def _from_snapshot(self, dataset: str) -> Catalog:
        folder = self._root / dataset
        self._require_contiguous(dataset)
        empty = Catalog(dataset=dataset)
        try:
            snapshot = msgspec.json.decode((folder / _SNAPSHOT).read_bytes(), type=_Snapshot)
        except (FileNotFoundError, msgspec.MsgspecError):
            return empty
        if snapshot.fingerprint != _fingerprint(folder, snapshot.sequence):
            return empty
        return Catalog(
            dataset=dataset,
            version=snapshot.sequence,
            head=snapshot.head,
            states={state.partition: state for state in snapshot.states},
        )

    def _write_snapshot(self, catalog: Catalog) -> None:
        folder = self._root / catalog.dataset
        snapshot = _Snapshot(
            catalog.version,
            catalog.head,
            _fingerprint(folder, catalog.version),
            list(catalog.states.values()),
        )
        atomic_write(folder / _SNAPSHOT, msgspec.json.encode(snapshot))


def _parse(path: Path, content: bytes) -> Record:
    try:
        return decode(content)
    except msgspec.MsgspecError as error:
        raise ManifestError(f"{path}: not a manifest record: {error}") from error


def _check_link(path: Path, record: Record, dataset: str, sequence: int, head: str) -> None:
    if record.sequence != sequence or record.dataset != dataset:
        raise ManifestError(
            f"{path}: holds record {record.dataset}/{record.sequence:08d}: a duplicate or a swap"
        )
    if record.prev_hash != head:
        raise ManifestError(
            f"{path}: names {record.prev_hash[:12]} as the record before it, "
            f"whose hash is {head[:12]}: one of the two was changed"
        )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            (e for e in entries if len(e.name) == 13 and e.name[:8].isdigit()),
            key=lambda entry: entry.name,
        )


def _fingerprint(folder: Path, up_to: int) -> str:
    mark = hashlib.sha256()
    for entry in _entries(folder)[:up_to]:
        stat = entry.stat(follow_symlinks=False)
        mark.update(f"{entry.name} {stat.st_size} {stat.st_ino} {stat.st_ctime_ns}\n".encode())
    return mark.hexdigest()
