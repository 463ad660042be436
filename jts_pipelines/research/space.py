"""The parameters of a strategy as axes of a grid.

Pure. Ranges come from the text (`fast = 20 in 5..50 step 5`) or from outside (`fast=5..50..5`);
values are exact fractions and are handed back as the text would write them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from jts_trading.dsl.grammar import DURATION_SECONDS, Measure
from jts_trading.dsl.normal import value_text
from jts_trading.dsl.plan import ParameterValue, Plan
from storage.errors import InputError

AXIS_VALUES_MAX = 10_000

Point = tuple[int, ...]
"""The number of a value on each axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter and the values that it may take, ascending."""

    name: str
    measure: Measure
    values: tuple[Fraction, ...]

    def text(self, number: int) -> str:
        """Return a value as a strategy text writes it."""
        return value_text(self.measure, self.values[number])


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


def _axis(parameter: ParameterValue, text: str | None) -> Axis:
    measure = Measure(parameter.measure)
    if text is None:
        low, high, step = parameter.low, parameter.high, parameter.step
    else:
        low, high, step = _range(parameter.name, measure, text)
    if low is None or high is None:
        raise InputError(f"{parameter.name} has no range")
    if step is None:
        step = _default_step(parameter.name, measure, low, high)
    count = int((high - low) / step) + 1
    if count > AXIS_VALUES_MAX:
        raise InputError(
            f"{parameter.name} would take {count:,} values, at most {AXIS_VALUES_MAX:,}"
        )
    if measure is Measure.MONEY:  # whose currency is not known here
        raise InputError(
            "parameters that are money cannot be swept; make it a number or a percentage"
        )
    return Axis(parameter.name, measure, tuple(low + step * at for at in range(count)))


def _default_step(name: str, measure: Measure, low: Fraction, high: Fraction) -> Fraction:
    if measure is Measure.NUMBER and low.denominator == high.denominator == 1:
        return Fraction(1)
    raise InputError(f"{name} has a range without a step; give --sweep {name}=LOW..HIGH..STEP")


def _range(name: str, measure: Measure, text: str) -> tuple[Fraction, Fraction, Fraction | None]:
    parts = [_value(measure, part.strip()) for part in text.split("..")]
    found = [part for part in parts if part is not None]
    if len(found) != len(parts) or len(found) not in (2, 3):
        raise InputError(f"{name}={text!r} is no range; accepted: LOW..HIGH..STEP of {measure}s")
    low, high = found[0], found[1]
    step = found[2] if len(found) == 3 else None
    if high < low or (step is not None and step <= 0):
        raise InputError(f"{name}={text!r} is no range; accepted: LOW..HIGH..STEP, low first")
    return low, high, step


def _value(measure: Measure, text: str) -> Fraction | None:
    try:
        if measure is Measure.PERCENT:
            return Fraction(Decimal(text.removesuffix("%"))) / 100 if text.endswith("%") else None
        if measure is Measure.DURATION:
            return Fraction(Decimal(text[:-1])) * DURATION_SECONDS[text[-1:]]
        return Fraction(Decimal(text))
    except (InvalidOperation, KeyError, ValueError, OverflowError):
        return None
