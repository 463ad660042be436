"""A collector of a simulated KIS as a process of its own, to be killed.

Arguments: addresses of REST, of the WebSocket and of Redis, and the data root.
"""

import asyncio
import sys
import time
from pathlib import Path

import httpx

from jts_trading.brokers.kis.access import KisAccess
from jts_trading.brokers.kis.feed import KisFeed
from jts_trading.brokers.kis.settings import KisKeys, KisSettings
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.brokers.kis.stream import KisStream
from jts_trading.bus.redis_state import RedisState
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.market_store.segments import SegmentSettings
from jts_trading.ports.clock import SystemClock
from jts_trading.services.collector.reception import CollectedFeed
from jts_trading.services.collector.role import Collector
from jts_trading.services.collector.settings import CollectorSettings
from jts_trading.telemetry.secrets import Secret


async def main(rest_url: str, stream_url: str, redis_url: str, home: str) -> None:
    """Collect until killed."""
    simulator = SimulatorSettings()
    settings = KisSettings(
        rest_url=rest_url,
        stream_url=stream_url,
        account=simulator.account,
        user_id=simulator.user_id,
        reconnect_after_s=0.05,
        reconnect_after_s_max=0.1,
    )
    keys = KisKeys(Secret(simulator.app_key), Secret(simulator.app_secret))
    clock = SystemClock()
    async with httpx.AsyncClient(trust_env=False) as http:
        access = KisAccess(settings, keys, http, clock=clock)
        feed = KisFeed(KisStream(settings, access, clock=clock), settings)
        collector = Collector(
            feeds=[CollectedFeed("kis-1", feed, ("KRX:005930",))],
            bus=RedisBus(redis_url),
            state=RedisState(redis_url, time.monotonic_ns),
            clock=clock,
            home=Path(home),
            settings=CollectorSettings(
                event_ahead_s_max=1e9,
                event_behind_s_max=1e9,
                # Small, so that kills meet every step of closing and packing segments.
                frames=SegmentSettings(segment_bytes=40_000),
                entries=SegmentSettings(segment_bytes=40_000, retained_bytes=1 << 30),
            ),
            histories={},
            monotonic_ns=time.monotonic_ns,
        )
        await collector.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
