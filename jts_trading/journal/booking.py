"""Fills and movements as balanced ledger lines, exact to the unit of the currency.

Signed amounts: above zero is a debit. The lines of one event add up to zero in each currency;
what is left over between proceeds and cost is the realised result, never a rounding.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.journal_events import CashMoved, OrderFilled, PositionAdopted
from jts_trading.domain.ledger_rows import LedgerAccount
from jts_trading.domain.money import currency_unit
from jts_trading.domain.orders import InvariantError, OrderSide

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    """One signed line.

    Attributes:
        amount: Debit above zero, credit below.
        quantity: Change of the position.
    """

    ledger: LedgerAccount
    amount: Decimal
    quantity: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Holding:
    """A position before it changes: quantity and total cost, both below zero when short."""

    quantity: Decimal = _ZERO
    cost: Decimal = _ZERO


def gross_of(fill: OrderFilled, currency: str) -> Decimal:
    """Return price times quantity in whole units of the currency.

    Raises:
        InvariantError: An amount of the fill is finer than the currency, or below zero.
    """
    for name in ("fee", "tax"):
        require_units(getattr(fill, name), currency, f"{name} of trade {fill.trade_id}")
    given = fill.price if fill.gross is None else fill.gross
    if fill.quantity <= 0 or given < 0 or fill.fee_quantity < 0:
        raise InvariantError(f"trade {fill.trade_id}: quantity, price or gross is below zero")
    if fill.gross is None:
        exact = Fraction(fill.price) * Fraction(fill.quantity)
        unit = currency_unit(currency)
        return round(exact / Fraction(unit)) * unit
    require_units(fill.gross, currency, f"gross of trade {fill.trade_id}")
    return fill.gross


def require_units(amount: Decimal, currency: str, what: str) -> None:
    """Refuse an amount that nobody can pay.

    Raises:
        InvariantError: It is not finite or not in whole units.
    """
    unit = currency_unit(currency)
    if not amount.is_finite() or Fraction(amount) % Fraction(unit):
        raise InvariantError(f"{what} is {amount} {currency}; accepted: multiples of {unit}")


def fill_lines(fill: OrderFilled, side: OrderSide, currency: str, held: Holding) -> list[Line]:
    """Return the lines of a fill, given the position before it.

    What reduces a position takes its share of the cost, the last unit all that is left; what goes
    beyond it opens a position on the other side.

    Raises:
        InvariantError: An amount of the fill is finer than the currency, or below zero.
    """
    gross = gross_of(fill, currency)
    sign = 1 if side is OrderSide.BUY else -1
    change = sign * fill.quantity - fill.fee_quantity
    lines = [Line(LedgerAccount.CASH, -sign * gross)]
    lines += _position_lines(change, sign * gross, currency, held)
    for ledger, amount in ((LedgerAccount.FEES, fill.fee), (LedgerAccount.TAX, fill.tax)):
        if amount:
            lines += [Line(ledger, amount), Line(LedgerAccount.CASH, -amount)]
    return [line for line in lines if line.amount or line.quantity]


def cash_lines(event: CashMoved) -> list[Line]:
    """Return the lines of money that came or left.

    Raises:
        InvariantError: The amount is finer than the currency.
    """
    require_units(event.amount, event.currency, event.reason)
    return [
        Line(LedgerAccount.CASH, event.amount),
        Line(LedgerAccount.CAPITAL, -event.amount),
    ]


def adoption_lines(event: PositionAdopted) -> list[Line]:
    """Return the lines of instruments that came or left without a trade.

    Raises:
        InvariantError: The cost is finer than the currency.
    """
    require_units(event.cost, event.currency, event.reason)
    cost = event.cost if event.quantity >= 0 else -event.cost
    lines = [
        Line(LedgerAccount.POSITION, cost, event.quantity),
        Line(LedgerAccount.CAPITAL, -cost),
    ]
    return [line for line in lines if line.amount or line.quantity]


def _position_lines(change: Decimal, paid: Decimal, currency: str, held: Holding) -> list[Line]:
    is_reducing = change * held.quantity < 0
    if not is_reducing:
        return [Line(LedgerAccount.POSITION, paid, change)]
    closing = min(abs(change), abs(held.quantity))
    released = _share(held.cost, closing, abs(held.quantity), currency)
    paid_closing = _share(paid, closing, abs(change), currency)
    direction = 1 if change > 0 else -1
    result = paid_closing + released
    lines = [
        Line(LedgerAccount.POSITION, -released, direction * closing),
        Line(LedgerAccount.REALISED, result),
    ]
    if abs(change) > closing:
        opened = direction * (abs(change) - closing)
        lines.append(Line(LedgerAccount.POSITION, paid - paid_closing, opened))
    return lines


def _share(amount: Decimal, part: Decimal, whole: Decimal, currency: str) -> Decimal:
    if part == whole:
        return amount
    unit = currency_unit(currency)
    # Towards zero, so that a share of a short position's cost is never more than the cost.
    return int(Fraction(amount) * Fraction(part) / Fraction(whole) / Fraction(unit)) * unit
