"""What the supervisor knows about one program before it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals


class LastingReason(str):
    """Why a part is not ready, where waiting will not help: somebody has to change something."""

    __slots__ = ()


class AliveReason(str):
    """Why a part does not do its work although it answers: a new start would change nothing."""

    __slots__ = ()


# Takes the seconds since this process of the part started; returns None or the reason why not.
Probe = Callable[[float], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One program of an instance, or one server of somebody else that it needs.

    Attributes:
        name: In the table, in logs and in the name of the log file.
        argv: The program by its absolute path and its arguments; empty for a server that somebody
            else runs, which is only probed.
        environment: Its variables, complete.
        directory: Its working directory.
        probe: Returns None when the part does its work, else the reason why not.
        parents: Names of the parts that have to be ready before this one starts.
        port: The loopback port that it will take, or None.
        more_ports: Further ports that it will take.
        url: Where a person or a program reaches it; empty if nowhere.
        grace_s: Seconds from SIGTERM to SIGKILL.
        death_signal: What it gets when the supervisor dies; SIGKILL for a part that has nothing to
            save and may not end by SIGTERM without its stores.
        hung_after_s: It is killed and started again when its probe has failed that long, other
            than with an `AliveReason`.
        probe_every_s: Seconds between probes once it is ready.
        is_step: It ends with exit code 0 when its work is done, and is ready from then on.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path
    probe: Probe
    parents: tuple[str, ...] = ()
    port: int | None = None
    more_ports: tuple[int, ...] = ()
    url: str = ""
    grace_s: float = 3.0
    death_signal: Signals = Signals.SIGTERM
    hung_after_s: float = 120.0
    probe_every_s: float = 2.0
    is_step: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        """Every loopback port that it will take."""
        return self.more_ports if self.port is None else (self.port, *self.more_ports)


def levels(parts: tuple[Part, ...]) -> list[list[Part]]:
    """Return the parts in start order: each level needs only parts of the levels before it.

    Raises:
        ValueError: Two parts wait for each other, or for a part that does not exist.
    """
    ready: set[str] = set()
    left = list(parts)
    found = []
    while left:
        level = [part for part in left if ready.issuperset(part.parents)]
        if not level:
            names = ", ".join(part.name for part in left)
            raise ValueError(f"parts that can never start: {names}")
        found.append(level)
        ready |= {part.name for part in level}
        left = [part for part in left if part.name not in ready]
    return found
