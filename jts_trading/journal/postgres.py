"""The journal in PostgreSQL.

Theory of operation. A commit is one transaction and two round trips. The first locks the row of
`journal_head`, so that all commits of all writers stand in one line: numbers have no gaps, and
whoever reads in order never misses a row that becomes visible later. It also fetches the rows
that the facts can touch. The facts are then folded in the process (`writing.write_all`, the same
code as in memory), and the second round trip writes events, changed rows, ledger lines and
outbox, moves the heads and commits. The database checks again what the program promises.

An answer that never came means that the commit may have happened. The same call repeated tells:
facts are recognised by their ids.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from jts_trading.domain.journal_events import (
    AttemptStarted,
    DecisionRecorded,
    IntentRecorded,
    SignalRecorded,
)
from jts_trading.domain.ledger_rows import ROWS, Row
from jts_trading.domain.orders import InvariantError
from jts_trading.journal.books import Books
from jts_trading.journal.chain import Head, Verdict, Verification, identify
from jts_trading.journal.connection import CHANNEL, Connection, Database
from jts_trading.journal.reading import SNAPSHOT, PostgresReader, read_page
from jts_trading.journal.rebuilding import Rebuilt, compare
from jts_trading.journal.shelf import load_books
from jts_trading.journal.tables import (
    INSERT_EVENT,
    delete_all,
    event_values,
    read_row,
    row_values,
    select,
    write,
)
from jts_trading.journal.writing import Desk, Written, write_all
from jts_trading.ports.journal import (
    Consumed,
    Fact,
    OutboxMessage,
    Recorded,
    StoredEvent,
    require_kind,
)

_HEAD = "SELECT seq, major_ms FROM journal_head"
_LOCK_HEAD = f"{_HEAD} FOR UPDATE"
# Long work between statements is wanted here.
_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"
_CHAIN = "SELECT position, hash FROM writers WHERE writer = %s"
_KNOWN = "SELECT event_id, seq FROM events WHERE event_id = ANY(%s)"
_MOVE_HEAD = "UPDATE journal_head SET seq = %s, major_ms = %s"
_MOVE_CHAIN = """
INSERT INTO writers (writer, position, hash) VALUES (%s, %s, %s)
ON CONFLICT (writer) DO UPDATE SET position = EXCLUDED.position, hash = EXCLUDED.hash
"""
_INSERT_MESSAGE = """
INSERT INTO outbox (seq, major_ms, topic, type, version, payload)
VALUES (%s, %s, %s, %s, %s, %s)
"""
# Whoever publishes hears of a commit at once; see `outbox`.
_NOTIFY = f"NOTIFY {CHANNEL}"
_PAGE_ROWS = 2_000
_LONG_S = 600.0


class PostgresJournal(PostgresReader):
    """One writer's journal.

    Args:
        database: The connection; shared with nobody.
        writer: Name of its chain, such as `executor@main`.
    """

    def __init__(self, database: Database, writer: str) -> None:
        super().__init__(database)
        self._writer = writer

    async def record_intent(
        self, facts: Sequence[Fact], consumed: Consumed | None = None
    ) -> list[Recorded]:
        """Commit intents and what led to them; see `ports.journal.Journal`."""
        require_kind(facts, IntentRecorded, DecisionRecorded, SignalRecorded)
        return await self._commit(facts, consumed)

    async def record_attempt(self, fact: Fact, notes: Sequence[Fact] = ()) -> Recorded:
        """Commit an attempt; see `ports.journal.Journal`."""
        require_kind([fact], AttemptStarted)
        return (await self._commit([*notes, fact], None))[-1]

    async def record_event(
        self, facts: Sequence[Fact], consumed: Consumed | None = None
    ) -> list[Recorded]:
        """Commit facts; see `ports.journal.Journal`."""
        return await self._commit(facts, consumed)

    async def verify(self) -> Verdict:
        """Check every chain from its first row, as of now; commits go on meanwhile.

        Raises:
            JournalUnavailableError: It did not answer.
        """
        verification = Verification()
        async with self._database.transaction(timeout_s=_LONG_S) as connection:
            await connection.execute(SNAPSHOT)
            await connection.execute(_PATIENT)
            newest = _only(await (await connection.execute(_HEAD)).fetchone())
            cursor = await connection.execute("SELECT writer, position, hash FROM writers")
            heads = {
                row["writer"]: Head(row["position"], row["hash"])
                for row in await cursor.fetchall()
            }
            async for row in _all(connection):
                verdict = verification.add(row)
                if verdict is not None:
                    return verdict
        return verification.finish(heads, newest["seq"])

    async def rebuild(self, *, replace_rows: bool = False) -> Rebuilt:
        """Fold all events again and compare with the live rows, as of now.

        Args:
            replace_rows: Put the rebuilt rows in their place; commits wait for it.

        Raises:
            JournalUnavailableError: It did not answer.
            InvariantError: The events contradict each other.
        """
        books = Books()
        async with self._database.transaction(timeout_s=_LONG_S) as connection:
            if not replace_rows:
                await connection.execute(SNAPSHOT)
            await connection.execute(_PATIENT)
            if replace_rows:
                await connection.execute(_LOCK_HEAD)
            async for event in _all(connection):
                books.apply(event)
                books.keep()
            live: list[Row] = []
            for kind in ROWS:
                cursor = await connection.execute(select(kind))
                live += [read_row(kind, row) for row in await cursor.fetchall()]
            outcome = compare(Books(live), books)
            if replace_rows:
                await _replace(connection, books)
            return outcome

    async def _commit(self, facts: Sequence[Fact], consumed: Consumed | None) -> list[Recorded]:
        async with self._database.transaction(is_pipelined=True) as connection:
            desk = await self._sit_down(connection, facts, consumed)
            answers, written = write_all(desk, facts, consumed)
            for each in written:
                await _write(connection, each)
            if written:
                await connection.execute(_MOVE_HEAD, (desk.seq, desk.major_ms))
                head = (self._writer, desk.head.position, desk.head.hash)
                await connection.execute(_MOVE_CHAIN, head)
                if any(_is_news(each) for each in written):
                    await connection.execute(_NOTIFY)
        return answers

    async def _sit_down(
        self, connection: Connection, facts: Sequence[Fact], consumed: Consumed | None
    ) -> Desk:
        lock = await connection.execute(_LOCK_HEAD)
        chain = await connection.execute(_CHAIN, (self._writer,))
        known = await connection.execute(_KNOWN, ([identify(fact) for fact in facts],))
        books = await load_books(connection, facts, consumed)
        head = _only(await lock.fetchone())
        link = await chain.fetchone()
        return Desk(
            writer=self._writer,
            seq=head["seq"],
            major_ms=head["major_ms"],
            head=Head(link["position"], link["hash"]) if link else Head(),
            books=books,
            known={row["event_id"]: row["seq"] for row in await known.fetchall()},
        )


def _only(row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None:
        raise InvariantError("the journal has lost its head row: restore it from a backup")
    return row


def _is_news(written: Written) -> bool:
    """Return whether somebody waits for an event: to publish it, or to act on an order."""
    return written.message is not None or written.stored.stream.startswith("order/")


async def _all(connection: Connection) -> AsyncIterator[StoredEvent]:
    after_seq = 0
    while page := await read_page(connection, after_seq, _PAGE_ROWS):
        after_seq = page[-1].seq
        for row in page:
            yield row


async def _write(connection: Connection, written: Written) -> None:
    await connection.execute(INSERT_EVENT, event_values(written.stored))
    for row in sorted(written.rows, key=lambda row: ROWS.index(type(row))):
        await connection.execute(write(type(row)), row_values(row))
    if written.message is not None:
        await connection.execute(_INSERT_MESSAGE, _message_values(written.message))


def _message_values(message: OutboxMessage) -> tuple[object, ...]:
    return (
        message.seq,
        message.major_ms,
        message.topic,
        message.type,
        message.version,
        message.payload,
    )


async def _replace(connection: Connection, books: Books) -> None:
    await connection.execute("SET LOCAL jts.rebuild = 'on'")
    for statement in delete_all():
        await connection.execute(statement)
    for kind in ROWS:
        async with connection.cursor() as cursor:
            await cursor.executemany(write(kind), [row_values(row) for row in books.rows(kind)])
