"""A position and what a trade does to it, exact to the unit of the currency.

The only arithmetic of cost in JTS: the ledger books with it, the trader, the risk checks and the
reports read positions through it. What reduces a position takes its share of the cost, the last
unit all that is left; what goes beyond it opens a position on the other side.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.money import currency_unit

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Holding:
    """A position: quantity and total cost without fees, both below zero when short."""

    quantity: Decimal = _ZERO
    cost: Decimal = _ZERO

    @property
    def average_cost(self) -> Decimal | None:
        """Cost of one unit, at 28 digits; None when nothing is held."""
        return self.cost / self.quantity if self.quantity else None

    def unrealised(self, price: Decimal) -> Decimal:
        """Return what closing at a price would gain, before fees and tax."""
        return self.quantity * price - self.cost


@dataclass(frozen=True, slots=True)
class Change:
    """What a trade did to a position.

    Attributes:
        held: The position after it.
        realised: Result of the part that was closed, before fees and tax; a gain is above zero.
        moves: (cost, quantity) that the position gained, one for the part that closed and one
            for the part that opened, where there is one.
    """

    held: Holding
    realised: Decimal
    moves: tuple[tuple[Decimal, Decimal], ...]


def trade(held: Holding, quantity: Decimal, paid: Decimal, currency: str) -> Change:
    """Return what a trade does to a position.

    Args:
        held: The position before.
        quantity: What comes in; below zero for what goes out.
        paid: What is paid for it without fees; below zero for what is received.
        currency: Of the cost.
    """
    if quantity * held.quantity >= 0:
        after = Holding(held.quantity + quantity, held.cost + paid)
        return Change(after, _ZERO, ((paid, quantity),))
    closing = min(abs(quantity), abs(held.quantity))
    released = _share(held.cost, closing, abs(held.quantity), currency)
    paid_closing = _share(paid, closing, abs(quantity), currency)
    direction = 1 if quantity > 0 else -1
    moves = [(-released, direction * closing)]
    if abs(quantity) > closing:
        moves.append((paid - paid_closing, direction * (abs(quantity) - closing)))
    after = Holding(held.quantity + quantity, held.cost + sum((cost for cost, _ in moves), _ZERO))
    return Change(after, -(paid_closing + released), tuple(moves))


def _share(amount: Decimal, part: Decimal, whole: Decimal, currency: str) -> Decimal:
    if part == whole:
        return amount
    unit = currency_unit(currency)
    # Towards zero, so that a share of a short position's cost is never more than the cost.
    return int(Fraction(amount) * Fraction(part) / Fraction(whole) / Fraction(unit)) * unit
