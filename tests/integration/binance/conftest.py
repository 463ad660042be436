"""A simulated Binance on real TCP sockets and the adapter that talks to it."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from jts_trading.brokers.binance.feed import BinanceFeed
from jts_trading.brokers.binance.rest import BinanceRest
from jts_trading.brokers.binance.settings import BinanceSettings
from jts_trading.brokers.binance.simulator.generated import generated_lines
from jts_trading.brokers.binance.simulator.server import Ready, World, serve
from jts_trading.brokers.binance.simulator.settings import SimulatorSettings
from jts_trading.brokers.binance.stream import BinanceStream
from jts_trading.ports.clock import SystemClock
from jts_trading.simulation.faults import Fault, FaultPlan

PAIRS = ("BTCUSDT",)


@dataclass
class Venue:
    """The simulator and one client of it."""

    ready: Ready
    settings: BinanceSettings
    clock: Any
    http: httpx.AsyncClient
    rest: BinanceRest
    stream: BinanceStream
    feed: BinanceFeed


def made_up(count: int, start_ns: int, *, seed: int = 1, pairs: Sequence[str] = PAIRS) -> World:
    """A world of about so many messages, the last of them a change of a book."""
    lines = list(itertools.islice(generated_lines(tuple(pairs), seed, start_ns), count))
    while not lines[-1].stream.endswith("@depth@100ms"):
        del lines[-1]
    return World(iter(lines), tuple(pairs))


@contextlib.asynccontextmanager
async def _open(
    world: World | None = None,
    *,
    faults: Sequence[Fault] = (),
    clock: Any = None,
    client: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[Venue]:
    clock = clock or SystemClock()
    full_speed = {"speed": 0.0, "waits_for_reader": True}
    settings = SimulatorSettings(**(full_speed | changes))
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        serve(
            settings,
            world or made_up(3000, clock.now_ns()),
            clock=clock,
            faults=FaultPlan(tuple(faults)),
            on_ready=ready.set_result,
        )
    )
    done, _ = await asyncio.wait({ready, task}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        await task
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            yield _venue(ready.result(), clock, http, client or {})
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _venue(ready: Ready, clock: Any, http: httpx.AsyncClient, client: dict[str, Any]) -> Venue:
    fast = {"snapshot_every_s": 0.01, "reconnect_after_s": 0.02, "reconnect_after_s_max": 0.1}
    settings = BinanceSettings(
        rest_url=ready.rest_url, stream_url=ready.stream_url, **(fast | client)
    )
    rest = BinanceRest(settings, http, clock)
    stream = BinanceStream(settings, rest.snapshot, clock=clock)
    return Venue(ready, settings, clock, http, rest, stream, BinanceFeed(stream, settings))


@pytest.fixture
def open_binance() -> Callable[..., contextlib.AbstractAsyncContextManager[Venue]]:
    """Opens a simulator with some settings changed."""
    return _open


@pytest.fixture
def make_world() -> Callable[..., World]:
    """Makes a world of so many made-up messages."""
    return made_up


@pytest.fixture
def now_ns() -> int:
    """Now, where made-up tapes begin."""
    return time.time_ns()
