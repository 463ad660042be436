"""The whole numbers that decisions count in: ticks, lots and units of money of one instrument.

A price is counted in the instrument's smallest price increment, a quantity in its smallest
quantity, money in the product of the two, so that price times quantity is exact. For KRX that is
won, shares and won. Sizing and stops work on these numbers, in a backtest and live.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Units:
    """Smallest steps of one instrument.

    Attributes:
        price_step: Smallest price increment, in the instrument's currency.
        quantity_step: Smallest quantity.
        money_step: One tick times one smallest quantity.
        price_scale: How many ticks make one unit of currency; what `init_state` takes.
    """

    price_step: Decimal
    quantity_step: Decimal
    money_step: Decimal = field(init=False, repr=False, compare=False)
    price_scale: float = field(init=False, repr=False, compare=False)
    _is_one: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what follows from the steps."""
        object.__setattr__(self, "money_step", self.price_step * self.quantity_step)
        object.__setattr__(self, "price_scale", float(1 / Fraction(self.price_step)))
        object.__setattr__(self, "_is_one", str(self.price_step) == "1")

    def ticks(self, price: Decimal) -> int:
        """Return a price in whole ticks.

        Raises:
            ValueError: It lies between two ticks.
        """
        found = Fraction(price) / Fraction(self.price_step)
        if found.denominator != 1:
            raise ValueError(f"price {price} is no multiple of {self.price_step}")
        return int(found)

    def ticks_near(self, price: Decimal) -> int:
        """Return the whole number of ticks that is nearest to a price."""
        return round(Fraction(price) / Fraction(self.price_step))

    def price(self, ticks: int) -> Decimal:
        """Return a number of ticks as a price."""
        return ticks * self.price_step

    def price_text(self, ticks: int) -> str:
        """Return a number of ticks as a price in digits: as its decimal is written."""
        return str(ticks if self._is_one else ticks * self.price_step)

    def lots(self, quantity: Decimal) -> int:
        """Return how many smallest quantities are in a quantity, rounded down."""
        return count_steps(quantity, self.quantity_step)

    def quantity(self, lots: int) -> Decimal:
        """Return a number of smallest quantities as a quantity."""
        return lots * self.quantity_step

    def money(self, amount: Decimal) -> int:
        """Return an amount in units of money, rounded down."""
        return count_steps(amount, self.money_step)

    def amount(self, money: int) -> Decimal:
        """Return units of money as an amount."""
        return money * self.money_step


def count_steps(amount: Decimal, step: Decimal) -> int:
    """Return how many steps are in an amount, rounded down."""
    numerator, denominator = amount.as_integer_ratio()
    step_numerator, step_denominator = _ratio_of(step)
    return numerator * step_denominator // (denominator * step_numerator)


@lru_cache(maxsize=1_024)
def _ratio_of(step: Decimal) -> tuple[int, int]:
    return step.as_integer_ratio()


WON = Units(Decimal(1), Decimal(1))
"""Units of what is traded in Korea: won and shares."""
