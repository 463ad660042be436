"""The journal in PostgreSQL: tampering, lost rows, killed writers, broken connections."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import redis as sync_redis

from jts_trading.bus.redis_streams import RedisBus
from jts_trading.domain.journal_events import (
    AttemptStarted,
    CashMoved,
    IntentRecorded,
    NoteRecorded,
)
from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.journal.connection import Database
from jts_trading.journal.outbox import PostgresOutbox
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.journal.relay import Relay
from jts_trading.ports.bus import Entry
from jts_trading.ports.journal import Fact, JournalUnavailableError
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
DEADLINE_S = 60


@pytest.fixture
def url(postgres_dsn: str) -> str:
    """A migrated database, as libpq names it."""
    migrate(libpq_url(postgres_dsn))
    return libpq_url(postgres_dsn)


def test_verify_when_it_runs_then_commits_go_on(url: str) -> None:
    """Checking a long journal does not stop trading: it looks at one moment of it."""
    with_journal(url, fill_up)

    async def play() -> None:
        writer = PostgresJournal(Database(url), "writer")
        checker = PostgresJournal(Database(url), "checker")
        await writer.record_event([cash(1_000)])
        with psycopg.connect(url) as connection:
            # A checker in the middle of its work, held there.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute("SELECT seq FROM journal_head")
            async with asyncio.TaskGroup() as group:
                verdicts = [group.create_task(checker.verify()) for _ in range(3)]
                for number in range(2_000, 2_040):
                    await writer.record_event([cash(number)])
            row = connection.execute("SELECT seq FROM journal_head").fetchone()

        assert row == (11,)
        assert all(verdict.result().is_good for verdict in verdicts)
        assert (await checker.verify()).rows == 51
        await writer.close()
        await checker.close()

    asyncio.run(play())


def with_journal(url: str, scenario: Callable[[PostgresJournal], Awaitable[Any]]) -> Any:
    """Run a scenario with a journal of its own."""

    async def play() -> Any:
        journal = PostgresJournal(Database(url), "tester")
        try:
            return await scenario(journal)
        finally:
            await journal.close()

    return asyncio.run(play())


def cash(amount: int) -> Fact:
    """A movement that differs from others by its amount."""
    event = CashMoved(
        broker="paper",
        account="a",
        instance="i",
        currency="KRW",
        amount=Decimal(amount),
        reason="deposit",
    )
    return Fact(event, ts_ns=amount)


async def fill_up(journal: PostgresJournal) -> None:
    """Ten events."""
    for number in range(1, 11):
        await journal.record_event([cash(number)])


@pytest.mark.parametrize(
    ("statement", "bad_seq", "problem"),
    [
        ("UPDATE events SET payload = payload || ' ' WHERE seq = 4", 4, "not what was hashed"),
        ("UPDATE events SET ts_ns = 0 WHERE seq = 5", 5, "not what was hashed"),
        ("UPDATE events SET correlation_id = 'x' WHERE seq = 1", 1, "not what was hashed"),
        (
            "UPDATE events SET hash = decode(repeat('ab', 32), 'hex') WHERE seq = 6",
            6,
            "not what was hashed",
        ),
        ("DELETE FROM events WHERE seq = 7", 8, "row 7 is missing"),
        ("DELETE FROM events WHERE seq = 10", 10, "lacks its row 10"),
        (
            """UPDATE events SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4);
            UPDATE events SET seq = -seq WHERE seq < 0""",
            3,
            "does not follow row 2",
        ),
    ],
)
def test_verify_when_a_row_was_tampered_with_then_the_first_bad_one_is_named(
    url: str, statement: str, bad_seq: int, problem: str
) -> None:
    """Whatever an administrator does to a row, verification says where the chain broke."""
    with_journal(url, fill_up)
    with psycopg.connect(url) as connection:
        # Only a superuser who switches the triggers off gets so far.
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement.encode())

    verdict = with_journal(url, lambda journal: journal.verify())

    assert verdict.bad_seq == bad_seq
    assert problem in verdict.problem


def test_rebuild_when_a_projection_is_wrong_then_it_is_named_and_replaced(url: str) -> None:
    """A row that no event explains is found, and the events put it right."""
    with_journal(url, fill_up)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE balances SET amount = 54 WHERE ledger = 'cash'")

    async def scenario(journal: PostgresJournal) -> None:
        broken = await journal.rebuild(replace_rows=True)
        mended = await journal.rebuild()

        assert not broken.is_identical
        assert '"amount":"54"' in broken.difference
        assert '"amount":"55"' in broken.difference
        assert mended.is_identical
        assert mended.live_digest == broken.rebuilt_digest

    with_journal(url, scenario)


def test_f45_connection_when_cut_then_the_call_fails_and_its_repetition_tells(url: str) -> None:
    """A lost connection is an error by name; the same call again has one effect."""

    async def scenario(journal: PostgresJournal) -> None:
        await journal.record_event([cash(1)])
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )
        with pytest.raises(JournalUnavailableError, match="journal"):
            await journal.record_event([cash(2)])

        assert (await journal.record_event([cash(2)]))[0].is_new
        assert not (await journal.record_event([cash(2)]))[0].is_new

    with_journal(url, scenario)


def test_f06_writer_when_paused_inside_a_transaction_then_others_go_on(url: str) -> None:
    """A transaction that holds the head of the journal is ended by the server."""

    async def scenario(journal: PostgresJournal) -> None:
        sleeper = Database(url)

        async def pause() -> None:
            async with sleeper.transaction() as connection:
                await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 200")
                await connection.execute("SELECT seq FROM journal_head FOR UPDATE")
                # The lock is released by the server, not by us.
                assert (await journal.record_event([cash(1)]))[0].is_new
                await connection.execute("SELECT 1")

        with pytest.raises(JournalUnavailableError):
            await pause()
        await sleeper.close()

    with_journal(url, scenario)


WRITER = textwrap.dedent(
    """
    import asyncio, sys
    from decimal import Decimal
    from jts_trading.bus.redis_streams import RedisBus
    from jts_trading.domain.journal_events import CashMoved
    from jts_trading.journal.connection import Database
    from jts_trading.journal.outbox import PostgresOutbox
    from jts_trading.journal.postgres import PostgresJournal
    from jts_trading.journal.relay import Relay
    from jts_trading.ports.journal import Fact

    async def main():
        url, redis_url, first, publishes = sys.argv[1:]
        journal = PostgresJournal(Database(url), "writer")
        relay = Relay(PostgresOutbox(Database(url)), RedisBus(redis_url))
        for number in range(int(first), int(first) + 100_000):
            event = CashMoved(broker="b", account="a", instance="i", currency="KRW",
                              amount=Decimal(1), reason="deposit")
            fact = Fact(event, ts_ns=number, event_id=f"n{number}")
            (answer,) = await journal.record_event([fact])
            print(number, answer.seq, flush=True)
            if publishes == "yes":
                await relay.drain()

    asyncio.run(main())
    """
)


def kill_while_writing(
    script: Path, url: str, redis_url: str, first: int, *, publishes: bool, rows: int
) -> int:
    """Start a writer, kill it in the middle of its work; return the last number it confirmed."""
    arguments = [url, redis_url, str(first), "yes" if publishes else "no"]
    with subprocess.Popen(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(rows)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.stdout.readlines()
    complete = [line for line in lines if line.endswith("\n")]
    return int(complete[-1].split()[0])


async def catch_up(url: str, bus: RedisBus) -> None:
    """What every start does: ask what the bus lost, publish what waits."""
    outbox = PostgresOutbox(Database(url))
    relay = Relay(outbox, bus)
    await relay.recover()
    async with asyncio.timeout(DEADLINE_S):
        # The killed writer's connection may still hold the relay's lock for a moment.
        while await unpublished(url):
            await relay.drain()
    await outbox.close()


async def unpublished(url: str) -> int:
    """How many messages wait."""
    connection = await psycopg.AsyncConnection.connect(url)
    async with connection:
        cursor = await connection.execute("SELECT count(*) FROM outbox WHERE NOT is_published")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def apply_all(url: str, bus: RedisBus, group: str) -> list[int]:
    """A consumer that commits its effect and the number of its input together."""
    applied: list[int] = []
    while found := await bus.consume(["portfolio.updates"], group, "c", count=500, wait_ms=0):
        for entry in found:
            assert entry.envelope.sequence is not None
            if not applied or entry.envelope.sequence > applied[-1]:
                applied.append(entry.envelope.sequence)
        await bus.acknowledge(group, found)
    return applied


@pytest.mark.parametrize("publishes", [False, True])
def test_f04_writer_when_killed_then_the_outbox_catches_up_once(
    url: str, redis_url: str, tmp_path: Path, *, publishes: bool
) -> None:
    """SIGKILL between commit and publication, five times: each commit reaches the bus once."""
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    confirmed = 0
    for round_ in range(5):
        confirmed = kill_while_writing(
            script, url, redis_url, confirmed + 1, publishes=publishes, rows=5 + 7 * round_
        )

    async def check() -> None:
        bus = RedisBus(redis_url)
        await catch_up(url, bus)
        journal = PostgresJournal(Database(url), "checker")
        rows = await journal.events(0, 100_000)
        verdict = await journal.verify()
        rebuilt = await journal.rebuild()
        published = await apply_all(url, bus, "g")

        assert verdict.is_good, verdict.problem
        assert rebuilt.is_identical, rebuilt.difference
        assert published == [row.seq for row in rows]
        assert len(rows) >= confirmed
        assert await bus.length("portfolio.updates") == len(rows)
        await journal.close()
        await bus.close()

    asyncio.run(check())


def test_f42_redis_when_wiped_in_the_middle_then_consumers_miss_nothing(
    url: str, redis_url: str
) -> None:
    """Redis is emptied between commits: every event has its effect once."""

    async def play() -> None:
        bus = RedisBus(redis_url)
        journal = PostgresJournal(Database(url), "w")
        outbox = PostgresOutbox(Database(url))
        relay = Relay(outbox, bus)
        applied: list[int] = []
        for number in range(1, 61):
            await journal.record_event([cash(number)])
            await relay.drain()
            if number == 30:
                with sync_redis.Redis.from_url(redis_url) as client:
                    client.flushall()
                assert await relay.recover() == 30
                await relay.drain()
            if number % 20 == 0:
                newest = applied[-1] if applied else 0
                applied += [seq for seq in await apply_all(url, bus, "g") if seq > newest]

        assert applied == list(range(1, 61))
        for part in (journal, outbox, bus):
            await part.close()

    asyncio.run(play())


def test_correlation_when_looked_up_then_the_whole_path_is_there(url: str) -> None:
    """All rows that one frame led to are found by its id, in order."""

    async def scenario(journal: PostgresJournal) -> None:
        for number in range(6):
            note = NoteRecorded(topic="risk_verdict", subject=str(number), body="{}")
            frame = f"frame-{number % 2}"
            await journal.record_event([Fact(note, ts_ns=number, correlation_id=frame)])

    with_journal(url, scenario)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT seq FROM v_events WHERE correlation_id = 'frame-1' ORDER BY seq"
        ).fetchall()
    assert rows == [(2,), (4,), (6,)]


def test_journal_when_it_holds_thousands_of_events_then_the_journal_opens_quickly(
    url: str,
) -> None:
    """A journal with thousands of events is verified and rebuilt within a start-up's time."""

    async def scenario(journal: PostgresJournal) -> None:
        for block in range(10):
            facts = [
                Fact(
                    NoteRecorded(topic="t", subject=str(uuid.UUID(int=number)), body="{}"),
                    ts_ns=number,
                )
                for number in range(block * 200, block * 200 + 200)
            ]
            await journal.record_event(facts)
        began = time.monotonic()
        verdict = await journal.verify()

        assert verdict.rows == 2_000
        assert time.monotonic() - began < 10

    with_journal(url, scenario)


def placed(number: int) -> Fact:
    """An order for 100 AAPL that needs no cash of ours."""
    order = OrderIntent(
        order_id=str(uuid.UUID(int=number)),
        broker="paper",
        account="a",
        instance="i",
        instrument_id="US:AAPL",
        venue="US",
        side=OrderSide.BUY,
        quantity=Decimal(100),
        currency="USD",
    )
    nothing = Reservation(asset="USD", amount=Decimal(0))
    return Fact(IntentRecorded(intent=order, reservation=nothing), ts_ns=number)


def test_c29_order_when_placed_then_redis_has_it_on_orders_pending(
    url: str, redis_url: str
) -> None:
    """Place 100 AAPL to buy: the entry on `orders.pending` holds exactly that."""

    async def play() -> None:
        bus = RedisBus(redis_url)
        journal, outbox = PostgresJournal(Database(url), "w"), PostgresOutbox(Database(url))
        await journal.record_intent([placed(1)])
        await Relay(outbox, bus).drain()
        (entry,) = await bus.consume(["orders.pending"], "executor", "e", count=9, wait_ms=0)
        order = msgspec.msgpack.decode(entry.envelope.payload)

        expected = {"symbol": "AAPL", "quantity": "100", "side": "buy"}
        assert expected.items() <= order.items()
        for part in (journal, outbox, bus):
            await part.close()

    asyncio.run(play())


def test_pending_orders_when_consumers_die_then_each_is_sent_once(
    url: str, redis_url: str
) -> None:
    """The queue of orders: a consumer dies before or after its commit, another takes over."""

    async def play() -> None:
        bus = RedisBus(redis_url)
        journal, outbox = PostgresJournal(Database(url), "w"), PostgresOutbox(Database(url))
        lease = await outbox.acquire_lease("sender", "me", 60)
        assert lease is not None
        await journal.record_intent([placed(number) for number in range(1, 21)])
        await Relay(outbox, bus).drain()
        sent: list[str] = []

        async def execute(entries: list[Entry], *, dies_at: int) -> None:
            for count, entry in enumerate(entries):
                order_id = msgspec.msgpack.decode(entry.envelope.payload)["order_id"]
                if count == dies_at:
                    return
                started = AttemptStarted(
                    order_id=order_id,
                    client_order_id=f"c-{order_id}",
                    attempt=1,
                    payload_hash="",
                    lease=lease.name,
                    token=lease.token,
                )
                if (await journal.record_attempt(Fact(started, ts_ns=1))).is_new:
                    sent.append(order_id)
                if count == dies_at - 1:
                    # Committed and not acknowledged: it will come again.
                    return
                await bus.acknowledge("executor", [entry])

        first = await bus.consume(["orders.pending"], "executor", "a", count=12, wait_ms=0)
        await execute(first, dies_at=5)
        rest = await bus.consume(["orders.pending"], "executor", "b", count=99, wait_ms=0)
        await execute(rest, dies_at=99)
        abandoned = await bus.claim("orders.pending", "executor", "b", idle_ms=0, count=99)
        await execute(abandoned, dies_at=99)

        assert len(abandoned) == 8
        assert sorted(sent) == [str(uuid.UUID(int=number)) for number in range(1, 21)]
        assert await bus.claim("orders.pending", "executor", "b", idle_ms=0, count=99) == []
        for part in (journal, outbox, bus):
            await part.close()

    asyncio.run(play())
