"""From the moves that are due to the runs that make them; pure of Dagster.

Partitions with the same moves and no other partition between them share one run: a run covers a
range of keys and does its steps in order.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jts_pipelines.defs.spans import contiguous
from storage.moves.policy import Action, DueMove
from storage.schema.partitions import Partition

STEP_OF: Mapping[Action, str] = MappingProxyType(
    {
        Action.EXPORT: "warm_candles",
        Action.EVICT_HOT: "hot_evicted",
        Action.COPY: "cold_candles",
        Action.EVICT_WARM: "warm_evicted",
    }
)
"""Asset of a family that makes a move, in the order of the asset graph."""


@dataclass(frozen=True, slots=True, order=True)
class DueRun:
    """One run: the same steps for every partition from the first to the last key."""

    first: str
    last: str
    steps: tuple[str, ...]

    @property
    def name(self) -> str:
        """Range and steps in one word, for run keys."""
        return f"{self.first}..{self.last}:{'+'.join(self.steps)}"


def due_runs(venue: str, interval: str, moves: Iterable[DueMove]) -> list[DueRun]:
    """Group the due moves of one venue and interval into runs, oldest range first.

    Args:
        venue: Moves of others are left out.
        interval: As `venue`.
        moves: As `Mover.plan` returned them.
    """
    by_steps: dict[tuple[str, ...], list[Partition]] = defaultdict(list)
    for partition, steps in _wanted(venue, interval, moves).items():
        by_steps[tuple(step for step in STEP_OF.values() if step in steps)].append(partition)
    return sorted(
        DueRun(first.key, last.key, steps)
        for steps, partitions in by_steps.items()
        for first, last in contiguous(partitions)
    )


def due_steps(venue: str, interval: str, moves: Iterable[DueMove]) -> list[DueRun]:
    """Group the same moves into runs of one step each, in the order of the asset graph."""
    wanted = _wanted(venue, interval, moves)
    return [
        DueRun(first.key, last.key, (step,))
        for step in STEP_OF.values()
        for first, last in contiguous(part for part, steps in wanted.items() if step in steps)
    ]


def _wanted(venue: str, interval: str, moves: Iterable[DueMove]) -> dict[Partition, set[str]]:
    wanted: dict[Partition, set[str]] = defaultdict(set)
    for move in moves:
        if (move.partition.venue, move.partition.interval) == (venue, interval):
            wanted[move.partition].add(STEP_OF[move.action])
    return wanted
