"""From the moves that are due to the runs that make them.

Partitions with the same moves and no other partition between them share one run: a run covers a
range of keys and does its steps in order.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jts_pipelines.defs.market_data.families import Family, contiguous
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


def due_runs(family: Family, moves: Iterable[DueMove]) -> list[DueRun]:
    """Group the due moves of a family into runs, oldest range first.

    Args:
        family: Moves of other families are left out.
        moves: As `Mover.plan` returned them.
    """
    wanted: dict[Partition, set[str]] = defaultdict(set)
    for move in moves:
        if (move.partition.venue, move.partition.interval) == (family.venue, family.interval):
            wanted[move.partition].add(STEP_OF[move.action])
    by_steps: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for partition, steps in wanted.items():
        in_order = tuple(step for step in STEP_OF.values() if step in steps)
        by_steps[in_order].append(partition.key)
    return sorted(
        DueRun(first, last, steps)
        for steps, keys in by_steps.items()
        for first, last in contiguous(family, keys)
    )
