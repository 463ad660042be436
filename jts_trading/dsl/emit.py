"""Graph to source text: one rule per kind of node.

Invariant: the text holds only identifiers made here (v12, i7_0), names of columns and steps that
this program defines, and numbers that were parsed and printed again. No name of the user's, and no
text, gets into it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from jts_trading.dsl import graph as g
from jts_trading.dsl.exactness import MULTIPLIER_MAX, Exact, scaling
from jts_trading.dsl.exports import Export
from jts_trading.dsl.grammar import EXTRA_COLUMNS, SESSION_COLUMN
from jts_trading.dsl.layout import BAR_COLUMNS, SCALE_SLOT, Layout
from jts_trading.dsl.pasting import function_text
from jts_trading.dsl.program import Program
from jts_trading.dsl.runtime import ARITHMETIC, divide, gather, past, since
from jts_trading.indicators.definition import ParameterKind
from jts_trading.indicators.symbols import derive, real_text, written

_ARGUMENTS = {
    "open": "open_",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    **{name: name for name in EXTRA_COLUMNS},
}
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Form:
    """The step, or another function that is made like it.

    Attributes:
        name: Of the function.
        extras: Arguments behind those of the step.
        is_traced: It leaves in its argument `values` the value of node n at n (truths as 0, 1, 2)
            and the comparison of a crossing on the bar before behind all nodes, at n + their
            number.
        before: Changes over a time that passed: the price before it is in the argument `before`,
            at the place given for the indicator.
    """

    name: str = "step"
    extras: tuple[str, ...] = ()
    is_traced: bool = False
    before: Mapping[int, int] = field(default_factory=dict)


STEP = Form()
TRACE = Form("trace", ("values",), is_traced=True)


@dataclass(frozen=True, slots=True)
class Emitter:
    """What the rules need to know of the whole; `before` as in `Form`."""

    graph: g.Graph
    exact: tuple[Exact, ...]
    layout: Layout
    before: Mapping[int, int] = field(default_factory=dict)

    def numerator(self, number: int, factor: int = 1) -> str:
        """Return the text of a number's numerator, times a whole factor."""
        node = self.graph.nodes[number]
        if isinstance(node, g.Constant):
            held = self.exact[number]
            value = node.value.numerator if held.is_whole else node.value
            return self.constant(value, node, factor)
        return f"v{number}" if factor == 1 else f"v{number} * {self.literal(factor)}"

    def value(self, number: int) -> str:
        """Return the text of a number's value."""
        node = self.graph.nodes[number]
        if isinstance(node, g.Constant):
            return self.constant(node.value, node)
        divisor = self.exact[number].divisor
        return f"v{number}" if divisor == 1 else f"(v{number} / {self.literal(divisor)})"

    def constant(self, value: Fraction | int, node: g.Constant, factor: int = 1) -> str:
        """Return the text of a constant: an amount of currency is scaled to price units."""
        text = self.literal(value * factor)
        if node.power == 0 or value == 0:
            return text
        return f"({text} * scale)" if node.power == 1 else f"({text} * scale ** {node.power}.0)"

    def literal(self, value: Fraction | int) -> str:
        """Return the text of a number that is known in advance."""
        return _float(value)

    def held(self, number: int) -> str:
        """Return the text of a node as it is held: the numerator of a number, or a truth."""
        return (self.truth if g.is_truth(self.graph.nodes[number]) else self.numerator)(number)

    def truth(self, number: int) -> str:
        """Return the text of a truth."""
        node = self.graph.nodes[number]
        if isinstance(node, g.TruthConstant):
            return "2" if node.value else "0"
        return f"v{number}"


def _float(value: Fraction | int) -> str:
    return written(real_text, value)


def _column(emit: Emitter, number: int, node: g.Column) -> list[str]:
    if node.frame == g.BASE_FRAME:
        return [f"v{number} = {_ARGUMENTS[node.name]}"]
    if node.name == SESSION_COLUMN:
        return [f"v{number} = state[{emit.layout.sessions[node.frame]}]"]
    slot = emit.layout.bars[node.frame] + 1 + BAR_COLUMNS.index(node.name)
    return [f"v{number} = state[{slot}]"]


def _indicator(emit: Emitter, number: int, node: g.Indicator) -> list[str]:
    if number in emit.before:
        price, before = emit.value(node.inputs[0]), f"before[{emit.before[number]}]"
        return [f"i{number}_0 = divide({price} - {before}, {before})"]
    definition = node.definition
    settings = dict(node.settings)
    arguments = ["state", str(emit.layout.nodes.get(number, 0))]
    for parameter in definition.parameters:
        is_float = parameter.kind is ParameterKind.NUMBER
        setting = settings[parameter.name]
        arguments.append(_float(setting) if is_float else str(derive(int, setting)))
    text = emit.numerator if definition.is_linear else emit.value
    arguments.extend(text(n) for n in node.inputs)
    targets = ", ".join(f"i{number}_{i}" for i in range(len(definition.outputs)))
    return [f"{targets} = {definition.step.__name__}({', '.join(arguments)})"]


def _output(_emit: Emitter, number: int, node: g.Output) -> list[str]:
    return [f"v{number} = i{node.indicator}_{node.index}"]


def _arithmetic(emit: Emitter, number: int, node: g.Arithmetic) -> list[str]:
    held, left, right = (emit.exact[n] for n in (number, node.left, node.right))
    if held.is_whole and node.sign in {"+", "-", *g.CHOICES}:
        sides = (
            emit.numerator(node.left, held.divisor // left.divisor),
            emit.numerator(node.right, held.divisor // right.divisor),
        )
        return [f"v{number} = {_joined(node.sign, *sides)}"]
    scaled = scaling(emit.graph, node) if held.is_whole else None
    if scaled is not None:
        factor, series = scaled
        return [f"v{number} = {emit.numerator(series, factor.numerator)}"]
    if node.sign != "/":
        return [f"v{number} = {_joined(node.sign, emit.value(node.left), emit.value(node.right))}"]
    common = derive(lcm, left.divisor, right.divisor)
    if left.is_whole and right.is_whole and common <= MULTIPLIER_MAX:
        # One rounding only: the quotient of two whole numbers.
        sides = (
            emit.numerator(node.left, common // left.divisor),
            emit.numerator(node.right, common // right.divisor),
        )
        return [f"v{number} = divide({sides[0]}, {sides[1]})"]
    return [f"v{number} = divide({emit.value(node.left)}, {emit.value(node.right)})"]


def _joined(sign: str, left: str, right: str) -> str:
    return f"{sign}({left}, {right})" if sign in g.CHOICES else f"{left} {sign} {right}"


def _compare(emit: Emitter, number: int, node: g.Compare) -> list[str]:
    left, right = emit.exact[node.left], emit.exact[node.right]
    common = derive(gcd, left.divisor, right.divisor)
    factors = (right.divisor // common, left.divisor // common)
    if left.is_whole and right.is_whole and max(factors) <= MULTIPLIER_MAX:
        a, b = emit.numerator(node.left, factors[0]), emit.numerator(node.right, factors[1])
    else:
        a, b = emit.value(node.left), emit.value(node.right)
    lines = [f"a{number} = {a}", f"b{number} = {b}"]
    a, b = f"a{number}", f"b{number}"
    either = f"(({a} < {b}) | ({a} > {b}))"
    true, false = {
        ">": (f"({a} > {b})", f"({a} <= {b})"),
        ">=": (f"({a} >= {b})", f"({a} < {b})"),
        "<": (f"({a} < {b})", f"({a} >= {b})"),
        "<=": (f"({a} <= {b})", f"({a} > {b})"),
        "==": (f"({a} == {b})", either),
        "!=": (either, f"({a} == {b})"),
    }[node.sign]
    return [*lines, f"v{number} = 1 + {true} - {false}"]


def _cross(emit: Emitter, number: int, node: g.Cross) -> list[str]:
    slot = emit.layout.nodes[number]
    now = emit.truth(node.comparison)
    return [
        f"p{number} = int(state[{slot}])",
        f"state[{slot}] = {now}",
        f"undefined = p{number} == 1 or {now} == 1",
        f"v{number} = 1 if undefined else (2 if p{number} == 0 and {now} == 2 else 0)",
    ]


def _combine(emit: Emitter, number: int, node: g.Combine) -> list[str]:
    truths = ", ".join(emit.truth(n) for n in node.operands)
    return [f"v{number} = {'min' if node.every else 'max'}({truths})"]


def _invert(emit: Emitter, number: int, node: g.Invert) -> list[str]:
    return [f"v{number} = 2 - {emit.truth(node.operand)}"]


def _past(emit: Emitter, number: int, node: g.Past) -> list[str]:
    slot = emit.layout.nodes[number]
    return [f"v{number} = past(state, {slot}, {node.bars}, {emit.numerator(node.operand)})"]


def _since(emit: Emitter, number: int, node: g.Since) -> list[str]:
    return [f"v{number} = since(state, {emit.layout.nodes[number]}, {emit.truth(node.truth)})"]


def _nothing(_emit: Emitter, _number: int, _node: g.Node) -> list[str]:
    return []


_RULES: dict[type, Callable[[Emitter, int, Any], list[str]]] = {
    g.Constant: _nothing,
    g.TruthConstant: _nothing,
    g.Column: _column,
    g.Indicator: _indicator,
    g.Output: _output,
    g.Arithmetic: _arithmetic,
    g.Compare: _compare,
    g.Cross: _cross,
    g.Combine: _combine,
    g.Invert: _invert,
    g.Past: _past,
    g.Since: _since,
    g.Fact: _nothing,
}


def node_lines(emit: Emitter, number: int) -> list[str]:
    """Return the statements that compute a node."""
    node = emit.graph.nodes[number]
    return _RULES[type(node)](emit, number, node)


def emit_source(
    program: Program,
    exact: tuple[Exact, ...],
    layout: Layout,
    live: frozenset[int],
    exports: tuple[Export, ...],
    *,
    form: Form = STEP,
) -> str:
    """Return the source of a strategy.

    Args:
        program: The checked strategy.
        exact: How each node is held.
        layout: Where state is.
        live: Nodes that rules need.
        exports: What the step leaves for drivers, in the order of their slots.
        form: What is wanted.
    """
    emit = Emitter(program.graph, exact, layout, form.before)
    nodes = program.graph.nodes
    columns = {n.name for i, n in enumerate(nodes) if i in live and isinstance(n, g.Column)}
    body: list[str] = []
    for frame in range(1, len(program.frames.table)):
        body += _frame(emit, frame, live)
    for number, slot in sorted(layout.held.items()):
        body += [f"v{number} = state[{slot}]", *_kept(emit, number, form)]
    for number in sorted(live):
        if g.frame_of(nodes[number]) == g.BASE_FRAME and not emit.graph.is_late(number):
            body += node_lines(emit, number)
            body += _kept(emit, number, form)
    body += _exported(emit, exports)
    body += _fire(emit, program)
    if any("scale" in line for line in body):
        body.insert(0, f"scale = state[{SCALE_SLOT}]")
    taken = (*(name for name in EXTRA_COLUMNS if name in columns), *form.extras)
    extras = "".join(f", {name}" for name in taken)
    parts = [
        "\n".join(("import math", *_imports(program, live))),
        *_pasted(program, live, form),
        f"STATE_SIZE = {layout.size}",
        _initial(layout),
        f"def {form.name}(state, open_, high, low, close, volume, tf_closed{extras}):\n"
        + "\n".join(_INDENT + line for line in body),
    ]
    return "\n\n\n".join(parts) + "\n"


def _kept(emit: Emitter, number: int, form: Form) -> list[str]:
    """Return the statements that leave the value of a node for whoever asks why."""
    node = emit.graph.nodes[number]
    if not form.is_traced or isinstance(node, g.Indicator):
        return []
    value = emit.truth(number) if g.is_truth(node) else emit.value(number)
    lines = [f"values[{number}] = {value}"]
    if isinstance(node, g.Cross) and g.frame_of(node) == g.BASE_FRAME:
        lines.append(f"values[{len(emit.graph.nodes) + number}] = p{number}")
    return lines


def _frame(emit: Emitter, frame: int, live: frozenset[int]) -> list[str]:
    at = emit.layout.bars[frame]
    lines: list[str] = []
    for number in sorted(live):
        node = emit.graph.nodes[number]
        if g.frame_of(node) == frame:
            lines += node_lines(emit, number)
            if number in emit.layout.held:
                lines.append(f"state[{emit.layout.held[number]}] = v{number}")
    lines.append(f"state[{at}] = 0.0")
    session = emit.layout.sessions.get(frame)
    return [
        f"if tf_closed & {1 << (frame - 1)} != 0 and state[{at}] > 0.0:",
        *(_INDENT + line for line in lines),
        f"gather(state, {at}, open_, high, low, close, volume)",
        *([] if session is None else [f"state[{session}] = session"]),
    ]


def _exported(emit: Emitter, exports: tuple[Export, ...]) -> list[str]:
    lines = []
    for place, export in enumerate(exports):
        if export.is_early:
            text = emit.value if export.is_price else emit.held
            lines.append(f"state[{emit.layout.values + place}] = {text(export.node)}")
    return lines


def _fire(emit: Emitter, program: Program) -> list[str]:
    lines = ["fired = 0"]
    for checked in program.rules:
        bit = checked.rule.bit
        lines.append(f"fires = {emit.truth(checked.condition)} == 2")
        target = "fires"
        if checked.is_edge:
            slot = emit.layout.edges[bit]
            lines += [
                f"starts = fires and int(state[{slot}]) == 0",
                f"state[{slot}] = 1 if fires else 0",
            ]
            target = "starts"
        lines.append(f"if {target}:")
        lines.append(f"{_INDENT}fired |= {1 << bit}")
    return [*lines, "return fired"]


def _initial(layout: Layout) -> str:
    lines = [
        "def init_state(state, price_scale=1.0):",
        f"state[0:{layout.size}] = 0.0",
        f"state[{SCALE_SLOT}] = price_scale",
        *(f"state[{first}:{last}] = math.nan" for first, last in layout.nulls),
        *(f"state[{first}:{last}] = 1.0" for first, last in layout.unknowns),
    ]
    return f"\n{_INDENT}".join(lines)


def _imports(program: Program, live: frozenset[int]) -> list[str]:
    nodes = (program.graph.nodes[number] for number in live)
    found = (n.definition.imports for n in nodes if isinstance(n, g.Indicator))
    return sorted({line for lines in found for line in lines})


def _pasted(program: Program, live: frozenset[int], form: Form) -> list[str]:
    functions: dict[str, Callable[..., Any]] = {}
    for number in sorted(live):
        node = program.graph.nodes[number]
        if program.graph.is_late(number):
            continue
        if number in form.before:
            functions.setdefault("divide", divide)
        elif isinstance(node, g.Indicator):
            for function in (*node.definition.uses, node.definition.step):
                functions.setdefault(function.__name__, function)
        elif isinstance(node, g.Past):
            functions.setdefault("past", past)
        elif isinstance(node, g.Since):
            functions.setdefault("since", since)
        elif isinstance(node, g.Arithmetic) and node.sign in ARITHMETIC:
            functions.setdefault(ARITHMETIC[node.sign].__name__, ARITHMETIC[node.sign])
    if len(program.frames.table) > 1:
        functions.setdefault("gather", gather)
    return [function_text(function) for function in functions.values()]
