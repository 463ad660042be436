"""The hot store dies while ticks come in: F46, nothing is lost and nothing is stored twice."""

import asyncio
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from jts_trading.bus.memory import MemoryBus
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.journal.memory import MemoryJournal, MemoryStore
from jts_trading.market_store.clickhouse import open_market
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import SystemClock
from jts_trading.services.recorder.role import Recorder
from jts_trading.services.recorder.settings import RecorderSettings
from storage.hot.store import HotStore
from storage.schema.tiers import default_settings

pytestmark = pytest.mark.integration
TOPIC = "market-data.krx.ticks"
OPEN_NS = 1_748_822_400_000_000_000
TICKS = 20
SECONDS = 30


def entry(number: int) -> Envelope:
    """Twenty trades of one feed."""
    first = number * TICKS
    ticks = TicksCollected(
        feed="kis-1",
        session=1,
        first_frame=first,
        first_tick=first,
        ticks=tuple(
            TradeTick(
                instrument_id="KRX:005930",
                venue="KRX",
                broker="kis",
                ts_event_ns=OPEN_NS + at,
                ts_recv_ns=OPEN_NS + at,
                price=Decimal(71_500),
                quantity=Decimal(1),
                aggressor=Aggressor.BUY,
                cumulative_quantity=Decimal(at),
            )
            for at in range(first, first + TICKS)
        ),
        frames=tuple(range(TICKS)),
    )
    kind, version = MESSAGES.identify(ticks)
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
        payload=msgspec.msgpack.encode(ticks),
    )


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(SECONDS):
        while not is_so():  # noqa: ASYNC110 - what is waited for sends no event
            await asyncio.sleep(0.01)


def test_f46_store_when_killed_while_ticks_come_then_each_is_there_once_after_it_is_back(
    launch_server: Callable[..., Any], short_home: Path
) -> None:
    """The recorder says what is wrong, holds one batch, and goes on by itself."""
    options = ("--path", str(short_home / "hot"), "--port")
    server = launch_server("clickhouse", *options, "0")
    dsn = f"{server.address}/default"
    bus = MemoryBus(time.monotonic_ns)
    market = open_market(dsn, default_settings(), short_home)
    recorder = Recorder(
        bus=bus,
        journal=MemoryJournal(MemoryStore(time.monotonic_ns), "trader"),
        market=market,
        clock=SystemClock(),
        monotonic_ns=time.monotonic_ns,
        settings=RecorderSettings(batch_s=0.02, entries=2, retry_s=0.05, retry_s_max=0.2),
    )

    def recorded() -> float:
        return recorder.metrics().get('rows_total{dataset="ticks"}', 0)

    async def scenario() -> None:
        published = 0
        async with asyncio.TaskGroup() as group:
            task = group.create_task(recorder.run())
            while recorded() < 10 * TICKS:
                await bus.publish(TOPIC, entry(published))
                published += 1
                await asyncio.sleep(0.005)
            server.kill()
            for _ in range(20):
                await bus.publish(TOPIC, entry(published))
                published += 1
            await until(lambda: any("hot store" in reason for reason in recorder.readiness()))
            port = str(urlsplit(server.address).port)
            await asyncio.to_thread(launch_server, "clickhouse", *options, port)
            await until(lambda: recorded() >= published * TICKS)
            await until(lambda: recorder.readiness() == ())
            task.cancel()
        found = HotStore(dsn).query_arrow(
            "SELECT count() AS rows, uniqExact(tick) AS numbers, max(tick) + 1 AS last"
            " FROM ticks FINAL"
        )
        assert found.to_pylist() == [dict.fromkeys(("rows", "numbers", "last"), published * TICKS)]

    asyncio.run(scenario())
    market.close()
