"""How much memory an instance uses: the sum of PSS over its processes, sampled.

PSS shares each common page among the processes that map it, so the sum is what the instance
costs the machine. Linux only; elsewhere the peak stays None.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_PROC = Path("/proc")
_INTERVAL_S = 1.0


class MemorySampler:
    """Samples the processes of an instance once a second, as a context manager.

    A process belongs to the instance when it descends from this one, or when its command line or
    environment names the home of the instance (a database server detaches from its parents).
    """

    def __init__(self, home: Path) -> None:
        self._mark = str(home).encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)
        self.peak_bytes: int | None = None

    def __enter__(self) -> Self:
        """Start sampling."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join(timeout=5)

    def sample(self) -> int | None:
        """Return the PSS of all processes of the instance now, in bytes; None if unknown."""
        sizes = [size for pid in self._members() if (size := _pss_bytes(pid)) is not None]
        return sum(sizes) if sizes else None

    def _run(self) -> None:
        while not self._stop.is_set():
            now = self.sample()
            if now is not None:
                self.peak_bytes = max(self.peak_bytes or 0, now)
            self._stop.wait(_INTERVAL_S)

    def _members(self) -> set[int]:
        parents = {pid: _parent(pid) for pid in _pids()}
        members = {pid for pid in parents if self._is_marked(pid)} | {os.getpid()}
        grew = True
        while grew:
            children = {pid for pid, parent in parents.items() if parent in members} - members
            members |= children
            grew = bool(children)
        return members

    def _is_marked(self, pid: int) -> bool:
        return any(self._mark in _read(pid, name) for name in ("cmdline", "environ"))


def _pids() -> Iterator[int]:
    if _PROC.is_dir():
        yield from (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _read(pid: int, name: str) -> bytes:
    # A process may end, or belong to somebody else, between listing and reading it.
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    # The name of the program, in parentheses, may hold spaces; the fields after it do not.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _pss_bytes(pid: int) -> int | None:
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return None
