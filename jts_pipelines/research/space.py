"""The parameters of a strategy as axes of a grid.

Pure. Ranges come from the text (`fast = 20 in 5..50 step 5`) or from outside (`fast=5..50..5`);
values are exact fractions and are handed back as the text would write them.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from jts_trading.dsl.grammar import Measure
from jts_trading.dsl.lexer import SourceText
from jts_trading.dsl.normal import value_text
from jts_trading.dsl.plan import ParameterValue, Plan
from jts_trading.dsl.settings import signed_literal, step_measure
from storage.errors import InputError

AXIS_VALUES_MAX = 10_000
# What the ends of a range are, and how far its values lie apart.
_OF = {
    Measure.NUMBER: "numbers",
    Measure.PERCENT: "percents",
    Measure.DURATION: "durations",
    Measure.MONEY: "amounts in {}",
    Measure.TIME: "times of day, STEP a duration",
}

Point = tuple[int, ...]
"""The number of a value on each axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter and the values that it may take, ascending; money has a currency."""

    name: str
    measure: Measure
    values: tuple[Fraction, ...]
    currency: str = ""

    def text(self, number: int) -> str:
        """Return a value as a strategy text writes it."""
        return value_text(self.measure, self.values[number], self.currency)


@dataclass(frozen=True, slots=True)
class Space:
    """All points that a sweep may try."""

    axes: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(axis.values) for axis in self.axes)

    def point(self, number: int) -> Point:
        """Return a point by its number, the last axis running fastest."""
        found = []
        for axis in reversed(self.axes):
            number, at = divmod(number, len(axis.values))
            found.append(at)
        return tuple(reversed(found))

    def params(self, point: Point) -> dict[str, str]:
        """Return a point as values of parameters."""
        return {axis.name: axis.text(at) for axis, at in zip(self.axes, point, strict=True)}

    def is_at_edge(self, point: Point) -> tuple[str, ...]:
        """Return the axes of three and more values on whose first or last one a point lies."""
        return tuple(
            axis.name
            for axis, at in zip(self.axes, point, strict=True)
            if len(axis.values) > 2 and at in (0, len(axis.values) - 1)
        )


def space_of(plan: Plan, ranges: Mapping[str, str], fixed: Sequence[str] = ()) -> Space:
    """Return the space of a strategy.

    Args:
        plan: Compiled.
        ranges: By name, `low..high..step`, in place of the range of the text.
        fixed: Parameters that keep their value.

    Raises:
        InputError: A range names no parameter, cannot be read or has too many values; or no
            parameter has a range.
    """
    known = {parameter.name: parameter for parameter in plan.params}
    unknown = [name for name in ranges if name not in known]
    if unknown:
        accepted = ", ".join(known) or "the text has no parameters"
        raise InputError(f"no parameter {unknown[0]!r}; accepted: {accepted}")
    axes = [
        _axis(parameter, ranges.get(name))
        for name, parameter in known.items()
        if name not in fixed and (name in ranges or parameter.low is not None)
    ]
    if not axes:
        raise InputError(
            f"no parameter of {plan.name} has a range; write it into the text as in"
            " `fast = 20 in 5..50 step 5`, or give --sweep fast=5..50..5"
        )
    return Space(tuple(axes))


def require_inside(plan: Plan, space: Space) -> None:
    """Refuse a space with values that the text itself refuses, before anything has run.

    Raises:
        InputError: An axis reaches beyond the range that its parameter has in the text.
    """
    known = {parameter.name: parameter for parameter in plan.params}
    for axis in space.axes:
        ends = known[axis.name].low, known[axis.name].high
        for value, end, is_beyond in (
            (axis.values[0], ends[0], operator.lt),
            (axis.values[-1], ends[1], operator.gt),
        ):
            if end is not None and is_beyond(value, end):
                found, last = (value_text(axis.measure, v, axis.currency) for v in (value, end))
                raise InputError(
                    f"{axis.name}={found} lies outside its range in the text, which ends with "
                    f"{last}; widen it there"
                )


def _axis(parameter: ParameterValue, text: str | None) -> Axis:
    measure = Measure(parameter.measure)
    if text is None:
        low, high, step = parameter.low, parameter.high, parameter.step
    else:
        low, high, step = _range(parameter, text)
    if low is None or high is None:
        raise InputError(f"{parameter.name} has no range")
    if step is None:
        step = _default_step(parameter.name, measure, low, high)
    count = int((high - low) / step) + 1
    if count > AXIS_VALUES_MAX:
        raise InputError(
            f"{parameter.name} would take {count:,} values, at most {AXIS_VALUES_MAX:,}"
        )
    values = tuple(low + step * at for at in range(count))
    return Axis(parameter.name, measure, values, parameter.currency)


def _default_step(name: str, measure: Measure, low: Fraction, high: Fraction) -> Fraction:
    if measure is Measure.NUMBER and low.denominator == high.denominator == 1:
        return Fraction(1)
    raise InputError(f"{name} has a range without a step; give --sweep {name}=LOW..HIGH..STEP")


def _range(parameter: ParameterValue, text: str) -> tuple[Fraction, Fraction, Fraction | None]:
    name, measure = parameter.name, Measure(parameter.measure)
    kinds = (measure, measure, step_measure(measure))
    parts = text.split("..")
    values = [
        _value(part, kind, parameter.currency) for part, kind in zip(parts, kinds, strict=False)
    ]
    found = [value for value in values if value is not None]
    if len(found) != len(parts) or len(found) not in (2, 3):
        kind = _OF[measure].format(parameter.currency)
        raise InputError(f"{name}={text!r} is no range; accepted: LOW..HIGH..STEP of {kind}")
    low, high = found[0], found[1]
    step = found[2] if len(found) == 3 else None
    if high < low or (step is not None and step <= 0):
        raise InputError(f"{name}={text!r} is no range; accepted: LOW..HIGH..STEP, low first")
    return low, high, step


def _value(text: str, measure: Measure, currency: str) -> Fraction | None:
    """Return a value of the language; None for what is none, or of another kind."""
    found = signed_literal(SourceText(text, ""), text, 0)
    if found is None or (found.measure, found.currency) != (measure, currency):
        return None
    return found.value
