"""From a text to a plan: the passes in their order.

    read_text -> parse -> check -> (prune, find_exact, find_warmup, find_exports, lay_out)
              -> emit_source, emit_guard

Pure: the text comes in as an argument, the plan goes out; nothing is read, compiled or run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jts_trading.dsl import graph as g
from jts_trading.dsl.check import check, resolve
from jts_trading.dsl.describe import describe_nodes
from jts_trading.dsl.emit import TRACE, Emitter, emit_source
from jts_trading.dsl.errors import Place, StrategyError
from jts_trading.dsl.exactness import find_exact
from jts_trading.dsl.exports import Export, find_exports, rank_export
from jts_trading.dsl.grammar import COLUMNS, EXTRA_COLUMNS, SESSION_COLUMN
from jts_trading.dsl.guard import emit_account, emit_guard
from jts_trading.dsl.layout import STATE_SLOTS_MAX, Layout, lay_out
from jts_trading.dsl.lexer import SourceText, read_text
from jts_trading.dsl.normal import decimal_text, duration_text, normalise
from jts_trading.dsl.parser import parse
from jts_trading.dsl.pasting import own_steps
from jts_trading.dsl.plan import ENGINE_VERSION, ParameterValue, Plan, Rule, Timeframe
from jts_trading.dsl.program import CheckedRule, Program
from jts_trading.dsl.syntax import Strategy
from jts_trading.dsl.ticks import TickPlan, plan_ticks
from jts_trading.dsl.tracing import Trace, trace_trees
from jts_trading.dsl.warmup import Warmup, find_warmup, latest
from jts_trading.indicators.catalog import NATIVE, Catalog


def compile_strategy(
    text: str | bytes,
    *,
    file: str = "<strategy>",
    params: Mapping[str, str] | None = None,
    catalog: Catalog = NATIVE,
) -> Plan:
    """Compile a strategy text.

    Args:
        text: The text, at most 64 KiB of UTF-8.
        file: How errors name it.
        params: Values of parameters that replace the declared ones, as they would be written.
        catalog: The indicators that the text may call.

    Raises:
        StrategyError: The text is refused: line, column, what was found, what is accepted.
    """
    read = read_strategy(text, file=file, catalog=catalog)
    return plan_of(read, check(read.syntax, read.source, params or {}, catalog))


@dataclass(frozen=True, slots=True)
class StrategyText:
    """A text that was read: what compilations with different parameters have in common.

    Attributes:
        normalised: The text as the digest of a plan covers it.
        catalog: The indicators that it may call.
    """

    source: SourceText
    syntax: Strategy
    normalised: str
    catalog: Catalog


def read_strategy(
    text: str | bytes, *, file: str = "<strategy>", catalog: Catalog = NATIVE
) -> StrategyText:
    """Read and parse a strategy text.

    Args:
        text: As for `compile_strategy`.
        file: How errors name it.
        catalog: The indicators that the text may call.

    Raises:
        StrategyError: The text is no strategy.
    """
    source = read_text(text, file)
    syntax = parse(source)
    return StrategyText(source, syntax, normalise(syntax), catalog)


def plan_of(read: StrategyText, program: Program) -> Plan:
    """Return the plan of a checked strategy.

    Raises:
        StrategyError: It remembers more than may be.
    """
    file = read.source.file
    live = program.graph.reachable(program.roots())
    exact = find_exact(program.graph)
    warmup = find_warmup(program.graph)
    exports = find_exports(program, live)
    layout = _lay_out(program, live, file, len(exports))
    frames = program.frames.table
    guard = emit_guard(program, Emitter(program.graph, exact, layout), live, exports)
    return Plan(
        name=program.name,
        file=file,
        base_interval=None if frames[0][1] is None else duration_text(frames[0][1]),
        base_name=frames[0][0],
        timeframes=tuple(
            Timeframe(name, duration_text(seconds), seconds)
            for name, seconds in frames[1:]
            if seconds is not None
        ),
        rules=tuple(_with_prices(program, checked, exports) for checked in program.rules),
        risk=program.risk,
        params=program.params,
        sources=program.sources,
        needs=_needs(program, live),
        warmup_bars=_warmup_bars(program, warmup),
        state_size=layout.size,
        source=emit_source(program, exact, layout, live, exports),
        normalised=read.normalised,
        digest=plan_digest(read.normalised, program.params, own_steps(program)),
        nodes=describe_nodes(program, live),
        values_slot=layout.values,
        values=len(exports),
        guard=guard.source,
        guard_constants=guard.constants,
        currency=program.currency,
        universe=program.universe,
        rank=None if program.rank is None else exports.index(rank_export(program.rank)),
    )


def trace_strategy(
    text: str | bytes,
    *,
    file: str = "<strategy>",
    params: Mapping[str, str] | None = None,
    catalog: Catalog = NATIVE,
) -> Trace:
    """Compile a strategy text to what shows the values inside its conditions.

    Args:
        text: As for `compile_strategy`; the traced step works on the same state row.
        file: How errors name it.
        params: Values of parameters that replace the declared ones.
        catalog: The indicators that the text may call.

    Raises:
        StrategyError: See `compile_strategy`.
    """
    source = read_text(text, file)
    syntax = parse(source)
    program, resolver = resolve(syntax, source, params or {}, catalog)
    live = program.graph.reachable(program.roots())
    exports = find_exports(program, live)
    exact, layout = find_exact(program.graph), _lay_out(program, live, file, len(exports))
    count = len(program.graph.nodes)
    step = emit_source(program, exact, layout, live, exports, form=TRACE)
    account = emit_account(program, Emitter(program.graph, exact, layout), live, exports)
    return Trace(
        source=f"{step}\n\n{account}" if account else step,
        size=2 * count,
        nodes=count,
        rules=trace_trees(resolver, syntax),
        asks_account=bool(account),
    )


def compile_ticks(
    text: str | bytes,
    *,
    file: str = "<strategy>",
    params: Mapping[str, str] | None = None,
    catalog: Catalog = NATIVE,
) -> TickPlan | None:
    """Compile the rules of a strategy text that are judged on trades; None where it has none.

    Args:
        text: As for `compile_strategy`; what comes out works on copies of the same state row.
        file: How errors name it.
        params: Values of parameters that replace the declared ones.
        catalog: The indicators that the text may call.

    Raises:
        StrategyError: See `compile_strategy`.
    """
    source = read_text(text, file)
    syntax = parse(source)
    program, resolver = resolve(syntax, source, params or {}, catalog)
    if not any(checked.rule.on_trades for checked in program.rules):
        return None
    live = program.graph.reachable(program.roots())
    exports = find_exports(program, live)
    layout = _lay_out(program, live, file, len(exports))
    trees = trace_trees(resolver, syntax)
    return plan_ticks(program, find_exact(program.graph), layout, exports, trees)


def _lay_out(program: Program, live: frozenset[int], file: str, values: int) -> Layout:
    nodes = program.graph.nodes
    readers = [(g.frame_of(nodes[n]), n) for n in sorted(live)]
    read_by_base = {
        o for frame, n in readers if frame == g.BASE_FRAME for o in g.operands(nodes[n])
    }
    outer = read_by_base | set(program.roots())
    held = frozenset(n for n in outer if (g.frame_of(nodes[n]) or 0) > g.BASE_FRAME)
    layout = lay_out(
        program.graph,
        live,
        frames=len(program.frames.table),
        sessions=frozenset(
            node.frame
            for n in live
            if isinstance(node := nodes[n], g.Column)
            and node.name == SESSION_COLUMN
            and node.frame != g.BASE_FRAME
        ),
        held=held,
        edges=tuple(c.rule.bit for c in program.rules if c.is_edge),
        values=values,
    )
    if layout.size > STATE_SLOTS_MAX:
        raise StrategyError(
            f"the strategy remembers {layout.size:,} numbers per instrument, "
            f"the limit is {STATE_SLOTS_MAX:,}",
            Place(file, 1, 1),
            hint="shorten periods or history",
        )
    return layout


def _with_prices(program: Program, checked: CheckedRule, exports: tuple[Export, ...]) -> Rule:
    found = {
        which: exports.index(Export(node, is_price=True, is_early=not program.graph.is_late(node)))
        for which, node in checked.prices
    }
    return replace(checked.rule, limit=found.get("limit"), stop=found.get("stop"))


def _needs(program: Program, live: frozenset[int]) -> tuple[str, ...]:
    nodes = [program.graph.nodes[n] for n in live]
    read = {node.name for node in nodes if isinstance(node, g.Column)}
    return tuple(name for name in (*COLUMNS, *EXTRA_COLUMNS) if name in read)


def _warmup_bars(program: Program, warmup: tuple[Warmup, ...]) -> dict[str, int]:
    need: Warmup = {}
    for root in program.roots():
        need = latest(need, warmup[root])
    table = program.frames.table
    return {table[frame][0]: bars for frame, bars in sorted(need.items())}


def plan_digest(
    normalised: str, params: tuple[ParameterValue, ...], steps: tuple[str, ...]
) -> str:
    """Return what identifies a plan: text, parameters, steps that are not native, engine."""
    values = "".join(f"{p.name}={decimal_text(p.value)};" for p in params)
    identity = "\0".join((ENGINE_VERSION, normalised, values, *steps))
    return hashlib.sha256(identity.encode()).hexdigest()
