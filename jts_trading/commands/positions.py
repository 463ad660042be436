"""`jts positions`: what each strategy instance holds, what it is worth, and its cash."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.commands import words
from jts_trading.commands.marks import Mark, read_marks
from jts_trading.commands.reading import open_ledger
from jts_trading.config.settings import load_settings
from jts_trading.domain.ledger_rows import BalanceRow, LedgerAccount
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table

_STALE_S = 60.0
_ZERO = Decimal(0)


class ShownPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One position.

    Attributes:
        average: Mean cost of one unit, without fees.
        mark: Newest price; None when nobody shares one.
        mark_age_s: Instance seconds since that trade.
        value: Quantity at the mark; None without one.
        unrealised: Value above cost, likewise.
    """

    broker: str
    account: str
    instance: str
    instrument_id: str
    name: str
    quantity: Decimal
    average: Decimal
    cost: Decimal
    currency: str
    mark: Decimal | None
    mark_age_s: float | None
    value: Decimal | None
    unrealised: Decimal | None


class ShownAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one instance of an account.

    Attributes:
        realised: Result of what was sold, before costs.
        equity: Cash and positions at their marks, at cost where there is none.
        is_marked: Whether every position has a mark.
    """

    broker: str
    account: str
    instance: str
    currency: str
    cash: Decimal
    costs: Decimal
    realised: Decimal
    equity: Decimal
    is_marked: bool


class PositionsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts positions --json` prints; ascending by account, instance and instrument."""

    positions: tuple[ShownPosition, ...]
    accounts: tuple[ShownAccount, ...]


@click.command()
@click.option("--instance", help="Show one strategy instance only.")
@console.json_option
def positions(instance: str | None, as_json: bool) -> int:
    """Show positions with average cost, mark and age of the mark, and the cash of each instance.

    Marks come from the running collector; without it quantities and costs are shown alone.
    """
    settings = load_settings()
    names = words.Names(settings.instance.root)
    with open_ledger(settings) as ledger:
        rows = ledger.rows(BalanceRow, order="r.broker, r.account, r.instance, r.instrument_id")
    rows = [row for row in rows if instance in {None, row.instance}]
    held = [row for row in rows if row.ledger is LedgerAccount.POSITION and row.quantity]
    marks = read_marks(settings, [row.instrument_id for row in held])
    shown = tuple(_position(row, marks.get(row.instrument_id), names) for row in held)
    document = PositionsDocument(positions=shown, accounts=_accounts(rows, shown))
    console.emit(document, as_json=as_json, table=lambda: _tables(document))
    return console.DONE


def _position(row: BalanceRow, mark: Mark | None, names: words.Names) -> ShownPosition:
    value = None if mark is None else row.quantity * mark.price
    return ShownPosition(
        broker=row.broker,
        account=row.account,
        instance=row.instance,
        instrument_id=row.instrument_id,
        name=names.of(row.instrument_id),
        quantity=row.quantity,
        average=round(row.amount / row.quantity, 8),
        cost=row.amount,
        currency=row.currency,
        mark=None if mark is None else mark.price,
        mark_age_s=None if mark is None else round(mark.age_s, 3),
        value=value,
        unrealised=None if value is None else value - row.amount,
    )


def _accounts(
    rows: list[BalanceRow], shown: tuple[ShownPosition, ...]
) -> tuple[ShownAccount, ...]:
    keys = dict.fromkeys((row.broker, row.account, row.instance, row.currency) for row in rows)
    return tuple(_account(key, rows, shown) for key in keys)


def _account(
    key: tuple[str, str, str, str],
    rows: list[BalanceRow],
    shown: tuple[ShownPosition, ...],
) -> ShownAccount:
    own = [row for row in rows if (row.broker, row.account, row.instance, row.currency) == key]
    sums: Mapping[LedgerAccount, Decimal] = {
        ledger: sum((row.amount for row in own if row.ledger is ledger), _ZERO)
        for ledger in LedgerAccount
    }
    held = [
        each for each in shown if (each.broker, each.account, each.instance, each.currency) == key
    ]
    worth = sum((each.cost if each.value is None else each.value for each in held), _ZERO)
    return ShownAccount(
        broker=key[0],
        account=key[1],
        instance=key[2],
        currency=key[3],
        cash=sums[LedgerAccount.CASH],
        costs=sums[LedgerAccount.FEES] + sums[LedgerAccount.TAX],
        realised=-sums[LedgerAccount.REALISED],
        equity=sums[LedgerAccount.CASH] + worth,
        is_marked=all(each.value is not None for each in held),
    )


def _tables(document: PositionsDocument) -> "Table | str":
    from rich.table import Table

    if not document.accounts:
        return "no positions and no cash: nothing is in the ledger yet"
    table = Table(title="positions", title_justify="left")
    for title in ("account", "instance", "instrument"):
        table.add_column(title, overflow="fold")
    for title in ("quantity", "average", "mark", "age", "value", "unrealised"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in document.positions:
        table.add_row(
            f"{each.broker}/{each.account}",
            each.instance,
            f"{each.instrument_id} {each.name}".strip(),
            words.amount(each.quantity),
            words.amount(each.average),
            words.amount(each.mark),
            _age(each.mark_age_s),
            words.amount(each.value),
            words.amount(each.unrealised),
        )
    for each_account in document.accounts:
        table.add_section()
        table.add_row(
            f"{each_account.broker}/{each_account.account}",
            each_account.instance,
            f"cash {words.amount(each_account.cash)} {each_account.currency}",
            "",
            "",
            "",
            "",
            f"equity {words.amount(each_account.equity)}",
            f"realised {words.amount(each_account.realised)}",
        )
    return table


def _age(age_s: float | None) -> str:
    if age_s is None:
        return "-"
    return f"{age_s:.0f} s stale" if age_s > _STALE_S else f"{age_s:.1f} s"
