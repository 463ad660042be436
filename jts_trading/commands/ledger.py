"""`jts ledger dump`: the double-entry ledger, exact to the unit."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.commands import words
from jts_trading.commands.reading import LedgerReader, open_ledger
from jts_trading.config.settings import load_settings
from jts_trading.domain.ledger_rows import BalanceRow, LedgerRow
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table

_ACCOUNTS = """
SELECT broker, account, currency, coalesce(cash, 0) AS cash,
    coalesce(positions_at_cost, 0) AS positions_at_cost, coalesce(fees, 0) AS fees,
    coalesce(tax, 0) AS tax, coalesce(realised, 0) AS realised, coalesce(capital, 0) AS capital,
    difference
FROM v_accounts ORDER BY broker, account, currency
"""
# What the lines of each event add up to, and what they add up to for each balance.
_UNBALANCED = """
SELECT seq, currency, sum(debit - credit) AS difference FROM ledger_entries
GROUP BY seq, currency HAVING sum(debit - credit) <> 0 ORDER BY seq
"""
_DRIFTED = """
SELECT broker, account, instance, ledger, instrument_id, currency
FROM balances AS b FULL JOIN (
    SELECT broker, account, instance, ledger, instrument_id, currency,
        sum(debit - credit) AS amount, sum(quantity) AS quantity
    FROM ledger_entries GROUP BY 1, 2, 3, 4, 5, 6
) AS e USING (broker, account, instance, ledger, instrument_id, currency)
WHERE b.amount IS DISTINCT FROM e.amount OR b.quantity IS DISTINCT FROM e.quantity
"""


class AccountSum(msgspec.Struct, frozen=True, kw_only=True):
    """What an account is made of: cash + positions + costs = capital + realised result.

    Attributes:
        difference: What is left over; 0, always.
    """

    broker: str
    account: str
    currency: str
    cash: Decimal
    positions_at_cost: Decimal
    fees: Decimal
    tax: Decimal
    realised: Decimal
    capital: Decimal
    difference: Decimal


class LedgerDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts ledger dump --json` prints.

    Attributes:
        difference: Sum of the absolute differences of all accounts; 0, always.
        problems: Events out of balance and balances that are not the sum of their lines.
        balances: Sorted by their key.
        rows: Every line, in order; those of one event (`seq`) add up to 0.
    """

    difference: Decimal
    problems: tuple[str, ...]
    accounts: tuple[AccountSum, ...]
    balances: tuple[BalanceRow, ...]
    rows: tuple[LedgerRow, ...]


@click.group()
def ledger() -> None:
    """The double-entry ledger."""


@ledger.command()
@click.option("--account", help="Only this account, such as kis/5000000101.")
@click.option("--rows/--no-rows", "with_rows", default=True, help="Show every line, or sums only.")
@console.json_option
def dump(account: str | None, with_rows: bool, as_json: bool) -> int:
    """Print accounts, balances and lines; exit 4 if anything is out of balance."""
    settings = load_settings()
    with open_ledger(settings) as reader:
        document = _document(reader, account, with_rows=with_rows)
    names = words.Names(settings.instance.root)
    console.emit(document, as_json=as_json, table=lambda: _tables(document, names))
    if document.difference or document.problems:
        return console.INVARIANT_BROKEN
    return console.DONE


def _document(reader: LedgerReader, account: str | None, *, with_rows: bool) -> LedgerDocument:
    def is_wanted(row: AccountSum | BalanceRow | LedgerRow) -> bool:
        return account in {None, f"{row.broker}/{row.account}"}

    sums = [AccountSum(**row) for row in reader.table(_ACCOUNTS)]
    balances = reader.rows(
        BalanceRow,
        order="r.broker, r.account, r.instance, r.ledger, r.instrument_id, r.currency",
    )
    rows = reader.rows(LedgerRow, order="r.seq, r.line") if with_rows else []
    return LedgerDocument(
        difference=sum((abs(each.difference) for each in sums), Decimal(0)),
        problems=tuple(_problems(reader)),
        accounts=tuple(filter(is_wanted, sums)),
        balances=tuple(filter(is_wanted, balances)),
        rows=tuple(filter(is_wanted, rows)),
    )


def _problems(reader: LedgerReader) -> Sequence[str]:
    found = [
        f"the lines of event {row['seq']} are out of balance by {row['difference']}"
        f" {row['currency']}"
        for row in reader.table(_UNBALANCED)
    ]
    for row in reader.table(_DRIFTED):
        where = "/".join(str(row[name]) for name in ("broker", "account", "instance", "ledger"))
        found.append(f"the balance {where} {row['instrument_id']} is not the sum of its lines")
    return found


def _tables(document: LedgerDocument, names: words.Names) -> "Table | str":
    from rich.table import Table

    if not document.accounts:
        return "nothing is in the ledger yet"
    table = Table(caption=_caption(document), caption_justify="left")
    for title in ("account", "instance", "ledger"):
        table.add_column(title, overflow="fold")
    for title in ("quantity", "amount"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("currency")
    for row in document.balances:
        about = f" {names.beside(row.instrument_id)}" if row.instrument_id else ""
        table.add_row(
            f"{row.broker}/{row.account}",
            row.instance,
            f"{row.ledger}{about}",
            words.amount(row.quantity) if row.instrument_id else "",
            words.amount(row.amount),
            row.currency,
        )
    return table


def _caption(document: LedgerDocument) -> str:
    lines = [
        f"{each.broker}/{each.account}: cash {words.amount(each.cash)}"
        f" + positions {words.amount(each.positions_at_cost)}"
        f" + costs {words.amount(each.fees + each.tax)}"
        f" = capital {words.amount(each.capital)} + realised {words.amount(each.realised)}"
        f" {each.currency}; difference {words.amount(each.difference)}"
        for each in document.accounts
    ]
    return "\n".join([*lines, f"{len(document.rows)} lines", *document.problems])
