"""`jts orders`: orders as the journal has them; works while roles run or are down."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.commands import words
from jts_trading.commands.reading import LedgerReader, open_ledger
from jts_trading.config.settings import load_settings
from jts_trading.domain.calendars import midnight_ns
from jts_trading.domain.journal_events import IntentRecorded
from jts_trading.domain.ledger_rows import FillRow, OrderRow
from jts_trading.domain.orders import OrderIntent, order_type
from jts_trading.domain.sessions import local_date
from jts_trading.journal.chain import open_event
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table

OPEN = "r.status NOT IN ('filled', 'cancelled', 'rejected', 'denied', 'expired')"
_DAY_NS = 86_400_000_000_000


class ShownOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order of `jts orders --json`.

    Attributes:
        name: Of the instrument; empty where nobody knows it.
        type: market, limit, stop or stop_limit.
        time_in_force: day, ioc, fok or gtc, as its strategy asked for it.
        trigger: Stop price that was reached before it was given; None without one.
        average: Mean price of its fills; None without any.
        gross: Money of its fills without costs.
        costs: Fees and taxes of its fills.
        created_at: ISO 8601, in the venue's zone.
        updated_at: Likewise.
    """

    id: str
    instance: str
    release: str
    broker: str
    account: str
    instrument_id: str
    name: str
    venue: str
    side: str
    type: str
    time_in_force: str
    quantity: Decimal
    price: Decimal | None
    trigger: Decimal | None
    status: str
    filled: Decimal
    average: Decimal | None
    gross: Decimal
    costs: Decimal
    currency: str
    reason: str
    created_at: str | None
    updated_at: str | None
    attempt: int
    client_order_id: str | None
    venue_order_id: str | None
    decision_id: str
    correlation_id: str


class OrdersDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts orders --json` prints, oldest order first.

    Attributes:
        shows: Which orders: open, all, or a day.
        left_out: Older orders that the limit cut off.
    """

    shows: str
    orders: tuple[ShownOrder, ...]
    left_out: int = 0


@click.command()
@click.option("--all", "is_all", is_flag=True, help="Show ended orders too, the newest ones.")
@click.option(
    "--day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Show the orders of one day of their venue, ended ones too.",
)
@click.option("--instance", help="Show the orders of one strategy instance only.")
@click.option("--limit", default=200, show_default=True, help="Show so many orders at most.")
@console.json_option
def orders(
    is_all: bool, day: "date | None", instance: str | None, limit: int, as_json: bool
) -> int:
    """Show the open orders, or with --all or --day ended ones too; times as at the venue."""
    settings = load_settings()
    if limit < 1:
        raise console.CommandError(f"--limit is {limit}; accepted: 1 and above", console.BAD_USAGE)
    names = words.Names(settings.instance.root)
    with open_ledger(settings) as ledger:
        found = _found(ledger, is_all=is_all, day=day, instance=instance)
        kept = found[-limit:]
        shown = tuple(shown_orders(ledger, kept, names))
    which = f"{day:%Y-%m-%d}" if day else "all" if is_all else "open"
    document = OrdersDocument(shows=which, orders=shown, left_out=len(found) - len(kept))
    console.emit(document, as_json=as_json, table=lambda: _table(document))
    return console.DONE


def shown_orders(
    ledger: LedgerReader, rows: Sequence[OrderRow], names: words.Names
) -> list[ShownOrder]:
    """Return orders with what was filled of them."""
    fills: dict[str, list[FillRow]] = {}
    wanted = {"ids": [row.id for row in rows]}
    for fill in ledger.rows(FillRow, "r.order_id = ANY(%(ids)s::uuid[])", wanted, order="r.seq"):
        fills.setdefault(fill.order_id, []).append(fill)
    intents = _intents(ledger, [row.id for row in rows])
    return [_shown(row, fills.get(row.id, []), names, intents.get(row.id)) for row in rows]


def _intents(ledger: LedgerReader, order_ids: Sequence[str]) -> dict[str, OrderIntent]:
    streams = {"streams": [f"order/{order_id}" for order_id in order_ids]}
    condition = "r.stream = ANY(%(streams)s) AND r.type = 'intent_recorded'"
    found = map(open_event, ledger.events(condition, streams))
    return {e.intent.order_id: e.intent for e in found if isinstance(e, IntentRecorded)}


def _found(
    ledger: LedgerReader, *, is_all: bool, day: "date | None", instance: str | None
) -> list[OrderRow]:
    condition, values = ["TRUE"], {"instance": instance}
    if instance is not None:
        condition.append("r.instance = %(instance)s")
    if day is None and not is_all:
        condition.append(OPEN)
    if day is not None:
        # Wide enough for every zone; the venue's own date decides below.
        middle = midnight_ns(date(day.year, day.month, day.day))
        first, last = middle - _DAY_NS, middle + 2 * _DAY_NS
        condition.append(f"r.created_ns BETWEEN {first} AND {last}")
    rows = ledger.rows(OrderRow, " AND ".join(condition), values, order="r.intent_seq")
    if day is None:
        return rows
    wanted = date(day.year, day.month, day.day)
    return [row for row in rows if local_date(row.venue, row.created_ns) == wanted]


def _shown(
    row: OrderRow, fills: Sequence[FillRow], names: words.Names, intent: OrderIntent | None
) -> ShownOrder:
    gross = sum((fill.gross for fill in fills), Decimal(0))
    filled = sum((fill.quantity for fill in fills), Decimal(0))
    trigger = None if intent is None else intent.trigger
    return ShownOrder(
        id=row.id,
        instance=row.instance,
        release=row.release,
        broker=row.broker,
        account=row.account,
        instrument_id=row.instrument_id,
        name=names.of(row.instrument_id),
        venue=row.venue,
        side=row.side,
        type=order_type(row.price, trigger),
        time_in_force=row.time_in_force if intent is None else intent.asked_force,
        quantity=row.quantity,
        price=row.price,
        trigger=trigger,
        status=row.status,
        filled=row.filled,
        average=round(gross / filled, 8) if filled else None,
        gross=gross,
        costs=sum((fill.fee + fill.tax for fill in fills), Decimal(0)),
        currency=row.currency,
        reason=row.reason,
        created_at=words.iso(row.created_ns, row.venue),
        updated_at=words.iso(row.updated_ns, row.venue),
        attempt=row.attempt,
        client_order_id=row.client_order_id,
        venue_order_id=row.venue_order_id,
        decision_id=row.decision_id,
        correlation_id=row.correlation_id,
    )


def _table(document: OrdersDocument) -> "Table | str":
    from rich.table import Table

    if not document.orders:
        return f"no orders ({document.shows})"
    table = Table(caption=_caption(document), caption_justify="left")
    for title in ("at", "order", "instance", "instrument", "side", "type"):
        table.add_column(title, no_wrap=title in {"at", "order"}, overflow="fold")
    for title in ("quantity", "filled", "price", "average"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for order in document.orders:
        reason = f": {order.reason}" if order.reason else ""
        table.add_row(
            (order.created_at or "-")[:19].replace("T", " "),
            words.short(order.id),
            order.instance,
            f"{order.instrument_id} {order.name}".strip(),
            order.side,
            _kind(order),
            words.amount(order.quantity),
            words.amount(order.filled),
            "market" if order.price is None else words.amount(order.price),
            words.amount(order.average),
            f"{order.status}{reason}",
        )
    return table


def _kind(order: ShownOrder) -> str:
    reached = "" if order.trigger is None else f", {words.amount(order.trigger)} reached"
    return f"{order.type} {order.time_in_force}{reached}"


def _caption(document: OrdersDocument) -> str:
    zones = sorted({(order.created_at or "")[-6:] for order in document.orders} - {""})
    told = f"{len(document.orders)} orders ({document.shows}); times at {', '.join(zones)}"
    return f"{told}; {document.left_out} older ones left out" if document.left_out else told
