"""Calls of indicators: arguments, ranges, inputs, outputs."""

from datetime import date
from fractions import Fraction
from typing import Protocol

from jts_trading.dsl import graph as g
from jts_trading.dsl import syntax as s
from jts_trading.dsl.errors import StrategyError, nearest
from jts_trading.dsl.grammar import FUNCTION_WORDS, INDICATORS_MAX
from jts_trading.dsl.names import Scope
from jts_trading.dsl.values import Bound, Bundle, Fixed, Kind, Series, Value, describe
from jts_trading.indicators.catalog import UnusableIndicatorError
from jts_trading.indicators.definition import (
    EPOCH,
    PRICE_SCALE,
    Definition,
    Parameter,
    ParameterKind,
    Unit,
    setting_text,
)


class ExpressionResolver(Protocol):
    """What a call needs of the resolver of expressions."""

    scope: Scope
    graph: g.Graph

    def refuse(self, message: str, at: int, hint: str = "") -> StrategyError:
        """Return the error for an offset."""

    def value(self, node: s.Expression, frame: int) -> Value:
        """Resolve an expression to one value."""

    def truth(self, node: s.Expression, frame: int) -> int:
        """Resolve a condition to its node."""


def resolve_call(resolver: ExpressionResolver, node: s.Call, frame: int) -> Bound:
    """Resolve the call of an indicator.

    Raises:
        StrategyError: It is unknown, or an argument is missing, unknown, given twice or out of
            range.
    """
    try:
        definition = resolver.scope.catalog.find(node.name)
    except UnusableIndicatorError as error:
        raise resolver.refuse(str(error), node.at) from error
    if definition is None:
        raise resolver.refuse(
            f'unknown indicator "{node.name}"',
            node.at,
            nearest(node.name, {*resolver.scope.catalog.names, *FUNCTION_WORDS}),
        )
    given = _match_arguments(resolver, definition, node, frame)
    settings = tuple(
        (p.name, _setting(resolver, definition, p, given.get(p.name), call=node, frame=frame))
        for p in definition.parameters
    )
    problem = definition.constraint(dict(settings))
    if problem:
        raise resolver.refuse(f"{definition.name}: {problem}", node.at)
    inputs, kind, power = _inputs(resolver, definition, given, frame)
    seconds = _seconds(resolver, definition, given, frame)
    indicator = g.Indicator(definition, settings, inputs, frame, seconds)
    number = resolver.graph.add(indicator)
    count = sum(isinstance(n, g.Indicator) for n in resolver.graph.nodes)
    if count > INDICATORS_MAX:
        raise resolver.refuse(f"a strategy has at most {INDICATORS_MAX} indicators", node.at)
    bundle = Bundle(
        number, definition.name, tuple(o.name for o in definition.outputs), kind, power
    )
    if len(definition.outputs) > 1:
        return bundle
    return output_of(resolver, bundle, definition.outputs[0].name, node.at)


def output_of(resolver: ExpressionResolver, bundle: Bundle, field: str, at: int) -> Series:
    """Return one output of an indicator.

    Raises:
        StrategyError: It has no such output.
    """
    indicator = g.indicator_of(resolver.graph, bundle.indicator)
    definition = indicator.definition
    index = definition.output_index(field)
    if index is None:
        raise resolver.refuse(
            f'{bundle.name} has no output "{field}"', at, nearest(field, set(bundle.outputs))
        )
    number = resolver.graph.add(g.Output(bundle.indicator, index, indicator.frame))
    match definition.outputs[index].unit:
        case Unit.INPUT:
            return Series(number, bundle.kind, bundle.power)
        case Unit.SQUARE:
            return Series(number, bundle.kind, 2 * bundle.power)
        case Unit.NUMBER:
            return Series(number, Kind.NUMBER)
        case Unit.PERCENT:
            return Series(number, Kind.PERCENT)


def _match_arguments(
    resolver: ExpressionResolver, definition: Definition, node: s.Call, frame: int
) -> dict[str, s.Argument]:
    names = [p.name for p in definition.parameters]
    accepted = [*names, *definition.source_names]
    given: dict[str, s.Argument] = {}
    if _begins_with_series(resolver, definition, node, frame):
        names = accepted = [definition.source_names[0], *names, *definition.source_names[1:]]
    for place, argument in enumerate(node.arguments):
        if not argument.name and place >= len(names):
            raise resolver.refuse(
                f"{definition.name} takes at most {len(names)}: {', '.join(names)}", argument.at
            )
        name = argument.name or names[place]
        if name not in accepted:
            raise resolver.refuse(
                f'{definition.name} has no parameter "{name}"',
                argument.at,
                nearest(name, accepted),
            )
        if name in given:
            raise resolver.refuse(f'"{name}" is given twice', argument.at)
        given[name] = argument
    return given


def _begins_with_series(
    resolver: ExpressionResolver, definition: Definition, node: s.Call, frame: int
) -> bool:
    """Return whether a call gives its input first, as in highest(high, 20)."""
    if not (definition.source_names and node.arguments) or node.arguments[0].name:
        return False
    first = node.arguments[0].value
    if isinstance(first, s.Literal | s.Text | s.Record | s.Truth):
        return False
    return isinstance(resolver.value(first, frame), Series)


def _setting(
    resolver: ExpressionResolver,
    definition: Definition,
    parameter: Parameter,
    argument: s.Argument | None,
    *,
    call: s.Call,
    frame: int,
) -> Fraction:
    label = f"{definition.name}({parameter.name})"
    if argument is None:
        if parameter.default is None:
            raise resolver.refuse(
                f'{definition.name} needs "{parameter.name}"',
                call.at,
                f"write {definition.name}({parameter.name}: {_example(parameter)})",
            )
        return parameter.default
    if parameter.kind is ParameterKind.DATE:
        number = _day_of(resolver, argument, label)
    else:
        number = _given_number(resolver, parameter, argument, frame=frame, label=label)
    if not parameter.low <= number <= parameter.high:
        low, high = (setting_text(parameter.kind, n) for n in (parameter.low, parameter.high))
        raise resolver.refuse(
            f"{label} is {setting_text(parameter.kind, number)}",
            argument.value.at,
            f"accepted: {low} to {high}",
        )
    return number


def _day_of(resolver: ExpressionResolver, argument: s.Argument, label: str) -> Fraction:
    text = argument.value.value if isinstance(argument.value, s.Text) else ""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or str(day) != text:
        raise resolver.refuse(f'{label} must be a date such as "2024-06-14"', argument.value.at)
    return Fraction((day - EPOCH).days)


def _given_number(
    resolver: ExpressionResolver,
    parameter: Parameter,
    argument: s.Argument,
    *,
    frame: int,
    label: str,
) -> Fraction:
    if isinstance(argument.value, s.Record):
        raise resolver.refuse(f"{label} must be {parameter.kind}", argument.at)
    value = resolver.value(argument.value, frame)
    at = argument.value.at
    if not isinstance(value, Fixed):
        raise resolver.refuse(f"{label} must be known in advance, found {describe(value)}", at)
    return _number_of(resolver, parameter, value, frame=frame, label=label, at=at)


def _number_of(
    resolver: ExpressionResolver,
    parameter: Parameter,
    value: Fixed,
    *,
    frame: int,
    label: str,
    at: int,
) -> Fraction:
    number = value.value
    if parameter.kind is ParameterKind.BARS and value.kind is Kind.DURATION:
        seconds = resolver.scope.frames.table[frame][1]
        if seconds is None:
            raise resolver.refuse(
                f"{label} is a duration, but the text declares no time frame",
                at,
                'write timeframes { minute = "1m" } or a number of bars',
            )
        number /= seconds
        if number.denominator != 1 or number < 1:
            raise resolver.refuse(
                f"{label} is no whole number of bars of {seconds} s",
                at,
                "it is counted in bars: use a finer time frame, from timeframes { }",
            )
        return number
    if value.kind is not Kind.NUMBER:
        raise resolver.refuse(f"{label} must be a {parameter.kind}, found {describe(value)}", at)
    if parameter.kind is not ParameterKind.NUMBER and number.denominator != 1:
        raise resolver.refuse(
            f"{label} must be a {parameter.kind}, found {setting_text(parameter.kind, number)}", at
        )
    return number


def _seconds(
    resolver: ExpressionResolver, definition: Definition, given: dict[str, s.Argument], frame: int
) -> Fraction | None:
    """Return the duration that a change of the close was asked over, or None."""
    period = given.get(definition.parameters[0].name) if definition.passes_time else None
    is_of_close = frame == g.BASE_FRAME and not given.keys() & set(definition.source_names)
    if period is None or not is_of_close or isinstance(period.value, s.Record):
        return None
    value = resolver.value(period.value, frame)
    return value.value if isinstance(value, Fixed) and value.kind is Kind.DURATION else None


def _example(parameter: Parameter) -> str:
    return '"2024-06-14"' if parameter.kind is ParameterKind.DATE else "20"


def _inputs(
    resolver: ExpressionResolver,
    definition: Definition,
    given: dict[str, s.Argument],
    frame: int,
) -> tuple[tuple[int, ...], Kind, int]:
    """Return the nodes of the inputs, and kind and power of the first one."""
    kind, power = Kind.NUMBER, int(definition.inputs[0] != "volume")
    nodes: list[int] = []
    for place, name in enumerate(definition.inputs):
        argument = definition.source_names[place : place + 1]
        if argument and argument[0] in given:
            source = _source(resolver, argument[0], given[argument[0]], frame)
            nodes.append(source.node)
            if place == 0:
                kind, power = source.kind, source.power
        elif name == PRICE_SCALE:
            nodes.append(resolver.graph.add(g.Constant(Fraction(1), power)))
        else:
            nodes.append(resolver.graph.add(g.Column(name, frame)))
    return tuple(nodes), kind, power


def _source(resolver: ExpressionResolver, name: str, argument: s.Argument, frame: int) -> Series:
    if isinstance(argument.value, s.Record):
        raise resolver.refuse(f"{name} must be a series", argument.at)
    value = resolver.value(argument.value, frame)
    if not isinstance(value, Series) or value.kind is Kind.TRUTH:
        raise resolver.refuse(f"{name} must be a series of numbers", argument.value.at)
    own = g.frame_of(resolver.graph.nodes[value.node])
    if own not in (None, frame):
        held = resolver.scope.frames.table[own][0]
        raise resolver.refuse(
            f"{name} changes on the bars of {held} only, but is asked for on finer ones",
            argument.value.at,
            f"compute it there: indicators {{ on {held} {{ name = ... }} }}, then {held}.name",
        )
    if resolver.graph.is_late(value.node):
        raise resolver.refuse(
            "no indicator runs over position and portfolio: they have no past", argument.value.at
        )
    return value
