"""Conditions as trees whose values can be looked up: what `jts why` prints.

A tree has the shape of the text; each of its nodes knows which node of the graph holds its value.
The traced step (`emit.TRACE`) leaves the values of one bar; `evaluate` puts
the two together. Nothing is computed here: the values are those of the program that decided.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jts_trading.dsl import graph as g
from jts_trading.dsl import syntax as s
from jts_trading.dsl.normal import expression_text
from jts_trading.dsl.resolve import Resolver
from jts_trading.dsl.values import Bundle, Fixed, Kind
from jts_trading.dsl.walk import children

_DIGITS = 14
_WHOLE_MAX = 10**_DIGITS
# How a truth is coded; 1 is a comparison with what is not known.
_TRUTHS = {0.0: False, 2.0: True}
# JSON by nature: the value is a truth, a number or null.
Evaluated = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TraceNode:
    """One expression of a condition.

    Attributes:
        text: As normalised.
        node: Number of its node in the graph; None for a constant.
        constant: Its value where it is one, in currency where it is an amount.
        power: Of currency: a price has 1.
        is_truth: It is true or false.
        is_crossing: It also has the comparison of the bar before.
    """

    text: str
    node: int | None
    constant: float | None
    power: int
    is_truth: bool
    is_crossing: bool
    parts: tuple["TraceNode", ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """How to look at a decision of a strategy.

    Attributes:
        source: Python text that defines `trace`, the step with one more argument `values`.
        size: How many values there are.
        nodes: Of them, how many nodes the graph has: values of the bar before are behind.
        rules: The condition of each rule, by its bit.
        asks_account: The source defines `account`, too, which fills in the values that depend on
            the account: see `dsl.guard`.
    """

    source: str
    size: int
    nodes: int
    rules: tuple[TraceNode, ...]
    asks_account: bool = False


def trace_trees(resolver: Resolver, strategy: s.Strategy) -> tuple[TraceNode, ...]:
    """Return the condition of each rule of a checked strategy."""
    found: list[TraceNode] = []
    for block in strategy.rules:
        for when in block.rules:
            tree = _tree(resolver, when.condition)
            found += [tree] * len(when.actions)
    return tuple(found)


def evaluate(
    trace: Trace, values: Sequence[float], scale: float, bits: Iterable[int] | None = None
) -> list[Evaluated]:
    """Return rules with their values: `rule`, and of the condition and its parts what they are.

    That is `text`, `value`, the `children` if it has parts, and `before` of a crossing.

    Args:
        trace: Of the strategy.
        values: What the traced step left.
        scale: How many price units make one unit of currency.
        bits: Of the rules; None for all.
    """
    shown = _Shown(trace.nodes, values, scale)
    numbers = range(len(trace.rules)) if bits is None else bits
    return [shown.fill({"rule": bit}, trace.rules[bit]) for bit in numbers]


class _Shown:
    """The values of one bar as people read them; each number is written out once."""

    def __init__(self, nodes: int, values: Sequence[float], scale: float) -> None:
        self._nodes, self._values, self._scale = nodes, values, scale
        self._numbers: dict[tuple[int, int], float | None] = {}

    def fill(self, found: Evaluated, node: TraceNode) -> Evaluated:
        """Return what was given with what a condition, or a part of one, is."""
        at = node.node
        found["text"] = node.text
        if at is None:
            found["value"] = node.constant
        elif node.is_truth:
            found["value"] = _TRUTHS.get(self._values[at])
            if node.is_crossing:
                found["before"] = _TRUTHS.get(self._values[self._nodes + at])
        else:
            number = at, node.power
            if number not in self._numbers:
                self._numbers[number] = _number(self._values[at], self._scale, node.power)
            found["value"] = self._numbers[number]
        if node.parts:
            found["children"] = [self.fill({}, part) for part in node.parts]
        return found


def _number(held: float, scale: float, power: int) -> float | None:
    if not math.isfinite(held):
        return None
    shown = held / scale**power if power else held
    if shown.is_integer() and abs(shown) < _WHOLE_MAX:
        return shown
    # For people: the last bits of a quotient say nothing, and nothing is decided with these.
    return float(f"{shown:.{_DIGITS}g}")


def _tree(resolver: Resolver, expression: s.Expression | s.Record) -> TraceNode:
    text = expression_text(expression)
    bound = None if isinstance(expression, s.Record) else resolver.bound(expression, 0)
    if bound is None or isinstance(bound, Bundle):
        return TraceNode(text, None, None, 0, is_truth=False, is_crossing=False)
    if isinstance(bound, Fixed):
        return TraceNode(text, None, float(bound.value), 0, is_truth=False, is_crossing=False)
    graph_node = resolver.graph.nodes[bound.node]
    is_crossing = isinstance(graph_node, g.Cross) and graph_node.frame == g.BASE_FRAME
    return TraceNode(
        text,
        bound.node,
        None,
        bound.power,
        is_truth=bound.kind is Kind.TRUTH,
        is_crossing=is_crossing,
        parts=_parts(resolver, expression),
    )


def _parts(resolver: Resolver, expression: s.Expression | s.Record) -> tuple[TraceNode, ...]:
    # What a call is made of was computed on earlier bars; its value says everything.
    if isinstance(expression, s.Call | s.Selected | s.Reference | s.History | s.Record):
        return ()
    return tuple(_tree(resolver, part) for part in children(expression))
