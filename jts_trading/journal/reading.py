"""Reading the journal in PostgreSQL: orders, balances, events; nothing here writes."""

from collections.abc import Sequence

from jts_trading.domain.ledger_rows import BalanceRow, OrderRow, row_key
from jts_trading.journal.account_view import OPEN, read_account, read_desk
from jts_trading.journal.connection import Connection, Database
from jts_trading.journal.tables import (
    SELECT_EVENTS,
    SELECT_STREAM,
    read_event,
    read_row,
    select,
)
from jts_trading.ports.journal import AccountBooks, AccountDesk, StoredEvent

# One moment for all statements that follow, without a lock.
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FIND = (
    "r.id = %(id)s::uuid OR r.client_order_id = %(client)s"
    " OR (r.broker, r.account, r.venue_order_id) = (%(broker)s, %(account)s, %(venue)s)"
)
_NEWEST = b" ORDER BY r.intent_seq DESC LIMIT 1"
_LOAD_OPEN = select(OrderRow, OPEN)


class PostgresReader:
    """The journal for those who only read it.

    Args:
        database: The connection; shared with nobody.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_open(self) -> list[OrderRow]:
        """Return every order that has not ended; see `ports.journal.Journal`."""
        async with self._database.transaction(is_pipelined=True) as connection:
            cursor = await connection.execute(_LOAD_OPEN)
            found = [read_row(OrderRow, row) for row in await cursor.fetchall()]
        return sorted(found, key=lambda row: row.intent_seq)

    async def find_order(
        self,
        *,
        order_id: str | None = None,
        client_order_id: str | None = None,
        venue_order_id: tuple[str, str, str] | None = None,
    ) -> OrderRow | None:
        """Return an order by one of its ids; see `ports.journal.Journal`."""
        broker, account, venue = venue_order_id or (None, None, None)
        values = {
            "id": order_id,
            "client": client_order_id,
            "broker": broker,
            "account": account,
            "venue": venue,
        }
        async with self._database.transaction() as connection:
            cursor = await connection.execute(select(OrderRow, _FIND) + _NEWEST, values)
            row = await cursor.fetchone()
        return None if row is None else read_row(OrderRow, row)

    async def ledger(self) -> list[BalanceRow]:
        """Return all balances; see `ports.journal.Journal`."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(select(BalanceRow))
            found = [read_row(BalanceRow, row) for row in await cursor.fetchall()]
        return sorted(found, key=row_key)

    async def account_books(
        self, broker: str, account: str, venue_order_ids: Sequence[str] = ()
    ) -> AccountBooks:
        """Return what is known of an account; see `ports.journal.Journal`."""
        async with self._database.transaction() as connection:
            await connection.execute(SNAPSHOT)
            return await read_account(connection, broker, account, venue_order_ids)

    async def account_desk(self, broker: str, account: str) -> AccountDesk:
        """Return what the sender needs; see `ports.journal.Journal`."""
        async with self._database.transaction(is_pipelined=True) as connection:
            await connection.execute(SNAPSHOT)
            return await read_desk(connection, broker, account)

    async def events(self, after_seq: int, limit: int) -> list[StoredEvent]:
        """Return events in order; see `ports.journal.Journal`."""
        async with self._database.transaction() as connection:
            return await read_page(connection, after_seq, limit)

    async def stream(self, name: str, newest: int = 1_000) -> list[StoredEvent]:
        """Return the newest events about one thing; see `ports.journal.Journal`."""
        async with self._database.transaction(is_pipelined=True) as connection:
            cursor = await connection.execute(SELECT_STREAM, {"stream": name, "limit": newest})
            return [read_event(row) for row in reversed(await cursor.fetchall())]

    async def close(self) -> None:
        """Give the connection back."""
        await self._database.close()


async def read_page(connection: Connection, after_seq: int, limit: int) -> list[StoredEvent]:
    """Return events after a number, in order, in the caller's transaction."""
    cursor = await connection.execute(SELECT_EVENTS, {"after": after_seq, "limit": limit})
    return [read_event(row) for row in await cursor.fetchall()]
