"""What belongs to whom, read from the balances of the ledger.

Sums over instances give the account; `external` is an instance like any other here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from jts_trading.domain.ledger_rows import BalanceRow, LedgerAccount
from jts_trading.portfolio.holding import Holding

_ZERO = Decimal(0)
Amounts = dict[str, Decimal]


class Owner(NamedTuple):
    """Whose money and positions: an instance within an account."""

    broker: str
    account: str
    instance: str


@dataclass(slots=True)
class OwnerBooks:
    """Balances by currency, positions by (instrument id, currency).

    Attributes:
        realised: Gains less losses of what was closed, before fees and tax.
        capital: What was put in less what was taken out.
    """

    cash: Amounts = field(default_factory=dict)
    positions: dict[tuple[str, str], Holding] = field(default_factory=dict)
    fees: Amounts = field(default_factory=dict)
    tax: Amounts = field(default_factory=dict)
    realised: Amounts = field(default_factory=dict)
    capital: Amounts = field(default_factory=dict)

    def position(self, instrument_id: str, currency: str) -> Holding:
        """Return a position; empty when there is none."""
        return self.positions.get((instrument_id, currency), Holding())


def read_balances(rows: Iterable[BalanceRow]) -> dict[Owner, OwnerBooks]:
    """Return the books of every owner in the ledger."""
    found: dict[Owner, OwnerBooks] = {}
    for row in rows:
        owner = Owner(row.broker, row.account, row.instance)
        _add(found.setdefault(owner, OwnerBooks()), row)
    return found


def account_books(books: Mapping[Owner, OwnerBooks], broker: str, account: str) -> OwnerBooks:
    """Return the sum over all instances of an account."""
    total = OwnerBooks()
    for owner, mine in books.items():
        if (owner.broker, owner.account) != (broker, account):
            continue
        for name in ("cash", "fees", "tax", "realised", "capital"):
            amounts: Amounts = getattr(total, name)
            for currency, amount in getattr(mine, name).items():
                amounts[currency] = amounts.get(currency, _ZERO) + amount
        for key, held in mine.positions.items():
            before = total.positions.get(key, Holding())
            total.positions[key] = Holding(
                before.quantity + held.quantity, before.cost + held.cost
            )
    return total


def _add(books: OwnerBooks, row: BalanceRow) -> None:
    match row.ledger:
        case LedgerAccount.CASH:
            books.cash[row.currency] = row.amount
        case LedgerAccount.POSITION:
            if row.quantity or row.amount:
                key = (row.instrument_id, row.currency)
                books.positions[key] = Holding(row.quantity, row.amount)
        case LedgerAccount.FEES:
            books.fees[row.currency] = row.amount
        case LedgerAccount.TAX:
            books.tax[row.currency] = row.amount
        case LedgerAccount.REALISED:
            books.realised[row.currency] = -row.amount
        case LedgerAccount.CAPITAL:
            books.capital[row.currency] = -row.amount
