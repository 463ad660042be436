"""Outbox and leases in PostgreSQL, on a connection of their own beside the journal's."""

from typing import Any

from jts_trading.journal.announce import ANNOUNCED
from jts_trading.journal.connection import Database
from jts_trading.ports.journal import Lease, OutboxMessage, Publish

# One number for all relays: published in order by one of them at a time.
_RELAY_LOCK = 0x4A54524C
_COLUMNS = """
o.seq, o.major_ms, o.topic, o.type, o.version, o.payload,
e.event_id, e.correlation_id, e.causation_id, e.writer, e.ts_ns
"""
_PENDING = f"""
SELECT {_COLUMNS} FROM outbox AS o JOIN events AS e USING (seq)
WHERE NOT o.is_published ORDER BY o.seq LIMIT %s
"""  # noqa: S608 - texts of this module
_NEWEST = f"""
SELECT {_COLUMNS} FROM unnest(%s::text[]) AS t (topic)
CROSS JOIN LATERAL (
    SELECT * FROM outbox WHERE outbox.topic = t.topic AND is_published ORDER BY seq DESC LIMIT 1
) AS o JOIN events AS e USING (seq)
"""  # noqa: S608 - texts of this module
_MARK = "UPDATE outbox SET is_published = TRUE WHERE seq = ANY(%s)"
_REOPEN = "UPDATE outbox SET is_published = FALSE WHERE topic = %s AND seq > %s AND is_published"
_PRUNE = "DELETE FROM outbox WHERE is_published AND major_ms < %s"
_ACQUIRE = """
INSERT INTO leases (name, holder, token, expires_at)
VALUES (%s, %s, 1, clock_timestamp() + %s * INTERVAL '1 second')
ON CONFLICT (name) DO UPDATE
SET holder = EXCLUDED.holder, token = leases.token + 1, expires_at = EXCLUDED.expires_at
WHERE leases.expires_at <= clock_timestamp()
    OR (%s AND leases.holder = EXCLUDED.holder)
RETURNING token
"""
_RENEW = """
UPDATE leases SET expires_at = clock_timestamp() + %s * INTERVAL '1 second'
WHERE name = %s AND token = %s AND expires_at > clock_timestamp()
RETURNING token
"""
_RELEASE = "UPDATE leases SET expires_at = clock_timestamp() WHERE name = %s AND token = %s"


class PostgresOutbox:
    """Outbox and leases.

    Args:
        database: A connection; not the journal's, which must not wait for the bus.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ear = database.twin()

    async def publish_pending(self, publish: Publish, limit: int) -> int:
        """Publish what is committed; see `ports.journal.Outbox`."""
        async with self._database.transaction() as connection:
            lock = await connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s) AS is_ours", (_RELAY_LOCK,)
            )
            row = await lock.fetchone()
            if row is None or not row["is_ours"]:
                return 0
            cursor = await connection.execute(_PENDING, (limit,))
            done: list[int] = []
            failure: Exception | None = None
            for found in await cursor.fetchall():
                try:
                    await publish(_message(found))
                except Exception as error:  # noqa: BLE001 - raised below, after marking the rest
                    failure = error
                    break
                done.append(found["seq"])
            await connection.execute(_MARK, (done,))
        if failure is not None:
            raise failure
        return len(done)

    async def wait(self, seconds: float) -> bool:
        """Wait for a commit; see `ports.journal.Outbox`."""
        return await self._ear.notified(seconds)

    async def newest_published(self) -> dict[str, OutboxMessage]:
        """Return the newest published message of each topic."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_NEWEST, (list(ANNOUNCED),))
            return {row["topic"]: _message(row) for row in await cursor.fetchall()}

    async def reopen(self, topic: str, after_seq: int) -> int:
        """Mark messages unpublished; see `ports.journal.Outbox`."""
        async with self._database.transaction() as connection:
            return (await connection.execute(_REOPEN, (topic, after_seq))).rowcount

    async def prune(self, before_ms: int) -> int:
        """Forget what was published long ago; see `ports.journal.Outbox`."""
        async with self._database.transaction() as connection:
            return (await connection.execute(_PRUNE, (before_ms,))).rowcount

    async def acquire_lease(
        self, name: str, holder: str, seconds: float, *, is_successor: bool = False
    ) -> Lease | None:
        """Take a lease; see `ports.journal.Leases`."""
        values = (name, holder, seconds, is_successor)
        async with self._database.transaction() as connection:
            row = await (await connection.execute(_ACQUIRE, values)).fetchone()
        return None if row is None else Lease(name, holder, row["token"], seconds)

    async def renew_lease(self, lease: Lease) -> bool:
        """Prolong a lease; see `ports.journal.Leases`."""
        async with self._database.transaction() as connection:
            values = (lease.seconds, lease.name, lease.token)
            return await (await connection.execute(_RENEW, values)).fetchone() is not None

    async def release_lease(self, lease: Lease) -> None:
        """Give a lease back; see `ports.journal.Leases`."""
        async with self._database.transaction() as connection:
            await connection.execute(_RELEASE, (lease.name, lease.token))

    async def close(self) -> None:
        """Give the connection back."""
        await self._ear.close()
        await self._database.close()


def _message(row: dict[str, Any]) -> OutboxMessage:
    return OutboxMessage(**{name: row[name] for name in OutboxMessage.__slots__})
