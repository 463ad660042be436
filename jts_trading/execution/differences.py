"""What the broker holds against what our books say, and adopting what nobody can explain. Pure.

The position of an account is the sum over its strategy instances and `external`. A difference
lands in `external`, so that the account is right and no instance is touched: at the very first
look as its opening balance, later only when two comparisons in a row found the same while nothing
was on its way. Quantities and money have to be equal to the unit; the cost of a position is not
compared, because the broker averages over the account and we over each instance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.account_reports import BalanceReport
from jts_trading.domain.journal_events import CashMoved, PositionAdopted
from jts_trading.domain.ledger_rows import BalanceRow, LedgerAccount
from jts_trading.domain.money import currency_unit
from jts_trading.execution.findings import EXTERNAL, Finding

_ZERO = Decimal(0)
OPENING = "opening balance"
ADOPTED = "difference found by reconciliation"


@dataclass(frozen=True, slots=True)
class Difference:
    """What the broker has more than our books; less is below zero.

    Attributes:
        cash: In the currency of the account.
        positions: By instrument id, ascending; equal ones are left out.
    """

    cash: Decimal
    positions: tuple[tuple[str, Decimal], ...]

    def __bool__(self) -> bool:
        return bool(self.cash or self.positions)

    def __str__(self) -> str:
        parts = [f"cash {self.cash:+f}"] if self.cash else []
        parts += [f"{name} {quantity:+f}" for name, quantity in self.positions]
        return ", ".join(parts) or "none"


def cash_of(balances: Sequence[BalanceRow], currency: str, instance: str | None = None) -> Decimal:
    """Return the cash of an account, or of one of its instances."""
    return sum(
        (
            row.amount
            for row in balances
            if row.ledger is LedgerAccount.CASH
            and row.currency == currency
            and instance in {None, row.instance}
        ),
        _ZERO,
    )


def positions_of(balances: Sequence[BalanceRow]) -> dict[str, Decimal]:
    """Return the quantities of an account by instrument id; empty positions are left out."""
    held: dict[str, Decimal] = {}
    for row in balances:
        if row.ledger is LedgerAccount.POSITION:
            held[row.instrument_id] = held.get(row.instrument_id, _ZERO) + row.quantity
    return {name: quantity for name, quantity in sorted(held.items()) if quantity}


def compare(balances: Sequence[BalanceRow], report: BalanceReport, currency: str) -> Difference:
    """Return what the broker has more than our books."""
    ours = positions_of(balances)
    theirs = {held.instrument_id: held.quantity for held in report.positions if held.quantity}
    changes = {
        name: theirs.get(name, _ZERO) - ours.get(name, _ZERO)
        for name in sorted(ours.keys() | theirs.keys())
    }
    return Difference(
        cash=report.cash - cash_of(balances, currency),
        positions=tuple((name, change) for name, change in changes.items() if change),
    )


class DifferenceWatch:
    """Tells a lasting difference from a moment between two fills."""

    def __init__(self) -> None:
        self._seen: tuple[Difference, int] | None = None

    def note(self, difference: Difference, newest_seq: int) -> bool:
        """Note a comparison; return whether the one before found the same in the same books.

        Args:
            difference: What was found.
            newest_seq: Number of the newest event that moved money or instruments.
        """
        before, self._seen = self._seen, (difference, newest_seq)
        return bool(difference) and before == (difference, newest_seq)


@dataclass(frozen=True, slots=True)
class Books:
    """One account in our books.

    Attributes:
        newest_seq: Number of the newest event that moved its money or instruments.
    """

    broker: str
    account: str
    currency: str
    balances: tuple[BalanceRow, ...]
    newest_seq: int


def adopt(books: Books, report: BalanceReport, reason: str) -> tuple[Finding, ...]:
    """Return the facts that make our books equal to the broker's, in `external`.

    Their ids name the state of the books that they were found in: two processes that see the same
    book it once, and the same difference on another day is another one.
    """
    difference = compare(books.balances, report, books.currency)
    costs = {held.instrument_id: (held.quantity, held.cost) for held in report.positions}
    name = f"{books.broker}/{books.account}/{books.newest_seq}"
    owner = {"broker": books.broker, "account": books.account, "instance": EXTERNAL}
    findings = []
    for instrument_id, quantity in difference.positions:
        event = PositionAdopted(
            **owner,
            instrument_id=instrument_id,
            currency=books.currency,
            quantity=quantity,
            cost=_cost(books, instrument_id, quantity, costs),
            reason=reason,
        )
        findings.append(Finding(event, f"position/{name}/{instrument_id}", name, ""))
    if difference.cash:
        moved = CashMoved(**owner, currency=books.currency, amount=difference.cash, reason=reason)
        findings.append(Finding(moved, f"cash/{name}", name, ""))
    return tuple(findings)


def _cost(
    books: Books,
    instrument_id: str,
    change: Decimal,
    theirs: Mapping[str, tuple[Decimal, Decimal]],
) -> Decimal:
    """Return the cost of what came in or left: at least 0, in whole units."""
    own = [
        row
        for row in books.balances
        if row.ledger is LedgerAccount.POSITION
        and (row.instance, row.instrument_id) == (EXTERNAL, instrument_id)
    ]
    held = sum((row.quantity for row in own), _ZERO)
    cost = sum((row.amount for row in own), _ZERO)
    if held * change < 0 and abs(held) >= abs(change):
        # A part of what `external` holds, or is short of, goes: it takes its share of the cost.
        return _share(abs(cost), abs(change), abs(held), books.currency)
    quantity, paid = theirs.get(instrument_id, (_ZERO, _ZERO))
    if not quantity:
        return abs(cost)
    return _share(paid, min(abs(change), quantity), quantity, books.currency)


def _share(amount: Decimal, part: Decimal, whole: Decimal, currency: str) -> Decimal:
    unit = currency_unit(currency)
    return int(Fraction(amount) * Fraction(part) / Fraction(whole) / Fraction(unit)) * unit
