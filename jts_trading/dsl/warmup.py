"""How many bars of each frame pass until a value can be defined."""

from jts_trading.dsl import graph as g

Warmup = dict[int, int]


def find_warmup(graph: g.Graph) -> tuple[Warmup, ...]:
    """Return, per node, bars by frame: 1 means on the first bar."""
    return tuple(add_warmup(graph, []))


def add_warmup(graph: g.Graph, found: list[Warmup]) -> list[Warmup]:
    """Add what the nodes need that came after those that are known already."""
    for node in graph.nodes[len(found) :]:
        need: Warmup = {}
        for operand in g.operands(node):
            need = latest(need, found[operand])
        frame = g.frame_of(node)
        if frame is not None:
            need[frame] = need.get(frame, 1) + _extra_bars(node)
        found.append(need)
    return found


def latest(left: Warmup, right: Warmup) -> Warmup:
    """Return what both need."""
    return {frame: max(left.get(frame, 0), right.get(frame, 0)) for frame in {*left, *right}}


def _extra_bars(node: g.Node) -> int:
    match node:
        case g.Indicator(definition=definition, settings=settings):
            return definition.warmup(dict(settings)) - 1
        case g.Past(bars=bars):
            return bars
        case g.Cross():
            return 1
        case _:
            return 0
