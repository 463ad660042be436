"""What a step leaves for the driver beside the mask: order prices, and what the guard reads.

The driver copies `Plan.values` numbers out of the state after a step, lets the guard run over them
where there is one, and finds the prices of its orders in them.
"""

from dataclasses import dataclass

from jts_trading.dsl import graph as g
from jts_trading.dsl.program import Program


@dataclass(frozen=True, slots=True)
class Export:
    """One number: a node as it is held, or the value of a price.

    `is_early` says that the step leaves it; what is not is left by the guard.
    """

    node: int
    is_price: bool
    is_early: bool


def find_exports(program: Program, live: frozenset[int]) -> tuple[Export, ...]:
    """Return what is handed over, each thing once, in a fixed order."""
    graph = program.graph
    found = [
        Export(node, is_price=True, is_early=not graph.is_late(node))
        for checked in program.rules
        for _, node in checked.prices
    ]
    if program.rank is not None:
        found.append(rank_export(program.rank))
    for number in late_nodes(graph, live):
        found += [
            Export(operand, is_price=False, is_early=True)
            for operand in g.operands(graph.nodes[number])
            if not graph.is_late(operand) and not _is_constant(graph.nodes[operand])
        ]
    return tuple(dict.fromkeys(found))


def rank_export(node: int) -> Export:
    """Return how the rank of an instrument is handed over: by its value."""
    return Export(node, is_price=True, is_early=True)


def late_nodes(graph: g.Graph, live: frozenset[int]) -> list[int]:
    """Return the live nodes that depend on the account, in the order of computation."""
    return [number for number in sorted(live) if graph.is_late(number)]


def _is_constant(node: g.Node) -> bool:
    return isinstance(node, g.Constant | g.TruthConstant)
