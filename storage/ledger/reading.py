"""Read journal and ledger as a person may: one snapshot, read-only, no part of their programs.

Reports, certificates and checks read here, so that they judge what the database holds and not what
a running daemon thinks. Rows come as they are stored: amounts as Decimal, times in ns.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from storage.errors import StorageError

Row = Mapping[str, Any]
"""Column name to value."""

_ACCOUNTS = """
SELECT DISTINCT broker, account, currency FROM balances ORDER BY broker, account, currency
"""
_BALANCES = """
SELECT l.instance, l.ledger, l.instrument_id, sum(l.debit - l.credit) AS amount,
       sum(l.quantity) AS quantity
FROM ledger_entries l JOIN events e USING (seq)
WHERE l.broker = %(broker)s AND l.account = %(account)s AND l.currency = %(currency)s
  AND e.ts_ns < %(before_ns)s
GROUP BY l.instance, l.ledger, l.instrument_id
ORDER BY l.instance, l.ledger, l.instrument_id
"""
_ENTRIES = """
SELECT l.seq, l.line, e.ts_ns, e.type, l.instance, l.ledger, l.instrument_id, l.debit, l.credit,
       l.quantity
FROM ledger_entries l JOIN events e USING (seq)
WHERE l.broker = %(broker)s AND l.account = %(account)s AND l.currency = %(currency)s
  AND e.ts_ns >= %(from_ns)s AND e.ts_ns < %(before_ns)s
ORDER BY l.seq, l.line
"""
_FILLS = """
SELECT f.*, f.order_id::text AS order_id, e.ts_ns AS recorded_ns
FROM fills f JOIN events e USING (seq)
WHERE f.broker = %(broker)s AND f.account = %(account)s AND f.currency = %(currency)s
  AND e.ts_ns < %(before_ns)s
ORDER BY f.seq
"""
_ORDERS = """
SELECT o.*, o.id::text AS id, o.strategy_id::text AS strategy_id
FROM orders o
WHERE o.broker = %(broker)s AND o.account = %(account)s AND o.currency = %(currency)s
  AND o.updated_ns >= %(from_ns)s AND o.created_ns < %(before_ns)s
ORDER BY o.intent_seq
"""
_EVENTS = """
SELECT seq, stream, type, schema_version, correlation_id, causation_id, ts_ns, payload
FROM events
WHERE type = ANY(%(types)s) AND ts_ns >= %(from_ns)s AND ts_ns < %(before_ns)s
ORDER BY seq
"""
_STREAM = """
SELECT seq, stream, type, schema_version, correlation_id, causation_id, ts_ns, payload
FROM events WHERE stream = %(stream)s ORDER BY seq
"""
_PROGRESS = """
SELECT (SELECT seq FROM journal_head) AS newest_seq,
       (SELECT count(*) FROM outbox WHERE NOT is_published) AS unpublished,
       (SELECT count(*) FROM orders
        WHERE broker = %(broker)s
          AND status IN ('open', 'partial')) AS resting,
       (SELECT count(*) FROM orders
        WHERE broker = %(broker)s
          AND status NOT IN ('filled', 'cancelled', 'rejected', 'denied', 'expired',
                             'open', 'partial')) AS working
"""
_CONSUMED = "SELECT consumer, source, major, minor FROM consumed ORDER BY consumer, source"
_IMBALANCE = """
SELECT seq, currency, sum(debit - credit) AS difference
FROM ledger_entries GROUP BY seq, currency HAVING sum(debit - credit) <> 0 ORDER BY seq LIMIT 5
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """What may still be under way.

    Attributes:
        newest_seq: Number of the newest event.
        unpublished: Messages that the bus does not have yet.
        resting: Orders that the broker has and may still fill.
        working: Orders of the broker that are on a way: neither with it nor ended.
    """

    newest_seq: int
    unpublished: int
    resting: int
    working: int


class Snapshot:
    """The journal's database as it was at one instant.

    Args:
        connection: Inside a read-only transaction.
    """

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection

    def accounts(self) -> list[Row]:
        """Return broker, account and currency of everything that was ever booked."""
        return self._rows(_ACCOUNTS)

    def balances(self, broker: str, account: str, currency: str, *, before_ns: int) -> list[Row]:
        """Return the sums of all lines recorded before an instant.

        Returns:
            instance, ledger, instrument_id, amount (debits less credits), quantity; by key.
        """
        return self._rows(
            _BALANCES, broker=broker, account=account, currency=currency, before_ns=before_ns
        )

    def entries(
        self, broker: str, account: str, currency: str, *, from_ns: int, before_ns: int
    ) -> list[Row]:
        """Return the ledger lines recorded in a span, with time and type of their event.

        Returns:
            seq, line, ts_ns, type, instance, ledger, instrument_id, debit, credit, quantity; by
            number.
        """
        return self._rows(
            _ENTRIES,
            broker=broker,
            account=account,
            currency=currency,
            from_ns=from_ns,
            before_ns=before_ns,
        )

    def fills(self, broker: str, account: str, currency: str, *, before_ns: int) -> list[Row]:
        """Return every fill recorded before an instant, by number; `recorded_ns` says when."""
        return self._rows(
            _FILLS, broker=broker, account=account, currency=currency, before_ns=before_ns
        )

    def orders(
        self, broker: str, account: str, currency: str, *, from_ns: int, before_ns: int
    ) -> list[Row]:
        """Return orders that lived in a span, as they are now, in order of their intents."""
        return self._rows(
            _ORDERS,
            broker=broker,
            account=account,
            currency=currency,
            from_ns=from_ns,
            before_ns=before_ns,
        )

    def events(self, types: Sequence[str], *, from_ns: int, before_ns: int) -> list[Row]:
        """Return the events of some types recorded in a span.

        Returns:
            seq, stream, type, schema_version, correlation_id, causation_id, ts_ns, payload (the
            canonical bytes); by number.
        """
        return self._rows(_EVENTS, types=list(types), from_ns=from_ns, before_ns=before_ns)

    def stream(self, name: str) -> list[Row]:
        """Return every event about one thing, such as `note/trader_began`; as `events`."""
        return self._rows(_STREAM, stream=name)

    def progress(self, broker: str) -> Progress:
        """Return how far the daemon has come with the orders of a broker."""
        (row,) = self._rows(_PROGRESS, broker=broker)
        return Progress(**row)

    def consumed(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return how far each consumer has committed each source: (consumer, source) to place."""
        return {
            (row["consumer"], row["source"]): (row["major"], row["minor"])
            for row in self._rows(_CONSUMED)
        }

    def imbalances(self) -> list[Row]:
        """Return the first transactions whose lines do not add up to zero; empty, always."""
        return self._rows(_IMBALANCE)

    def _rows(self, query: str, **values: object) -> list[Row]:
        try:
            return list(self._connection.execute(query.encode(), values))
        except psycopg.Error as error:
            raise StorageError(f"ledger: {' '.join(str(error).split())}") from error


@contextmanager
def ledger_snapshot(dsn: str) -> Iterator[Snapshot]:
    """Open the journal's database for reading, at one instant, for the length of the block.

    Args:
        dsn: URL of the database as libpq reads it, without a driver.

    Raises:
        StorageError: It is not there, or has no such tables yet.
    """
    try:
        connection = psycopg.connect(dsn, row_factory=dict_row)
    except psycopg.Error as error:
        raise StorageError(f"ledger: {' '.join(str(error).split())}") from error
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield Snapshot(connection)
