"""Reading one account from the tables, in the snapshot of the caller's transaction."""

from collections.abc import Sequence
from typing import Any

from jts_trading.domain.journal_events import IntentRecorded, OrderAdopted
from jts_trading.domain.ledger_rows import BalanceRow, FillRow, OrderRow, row_key
from jts_trading.domain.orders import InvariantError
from jts_trading.journal.chain import read_event_of
from jts_trading.journal.connection import Connection
from jts_trading.journal.tables import read_row, select
from jts_trading.ports.journal import AccountBooks, AccountDesk

OPEN = "r.status NOT IN ('filled', 'cancelled', 'rejected', 'denied', 'expired')"
_OWNER = "(r.broker, r.account) = (%(broker)s, %(account)s)"
_ORDERS = select(OrderRow, f"{_OWNER} AND ({OPEN} OR r.venue_order_id = ANY(%(venue)s))")
_FILLS = select(FillRow, "r.order_id = ANY(%(orders)s::uuid[])")
_BALANCES = select(BalanceRow, _OWNER)
_NEWEST = """
SELECT coalesce(max(seq), 0) AS seq FROM ledger_entries
WHERE (broker, account) = (%(broker)s, %(account)s)
"""


# The first event of each open order stands under the number that its row keeps.
_FIRST_EVENTS = f"""
SELECT r.id::text AS order_id, e.type, e.schema_version, e.payload
FROM orders AS r JOIN events AS e ON e.seq = r.intent_seq
WHERE {_OWNER} AND {OPEN}
"""  # noqa: S608 - texts of this module
_OPEN_ORDERS = select(OrderRow, f"{_OWNER} AND {OPEN}")


async def read_desk(connection: Connection, broker: str, account: str) -> AccountDesk:
    """Return what the sender needs; see `ports.journal.Journal.account_desk`."""
    owner = {"broker": broker, "account": account}
    orders = await connection.execute(_OPEN_ORDERS, owner)
    firsts = await connection.execute(_FIRST_EVENTS, owner)
    balances = await connection.execute(_BALANCES, owner)
    found = [read_row(OrderRow, row) for row in await orders.fetchall()]
    return AccountDesk(
        orders=tuple(sorted(found, key=lambda row: row.intent_seq)),
        wishes={row["order_id"]: _first_event(row) for row in await firsts.fetchall()},
        balances=tuple(
            sorted((read_row(BalanceRow, row) for row in await balances.fetchall()), key=row_key)
        ),
    )


def _first_event(row: dict[str, Any]) -> IntentRecorded | OrderAdopted:
    event = read_event_of(row["type"], row["schema_version"], row["payload"])
    if not isinstance(event, IntentRecorded | OrderAdopted):
        raise InvariantError(f"order {row['order_id']} begins with {row['type']}")
    return event


async def read_account(
    connection: Connection, broker: str, account: str, venue_order_ids: Sequence[str]
) -> AccountBooks:
    """Return what is known of an account; see `ports.journal.Journal.account_books`."""
    owner = {"broker": broker, "account": account, "venue": list(venue_order_ids)}
    cursor = await connection.execute(_ORDERS, owner)
    orders = [read_row(OrderRow, row) for row in await cursor.fetchall()]
    named = {"orders": [order.id for order in orders]}
    cursor = await connection.execute(_FILLS, named)
    fills = [read_row(FillRow, row) for row in await cursor.fetchall()]
    cursor = await connection.execute(_BALANCES, owner)
    balances = [read_row(BalanceRow, row) for row in await cursor.fetchall()]
    newest = await (await connection.execute(_NEWEST, owner)).fetchone()
    return AccountBooks(
        orders=tuple(sorted(orders, key=lambda row: row.intent_seq)),
        fills=tuple(sorted(fills, key=lambda row: row.seq)),
        balances=tuple(sorted(balances, key=row_key)),
        newest_seq=newest["seq"] if newest else 0,
    )
