"""A recorder that is killed at any moment, over real stores: every row is there exactly once."""

import asyncio
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import msgspec
import pytest

from jts_trading.bus.redis_streams import RedisBus
from jts_trading.domain.feed_messages import GapSeen, TicksCollected
from jts_trading.domain.journal_events import DecisionRecorded, IntentRecorded, OrderDenied
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.journal.connection import Database
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.ports.bus import Envelope
from jts_trading.ports.journal import Fact
from storage.embedded.dsn import libpq_url
from storage.hot.store import HotStore
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
KILLS = 5
SECONDS = 30
OPEN_NS = 1_748_822_400_000_000_000
TICKS, ENTRIES, ORDERS = 25, 24, 20
FEEDS = {
    "kis-1": ("market-data.krx.ticks", "KRX:005930"),
    "binance-1": ("market-data.crypto.ticks", "BINANCE:BTCUSDT"),
}

# A recorder that kills itself, without any chance to clean up, before or after a call to one of
# its stores that chance picks.
RECORDER = """
import asyncio, os, random, signal, sys, time
from pathlib import Path
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.journal.connection import Database
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.market_store.clickhouse import ClickHouseMarket, open_market
from jts_trading.ports.clock import SystemClock
from jts_trading.services.recorder.role import Recorder
from jts_trading.services.recorder.settings import RecorderSettings
from storage.schema.tiers import default_settings

redis, postgres, clickhouse, home, seed, chance = sys.argv[1:]
dice = random.Random(int(seed))

def mortal(owner, name):
    original = getattr(owner, name)
    async def call(*args, **named):
        if dice.random() < float(chance):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await original(*args, **named)
        if dice.random() < float(chance):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    setattr(owner, name, call)

for owner, names in {
    RedisBus: ("read", "newest"),
    ClickHouseMarket: ("append", "keep_places", "places"),
    PostgresJournal: ("events", "find_order"),
}.items():
    for name in names:
        mortal(owner, name)

asyncio.run(Recorder(
    bus=RedisBus(redis),
    journal=PostgresJournal(Database(postgres), "recorder"),
    market=open_market(clickhouse, default_settings(), Path(home)),
    clock=SystemClock(),
    monotonic_ns=time.monotonic_ns,
    settings=RecorderSettings(batch_s=0.02, batch_rows=60, entries=3, page_events=7, poll_s=0.02),
).run())
"""


@pytest.fixture
def dsn(clickhouse_url: str) -> Iterator[str]:
    """A database of its own."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {database}")
        yield f"{clickhouse_url}/{database}"
        admin.command(f"DROP DATABASE {database}")


@contextmanager
def recorder(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A recorder in a process of its own, killed at the end at the latest."""
    with subprocess.Popen([sys.executable, "-c", RECORDER, *arguments]) as popen:
        try:
            yield popen
        finally:
            popen.kill()


def trade(instrument: str, number: int) -> TradeTick:
    """A trade whose quantity tells it from others; every tenth belongs to the next day."""
    venue, _, symbol = instrument.partition(":")
    return TradeTick(
        instrument_id=instrument,
        venue=venue,
        broker="kis",
        ts_event_ns=OPEN_NS + number + (86_400 * 10**9 if number % 10 == 0 else 0),
        ts_recv_ns=OPEN_NS,
        price=Decimal(71_500) if symbol == "005930" else Decimal("0.12345678"),
        quantity=Decimal(number + 1),
        aggressor=Aggressor.BUY,
        cumulative_quantity=Decimal(number + 1),
    )


def envelope(message: msgspec.Struct) -> Envelope:
    """A message as the bus carries it."""
    kind, version = MESSAGES.identify(message)
    name = uuid.uuid4().hex
    return Envelope(
        type=kind,
        version=version,
        id=name,
        correlation_id=name,
        causation_id=name,
        source="collector",
        ts_event_ns=OPEN_NS,
        ts_recv_ns=OPEN_NS,
        payload=msgspec.msgpack.encode(message),
    )


def facts(number: int) -> tuple[Fact, list[Fact]]:
    """An order of its own, its decision, and its end."""
    order_id = str(uuid.UUID(int=number))
    intent = OrderIntent(
        order_id=order_id,
        broker="kis",
        account="50000001",
        instance="sma",
        instrument_id="KRX:005930",
        venue="KRX",
        side=OrderSide.BUY,
        quantity=Decimal(number),
        currency="KRW",
    )
    decision = DecisionRecorded(
        decision_id=f"d{number}",
        instance="sma",
        release="sma@1",
        instrument_id="KRX:005930",
        venue="KRX",
        interval="1m",
        bar_start_ns=OPEN_NS + number * 60_000_000_000,
        decided_ns=OPEN_NS,
        price=Decimal(71_500),
        fired=1,
        outcome="ordered",
        values="[]",
        bar="{}",
        equity=Decimal(number),
    )
    wanted = IntentRecorded(intent=intent, reservation=Reservation(asset="KRW", amount=Decimal(0)))
    denied = OrderDenied(order_id=order_id, check="R06", reason="test")
    return Fact(wanted, OPEN_NS), [Fact(decision, OPEN_NS), Fact(denied, OPEN_NS + 1)]


class Day:
    """What is said on bus and journal, a share before each start of the recorder."""

    def __init__(self, redis_url: str, postgres: str) -> None:
        self._redis_url = redis_url
        self._postgres = postgres

    def say(self, share: int, shares: int) -> None:
        """Publish one share of all ticks, gaps and facts."""
        asyncio.run(self._say(share, shares))

    async def _say(self, share: int, shares: int) -> None:
        bus = RedisBus(self._redis_url)
        journal = PostgresJournal(Database(self._postgres), "trader")
        for entry in range(ENTRIES * share // shares, ENTRIES * (share + 1) // shares):
            for feed, (topic, instrument) in FEEDS.items():
                numbers = range(entry * TICKS, (entry + 1) * TICKS)
                ticks = TicksCollected(
                    feed=feed,
                    session=1,
                    first_frame=numbers[0],
                    first_tick=numbers[0],
                    ticks=tuple(trade(instrument, number) for number in numbers),
                    frames=tuple(range(TICKS)),
                )
                await bus.publish(topic, envelope(ticks))
            gap = GapSeen(
                feed="kis-1", instrument_id="", kind="silent", start_ns=OPEN_NS + entry, end_ns=0
            )
            await bus.publish("market-data.gaps", envelope(gap))
        for number in range(share + 1, ORDERS + 1, shares):
            wanted, rest = facts(number)
            await journal.record_intent([wanted])
            await journal.record_event(rest)
        await bus.close()
        await journal.close()


def counts(hot: HotStore) -> dict[str, Any]:
    """What the store holds, one row per key."""
    found = hot.query_arrow(
        "SELECT (SELECT count() FROM ticks FINAL) AS ticks,"
        " (SELECT uniqExact(feed, tick) FROM ticks FINAL) AS numbers,"
        " (SELECT toInt64(sum(quantity)) FROM ticks FINAL) AS quantity,"
        " (SELECT count() FROM gaps FINAL) AS gaps,"
        " (SELECT count() FROM decisions FINAL) AS decisions,"
        " (SELECT toInt64(sum(equity)) FROM decisions FINAL) AS equity,"
        " (SELECT countIf(status = 'denied') FROM orders FINAL) AS denied,"
        " (SELECT count() FROM orders FINAL) AS orders"
    )
    (row,) = found.to_pylist()
    return dict(row)


def test_recorder_when_killed_at_random_points_then_every_row_is_there_exactly_once(
    redis_url: str, postgres_dsn: str, dsn: str, tmp_path: Path
) -> None:
    """Before and after each call to a store, rows and places included: it makes no difference.

    A failure prints the seed.
    """
    seed = random.randrange(1 << 30)
    migrate(libpq_url(postgres_dsn))
    day = Day(redis_url, postgres_dsn)
    hot = HotStore(dsn)
    hot.ensure_schema()
    stores = (redis_url, postgres_dsn, dsn, str(tmp_path))
    codes = []
    for kill in range(KILLS):
        day.say(kill, KILLS + 1)
        with recorder(*stores, str(seed + kill), "0.04") as popen:
            codes.append(popen.wait(SECONDS))
    assert codes == [-signal.SIGKILL] * KILLS, seed
    day.say(KILLS, KILLS + 1)
    each = ENTRIES * TICKS
    expected = {
        "ticks": 2 * each,
        "numbers": 2 * each,
        "quantity": each * (each + 1),
        "gaps": ENTRIES,
        "decisions": ORDERS,
        "equity": ORDERS * (ORDERS + 1) // 2,
        "denied": ORDERS,
        "orders": ORDERS,
    }
    deadline = time.monotonic() + SECONDS
    with recorder(*stores, "0", "0"):
        while counts(hot) != expected:
            assert time.monotonic() < deadline, (seed, counts(hot), expected)
            time.sleep(0.05)
    hot.close()
