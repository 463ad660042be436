"""Print a syntax tree in one form: equal for texts that differ only in layout and comments.

The normalised text parses to the same tree again; its digest is part of a release's identity.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from jts_trading.dsl import syntax as s
from jts_trading.dsl.grammar import (
    DURATION_SECONDS,
    SOURCE_RANGE,
    Block,
    Measure,
    Word,
)

_INDENT = "  "


def normalise(strategy: s.Strategy) -> str:
    """Return the normalised text of a strategy."""
    lines = [f'{Word.STRATEGY}("{strategy.name.value}") {{']
    lines += _block(Block.PARAMS, [_parameter(p) for p in strategy.params])
    lines += _block(
        Block.TIMEFRAMES, [f"{t.name} = {expression_text(t.value)}" for t in strategy.timeframes]
    )
    lines += _block(Block.INDICATORS, _definitions(strategy.definitions))
    lines += _block(Block.SOURCES, [_source(source) for source in strategy.sources])
    lines += _block(Block.UNIVERSE, _universe(strategy))
    lines += [f"{_INDENT}{_requirement(each)}" for each in strategy.requirements]
    lines += [f"{_INDENT}{Word.RANK} {Word.BY} {expression_text(each)}" for each in strategy.ranks]
    for rules in strategy.rules:
        lines += _block(rules.block, [line for rule in rules.rules for line in _when(rule)])
    lines += _block(
        Block.RISK_MANAGEMENT, [f"{r.name} = {expression_text(r.value)}" for r in strategy.risk]
    )
    return "\n".join([*lines, "}"]) + "\n"


def expression_text(node: s.Expression | s.Record) -> str:
    """Return the text of an expression; parentheses only where they were needed."""
    return _PRINTERS[type(node)](node)


def _block(name: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    return [f"{_INDENT}{name} {{", *(_INDENT * 2 + line for line in lines), f"{_INDENT}}}"]


def _parameter(parameter: s.Parameter) -> str:
    text = f"{parameter.name} = {_literal(parameter.value)}"
    if parameter.low is not None and parameter.high is not None:
        text += f" {Word.IN} {_literal(parameter.low)}..{_literal(parameter.high)}"
    if parameter.step is not None:
        text += f" {Word.STEP} {_literal(parameter.step)}"
    return text


def _definitions(definitions: tuple[s.Definition, ...]) -> list[str]:
    lines: list[str] = []
    frame = ""
    for definition in definitions:
        if definition.frame != frame:
            lines += ["}"] if frame else []
            lines += [f"{Word.ON} {definition.frame} {{"] if definition.frame else []
            frame = definition.frame
        indent = _INDENT if frame else ""
        lines.append(f"{indent}{definition.name} = {expression_text(definition.value)}")
    return [*lines, "}"] if frame else lines


def _source(source: s.SourceRange) -> str:
    return f"{source.name}: {SOURCE_RANGE}[{_literal(source.first)}..{_literal(source.last)}]"


def _universe(strategy: s.Strategy) -> list[str]:
    lines = []
    for selection in strategy.selections:
        texts = ", ".join(f'"{text.value}"' for text in selection.values)
        lines.append(f"{selection.name.lower()} = [{texts}]")
    return [*lines, *(expression_text(each) for each in strategy.filters)]


def _requirement(requirement: s.Requirement) -> str:
    within = "" if requirement.bars is None else f" {Word.WITHIN} {_literal(requirement.bars)}"
    return f"{Word.REQUIRE} {Word.QUALITY}{within}"


def _when(rule: s.When) -> list[str]:
    actions = [f"{_INDENT}{a.name.lower()}({_arguments(a.arguments)})" for a in rule.actions]
    return [f"{Word.WHEN} ({expression_text(rule.condition)}) {{", *actions, "}"]


def _arguments(arguments: tuple[s.Argument, ...]) -> str:
    return ", ".join(
        (f"{a.name}: " if a.name else "") + expression_text(a.value) for a in arguments
    )


DECIMAL_PLACES_MAX = 64


def decimal_text(value: Fraction) -> str:
    """Return a fraction that was written as a decimal number as one again.

    Raises:
        ValueError: It has no end as a decimal number.
    """
    places = 0
    scaled = value
    while scaled.denominator != 1:
        scaled *= 10
        places += 1
        if places > DECIMAL_PLACES_MAX:
            raise ValueError(f"{value} has no end as a decimal number")
    digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def exact_decimal(value: Fraction) -> Decimal:
    """Return a fraction as the decimal number that it is.

    Raises:
        ValueError: It has no end as a decimal number.
    """
    return Decimal(decimal_text(value))


def _literal(node: s.Literal) -> str:
    match node.measure:
        case Measure.NUMBER:
            return decimal_text(node.value)
        case Measure.PERCENT:
            return decimal_text(node.value * 100) + "%"
        case Measure.MONEY:
            return f"{decimal_text(node.value)} {node.currency}"
        case Measure.DURATION:
            return duration_text(node.value)
        case Measure.TIME:
            return time_text(int(node.value))


def duration_text(seconds: Fraction | int) -> str:
    """Return a duration in its largest whole unit; a week stays seven days."""
    value = Fraction(seconds)
    for unit in ("d", "h", "m"):
        if value and (value / DURATION_SECONDS[unit]).denominator == 1:
            return f"{value / DURATION_SECONDS[unit]}{unit}"
    return decimal_text(value) + "s"


def time_text(second: int) -> str:
    """Return a second of the day as it is written: 09:30, or 09:30:15."""
    clock = f"{second // 3600:02}:{second // 60 % 60:02}"
    return f"{clock}:{second % 60:02}" if second % 60 else clock


def value_text(measure: Measure, value: Fraction, currency: str = "") -> str:
    """Return a value of a parameter as it is written."""
    if measure is Measure.MONEY:
        return f"{decimal_text(value)} {currency}"
    if measure is Measure.PERCENT:
        return decimal_text(value * 100) + "%"
    if measure is Measure.DURATION:
        return duration_text(value)
    return time_text(int(value)) if measure is Measure.TIME else decimal_text(value)


def _tight(node: s.Expression) -> str:
    """Return the text of an operand that binds at least as tightly as a primary."""
    loose = s.Chain | s.Comparison | s.Crossing | s.Between | s.Negation | s.Junction | s.Negative
    return f"({expression_text(node)})" if isinstance(node, loose) else expression_text(node)


def _term(node: s.Expression) -> str:
    """Return the text of a side of a comparison."""
    loose = s.Comparison | s.Crossing | s.Between | s.Negation | s.Junction
    return f"({expression_text(node)})" if isinstance(node, loose) else expression_text(node)


def _chain(node: s.Chain) -> str:
    return _tight(node.first) + "".join(f" {sign} {_tight(o)}" for sign, _, o in node.rest)


def _crossing(node: s.Crossing) -> str:
    direction = Word.ABOVE if node.upwards else Word.BELOW
    return f"{_term(node.left)} {Word.CROSSES} {direction} {_term(node.right)}"


def _between(node: s.Between) -> str:
    return f"{_term(node.operand)} {Word.BETWEEN} [{_term(node.low)}, {_term(node.high)}]"


def _negation(node: s.Negation) -> str:
    inner = expression_text(node.operand)
    return f"{Word.NOT} ({inner})" if _is_condition(node.operand) else f"{Word.NOT} {inner}"


def _is_condition(node: s.Expression) -> bool:
    return isinstance(node, s.Comparison | s.Crossing | s.Between | s.Junction | s.Negation)


def _junction(node: s.Junction) -> str:
    word = f" {Word.AND if node.every else Word.OR} "
    return word.join(
        f"({expression_text(o)})" if isinstance(o, s.Junction) else expression_text(o)
        for o in node.operands
    )


def _record(node: s.Record) -> str:
    return "{ " + _arguments(node.entries) + " }"


_PRINTERS: dict[type, Callable[[Any], str]] = {
    s.Literal: _literal,
    s.Text: lambda n: f'"{n.value}"',
    s.Truth: lambda n: str(Word.TRUE if n.value else Word.FALSE),
    s.Reference: lambda n: ".".join(n.parts),
    s.Call: lambda n: f"{n.name}({_arguments(n.arguments)})",
    s.Selected: lambda n: f"{expression_text(n.operand)}.{n.name}",
    s.History: lambda n: f"{_tight(n.operand)}[{expression_text(n.bars)}]",
    s.Negative: lambda n: f"-{_tight(n.operand)}",
    s.Chain: _chain,
    s.Comparison: lambda n: f"{_term(n.left)} {n.sign} {_term(n.right)}",
    s.Crossing: _crossing,
    s.Between: _between,
    s.Negation: _negation,
    s.Junction: _junction,
    s.Record: _record,
}
