"""What was some bars ago: of a number by a window, of a condition by the numbers in it."""

from dataclasses import replace

from jts_trading.dsl import graph as g


def past_of(graph: g.Graph, number: int, bars: int) -> int | None:
    """Return the node of a value some bars of its time frame ago; None where it has none.

    A condition needs no window of its own: it was true if what it compares compared so. Null
    stays null, and a crossing then is one of the values then; but one on the bars of another time
    frame is held between them, which its values do not tell.

    Args:
        graph: Gets the nodes that are missing.
        number: The value.
        bars: How many.
    """
    frame = g.frame_of(graph.nodes[number])
    return number if frame is None else _past(graph, number, bars, frame)


def _past(graph: g.Graph, number: int, bars: int, frame: int) -> int | None:
    node = graph.nodes[number]
    if g.frame_of(node) is None:
        return number
    before = [_past(graph, each, bars, frame) for each in g.operands(node) if g.is_truth(node)]
    found = [each for each in before if each is not None]
    past: g.Node | None = None
    match node:
        case _ if len(found) < len(before):
            pass
        case g.Compare():
            past = replace(node, left=found[0], right=found[1], frame=frame)
        case g.Combine():
            past = replace(node, operands=tuple(found), frame=frame)
        case g.Invert():
            past = replace(node, operand=found[0], frame=frame)
        case g.Cross():
            past = replace(node, comparison=found[0]) if node.frame == frame else None
        case _:
            past = g.Past(number, bars, frame)
    return None if past is None else graph.add(past)
