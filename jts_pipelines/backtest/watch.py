"""What a run took: seconds and memory by phase."""

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Progress = Callable[[str], None]
"""Called with the name of each phase as it begins."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What phases took.

    Attributes:
        seconds: By phase, and their sum as `total`.
        peak_mb: By phase, the most memory that the process had up to its end, in MiB.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_mb: Mapping[str, float] = field(default_factory=dict)

    def then(self, later: "Spent") -> "Spent":
        """Return both, one after the other."""
        seconds = {**self.seconds, **later.seconds}
        total = sum(each.seconds.get("total", 0.0) for each in (self, later))
        seconds.pop("total", None)
        return Spent(seconds | {"total": round(total, 6)}, {**self.peak_mb, **later.peak_mb})


class Watch:
    """Looks at clock and memory when a phase begins."""

    def __init__(self, on_phase: Progress = lambda _: None) -> None:
        self._on_phase = on_phase
        self._name = ""
        self._since = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._peak_mb: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """End the phase before and begin another."""
        self._end()
        self._name = name
        self._on_phase(name)

    def stop(self) -> Spent:
        """End the last phase and return what all took."""
        self._end()
        self._name = ""
        self._on_phase("done")
        rounded = {name: round(spent, 6) for name, spent in self._seconds.items()}
        total = round(sum(self._seconds.values()), 6)
        return Spent(rounded | {"total": total}, dict(self._peak_mb))

    def _end(self) -> None:
        now = time.perf_counter()
        if self._name:
            self._seconds[self._name] = now - self._since
            self._peak_mb[self._name] = round(peak_mb(), 1)
        self._since = now


def peak_mb() -> float:
    """Return the most memory that this process has had, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)
