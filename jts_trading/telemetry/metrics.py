"""Counters, gauges and latencies of one role, as the flat names that a heartbeat carries.

A sample is named as Prometheus writes it, `frames_total{feed="kis-1"}`, and holds a float. Nothing
here is shared between threads; a role asks its own event loop.
"""

import math
from collections import deque

RESERVOIR = 4096


class Latency:
    """Durations in milliseconds: how many there were, and percentiles of the newest ones.

    Args:
        size: How many durations the percentiles look back; memory stays at that.
    """

    def __init__(self, size: int = RESERVOIR) -> None:
        self._newest: deque[float] = deque(maxlen=size)
        self._count = 0
        self._sum_ms = 0.0
        self._max_ms = 0.0

    def add(self, ms: float) -> None:
        """Note one duration in milliseconds."""
        self._newest.append(ms)
        self._count += 1
        self._sum_ms += ms
        self._max_ms = max(self._max_ms, ms)

    @property
    def count(self) -> int:
        """How many durations were noted since the start."""
        return self._count

    @property
    def p50(self) -> float:
        """Median of the newest durations in ms; 0 without any."""
        return self.percentile(50)

    @property
    def p99(self) -> float:
        """99th percentile of the newest durations in ms; 0 without any."""
        return self.percentile(99)

    def percentile(self, percent: float) -> float:
        """Return a percentile of the newest durations in ms, one that was noted; 0 without any."""
        if not self._newest:
            return 0.0
        # An interpolated value would be a duration that nothing took.
        rank = math.ceil(percent / 100 * len(self._newest))
        return sorted(self._newest)[max(rank, 1) - 1]

    def samples(self, name: str, **labels: str) -> dict[str, float]:
        """Return the latency as samples.

        Args:
            name: Without its unit, such as `frame_to_order`; `_ms` and what it is are added.
            labels: Of every sample.
        """
        return {
            sample_name(f"{name}_count", **labels): float(self._count),
            sample_name(f"{name}_sum_ms", **labels): self._sum_ms,
            sample_name(f"{name}_p50_ms", **labels): self.p50,
            sample_name(f"{name}_p99_ms", **labels): self.p99,
            sample_name(f"{name}_max_ms", **labels): self._max_ms,
        }


class Counters:
    """Counters (`..._total`, only growing) and gauges (set as they are) by name and labels."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        # Names are few and asked for often: each is put together once.
        self._names: dict[tuple[str, ...], str] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter, which begins at 0."""
        place = (name, *labels, *labels.values())
        key = self._names.get(place)
        if key is None:
            key = self._names[place] = sample_name(name, **labels)
        self._values[key] = self._values.get(key, 0.0) + amount

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._values[sample_name(name, **labels)] = value

    def read(self, name: str, **labels: str) -> float:
        """Return one value; 0 for what was never counted."""
        return self._values.get(sample_name(name, **labels), 0.0)

    def samples(self) -> dict[str, float]:
        """Return a copy of all values by sample name."""
        return dict(self._values)


def sample_name(name: str, **labels: str) -> str:
    """Return a name with its labels as Prometheus writes them, labels in alphabetical order."""
    if not labels:
        return name
    pairs = (f'{key}="{_escaped(value)}"' for key, value in sorted(labels.items()))
    return f"{name}{{{','.join(pairs)}}}"


def with_label(sample: str, label: str, value: str) -> str:
    """Return a sample name with one more label, put first."""
    name, brace, rest = sample.partition("{")
    labels = f'{label}="{_escaped(value)}"'
    return f"{name}{{{labels},{rest}" if brace else f"{name}{{{labels}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
