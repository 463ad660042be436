"""Exact numbers as people and scripts want them: without empty decimals. Pure."""

from decimal import Decimal


def trimmed(number: Decimal) -> Decimal:
    """Return an equal number without empty decimals, never in exponents: stores keep eight."""
    if number == number.to_integral_value():
        return Decimal(int(number))
    text = f"{number:f}"
    return Decimal(text.rstrip("0"))


def amount(number: Decimal) -> str:
    """Return a number with separators and without empty decimals."""
    return f"{trimmed(number):,f}"


def signed(number: Decimal) -> str:
    """Return a number as `amount` does, with a plus before a gain."""
    return f"+{amount(number)}" if number > 0 else amount(number)
