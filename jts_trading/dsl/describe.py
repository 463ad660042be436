"""Say in words what a plan computes, node by node."""

from jts_trading.dsl import graph as g
from jts_trading.dsl.grammar import Word
from jts_trading.dsl.layout import slots_of
from jts_trading.dsl.plan import PlanNode
from jts_trading.dsl.program import Program
from jts_trading.indicators.definition import setting_text, short_text
from jts_trading.indicators.symbols import written


def describe_nodes(program: Program, live: frozenset[int]) -> tuple[PlanNode, ...]:
    """Return one line per live node, in the order of computation."""
    graph, table = program.graph, program.frames.table
    found: list[PlanNode] = []
    for number in sorted(live):
        node = graph.nodes[number]
        frame = g.frame_of(node)
        name = "" if frame is None else table[frame][0]
        found.append(PlanNode(number, name, _text(graph, node), slots_of(node)))
    return tuple(found)


def _text(graph: g.Graph, node: g.Node) -> str:  # noqa: PLR0911 - one return per kind of node
    match node:
        case g.Constant(value=value, power=power):
            return written(short_text, value) + (" units of currency" if power == 1 else "")
        case g.TruthConstant(value=value):
            return str(Word.TRUE if value else Word.FALSE)
        case g.Column(name=name) | g.Fact(name=name):
            return name
        case g.Indicator(definition=definition, settings=settings, inputs=inputs):
            kinds = [p.kind for p in definition.parameters]
            words = [
                f"{key}: {setting_text(kind, value)}"
                for kind, (key, value) in zip(kinds, settings, strict=True)
            ]
            return f"{definition.name}({', '.join([*(f'#{n}' for n in inputs), *words])})"
        case g.Output(indicator=indicator, index=index):
            of = g.indicator_of(graph, indicator)
            return f"#{indicator}.{of.definition.outputs[index].name}"
        case g.Arithmetic(sign=sign, left=left, right=right) if sign in g.CHOICES:
            return f"the {sign} of #{left} and #{right}"
        case (
            g.Arithmetic(sign=sign, left=left, right=right)
            | g.Compare(sign=sign, left=left, right=right)
        ):
            return f"#{left} {sign} #{right}"
        case _:
            return _condition(node)


def _condition(node: g.Node) -> str:
    match node:
        case g.Cross(comparison=comparison):
            return f"#{comparison} became {Word.TRUE}"
        case g.Combine(every=every, operands=operands):
            return f" {Word.AND if every else Word.OR} ".join(f"#{n}" for n in operands)
        case g.Invert(operand=operand):
            return f"{Word.NOT} #{operand}"
        case g.Past(operand=operand, bars=bars):
            return f"#{operand}[{bars}]"
        case g.Since(truth=truth):
            return f"bars since #{truth} was {Word.TRUE}"
        case _:
            raise AssertionError(f"no words for {node}")
