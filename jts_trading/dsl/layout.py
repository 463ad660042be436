"""Where the state of each node lives in the row of an instrument.

Slot 0 holds the price scale. Then, per higher frame, the bar that is being gathered (six slots)
and, where an indicator needs it, its trading day; then the nodes in order, then the values that
rules keep. The size is known and bounded before anybody allocates a row.
"""

from dataclasses import dataclass

from jts_trading.dsl import graph as g

SCALE_SLOT = 0
# The bar in the making: count, open, high, low, close, volume.
BAR_SLOTS = 6
BAR_COLUMNS = ("open", "high", "low", "close", "volume")
# 256 MiB of state for 1,800 instruments.
STATE_SLOTS_MAX = 256 * 2**20 // 8 // 1800


@dataclass(frozen=True, slots=True)
class Layout:
    """Slots: first one of each pending bar, node, held value and rule; initial values by slot.

    `sessions` hold the trading day of a higher frame's newest bar. `values` is the first of the
    slots in which the step leaves what drivers read (`Plan.values`). `nulls` and `unknowns` are
    (first, one past last) ranges that start as NaN and as null truth.
    """

    bars: dict[int, int]
    sessions: dict[int, int]
    nodes: dict[int, int]
    held: dict[int, int]
    edges: dict[int, int]
    values: int
    nulls: tuple[tuple[int, int], ...]
    unknowns: tuple[tuple[int, int], ...]
    size: int


@dataclass(slots=True)
class _Slots:
    size: int = SCALE_SLOT + 1

    def take(self, count: int) -> int:
        first = self.size
        self.size += count
        return first


def slots_of(node: g.Node) -> int:
    """Return how many slots a node needs."""
    match node:
        case g.Indicator(definition=definition, settings=settings):
            return definition.state_size(dict(settings))
        case g.Past(bars=bars):
            return 1 + bars
        case g.Cross() | g.Since():
            return 1
        case _:
            return 0


def lay_out(
    graph: g.Graph,
    live: frozenset[int],
    *,
    frames: int,
    sessions: frozenset[int],
    held: frozenset[int],
    edges: tuple[int, ...],
    values: int,
) -> Layout:
    """Give every stateful thing its slots.

    Args:
        graph: The nodes.
        live: Those that a rule needs.
        frames: How many frames there are, the base included.
        sessions: Higher frames on which an indicator reads the trading day.
        held: Nodes of higher frames that a finer one reads.
        edges: Rules (by bit) that fire on the edge of their condition.
        values: How many values the step leaves for drivers.
    """
    slots = _Slots()
    bars = {frame: slots.take(BAR_SLOTS) for frame in range(1, frames)}
    of_session = {frame: slots.take(1) for frame in sorted(sessions)}
    nodes: dict[int, int] = {}
    nulls: list[tuple[int, int]] = []
    unknowns: list[tuple[int, int]] = []
    for number in sorted(live):
        node = graph.nodes[number]
        if count := slots_of(node):
            nodes[number] = slots.take(count)
            if isinstance(node, g.Past):
                nulls.append((nodes[number] + 1, slots.size))
            if isinstance(node, g.Cross):
                unknowns.append((nodes[number], slots.size))
    kept = {number: slots.take(1) for number in sorted(held)}
    for number, slot in kept.items():
        (unknowns if g.is_truth(graph.nodes[number]) else nulls).append((slot, slot + 1))
    return Layout(
        bars,
        of_session,
        nodes,
        kept,
        {bit: slots.take(1) for bit in edges},
        slots.take(values),
        tuple(nulls),
        tuple(unknowns),
        slots.size,
    )
