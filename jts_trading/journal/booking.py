"""Fills and movements as balanced ledger lines, exact to the unit of the currency.

Signed amounts: above zero is a debit. The lines of one event add up to zero in each currency;
what is left over between proceeds and cost is the realised result, never a rounding.
"""

from dataclasses import dataclass
from decimal import Decimal

from jts_trading.domain.journal_events import CashMoved, OrderFilled, PositionAdopted
from jts_trading.domain.ledger_rows import LedgerAccount
from jts_trading.domain.orders import OrderSide
from jts_trading.portfolio.fills import gross_of, require_units
from jts_trading.portfolio.holding import Holding, trade

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
    moved = trade(held, change, sign * gross, currency)
    lines += [Line(LedgerAccount.POSITION, cost, quantity) for cost, quantity in moved.moves]
    lines.append(Line(LedgerAccount.REALISED, -moved.realised))
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
