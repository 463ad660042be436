"""Which rows facts can touch, and fetching them: what a commit in a database folds over."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from jts_trading.domain.journal_events import (
    AttemptStarted,
    CashMoved,
    IntentRecorded,
    OrderAdopted,
    OrderFilled,
    PositionAdopted,
    StrategyReleased,
)
from jts_trading.domain.ledger_rows import (
    AttemptRow,
    BalanceRow,
    FillRow,
    OffsetRow,
    OrderRow,
    ReservationRow,
    Row,
    StrategyRow,
)
from jts_trading.journal.books import Books
from jts_trading.journal.connection import Connection
from jts_trading.journal.tables import read_row, select
from jts_trading.ports.journal import Consumed, Fact

_ORDERS = select(OrderRow, "r.id = ANY(%(orders)s::uuid[])")
_ATTEMPTS = select(
    AttemptRow, "r.client_order_id = ANY(%(attempts)s) OR r.order_id = ANY(%(orders)s::uuid[])"
)
_RESERVATIONS = select(ReservationRow, "r.order_id = ANY(%(orders)s::uuid[])")
_FILLS = select(FillRow, "r.trade_id = ANY(%(trades)s)")
_STRATEGIES = select(StrategyRow, "r.id = ANY(%(strategies)s::uuid[])")
_OFFSETS = select(OffsetRow, "r.consumer = %(consumer)s AND r.source = %(source)s")
_BALANCES = select(
    BalanceRow,
    "EXISTS (SELECT FROM orders AS o WHERE o.id = ANY(%(orders)s::uuid[])"
    " AND (o.broker, o.account, o.instance) = (r.broker, r.account, r.instance)"
    " AND r.instrument_id IN ('', o.instrument_id))"
    " OR (r.broker, r.account, r.instance) IN"
    " (SELECT * FROM unnest(%(brokers)s::text[], %(accounts)s::text[], %(instances)s::text[]))"
    " AND (r.instrument_id = '' OR r.instrument_id = ANY(%(instruments)s))",
)
_FREE = """
SELECT w.broker, w.account, w.asset,
    coalesce((SELECT sum(CASE WHEN b.ledger = 'cash' THEN b.amount ELSE b.quantity END)
        FROM balances AS b WHERE (b.broker, b.account) = (w.broker, w.account)
        AND (b.ledger = 'cash' AND b.currency = w.asset
             OR b.ledger = 'position' AND b.instrument_id = w.asset)), 0)
    - coalesce((SELECT sum(r.remaining) FROM reservations AS r
        WHERE (r.broker, r.account, r.asset) = (w.broker, w.account, w.asset)
        AND r.remaining > 0), 0) AS free
FROM (SELECT DISTINCT * FROM unnest(
    %(free_brokers)s::text[], %(free_accounts)s::text[], %(assets)s::text[]
) AS u (broker, account, asset)) AS w
"""


@dataclass(slots=True)
class Needed:
    """Keys of the rows that facts can touch."""

    orders: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    trades: list[str] = field(default_factory=list)
    strategies: list[str] = field(default_factory=list)
    owners: list[tuple[str, str, str]] = field(default_factory=list)
    instruments: list[str] = field(default_factory=list)
    assets: list[tuple[str, str, str]] = field(default_factory=list)


def needed_by(facts: Sequence[Fact]) -> Needed:
    """Return the keys of the rows that facts can touch."""
    keys = Needed()
    for fact in facts:
        event = fact.event
        order_id = getattr(event, "order_id", None)
        if order_id is not None:
            keys.orders.append(order_id)
        match event:
            case IntentRecorded() | OrderAdopted():
                intent = event.intent
                keys.orders.append(intent.order_id)
                keys.owners.append((intent.broker, intent.account, intent.instance))
                keys.instruments.append(intent.instrument_id)
                if isinstance(event, IntentRecorded):
                    keys.assets.append((intent.broker, intent.account, event.reservation.asset))
            case AttemptStarted():
                keys.attempts.append(event.client_order_id)
            case OrderFilled():
                keys.trades.append(event.trade_id)
            case CashMoved():
                keys.owners.append((event.broker, event.account, event.instance))
            case PositionAdopted():
                keys.owners.append((event.broker, event.account, event.instance))
                keys.instruments.append(event.instrument_id)
            case StrategyReleased():
                keys.strategies.append(event.strategy_id)
            case _:
                pass
    return keys


async def load_books(
    connection: Connection, facts: Sequence[Fact], consumed: Consumed | None
) -> Books:
    """Fetch the rows that facts can touch; in a pipeline this is one round trip."""
    keys = needed_by(facts)
    values = _values(keys, consumed)
    queries = [(kind, query) for kind, query, is_wanted in _plan(keys, consumed) if is_wanted]
    cursors = [(kind, await connection.execute(query, values)) for kind, query in queries]
    free = await connection.execute(_FREE, values) if keys.assets else None
    rows: list[Row] = []
    for kind, cursor in cursors:
        rows += [read_row(kind, row) for row in await cursor.fetchall()]
    held: dict[tuple[str, str, str], Decimal] = {}
    if free is not None:
        for row in await free.fetchall():
            held[row["broker"], row["account"], row["asset"]] = row["free"]
    return Books(rows, held)


def _plan(keys: Needed, consumed: Consumed | None) -> list[tuple[type[Row], bytes, bool]]:
    has_owner = bool(keys.owners or keys.trades)
    return [
        (OrderRow, _ORDERS, bool(keys.orders)),
        (AttemptRow, _ATTEMPTS, bool(keys.orders)),
        (ReservationRow, _RESERVATIONS, bool(keys.orders)),
        (FillRow, _FILLS, bool(keys.trades)),
        (BalanceRow, _BALANCES, has_owner),
        (StrategyRow, _STRATEGIES, bool(keys.strategies)),
        (OffsetRow, _OFFSETS, consumed is not None),
    ]


def _values(keys: Needed, consumed: Consumed | None) -> dict[str, Any]:
    return {
        "orders": keys.orders,
        "attempts": keys.attempts,
        "trades": keys.trades,
        "strategies": keys.strategies,
        "brokers": [owner[0] for owner in keys.owners],
        "accounts": [owner[1] for owner in keys.owners],
        "instances": [owner[2] for owner in keys.owners],
        "instruments": keys.instruments,
        "free_brokers": [asset[0] for asset in keys.assets],
        "free_accounts": [asset[1] for asset in keys.assets],
        "assets": [asset[2] for asset in keys.assets],
        "consumer": consumed.consumer if consumed else None,
        "source": consumed.source if consumed else None,
    }
