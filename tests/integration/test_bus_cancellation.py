"""A task that talks to Redis ends when it is asked to, at whatever moment."""

import asyncio
import time

import pytest

from jts_trading.bus.redis_state import RedisState
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.ports.bus import Envelope
from jts_trading.ports.state import Kind

pytestmark = pytest.mark.integration
NOTE = Envelope(
    type="note",
    version=1,
    id="m",
    correlation_id="c",
    causation_id="c",
    source="test",
    ts_event_ns=0,
    ts_recv_ns=0,
    payload=b"",
)


def test_task_when_cancelled_at_any_turn_of_the_loop_then_it_ends(redis_url: str) -> None:
    """Each turn of the event loop in the life of a command is tried as the moment of the end."""

    async def talk(bus: RedisBus, state: RedisState, turns: list[int]) -> None:
        while True:
            await bus.publish("system.health", NOTE)
            await state.put(Kind.CLOCK, "x", b"1")
            turns.append(1)

    async def run() -> None:
        bus, state = RedisBus(redis_url), RedisState(redis_url, time.monotonic_ns)
        try:
            for moment in range(120):
                task = asyncio.ensure_future(talk(bus, state, []))
                for _ in range(moment):
                    await asyncio.sleep(0)
                task.cancel()
                done, _ = await asyncio.wait([task], timeout=2)
                assert done, f"a cancellation after {moment} turns was swallowed"
        finally:
            await bus.close()
            await state.close()

    asyncio.run(run())
