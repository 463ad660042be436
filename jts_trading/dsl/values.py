"""Types of values and what may be combined with what.

A price knows its power of currency: close has 1, close * close 2, close / close 0. A constant has
no power of its own; it takes that of the series that it meets, so `close > 50000` compares with an
amount of currency whatever the price increment of the instrument.

    number + percent      refused: close + 5% is not close * (1 + 5%)
    ratio                 a quotient of two like things; goes with numbers and percentages
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from jts_trading.dsl.grammar import Measure


class Kind(StrEnum):
    """What a value is."""

    NUMBER = "number"
    PERCENT = "percentage"
    RATIO = "ratio"
    DURATION = "duration"
    MONEY = "amount of money"
    TRUTH = "condition"


KIND_OF_MEASURE = {
    Measure.NUMBER: Kind.NUMBER,
    Measure.PERCENT: Kind.PERCENT,
    Measure.DURATION: Kind.DURATION,
    Measure.MONEY: Kind.MONEY,
}
NUMERIC = frozenset({Kind.NUMBER, Kind.PERCENT, Kind.RATIO})


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value known when the text is compiled."""

    value: Fraction
    kind: Kind
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A value per bar: a node of the graph, its kind, its power of currency."""

    node: int
    kind: Kind
    power: int = 0


@dataclass(frozen=True, slots=True)
class Bundle:
    """All outputs of an indicator that has several; one must be chosen.

    `kind` and `power` are those of its input.
    """

    indicator: int
    name: str
    outputs: tuple[str, ...]
    kind: Kind
    power: int


Value = Fixed | Series
Bound = Fixed | Series | Bundle


class KindError(ValueError):
    """Two values do not go together; the message says why."""


def describe(value: Value) -> str:
    """Return what a value is, for messages."""
    if isinstance(value, Series) and value.power == 1:
        return "a price"
    if isinstance(value, Series) and value.power != 0:
        return f"a price to the power {value.power}"
    article = "an" if value.kind is Kind.MONEY else "a"
    return f"{article} {value.kind}"


def _is_zero(value: Value) -> bool:
    return isinstance(value, Fixed) and value.value == 0


def _power(value: Value, other: Value) -> int:
    """Return the power of a value; a constant takes that of the other side."""
    if isinstance(value, Series):
        return value.power
    return other.power if isinstance(other, Series) else 0


def require_alike(left: Value, right: Value, deed: str) -> tuple[Kind, int]:
    """Return kind and power of two values that are added or compared.

    Raises:
        KindError: They are different things.
    """
    power = _power(left, right)
    for value in (left, right):
        if value.kind in (Kind.TRUTH, Kind.MONEY):
            raise KindError(f"cannot {deed} {describe(left)} and {describe(right)}")
    kinds = {left.kind, right.kind}
    if power != _power(right, left):
        raise KindError(f"cannot {deed} {describe(left)} and {describe(right)}")
    if len(kinds) == 1:
        return left.kind, power
    if Kind.DURATION not in kinds:
        if _is_zero(left) or _is_zero(right):
            return (right if _is_zero(left) else left).kind, power
        if power == 0 and (Kind.RATIO in kinds or _both_fixed(left, right)):
            return Kind.RATIO, power
    raise KindError(f"cannot {deed} {describe(left)} and {describe(right)}")


def _both_fixed(left: Value, right: Value) -> bool:
    return isinstance(left, Fixed) and isinstance(right, Fixed)


def product(left: Value, right: Value) -> tuple[Kind, int]:
    """Return kind and power of a product.

    Raises:
        KindError: One of them cannot be multiplied.
    """
    power = sum(v.power for v in (left, right) if isinstance(v, Series))
    kinds = {left.kind, right.kind}
    if Kind.DURATION in kinds and kinds <= {Kind.DURATION, Kind.NUMBER} and len(kinds) == 2:
        return Kind.DURATION, 0
    if not kinds <= NUMERIC:
        raise KindError(f"cannot multiply {describe(left)} and {describe(right)}")
    for factor, other in ((left, right), (right, left)):
        if isinstance(factor, Fixed) and factor.kind is Kind.NUMBER:
            return other.kind, power  # twice 3% is 6%
    if Kind.NUMBER in kinds:
        return Kind.NUMBER, power
    return (Kind.RATIO if Kind.RATIO in kinds else Kind.PERCENT), power


def quotient(left: Value, right: Value) -> tuple[Kind, int]:
    """Return kind and power of a quotient.

    Raises:
        KindError: One of them cannot be divided.
    """
    power = (left.power if isinstance(left, Series) else 0) - (
        right.power if isinstance(right, Series) else 0
    )
    if left.kind is Kind.DURATION and right.kind is Kind.NUMBER and _both_fixed(left, right):
        return Kind.DURATION, 0
    if not {left.kind, right.kind} <= NUMERIC:
        raise KindError(f"cannot divide {describe(left)} by {describe(right)}")
    both_series = isinstance(left, Series) and isinstance(right, Series)
    if power == 0 and both_series and left.kind is right.kind:
        return Kind.RATIO, 0
    if _both_fixed(left, right) and left.kind is right.kind:
        return (Kind.NUMBER if left.kind is Kind.NUMBER else Kind.RATIO), 0
    return left.kind, power
