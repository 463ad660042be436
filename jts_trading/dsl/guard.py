"""The second half of a step: what depends on the account, judged when the driver decides.

A condition is split where its `and` joins it: what needs bars only is in the mask of the step, so
that a backtest knows it for all bars in advance; what needs `position` or `portfolio` is here:

    guard(fired, values, facts) -> fired

`values` are the numbers that the step left (see `exports`), `facts` those of the account (see
`facts`). The guard takes out of the mask what the account does not allow and leaves the prices
that depend on it in `values`. It keeps no state.

Its constants stand behind the facts, not in its text: a sweep changes them without compiling the
portfolio of a backtest again.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from jts_trading.dsl import graph as g
from jts_trading.dsl.emit import Emitter, node_lines
from jts_trading.dsl.exports import Export, late_nodes
from jts_trading.dsl.facts import FACTS_SIZE, SCALE_FACT
from jts_trading.dsl.pasting import function_text
from jts_trading.dsl.program import Program
from jts_trading.dsl.runtime import ARITHMETIC
from jts_trading.indicators.symbols import derive

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


@dataclass(frozen=True, slots=True)
class _Hoisting(Emitter):
    """Writes numbers that are known in advance as places behind the facts."""

    constants: list[float] = field(default_factory=list)

    def literal(self, value: Fraction | int) -> str:
        """Return the text of a number that is known in advance."""
        # Equal ones have a place each: another value of a parameter changes no text.
        self.constants.append(derive(float, value))
        return f"facts[{FACTS_SIZE + len(self.constants) - 1}]"


@dataclass(frozen=True, slots=True)
class Guard:
    """The source of a guard, empty where no rule asks for the account, and its constants."""

    source: str = ""
    constants: tuple[float, ...] = ()


def emit_guard(
    program: Program, emitter: Emitter, live: frozenset[int], exports: tuple[Export, ...]
) -> Guard:
    """Return the guard of a program."""
    late = late_nodes(program.graph, live)
    if not late:
        return Guard()
    emit = _Hoisting(emitter.graph, emitter.exact, emitter.layout)
    body = [line for number in late for line in _late_lines(emit, number)]
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
    head = "def guard(fired, values, facts):"
    source = _source(head, [*_read_values(exports), *body, "return fired"])
    return Guard(source, tuple(emit.constants))


def emit_account(
    program: Program, emit: Emitter, live: frozenset[int], exports: tuple[Export, ...]
) -> str:
    """Return the source of `account(traced, values, facts)`; empty as for `emit_guard`.

    It leaves what a traced step cannot know, the values of nodes that ask for the account, among
    those of the other nodes.
    """
    late = late_nodes(program.graph, live)
    if not late:
        return ""
    body: list[str] = []
    for number in late:
        is_truth = g.is_truth(program.graph.nodes[number])
        text = (emit.truth if is_truth else emit.value)(number)
        body += [*_late_lines(emit, number), f"traced[{number}] = {text}"]
    head = "def account(traced, values, facts):"
    return _source(head, [*_read_values(exports), *body, "return 0"])


def _read_values(exports: tuple[Export, ...]) -> list[str]:
    return [
        f"v{export.node} = values[{place}]"
        for place, export in enumerate(exports)
        if export.is_early and not export.is_price
    ]


def _late_lines(emit: Emitter, number: int) -> list[str]:
    node = emit.graph.nodes[number]
    if isinstance(node, g.Fact):
        return [f"v{number} = facts[{node.place}]"]
    return node_lines(emit, number)


def _source(head: str, body: list[str]) -> str:
    if any("scale" in line for line in body):
        body = [f"scale = facts[{SCALE_FACT}]", *body]
    parts = ["import math"]
    parts += [
        function_text(function)
        for function in ARITHMETIC.values()
        if any(f"{function.__name__}(" in line for line in body)
    ]
    parts.append("\n".join((head, *(_INDENT + line for line in body))))
    return "\n\n\n".join(parts) + "\n"
