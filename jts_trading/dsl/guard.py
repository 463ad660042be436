"""The second half of a step: what depends on the account, judged when the driver decides.

A condition is split where its `and` joins it: what needs bars only is in the mask of the step, so
that a backtest knows it for all bars in advance; what needs `position` or `portfolio` is here:

    guard(fired, values, facts) -> fired

`values` are the numbers that the step left (see `exports`), `facts` those of the account (see
`facts`). The guard takes out of the mask what the account does not allow and leaves the prices
that depend on it in `values`. It keeps no state.
"""

from jts_trading.dsl import graph as g
from jts_trading.dsl.emit import Emitter, function_text, node_lines
from jts_trading.dsl.exports import Export, late_nodes
from jts_trading.dsl.facts import SCALE_FACT
from jts_trading.dsl.program import Program
from jts_trading.dsl.runtime import divide

_INDENT = "    "
_ALL_TRUE = 2


def split(graph: g.Graph, condition: int) -> tuple[int, int | None]:
    """Return what of a condition bars alone decide, and the rest, or None.

    Both hold together exactly when the condition does: the truth of `and` is the least of several.
    """
    if not graph.is_late(condition):
        return condition, None
    node = graph.nodes[condition]
    if not (isinstance(node, g.Combine) and node.every):
        return graph.add(g.TruthConstant(True)), condition
    early = tuple(n for n in node.operands if not graph.is_late(n))
    late = tuple(n for n in node.operands if graph.is_late(n))
    return _joined(graph, early), _joined(graph, late)


def _joined(graph: g.Graph, truths: tuple[int, ...]) -> int:
    if not truths:
        return graph.add(g.TruthConstant(True))
    return truths[0] if len(truths) == 1 else graph.add(g.Combine(True, truths, g.BASE_FRAME))


def emit_guard(
    program: Program, emit: Emitter, live: frozenset[int], exports: tuple[Export, ...]
) -> str:
    """Return the source of a guard; empty where no rule asks for the account."""
    late = late_nodes(program.graph, live)
    if not late:
        return ""
    body = [
        f"v{export.node} = values[{place}]"
        for place, export in enumerate(exports)
        if export.is_early and not export.is_price
    ]
    for number in late:
        node = program.graph.nodes[number]
        if isinstance(node, g.Fact):
            body.append(f"v{number} = facts[{node.place}]")
        else:
            body += node_lines(emit, number)
    for checked in program.rules:
        if checked.guard is not None:
            body += [
                f"if v{checked.guard} != {_ALL_TRUE}:",
                f"{_INDENT}fired &= {~(1 << checked.rule.bit)}",
            ]
    body += [
        f"values[{place}] = {emit.value(export.node)}"
        for place, export in enumerate(exports)
        if not export.is_early
    ]
    if any("scale" in line for line in body):
        body.insert(0, f"scale = facts[{SCALE_FACT}]")
    parts = ["import math"]
    if any("divide(" in line for line in body):
        parts.append(function_text(divide))
    lines = "\n".join(_INDENT + line for line in (*body, "return fired"))
    parts.append(f"def guard(fired, values, facts):\n{lines}")
    return "\n\n\n".join(parts) + "\n"
