"""Blocks of settings: risk, sources, time frames, parameters."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from jts_trading.dsl import syntax as s
from jts_trading.dsl.cursor import literal_of_text
from jts_trading.dsl.errors import Place, StrategyError, nearest
from jts_trading.dsl.grammar import (
    RISK_RANGES,
    SOURCE_RANGE,
    Measure,
    RiskKey,
)
from jts_trading.dsl.lexer import SourceText
from jts_trading.dsl.names import check_new_name
from jts_trading.dsl.normal import decimal_text, exact_decimal
from jts_trading.dsl.plan import ParameterValue, RiskBlock, SourceRange
from jts_trading.dsl.resolve import Resolver
from jts_trading.dsl.values import KIND_OF_MEASURE, Fixed, Kind, describe
from jts_trading.dsl.walk import references
from jts_trading.indicators.symbols import derive

_WHOLE_KEYS = frozenset({RiskKey.MAX_POSITIONS, RiskKey.COOLDOWN, RiskKey.PYRAMIDING})
DAY_SECONDS = 86_400
WEEK_SECONDS = 7 * DAY_SECONDS


def check_risk(resolver: Resolver, settings: tuple[s.Setting, ...]) -> RiskBlock:
    """Check the risk block; values follow from parameters, or are plain.

    Raises:
        StrategyError: A key is unknown or set twice, a value of the wrong kind or out of range.
    """
    source = resolver.scope.source
    fields: dict[str, Any] = {}  # keys are those of the grammar's table
    for setting in settings:
        name = setting.name.lower()
        if name not in set(RiskKey):
            raise source.refuse(
                f'unknown setting "{setting.name}"', setting.at, nearest(name, set(RiskKey))
            )
        key = RiskKey(name)
        value = _in_range(resolver, key, setting.value)
        field = str(key)
        if key is RiskKey.COOLDOWN:
            field += "_seconds" if value.kind is Kind.DURATION else "_bars"
        if any(f.startswith(key) and (f == field or key is RiskKey.COOLDOWN) for f in fields):
            raise source.refuse(f'"{name}" is set twice', setting.at)
        try:
            fields[field] = derive(int if key in _WHOLE_KEYS else exact_decimal, value.value)
        except ValueError as error:
            raise source.refuse(f"{name} {error}", setting.value.at) from error
    return RiskBlock(**fields)


def may_add(settings: tuple[s.Setting, ...], risk: RiskBlock) -> bool:
    """Return whether a position may have more than one entry; for other parameters, if not these.

    So all parameter sets of a text are accepted or none is.
    """
    key = RiskKey.PYRAMIDING
    follows = (references(each.value) for each in settings if each.name.lower() == key)
    return any(follows) or (risk.pyramiding or 1) > 1


def _literal_of(source: SourceText, node: s.Expression) -> s.Literal:
    if isinstance(node, s.Literal):
        return node
    if isinstance(node, s.Text):
        literal = literal_of_text(node.value, source, node.at)
        if literal is not None:
            return literal
    raise source.refuse("expected a plain value", node.at, 'write 5, "5%" or "5m"')


def _in_range(resolver: Resolver, key: RiskKey, node: s.Expression) -> Fixed:
    source, value = resolver.scope.source, resolver.value(node, 0)
    measures, low, high = RISK_RANGES[key]
    kinds = [KIND_OF_MEASURE[measure] for measure in measures]
    if not isinstance(value, Fixed) or value.kind not in kinds:
        accepted = " or a ".join(measures)
        raise source.refuse(f"{key} must be a {accepted}, found {describe(value)}", node.at)
    if not Fraction(low) <= value.value <= Fraction(high):
        is_percent = value.kind is Kind.PERCENT
        ends = [decimal_text(Fraction(e) * (100 if is_percent else 1)) for e in (low, high)]
        unit = "%" if is_percent else ""
        raise source.refuse(
            f"{key} is out of range", node.at, f"accepted: {ends[0]}{unit} to {ends[1]}{unit}"
        )
    if key in _WHOLE_KEYS and value.value.denominator != 1:
        raise source.refuse(f"{key} must be a whole number", node.at)
    return value


def check_sources(
    source: SourceText, ranges: tuple[s.SourceRange, ...]
) -> tuple[SourceRange, ...]:
    """Check the ranges of symbols.

    Raises:
        StrategyError: A range is empty, overlaps another, or is not of `symbols`.
    """
    found: list[SourceRange] = []
    for node in ranges:
        if node.collection != SOURCE_RANGE:
            raise source.refuse(
                f'"{node.collection}" cannot be divided', node.at, f"write {SOURCE_RANGE}[0..600]"
            )
        ends: list[int] = []
        for literal in (node.first, node.last):
            if literal.measure is not Measure.NUMBER or literal.value.denominator != 1:
                raise source.refuse("expected a whole number", literal.at)
            ends.append(int(literal.value))
        if ends[1] < ends[0]:
            raise source.refuse("this range is empty", node.first.at, "the lower end first")
        for other in found:
            if other.name == node.name:
                raise source.refuse(f'source "{node.name}" is defined twice', node.at)
            if ends[0] <= other.last and other.first <= ends[1]:
                raise source.refuse(
                    f'source "{node.name}" overlaps "{other.name}" '
                    f"({other.first}..{other.last}, both ends belong to it)",
                    node.first.at,
                )
        found.append(SourceRange(node.name, ends[0], ends[1]))
    return tuple(found)


def check_timeframes(
    source: SourceText, settings: tuple[s.Setting, ...], taken: dict[str, str]
) -> dict[str, int]:
    """Return the seconds of each declared time frame.

    Raises:
        StrategyError: A name is taken, or a length is no whole duration up to a day, or a week.
    """
    lengths: dict[str, int] = {}
    for setting in settings:
        check_new_name(source, setting.name, setting.at, taken)
        literal = _literal_of(source, setting.value)
        is_duration = literal.measure is Measure.DURATION and literal.value.denominator == 1
        is_length = 1 <= literal.value <= DAY_SECONDS or literal.value == WEEK_SECONDS
        if not is_duration or not is_length:
            hint = 'write "1s" to "1d", or "1w"'
            raise source.refuse("expected the length of a bar", literal.at, hint)
        lengths[setting.name] = int(literal.value)
    return lengths


def check_params(
    source: SourceText,
    params: tuple[s.Parameter, ...],
    overrides: Mapping[str, str],
    taken: dict[str, str],
) -> tuple[ParameterValue, ...]:
    """Return the parameters with the values in use.

    Args:
        source: The text, for errors.
        params: As declared.
        overrides: Values by name that replace the declared ones, as text.
        taken: Names in use.

    Raises:
        StrategyError: A value, range or override is not accepted.
    """
    known = {p.name for p in params}
    for name in overrides:
        if name not in known:
            place = Place(source.file, 1, 1)
            raise StrategyError(
                f'the text has no parameter "{name[:64]}"', place, hint=nearest(name, known)
            )
    found: list[ParameterValue] = []
    for node in params:
        check_new_name(source, node.name, node.at, taken)
        found.append(parameter_value(source, node, overrides.get(node.name)))
    return tuple(found)


def parameter_value(source: SourceText, node: s.Parameter, override: str | None) -> ParameterValue:
    """Return a parameter with the value in use: what was declared, or another one, as text.

    Raises:
        StrategyError: Value or range is not accepted.
    """
    value = node.value
    if override is not None:
        changed = signed_literal(source, override, node.at)
        if changed is None or _unit(changed) != _unit(value):
            kind = _described(value.measure, value.currency)
            raise source.refuse(
                f'"{override[:40]}" is no value for "{node.name}", {kind}', node.at
            )
        value = changed
    apart = step_measure(value.measure)
    for end, measure in (
        (node.low, value.measure),
        (node.high, value.measure),
        (node.step, apart),
    ):
        if end is not None and (end.measure, end.currency) != (measure, value.currency):
            raise source.refuse(f"expected {_described(measure, value.currency)}", end.at)
    if node.low is not None and node.high is not None:
        if node.low.value > node.high.value:
            raise source.refuse("this range is empty", node.low.at, "the lower end first")
        if not node.low.value <= value.value <= node.high.value:
            raise source.refuse(f'"{node.name}" lies outside its range', node.at)
    if node.step is not None and node.step.value <= 0:
        raise source.refuse("a step is above zero", node.step.at)
    low, high, step = (None if e is None else e.value for e in (node.low, node.high, node.step))
    kind = str(value.measure)
    return ParameterValue(node.name, value.value, kind, low, high, step, value.currency)


def _described(measure: Measure, currency: str) -> str:
    return f"an amount in {currency}" if currency else f"a {measure}"


def _unit(literal: s.Literal) -> tuple[Measure, str]:
    return literal.measure, literal.currency


def step_measure(measure: Measure) -> Measure:
    """Return what the values of a range lie apart: times of day a duration, others their kind."""
    return Measure.DURATION if measure is Measure.TIME else measure


def signed_literal(source: SourceText, text: str, at: int) -> s.Literal | None:
    """Return a text as a value of the language that may have a sign, or None."""
    stripped = text.strip()
    literal = literal_of_text(stripped.removeprefix("-"), source, at)
    if literal is None or not stripped.startswith("-"):
        return literal
    return s.Literal(at, -literal.value, literal.measure, literal.currency)
