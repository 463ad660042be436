"""Whole-file digests, checked before a file is first used.

Parquet readers return rows of a file with a flipped bit without a word, so nothing is served from
a file whose digest was not compared with its manifest. What was compared is remembered by path,
inode, size and change time, in memory and in `<home>/cache/digests.json`: no program can change a
file without changing one of these. Decay of the medium itself is what `jts storage scrub` is for.
"""

from pathlib import Path

import msgspec

from storage.errors import VerificationError
from storage.manifest.durable import atomic_write
from storage.manifest.records import FileEntry
from storage.parquet.files import file_digest

_KEPT = 20_000


class Digests:
    """Remembers which files are what their manifests say.

    Args:
        cache: File of the memory between processes; None to keep it in this one.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: dict[str, str] | None = None
        self._changed = False

    def require(self, path: Path, entry: FileEntry) -> None:
        """Make sure that a file is the one of its manifest.

        Raises:
            VerificationError: It is not; the file must not be served.
            FileNotFoundError: It is not there (any more).
        """
        stat = path.stat(follow_symlinks=False)
        mark = f"{stat.st_ino}:{stat.st_size}:{stat.st_ctime_ns}:{entry.sha256}"
        known = self._memory()
        if known.get(str(path)) == mark:
            return
        found = file_digest(path) if stat.st_size == entry.bytes else "another size"
        if found != entry.sha256:
            raise VerificationError(
                f"{path}: its digest is {found[:12]}, its manifest says {entry.sha256[:12]}; it "
                "is not served; `jts storage scrub` restores it from another tier"
            )
        known.pop(str(path), None)
        known[str(path)] = mark
        self._changed = True

    def save(self) -> None:
        """Keep what was compared for the next process."""
        if self._cache is None or not self._changed or self._known is None:
            return
        newest = dict(list(self._known.items())[-_KEPT:])
        self._cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic_write(self._cache, msgspec.json.encode(newest))
        self._changed = False

    def _memory(self) -> dict[str, str]:
        if self._known is None:
            self._known = {}
            if self._cache is not None and self._cache.exists():
                try:
                    self._known = msgspec.json.decode(
                        self._cache.read_bytes(), type=dict[str, str]
                    )
                except msgspec.MsgspecError:
                    # Only a cache: without it every file is read once more.
                    self._known = {}
        return self._known
