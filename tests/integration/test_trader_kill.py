"""A trader that is killed at random moments, over a real bus and journal: nothing twice or lost.

An undisturbed run over the same ticks says what has to come out.
"""

import asyncio
import random
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jts_trading.bus.redis_streams import RedisBus
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.journal_events import CashMoved
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.journal.connection import Database
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.ports.bus import Envelope
from jts_trading.ports.inputs import write_inputs
from jts_trading.ports.journal import Fact
from jts_trading.strategy.releases import release
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
KILLS = 5
# Two texts are compiled at first, on a machine that may do other work.
SECONDS = 180
TICKS = "market-data.crypto.ticks"
CANDLES = "market-data.crypto.candles"
BTC = "BINANCE:BTCUSDT"
ENTRIES, PER_ENTRY = 150, 4
OPEN_NS = 1_717_372_800_000_000_000
TEXT = """strategy("Quick") {
  timeframes { second = "1s" }
  indicators { quick = SMA(period: 2) slow = SMA(period: 4) }
  surge_detection { when (price_change(2s) > 0.05%) { execute_immediately("1%") } }
  entry.long {
    when (quick crosses above slow) { buy(quantity: "1%") }
    when (quick crosses below slow) { buy(quantity: "2%") }
  }
  exit.long { when (close < 1) { sell(quantity: "all") } }
}
"""
# No exit fires: it would have the entry that works called back, at a moment no two runs share.

HELD = """strategy("Held") {
  timeframes { second = "1s" }
  indicators { quick = SMA(period: 2) slow = SMA(period: 4) }
  entry.long {
    when (quick crosses below slow) {
      buy("1%", type: "stop_limit", stop: close * 1.0005, price: close * 1.01, tif: "gtc")
    }
  }
}
"""

# A trader on a clock that stands still where the ticks are, which kills itself before or after a
# call to one of its stores, or between two writes of its files, as chance picks.
TRADER = """
import asyncio, os, random, signal, sys, time
from pathlib import Path
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.journal.connection import Database
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.kernels.loader import load
from jts_trading.market_store.memory import MemoryMarket
from jts_trading.execution.fill_costs import Listed
from jts_trading.ports.clock import VirtualClock
from jts_trading.services.trader.committing import Keeper
from jts_trading.services.trader.role import Trader
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.services.trader.snapshots import Snapshots

redis, postgres, home, now_ns, seed, chance = sys.argv[1:]
dice = random.Random(int(seed))

def die():
    if dice.random() < float(chance):
        os.kill(os.getpid(), signal.SIGKILL)

def mortal(owner, name):
    original = getattr(owner, name)
    async def call(*args, **named):
        die()
        answer = await original(*args, **named)
        die()
        return answer
    setattr(owner, name, call)

def mortal_write(name):
    original = getattr(Snapshots, name)
    def call(*args):
        die()
        original(*args)
        die()
    setattr(Snapshots, name, call)

for owner, names in {
    RedisBus: ("read", "publish"),
    PostgresJournal: ("record_intent", "events"),
}.items():
    for name in names:
        mortal(owner, name)
for name in ("write_market", "write_accounts"):
    mortal_write(name)

trader = Trader(
    bus=RedisBus(redis),
    journal=PostgresJournal(Database(postgres), "trader"),
    market=MemoryMarket(),
    clock=VirtualClock(int(now_ns)),
    monotonic_ns=time.monotonic_ns,
    home=Path(home),
    load_kernel=lambda source, folder: load(source, Path(home).parent / "kernels"),
    listing_of=lambda _: Listed(),
    settings=TraderSettings(
        wait_s=0.01, snapshot_s=0.1, entries=16, decision_age_s=1e6, bar_grace_s=1e6
    ),
)
asyncio.run(trader.run())
"""


def entries() -> list[TicksCollected]:
    """Return ticks of one coin: a walk whose seconds are bars."""
    chance = random.Random(11)
    found, price, number = [], 61_000.0, 1
    for at in range(ENTRIES):
        ticks = []
        for place in range(PER_ENTRY):
            price += chance.uniform(-20, 20)
            ts_ns = OPEN_NS + at * 500_000_000 + place * 100_000_000
            ticks.append(
                TradeTick(
                    instrument_id=BTC,
                    venue="BINANCE",
                    broker="binance",
                    ts_event_ns=ts_ns,
                    ts_recv_ns=ts_ns,
                    price=Decimal(f"{price:.2f}"),
                    quantity=Decimal("0.01"),
                    aggressor=Aggressor.BUY,
                    cumulative_quantity=Decimal(number),
                )
            )
        found.append(
            TicksCollected(
                feed="binance-1",
                session=1,
                first_frame=number,
                first_tick=number,
                ticks=tuple(ticks),
                frames=tuple(range(PER_ENTRY)),
            )
        )
        number += PER_ENTRY
    return found


class Stage:
    """Stores and a home; traders come and go on them."""

    def __init__(self, redis_url: str, postgres_dsn: str, home: Path) -> None:
        self.redis_url = redis_url
        self.dsn = libpq_url(postgres_dsn)
        self.home = home
        migrate(self.dsn)

    async def set_up(self) -> None:
        """Write inputs, deposit cash, publish the ticks but the last five entries."""
        texts = {"quick": TEXT, "held": HELD}
        specs = tuple(self._released(name, text) for name, text in texts.items())
        write_inputs(
            self.home,
            TradingInputs(version=1, created_ns=OPEN_NS, source="test", instances=specs),
        )
        journal = PostgresJournal(Database(self.dsn), "desk")
        moved = CashMoved(
            broker="paper",
            account="p1",
            instance="external",
            currency="USDT",
            amount=Decimal(10_000_000),
            reason="deposit",
        )
        await journal.record_event([Fact(moved, ts_ns=OPEN_NS)])
        await journal.close()

    def _released(self, name: str, text: str) -> StrategyInput:
        wanted = StrategyInput(
            instance=name,
            strategy_id="",
            release="",
            dsl_code="",
            broker="paper",
            account="p1",
            venue="BINANCE",
            interval="1s",
            instrument_ids=(BTC,),
            allocation=Decimal(100_000),
            currency="USDT",
        )
        return release(text, wanted, file=f"{name}.jts")

    async def publish(self, some: list[TicksCollected]) -> None:
        """Put entries of ticks on the bus."""
        bus = RedisBus(self.redis_url)
        for each in some:
            kind, version = MESSAGES.identify(each)
            envelope = Envelope(
                type=kind,
                version=version,
                id=f"entry-{each.first_tick}",
                correlation_id=f"{each.feed}:{each.first_frame}",
                causation_id="",
                source="collector",
                ts_event_ns=OPEN_NS,
                ts_recv_ns=OPEN_NS,
                payload=msgspec.msgpack.encode(each),
            )
            await bus.publish(TICKS, envelope)
        await bus.close()

    def start(self, seed: int = 0, chance: float = 0.0) -> subprocess.Popen[bytes]:
        """Start a trader."""
        with (self.home / "stderr").open("ab") as stderr:
            return subprocess.Popen(
                [
                    *(sys.executable, "-c", TRADER, self.redis_url, self.dsn),
                    *(str(self.home), str(OPEN_NS), str(seed), str(chance)),
                ],
                stderr=stderr,
            )

    async def facts(self) -> list[Any]:
        """Return the trader's events in the journal."""
        journal = PostgresJournal(Database(self.dsn), "checker")
        rows = [row for row in await journal.events(0, 10_000) if row.writer == "trader"]
        verdict = await journal.verify()
        await journal.close()
        assert verdict.is_good
        return rows

    async def candles(self) -> list[Any]:
        """Return the closed bars on the bus, each id once."""
        bus = RedisBus(self.redis_url)
        found, _ = await bus.read({CANDLES: "0-0"}, count=10_000, wait_ms=0)
        await bus.close()
        bars = {}
        for entry in found:
            bar = MESSAGES.decode(entry.envelope.type, 1, entry.envelope.payload)
            assert bars.setdefault(entry.envelope.id, bar) == bar
        return sorted(bars.values(), key=lambda bar: bar.start_ns)


def wait_until(is_so: Any) -> None:
    """Wait for something to become true."""
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


def run(stage: Stage, kills: int) -> tuple[list[Any], list[Any], int]:
    """Run traders over all ticks, killing some; return facts, bars and how many were killed."""
    asyncio.run(stage.set_up())
    ticks = entries()
    # The clock of the trial stands before the first tick, so nothing is history.
    some = len(ticks) // (kills + 1)
    killed = 0
    for round_ in range(kills):
        asyncio.run(stage.publish(ticks[round_ * some : (round_ + 1) * some]))
        trader = stage.start(seed=round_, chance=0.02)
        try:
            trader.wait(SECONDS)
        finally:
            trader.kill()
        assert trader.returncode == -signal.SIGKILL, (stage.home / "stderr").read_text()[-2000:]
        killed += 1
    asyncio.run(stage.publish(ticks[kills * some :]))
    trader = stage.start()
    last_bar_ns = OPEN_NS + (ENTRIES // 2 - 2) * 1_000_000_000
    try:
        wait_until(
            lambda: (
                any(b.start_ns >= last_bar_ns for b in asyncio.run(stage.candles()))
                or trader.poll() is not None
            )
        )
        time.sleep(0.2)
    finally:
        trader.kill()
        trader.wait(SECONDS)
    assert trader.returncode == -signal.SIGKILL, (stage.home / "stderr").read_text()[-2000:]
    return asyncio.run(stage.facts()), asyncio.run(stage.candles()), killed


def values(row: Any) -> tuple[str, Any]:
    """Return what may not differ between runs of one fact."""
    body = msgspec.json.decode(row.payload)
    body.pop("decided_ns", None)
    return row.event_id, body


def test_trader_when_killed_at_random_then_its_facts_are_those_of_an_undisturbed_run(
    redis_url: str, postgres_dsn: str, tmp_path: Path
) -> None:
    """Decisions, signals, intents: the same, once each, in one order; bars to the last tick."""
    import psycopg2
    import redis

    calm = Stage(redis_url, postgres_dsn, tmp_path / "calm")
    calm.home.mkdir()
    expected, expected_bars, _ = run(calm, 0)
    assert len([r for r in expected if r.type == "intent_recorded"]) >= 1
    intents = [r.payload for r in expected if r.type == "intent_recorded"]
    assert any(msgspec.json.decode(each)["intent"].get("trigger") for each in intents)
    judged = [msgspec.json.decode(r.payload) for r in expected if r.type == "decision_recorded"]
    assert any('"closed_by":"trade"' in decision["bar"] for decision in judged)
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    connection = psycopg2.connect(libpq_url(postgres_dsn))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    connection.close()

    shaken = Stage(redis_url, postgres_dsn, tmp_path / "shaken")
    shaken.home.mkdir()
    found, bars, killed = run(shaken, KILLS)

    assert killed == KILLS
    assert [values(row) for row in found] == [values(row) for row in expected]
    assert bars == expected_bars
