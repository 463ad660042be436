"""Types of values and what may be combined with what.

A price knows its power of currency: close has 1, close * close 2, close / close 0. A constant has
no power of its own; it takes that of the series that it meets, so `close > 50000` compares with an
amount of currency whatever the price increment of the instrument.

    number + percent      refused: close + 5% is not close * (1 + 5%)
    ratio                 a quotient of two like things; goes with numbers and percentages
    money                 1_000 KRW has the power 1: it goes with prices and turnover
    time + duration       a time of day; time - time is a duration
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
    TIME = "time of day"
    TRUTH = "condition"


KIND_OF_MEASURE = {
    Measure.NUMBER: Kind.NUMBER,
    Measure.PERCENT: Kind.PERCENT,
    Measure.DURATION: Kind.DURATION,
    Measure.MONEY: Kind.MONEY,
    Measure.TIME: Kind.TIME,
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
    return isinstance(value, Fixed) and value.value == 0 and not value.currency


def _power(value: Value, other: Value) -> int:
    """Return the power of a value; a constant without a currency takes that of the other side."""
    if isinstance(value, Series):
        return value.power
    if value.currency or (isinstance(other, Fixed) and other.currency):
        return 1
    return other.power if isinstance(other, Series) else 0


def _own_power(value: Value) -> int:
    """Return the power of a factor: a constant has none, unless it is money."""
    return value.power if isinstance(value, Series) else int(bool(value.currency))


def _plain(value: Value) -> Kind:
    """Return the kind of a value where money is a number with a power."""
    return Kind.NUMBER if value.kind is Kind.MONEY else value.kind


_SUMS = ("add", "subtract")


def require_alike(left: Value, right: Value, deed: str) -> tuple[Kind, int]:
    """Return kind and power of two values that are added or compared.

    Raises:
        KindError: They are different things.
    """
    power = _power(left, right)
    refused = KindError(f"cannot {deed} {describe(left)} and {describe(right)}")
    kinds = {_plain(left), _plain(right)}
    if Kind.TRUTH in kinds or power != _power(right, left):
        raise refused
    if _both_fixed(left, right) and _currency(left) and _currency(right):
        if _currency(left) != _currency(right):
            raise KindError(f"cannot {deed} {_currency(left)} and {_currency(right)}")
        return Kind.MONEY, power
    if len(kinds) == 1:
        is_money = _both_fixed(left, right) and bool(_currency(left) or _currency(right))
        return Kind.MONEY if is_money else _plain(left), power
    if kinds.isdisjoint(_TEMPORAL):
        if _is_zero(left) or _is_zero(right):
            return _plain(right if _is_zero(left) else left), power
        # 1 + 5% is a factor; a comparison of 3 with 5% is a mistake.
        is_factor = _both_fixed(left, right) and deed in _SUMS
        if power == 0 and (Kind.RATIO in kinds or is_factor):
            return Kind.RATIO, power
    raise refused


def require_sum(left: Value, right: Value, sign: str) -> tuple[Kind, int]:
    """Return kind and power of a sum or difference.

    Raises:
        KindError: They are different things.
    """
    deed = _SUMS[sign == "-"]
    kinds = (left.kind, right.kind)
    if kinds == (Kind.TIME, Kind.DURATION) or (
        kinds == (Kind.DURATION, Kind.TIME) and sign == "+"
    ):
        return Kind.TIME, 0
    if kinds == (Kind.TIME, Kind.TIME):
        if sign == "+":
            raise KindError("cannot add a time of day and a time of day")
        return Kind.DURATION, 0
    return require_alike(left, right, deed)


_TEMPORAL = frozenset({Kind.DURATION, Kind.TIME})


def _currency(value: Value) -> str:
    return value.currency if isinstance(value, Fixed) else ""


def _both_fixed(left: Value, right: Value) -> bool:
    return isinstance(left, Fixed) and isinstance(right, Fixed)


def product(left: Value, right: Value) -> tuple[Kind, int]:
    """Return kind and power of a product.

    Raises:
        KindError: One of them cannot be multiplied.
    """
    power = _own_power(left) + _own_power(right)
    kinds = {_plain(left), _plain(right)}
    refused = KindError(f"cannot multiply {describe(left)} and {describe(right)}")
    if kinds == {Kind.DURATION, Kind.NUMBER} and power == 0:
        return Kind.DURATION, 0
    if not kinds <= NUMERIC:
        raise refused
    if _both_fixed(left, right) and power:
        if power > 1:
            raise refused
        return Kind.MONEY, power
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
    power = _own_power(left) - _own_power(right)
    kinds = (_plain(left), _plain(right))
    if kinds[0] is Kind.DURATION and power == 0 and kinds[1] in (Kind.NUMBER, Kind.DURATION):
        return (Kind.DURATION if kinds[1] is Kind.NUMBER else Kind.RATIO), 0
    if not set(kinds) <= NUMERIC:
        raise KindError(f"cannot divide {describe(left)} by {describe(right)}")
    if _both_fixed(left, right):
        return _fixed_quotient(left, right, power)
    both_series = isinstance(left, Series) and isinstance(right, Series)
    if power == 0 and kinds[0] is kinds[1] and (both_series or _own_power(left)):
        return Kind.RATIO, 0
    return kinds[0], power


def _fixed_quotient(left: Value, right: Value, power: int) -> tuple[Kind, int]:
    if power == 1:
        return Kind.MONEY, power
    if power < 0:
        raise KindError(f"cannot divide {describe(left)} by {describe(right)}")
    if left.kind is right.kind:
        return (Kind.NUMBER if left.kind is Kind.NUMBER else Kind.RATIO), 0
    return left.kind, 0
