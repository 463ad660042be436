"""Frames of the simulated KIS, off a TCP socket, become entries of a real Redis, once."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis as sync_redis

from jts_trading.brokers.kis.feed import KisFeed
from jts_trading.bus.redis_state import RedisState
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.domain.feed_messages import GapSeen, PriceNote, TicksCollected
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.market_store.frames import read_frames
from jts_trading.ports.state import Kind
from jts_trading.services.collector.entry_log import frames_directory
from jts_trading.services.collector.reception import CollectedFeed
from jts_trading.services.collector.role import Collector
from jts_trading.services.collector.settings import CollectorSettings

pytestmark = pytest.mark.integration
TICKS = "market-data.krx.ticks"


class Trial:
    """A collector of one simulated venue, and what the bus has of it."""

    def __init__(self, venue: Any, url: str, home: Path, **changes: Any) -> None:
        self.venue = venue
        self.url = url
        self.home = home
        settings = {"event_ahead_s_max": 1e9, "event_behind_s_max": 1e9, **changes}
        self.bus = RedisBus(url)
        self.state = RedisState(url, time.monotonic_ns)
        self.feed = KisFeed(venue.stream(), venue.settings)
        self.collector = Collector(
            feeds=[CollectedFeed("kis-1", self.feed, ("KRX:005930",))],
            bus=self.bus,
            state=self.state,
            clock=venue.clock,
            home=home,
            settings=CollectorSettings(**settings),
            histories={},
            monotonic_ns=time.monotonic_ns,
        )

    def entries(self, topic: str = TICKS) -> list[Any]:
        """Payloads of a topic, oldest first."""
        found = []
        with sync_redis.Redis.from_url(self.url) as client:
            for _, fields in client.xrange(topic):
                envelope = msgspec.msgpack.decode(fields[b"e"])
                found.append(envelope)
        return found

    def collected(self) -> list[TicksCollected]:
        """Entries of ticks, oldest first."""
        return [
            msgspec.msgpack.decode(envelope["payload"], type=TicksCollected)
            for envelope in self.entries()
        ]

    def ticks(self) -> dict[int, TradeTick | BookTick]:
        """Ticks by number."""
        return {
            entry.first_tick + at: tick
            for entry in self.collected()
            for at, tick in enumerate(entry.ticks)
        }

    def gaps(self) -> list[GapSeen]:
        """Gaps, oldest first."""
        return [
            msgspec.msgpack.decode(envelope["payload"], type=GapSeen)
            for envelope in self.entries("market-data.gaps")
        ]

    def shares(self) -> int:
        """Shares in all trades so far."""
        return int(sum(t.quantity for t in self.ticks().values() if isinstance(t, TradeTick)))

    async def run_until(self, until: Any, *, timeout_s: float = 30.0) -> None:
        """Run the collector until a condition holds."""
        task = asyncio.ensure_future(self.collector.run())
        try:
            async with asyncio.timeout(timeout_s):
                while not until():
                    if task.done():
                        task.result()
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.bus.close()
            await self.state.close()


def test_day_when_collected_then_every_share_and_frame_is_there_once(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """Volume is conserved from the tape to the bus; each tick names the frame it came in."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars) as venue:
            trial = Trial(venue, redis_url, tmp_path)
            await trial.run_until(lambda: trial.shares() == total)
            ticks = trial.ticks()
            frames = {f.number: f for f in read_frames(frames_directory(tmp_path, "kis-1"))}
            assert sorted(ticks) == list(range(1, len(ticks) + 1))
            assert sorted(frames) == list(range(1, len(frames) + 1))
            for entry in trial.collected():
                assert len(entry.ticks) == len(entry.frames) <= 256
                for tick, offset in zip(entry.ticks, entry.frames, strict=True):
                    raw = frames[entry.first_frame + offset].raw.decode()
                    assert f"|{'H0STCNT0' if isinstance(tick, TradeTick) else 'H0STASP0'}|" in raw
                    assert tick.instrument_id == "KRX:005930"
            metrics = trial.collector.metrics()
            assert metrics['frames_total{feed="kis-1"}'] == len(frames)
            assert metrics['ticks_total{feed="kis-1"}'] == len(ticks)
            with sync_redis.Redis.from_url(redis_url) as client:
                note = client.get(f"jts:{Kind.PRICE.value}:KRX:005930")
            price = msgspec.msgpack.decode(note, type=PriceNote)
            newest = [tick for tick in ticks.values() if isinstance(tick, TradeTick)][-1]
            assert (price.price, price.ts_event_ns) == (newest.price, newest.ts_event_ns)

    asyncio.run(run())
