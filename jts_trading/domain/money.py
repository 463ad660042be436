"""Exact money and quantities, and the only two crossings between them and float64.

Prices, quantities, cash and fees are `Decimal` built from text, on the grid of their instrument.
Korean won are whole. Adding one currency to another is a type error.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

# Smallest amounts of the currencies that have one; all others keep the 8 places of the venues.
_CURRENCY_UNITS = {"KRW": Decimal(1)}
_DEFAULT_UNIT = Decimal("0.00000001")


class Rounding(StrEnum):
    """Where a value between two steps goes; NEAREST takes the even step of two equally near."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


_WHOLE: dict[Rounding, Callable[[Fraction], int]] = {
    Rounding.DOWN: math.floor,
    Rounding.UP: math.ceil,
    Rounding.NEAREST: round,
}


def quantise(value: Decimal, step: Decimal, rounding: Rounding) -> Decimal:
    """Return the value in whole steps, as the step is written (7 at 0.10 gives 7.00).

    Raises:
        ValueError: The value is not finite, or the step is not above zero.
    """
    _require_finite(value)
    if not step > 0:
        raise ValueError(f"step {step} is not above 0")
    # A quotient of decimals would itself be rounded; a fraction is exact.
    steps = _WHOLE[rounding](Fraction(value) / Fraction(step))
    return steps * step


def quantise_quantity(quantity: Decimal, lot: Decimal) -> Decimal:
    """Return whole lots, never more than asked for.

    Raises:
        ValueError: The quantity is negative or not finite, or the lot is not above zero.
    """
    if not quantity >= 0:
        raise ValueError(f"quantity {quantity} is negative")
    return quantise(quantity, lot, Rounding.DOWN)


def float_from_exact(value: Decimal) -> float:
    """Cross from exact to float64, for statistics and indicators.

    Raises:
        ValueError: The value is not finite.
    """
    _require_finite(value)
    return float(value)


def exact_from_float(value: float, step: Decimal) -> Decimal:
    """Cross from float64 to exact: the nearest whole number of steps.

    Raises:
        ValueError: The value is NaN or infinite, or the step is not above zero.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return quantise(Decimal(value), step, Rounding.NEAREST)


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount of one currency.

    Attributes:
        amount: Whole units of the currency's smallest amount (1 won, else 1e-8).
        currency: Capital letters, such as KRW or USDT.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        """Refuse amounts that nobody can pay.

        Raises:
            ValueError: The amount is not finite or finer than the currency allows.
        """
        _require_finite(self.amount)
        unit = currency_unit(self.currency)
        if self.amount % unit:
            raise ValueError(f"{self.amount} {self.currency} is not a multiple of {unit}")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def _same(self, other: "Money") -> Decimal:
        if self.currency != other.currency:
            raise TypeError(f"cannot add {other.currency} to {self.currency}: convert it first")
        return other.amount


def krw(amount: int) -> Money:
    """Return whole won."""
    return Money(Decimal(amount), "KRW")


def currency_unit(currency: str) -> Decimal:
    """Return the smallest amount of a currency."""
    return _CURRENCY_UNITS.get(currency, _DEFAULT_UNIT)


@dataclass(frozen=True, slots=True)
class Base:
    """A quantity of the instrument itself: shares or coins, above zero."""

    amount: Decimal

    def __post_init__(self) -> None:
        """Refuse nothing, less than nothing, and what is no number.

        Raises:
            ValueError: The amount is not above zero.
        """
        _require_positive(self.amount)


@dataclass(frozen=True, slots=True)
class Quote:
    """A quantity given as money to spend, above zero."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        """Refuse nothing, less than nothing, and what is no number.

        Raises:
            ValueError: The amount is not above zero.
        """
        _require_positive(self.amount)


Quantity = Base | Quote


def _require_finite(value: Decimal) -> None:
    if not value.is_finite():
        raise ValueError(f"{value} is not a finite number")


def _require_positive(value: Decimal) -> None:
    if not value.is_finite() or value <= 0:
        raise ValueError(f"quantity {value} is not above 0")
