"""Rules that are judged on every trade (`surge_detection`): the step over a bar in the making.

A driver makes a copy of an instrument's state and hands it over with the bar as it would be if it
closed now:

    judge(state, open_, high, low, close, volume, tf_closed[, further columns], before) -> int

Bit i of what comes back says that the condition of `rules[i]` holds; whether a rule fires is up to
the driver, who knows since when it has not held. Every expression means what it means at a close;
but a change over a duration, `price_change(5m)`, is that of the last trade against the last one at
or before that time ago: `before` has its price for each of `TickPlan.lags_ns`, NaN where none is
known. In the copy are then the values of `Plan.values` that order prices of these rules need.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jts_trading.dsl import graph as g
from jts_trading.dsl.emit import Form, emit_source
from jts_trading.dsl.exactness import Exact
from jts_trading.dsl.exports import Export
from jts_trading.dsl.grammar import EXTRA_COLUMNS
from jts_trading.dsl.layout import Layout
from jts_trading.dsl.program import Program
from jts_trading.dsl.tracing import Trace, TraceNode

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TickPlan:
    """The rules of a strategy that are judged on trades, compiled.

    Attributes:
        source: Defines `judge`.
        bits: Of these rules, ascending.
        lags_ns: How long ago each price of `before` was the last one.
        needs: Columns that `judge` takes behind `tf_closed`, as in `Plan.needs`.
        trace: Shows the values inside their conditions; its function takes `before`, too.
    """

    source: str
    bits: tuple[int, ...]
    lags_ns: tuple[int, ...]
    needs: tuple[str, ...]
    trace: Trace


def plan_ticks(
    program: Program,
    exact: tuple[Exact, ...],
    layout: Layout,
    exports: tuple[Export, ...],
    trees: tuple[TraceNode, ...],
) -> TickPlan:
    """Return the plan of the rules on trades of a checked strategy.

    Args:
        program: It has such rules.
        exact: How each node is held.
        layout: Where the state of the whole strategy is.
        exports: What its step leaves for drivers.
        trees: The condition of each of its rules.
    """
    chosen = tuple(replace(c, is_edge=False) for c in program.rules if c.rule.on_trades)
    judged, nodes = replace(program, rules=chosen, rank=None), program.graph.nodes
    live = program.graph.reachable(judged.roots())
    lags_ns, before = _changes(nodes, live)
    left = tuple(e if e.node in live else replace(e, is_early=False) for e in exports)
    judge, trace = (
        emit_source(judged, exact, layout, live, left, form=form)
        for form in (
            Form("judge", ("before",), before=before),
            Form("trace", ("before", "values"), is_traced=True, before=before),
        )
    )
    read = {node.name for n in live if isinstance(node := nodes[n], g.Column)}
    return TickPlan(
        source=judge,
        bits=tuple(checked.rule.bit for checked in chosen),
        lags_ns=lags_ns,
        needs=tuple(name for name in EXTRA_COLUMNS if name in read),
        trace=Trace(trace, 2 * len(nodes), len(nodes), trees),
    )


def _changes(
    nodes: list[g.Node], live: frozenset[int]
) -> tuple[tuple[int, ...], Mapping[int, int]]:
    """Return the times over which changes are asked for, and the place of that of each node."""
    lags = {
        number: int(node.seconds * _NS_PER_S)
        for number in live
        if isinstance(node := nodes[number], g.Indicator) and node.seconds is not None
    }
    lags_ns = tuple(sorted(set(lags.values())))
    return lags_ns, {number: lags_ns.index(lag) for number, lag in lags.items()}
