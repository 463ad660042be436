"""Reading one account from the tables, in the snapshot of the caller's transaction."""

from collections.abc import Sequence

from jts_trading.domain.ledger_rows import BalanceRow, FillRow, OrderRow, row_key
from jts_trading.journal.connection import Connection
from jts_trading.journal.tables import read_row, select
from jts_trading.ports.journal import AccountBooks

OPEN = "r.status NOT IN ('filled', 'cancelled', 'rejected', 'denied', 'expired')"
_OWNER = "(r.broker, r.account) = (%(broker)s, %(account)s)"
_ORDERS = select(OrderRow, f"{_OWNER} AND ({OPEN} OR r.venue_order_id = ANY(%(venue)s))")
_FILLS = select(FillRow, "r.order_id = ANY(%(orders)s::uuid[])")
_BALANCES = select(BalanceRow, _OWNER)
_NEWEST = """
SELECT coalesce(max(seq), 0) AS seq FROM ledger_entries
WHERE (broker, account) = (%(broker)s, %(account)s)
"""


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
