"""Expressions to graph nodes: one rule per kind of syntax node.

Names, types and ranges are checked on the way; every error knows its place in the text.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from jts_trading.dsl import graph as g
from jts_trading.dsl import syntax as s
from jts_trading.dsl import words
from jts_trading.dsl.calls import output_of, resolve_call
from jts_trading.dsl.cursor import literal_of_text
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.grammar import COLUMNS, HISTORY_MAX, QUOTE_COLUMNS
from jts_trading.dsl.history import past_of
from jts_trading.dsl.names import Scope
from jts_trading.dsl.normal import expression_text
from jts_trading.dsl.values import (
    KIND_OF_MEASURE,
    Bound,
    Bundle,
    Fixed,
    Kind,
    KindError,
    Series,
    Value,
    describe,
    product,
    quotient,
    require_alike,
    require_sum,
)
from jts_trading.dsl.warmup import Warmup
from jts_trading.indicators.symbols import derive

# Constants are folded as fractions, whose digits would double with every square of a square.
CONSTANT_MAX = 10**40
_PRICE_COLUMNS = frozenset(COLUMNS) - {"volume"}


@dataclass(slots=True)
class Resolver:
    """Resolves the expressions of one strategy into one graph, each of them once."""

    scope: Scope
    graph: g.Graph
    currency: str = ""
    warmup: list[Warmup] = field(default_factory=list)
    # By identity of the expression, which is kept so that no other one can take its place.
    _found: dict[tuple[int, int], tuple[s.Expression, Bound]] = field(default_factory=dict)

    def refuse(self, message: str, at: int, hint: str = "") -> StrategyError:
        """Return the error for an offset; the caller raises it."""
        return self.scope.source.refuse(message, at, hint)

    def require_currency(self, currency: str, at: int) -> None:
        """Take the currency of an amount for that of the text.

        Raises:
            StrategyError: The text has amounts in another one.
        """
        if currency and self.currency not in ("", currency):
            raise self.refuse(f"amounts in {self.currency} and {currency}", at, "accepted: one")
        self.currency = self.currency or currency

    def bound(self, node: s.Expression, frame: int) -> Bound:
        """Resolve an expression that may still be an indicator with several outputs.

        Raises:
            StrategyError: A name, type or range is wrong.
        """
        key = (id(node), frame)
        if key not in self._found:
            self._found[key] = (node, _RULES[type(node)](self, node, frame))
        return self._found[key][1]

    def value(self, node: s.Expression, frame: int) -> Value:
        """Resolve an expression to one value.

        Raises:
            StrategyError: As `bound`, or an output has to be chosen.
        """
        found = self.bound(node, frame)
        if isinstance(found, Bundle):
            several = ", ".join(found.outputs)
            raise self.refuse(
                f"{found.name} has several outputs: {several}",
                node.at,
                f"name it and write name.{found.outputs[-1]}",
            )
        return found

    def number(self, node: s.Expression, frame: int) -> Value:
        """Resolve an expression that must be numeric."""
        value = self.value(node, frame)
        if value.kind is Kind.TRUTH:
            raise self.refuse(f"expected a number, found {describe(value)}", node.at)
        return value

    def truth(self, node: s.Expression, frame: int) -> int:
        """Resolve a condition to its node."""
        value = self.value(node, frame)
        if value.kind is not Kind.TRUTH or not isinstance(value, Series):
            raise self.refuse(
                f"expected a condition, found {describe(value)}",
                node.at,
                "compare it: > < between",
            )
        return value.node

    def node_of(self, value: Value, power: int) -> int:
        """Return the node of a value; a constant becomes one with this power of currency."""
        if isinstance(value, Series):
            return value.node
        power = 1 if value.currency else power
        return self.graph.add(g.Constant(value.value, power))

    def compare(
        self, sign: str, sides: tuple[Value, Value], frame: int, at: int, deed: str
    ) -> Series:
        """Return the node of a comparison."""
        left, right = sides
        try:
            _, power = require_alike(left, right, deed)
        except KindError as error:
            raise self.refuse(str(error), at, _hint(left, right)) from error
        if isinstance(left, Fixed) and isinstance(right, Fixed):
            truth = _decide(sign, left.value, right.value)
            return Series(self.graph.add(g.TruthConstant(truth)), Kind.TRUTH)
        node = g.Compare(sign, self.node_of(left, power), self.node_of(right, power), frame)
        return Series(self.graph.add(node), Kind.TRUTH)


_SIGNS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def _decide(sign: str, left: Fraction, right: Fraction) -> bool:
    return _SIGNS[sign](left, right)


def _hint(left: Value, right: Value) -> str:
    for value, other in ((left, right), (right, left)):
        if value.kind is Kind.PERCENT and isinstance(other, Series) and other.kind is Kind.NUMBER:
            if other.power:
                return "a percentage of a price is written price * (1 + 5%)"
            return "write the number without %"
        if value.kind is Kind.PERCENT and isinstance(value, Series) and isinstance(other, Fixed):
            return "write a percentage such as 3%"
    return ""


def _literal(resolver: Resolver, node: s.Literal, _frame: int) -> Bound:
    resolver.require_currency(node.currency, node.at)
    return Fixed(node.value, KIND_OF_MEASURE[node.measure], node.currency)


def _text(resolver: Resolver, node: s.Text, frame: int) -> Bound:
    literal = literal_of_text(node.value, resolver.scope.source, node.at)
    if literal is None:
        raise resolver.refuse("this text is no value", node.at, 'a value is 5, "5%" or "5m"')
    return _literal(resolver, literal, frame)


def _truth(resolver: Resolver, node: s.Truth, _frame: int) -> Bound:
    return Series(resolver.graph.add(g.TruthConstant(node.value)), Kind.TRUTH)


def _reference(resolver: Resolver, node: s.Reference, frame: int) -> Bound:
    scope = resolver.scope
    parts = node.parts
    numbers = scope.frames.numbers
    if parts[0] in numbers:
        if len(parts) == 1:
            raise resolver.refuse(
                f'"{parts[0]}" is a time frame',
                node.at,
                f"write {parts[0]}.close or another value",
            )
        target = numbers[parts[0]]
        if frame not in (0, target):
            raise resolver.refuse(
                f'"{".".join(parts)}" belongs to another time frame than this block',
                node.at,
                "combine time frames in a definition outside, or in the condition",
            )
        frame, parts = target, parts[1:]
    word = words.lookup(resolver, parts, frame, node.at)
    if word is not None:
        return word
    found = _named(resolver, parts[0], frame, node.at)
    if len(parts) > 2:
        raise resolver.refuse(f'"{".".join(parts)}" has too many dots', node.at)
    return _output(resolver, found, parts[0], parts[1], node.at) if len(parts) == 2 else found


def _named(resolver: Resolver, name: str, frame: int, at: int) -> Bound:
    scope = resolver.scope
    if name in scope.params:
        return scope.params[name]
    if (frame, name) in scope.bound:
        return scope.bound[(frame, name)]
    if name in COLUMNS:
        node = resolver.graph.add(g.Column(name, frame))
        return Series(node, Kind.NUMBER, int(name in _PRICE_COLUMNS))
    if name in QUOTE_COLUMNS and frame == 0:
        return Series(resolver.graph.add(g.Column(name, frame)), Kind.PERCENT)
    if name in QUOTE_COLUMNS:
        raise resolver.refuse(f'"{name}" exists on the finest time frame only', at)
    message, hint = scope.unknown(name, frame)
    raise resolver.refuse(message, at, hint)


def _output(resolver: Resolver, found: Bound, name: str, field: str, at: int) -> Bound:
    if not isinstance(found, Bundle):
        raise resolver.refuse(f'"{name}" has no field "{field}"', at)
    return output_of(resolver, found, field, at)


def _selected(resolver: Resolver, node: s.Selected, frame: int) -> Bound:
    found = resolver.bound(node.operand, frame)
    return _output(resolver, found, node.operand.name, node.name, node.at)


def _history(resolver: Resolver, node: s.History, frame: int) -> Bound:
    operand = resolver.value(node.operand, frame)
    bars = resolver.value(node.bars, frame)
    if not isinstance(bars, Fixed) or bars.kind is not Kind.NUMBER or bars.value.denominator != 1:
        raise resolver.refuse("expected a whole number of bars", node.bars.at)
    if bars.value < 0:
        raise resolver.refuse(
            f"[{bars.value}] looks ahead: a bar of the future cannot be read",
            node.bars.at,
            f"write [{-bars.value}] for a bar of the past",
        )
    if bars.value > HISTORY_MAX:
        raise resolver.refuse(f"history reaches back at most {HISTORY_MAX:,} bars", node.bars.at)
    if isinstance(operand, Fixed) or bars.value == 0:
        return operand
    words.require_early(resolver, operand.node, node.operand.at)
    past = past_of(resolver.graph, operand.node, derive(int, bars.value))
    if past is None:
        raise resolver.refuse(
            "a crossing on the bars of another time frame has no past here",
            node.operand.at,
            "write the [n] behind the name of the crossing",
        )
    return Series(past, operand.kind, operand.power)


def _negative(resolver: Resolver, node: s.Negative, frame: int) -> Bound:
    operand = resolver.number(node.operand, frame)
    if isinstance(operand, Fixed):
        return Fixed(-operand.value, operand.kind, operand.currency)
    zero = Fixed(Fraction(0), Kind.NUMBER)
    return _combine(resolver, "-", (zero, operand), frame, node.at)


def _chain(resolver: Resolver, node: s.Chain, frame: int) -> Bound:
    total = resolver.number(node.first, frame)
    for sign, at, operand in node.rest:
        total = _combine(resolver, sign, (total, resolver.number(operand, frame)), frame, at)
    return total


def _combine(
    resolver: Resolver, sign: str, sides: tuple[Value, Value], frame: int, at: int
) -> Value:
    left, right = sides
    try:
        if sign in g.CHOICES:
            kind, power = require_alike(left, right, "compare")
        elif sign in "+-":
            kind, power = require_sum(left, right, sign)
        else:
            kind, power = (product if sign == "*" else quotient)(left, right)
    except KindError as error:
        raise resolver.refuse(str(error), at, _hint(left, right)) from error
    if sign == "/" and isinstance(right, Fixed) and right.value == 0:
        raise resolver.refuse("division by zero", at)
    if isinstance(left, Fixed) and isinstance(right, Fixed):
        value = _calculate(sign, left.value, right.value)
        if max(abs(value.numerator), value.denominator) > CONSTANT_MAX:
            raise resolver.refuse("this constant has too many digits", at)
        currency = (left.currency or right.currency) if kind is Kind.MONEY else ""
        return Fixed(value, kind, currency)
    # Sums take constants in currency; factors stay pure numbers.
    unit = 0 if sign in "*/" else power
    node = g.Arithmetic(sign, resolver.node_of(left, unit), resolver.node_of(right, unit), frame)
    return Series(resolver.graph.add(node), kind, power)


def _calculate(sign: str, left: Fraction, right: Fraction) -> Fraction:
    if sign in g.CHOICES:
        found: Fraction = derive(max if sign == g.GREATER else min, left, right)
        return found
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    return left * right if sign == "*" else left / right


def _comparison(resolver: Resolver, node: s.Comparison, frame: int) -> Bound:
    sides = (resolver.number(node.left, frame), resolver.number(node.right, frame))
    return resolver.compare(node.sign, sides, frame, node.at, "compare")


def _crossing(resolver: Resolver, node: s.Crossing, frame: int) -> Bound:
    sides = (resolver.number(node.left, frame), resolver.number(node.right, frame))
    if isinstance(sides[0], Fixed) and isinstance(sides[1], Fixed):
        raise resolver.refuse("two constants never cross", node.at)
    sign = ">" if node.upwards else "<"
    comparison = resolver.compare(sign, sides, frame, node.at, "cross")
    words.require_early(resolver, comparison.node, node.left.at)
    return Series(resolver.graph.add(g.Cross(comparison.node, frame)), Kind.TRUTH)


def _between(resolver: Resolver, node: s.Between, frame: int) -> Bound:
    operand = resolver.number(node.operand, frame)
    low, high = resolver.number(node.low, frame), resolver.number(node.high, frame)
    if isinstance(low, Fixed) and isinstance(high, Fixed) and low.value > high.value:
        ends = ", ".join(map(expression_text, (node.low, node.high)))
        raise resolver.refuse(f"nothing lies between [{ends}]", node.low.at, "the lower end first")
    above = resolver.compare(">=", (operand, low), frame, node.at, "compare")
    below = resolver.compare("<=", (operand, high), frame, node.at, "compare")
    return Series(resolver.graph.add(g.Combine(True, (above.node, below.node), frame)), Kind.TRUTH)


def _negation(resolver: Resolver, node: s.Negation, frame: int) -> Bound:
    operand = resolver.truth(node.operand, frame)
    return Series(resolver.graph.add(g.Invert(operand, frame)), Kind.TRUTH)


def _junction(resolver: Resolver, node: s.Junction, frame: int) -> Bound:
    operands = tuple(resolver.truth(operand, frame) for operand in node.operands)
    return Series(resolver.graph.add(g.Combine(node.every, operands, frame)), Kind.TRUTH)


_CHOSEN = {"abs": g.GREATER, "greatest": g.GREATER, "least": g.SMALLER}


def _choice(resolver: Resolver, node: s.Call, frame: int) -> Bound:
    """Resolve `greatest` and `least` of two and more values, or `abs`: the greater of x and -x."""
    name, is_abs = node.name.lower(), node.name.lower() == "abs"
    plain = [a.value for a in node.arguments if not a.name and not isinstance(a.value, s.Record)]
    is_fit = len(plain) == 1 if is_abs else len(plain) >= 2
    if not is_fit or len(plain) != len(node.arguments):
        takes = "takes one value" if is_abs else "takes two values or more"
        such = "abs(close - open)" if is_abs else f"{name}(close, open)"
        raise resolver.refuse(f"{name} {takes}", node.at, f"write {such}")
    found, *others = (resolver.number(each, frame) for each in plain)
    if is_abs:
        zero = Fixed(Fraction(0), Kind.NUMBER)
        others = [_combine(resolver, "-", (zero, found), frame, node.at)]
    for other in others:
        found = _combine(resolver, _CHOSEN[name], (found, other), frame, node.at)
    return found


def _call(resolver: Resolver, node: s.Call, frame: int) -> Bound:
    if node.name.lower() in _CHOSEN:
        return _choice(resolver, node, frame)
    word = words.call(resolver, node, frame)
    return resolve_call(resolver, node, frame) if word is None else word


# One rule per kind of node; each takes the resolver, a node of that kind and the frame.
_RULES: dict[type, Callable[[Resolver, Any, int], Bound]] = {
    s.Literal: _literal,
    s.Text: _text,
    s.Truth: _truth,
    s.Reference: _reference,
    s.Call: _call,
    s.Selected: _selected,
    s.History: _history,
    s.Negative: _negative,
    s.Chain: _chain,
    s.Comparison: _comparison,
    s.Crossing: _crossing,
    s.Between: _between,
    s.Negation: _negation,
    s.Junction: _junction,
}
