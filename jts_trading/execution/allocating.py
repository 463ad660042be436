"""Cash of an account dealt to strategy instances: moved from `external` and back. Pure.

What an instance was given is the capital in its books. When the trading inputs want more, cash
moves from `external`, if that has it; when they want less, or do not name the instance any more
and it holds nothing, cash moves back. Each move is two facts in one commit, so that the sum over
the account never changes, under ids that name the version of the inputs: the same inputs twice
move nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from jts_trading.domain.journal_events import CashMoved
from jts_trading.domain.ledger_rows import BalanceRow, LedgerAccount
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.execution.differences import Books, cash_of
from jts_trading.execution.findings import EXTERNAL, Finding

_ZERO = Decimal(0)
REASON = "allocation"


@dataclass(frozen=True, slots=True)
class Allocation:
    """What the inputs ask for, as far as it can be done.

    Attributes:
        moves: Pairs of facts, each pair to be committed together.
        short: Why something cannot be done now, one sentence each.
    """

    moves: tuple[tuple[Finding, Finding], ...]
    short: tuple[str, ...]


def allocate(books: Books, inputs: TradingInputs, busy: frozenset[str]) -> Allocation:
    """Return the moves that bring the instances of one account to their allocations.

    Args:
        books: The account.
        inputs: What is wanted.
        busy: Instances with open orders: nothing is taken from them.
    """
    free = cash_of(books.balances, books.currency, EXTERNAL)
    moves, short = [], []
    for instance, wanted in _wanted(books, inputs).items():
        given = -_sum(books.balances, instance, LedgerAccount.CAPITAL)
        change = _ZERO if wanted is None else wanted - given
        if wanted is None:
            change = -_left_behind(books, instance)
        if change < 0:
            held = cash_of(books.balances, books.currency, instance)
            if instance in busy or held < -change:
                short.append(f"{instance} keeps {-change} {books.currency} until it is free")
                continue
        elif change > free:
            short.append(
                f"{instance} is to have {change} {books.currency} more; {EXTERNAL} has {free}"
            )
            continue
        if change:
            free -= change
            moves.append(_move(books, inputs.version, instance, change))
    return Allocation(tuple(moves), tuple(short))


def foreign_currencies(books: Books, inputs: TradingInputs) -> tuple[str, ...]:
    """Return what is wrong with allocations in a currency that the account does not have."""
    return tuple(
        f"{each.instance} is to have {each.currency}; the account has {books.currency}"
        for each in inputs.instances
        if (each.broker, each.account) == (books.broker, books.account)
        and each.currency != books.currency
    )


def _wanted(books: Books, inputs: TradingInputs) -> dict[str, Decimal | None]:
    """Return the allocation of each instance of the account; None for one that is not wanted."""
    known = {row.instance for row in books.balances} - {EXTERNAL}
    wanted: dict[str, Decimal | None] = dict.fromkeys(sorted(known))
    for each in inputs.instances:
        is_here = (each.broker, each.account) == (books.broker, books.account)
        if is_here and each.currency == books.currency:
            wanted[each.instance] = each.allocation
    return wanted


def _left_behind(books: Books, instance: str) -> Decimal:
    """Return the cash of an instance that holds no position."""
    holds = any(
        row.quantity
        for row in books.balances
        if row.ledger is LedgerAccount.POSITION and row.instance == instance
    )
    return _ZERO if holds else max(_ZERO, cash_of(books.balances, books.currency, instance))


def _sum(balances: Sequence[BalanceRow], instance: str, ledger: LedgerAccount) -> Decimal:
    return sum(
        (row.amount for row in balances if (row.instance, row.ledger) == (instance, ledger)), _ZERO
    )


def _move(books: Books, version: int, instance: str, amount: Decimal) -> tuple[Finding, Finding]:
    name = f"allocation/{version}/{books.broker}/{books.account}/{instance}/{books.newest_seq}"
    owner = {"broker": books.broker, "account": books.account, "currency": books.currency}
    taken = CashMoved(**owner, instance=EXTERNAL, amount=-amount, reason=REASON)
    given = CashMoved(**owner, instance=instance, amount=amount, reason=REASON)
    cause = f"inputs/{version}"
    return (
        Finding(taken, f"{name}/taken", cause, cause),
        Finding(given, f"{name}/given", cause, cause),
    )
