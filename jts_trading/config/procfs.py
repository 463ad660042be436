"""What the kernel knows about the programs of this machine, from `/proc`.

A pid alone is no identity, because it is reused: `started_ticks`, the boot-relative start time,
goes with it. Where there is no `/proc`, everything is unknown and answers are empty.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Entry:
    """One program as `/proc/<pid>/stat` describes it.

    Attributes:
        pid: Its id.
        state: One letter; Z is a zombie.
        parent: Pid of its parent.
        session: Pid of the leader of its session.
        started_ticks: Clock ticks from boot to its start.
    """

    pid: int
    state: str
    parent: int
    session: int
    started_ticks: int


@dataclass(frozen=True, slots=True)
class PortOwner:
    """Who listens on a port; the pid is None where this user may not see it."""

    pid: int | None
    command: str

    def __str__(self) -> str:
        """Name it for an error line."""
        return "another user's process" if self.pid is None else f"pid {self.pid} ({self.command})"


def look_up(pid: int) -> Entry | None:
    """Return the program with this pid, or None if there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command stands in parentheses and may contain both spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return Entry(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def started_ticks(pid: int) -> int:
    """Return when a program started, in clock ticks from boot; 0 if it does not run."""
    entry = look_up(pid)
    return entry.started_ticks if entry is not None else 0


def is_running(pid: int, ticks: int) -> bool:
    """Return whether exactly this program still runs; a zombie does not."""
    entry = look_up(pid)
    return entry is not None and entry.state != "Z" and entry.started_ticks == ticks


def family(pid: int, ticks: int) -> list[int]:
    """Return the living descendants of a program and members of its session, itself first.

    Args:
        pid: The leader of a session.
        ticks: When it started. The kernel reuses no pid that is still the id of a session, so
            another start time means that program and session are gone.
    """
    entries = {entry.pid: entry for entry in _entries()}
    leader = entries.get(pid)
    if leader is not None and leader.started_ticks != ticks:
        return []
    members = {entry.pid for entry in entries.values() if pid in (entry.pid, entry.session)}
    grew = True
    while grew:
        children = {entry.pid for entry in entries.values() if entry.parent in members}
        grew = not children <= members
        members |= children
    living = [member for member in members if entries[member].state != "Z"]
    return sorted(living, key=lambda member: (member != pid, member))


def memory_bytes(pids: Iterable[int]) -> tuple[int, int]:
    """Return resident and proportional memory of some programs together."""
    resident = proportional = 0
    for pid in pids:
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="utf-8")
        except OSError:
            continue
        for line in text.splitlines():
            words = line.split()
            if words[0] == "Rss:":
                resident += int(words[1]) * 1024
            elif words[0] == "Pss:":
                proportional += int(words[1]) * 1024
    return resident, proportional


def port_owner(port: int) -> PortOwner | None:
    """Return who listens on a TCP port of this machine, or None if nobody is known to."""
    sockets = set(_listening_sockets(port))
    if not sockets:
        return None
    for entry in _entries():
        if sockets & set(_open_sockets(entry.pid)):
            return PortOwner(entry.pid, _command(entry.pid))
    return PortOwner(None, "")


def _entries() -> Iterator[Entry]:
    names = os.listdir(_PROC) if _PROC.is_dir() else []  # noqa: PTH208 - a hot path of pids
    for name in names:
        entry = look_up(int(name)) if name.isdigit() else None
        if entry is not None:
            yield entry


def _listening_sockets(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _open_sockets(pid: int) -> Iterator[str]:
    try:
        descriptors = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:"):
            yield target


def _command(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "?"
    text = " ".join(word.decode(errors="replace") for word in words if word)
    return text if len(text) <= 80 else f"{text[:77]}..."
