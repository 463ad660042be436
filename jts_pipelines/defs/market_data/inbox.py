"""Files that wait in the landing folder `<home>/landing/<VENUE>/<interval>/`.

A file is ready when two looks in a row found the same size and time of change, so a copy that is
still being written is left alone; so are names that end in `.tmp` or `.part` or begin with a
dot. After the ingest a file is moved, never deleted: to `accepted/` or, with the reason beside
it, to `rejected/`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

ACCEPTED = "accepted"
REJECTED = "rejected"
SUFFIXES = frozenset({".parquet", ".csv"})

FILES_PER_LOOK = 200
"""A look at a crowded folder takes the oldest names first and leaves the others for the next."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the last look found: `[bytes, changed_ns]` by path below the landing folder."""

    version: int = 1
    files: dict[str, tuple[int, int]] = {}


@dataclass(frozen=True, slots=True, order=True)
class Landed:
    """One file in the landing folder.

    Attributes:
        path: Relative to the landing folder: `KRX/1d/june.parquet`.
        size: Bytes.
        changed_ns: Time of the last change, as the file system tells it.
    """

    path: str
    size: int
    changed_ns: int

    @property
    def venue(self) -> str:
        """First folder of the path."""
        return self.path.split("/")[0]

    @property
    def interval(self) -> str:
        """Second folder of the path."""
        return self.path.split("/")[1]

    @property
    def identity(self) -> str:
        """Name, time of change and size: equal only for the very same arrival."""
        return f"{self.path}:{self.changed_ns}:{self.size}"


def look(folder: Path, cursor: str | None) -> tuple[list[Landed], str]:
    """Return the files that are complete, and the cursor for the next look.

    Args:
        folder: The landing folder; nothing is found where it does not exist.
        cursor: As the last look returned it; None at first.
    """
    before = msgspec.json.decode(cursor, type=Seen) if cursor else Seen()
    present = sorted(_files(folder))[:FILES_PER_LOOK]
    ready = [file for file in present if _is_settled(file, before.files)]
    now = Seen(files={file.path: (file.size, file.changed_ns) for file in present})
    return ready, msgspec.json.encode(now).decode()


def set_aside(folder: Path, landed: str, verdict: str, reason: str = "") -> Path:
    """Move a file out of the inbox and return where it lies now.

    Args:
        folder: The landing folder.
        landed: Path of the file below it.
        verdict: `ACCEPTED` or `REJECTED`.
        reason: Written beside a rejected file, as `<name>.reason`.
    """
    source = folder / landed
    target = _free_name(folder / verdict / landed)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    if reason:
        target.with_name(f"{target.name}.reason").write_text(f"{reason}\n", encoding="utf-8")
    return target


def _files(folder: Path) -> Iterator[Landed]:
    for path in folder.glob("*/*/*"):
        relative = path.relative_to(folder).as_posix()
        if relative.startswith((f"{ACCEPTED}/", f"{REJECTED}/", ".")):
            continue
        if path.suffix not in SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        facts = path.stat()
        yield Landed(relative, facts.st_size, facts.st_mtime_ns)


def _is_settled(file: Landed, before: Mapping[str, tuple[int, int]]) -> bool:
    return before.get(file.path) == (file.size, file.changed_ns)


def _free_name(path: Path) -> Path:
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free
