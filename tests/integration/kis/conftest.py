"""A simulated KIS on real TCP sockets and the adapter that talks to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from jts_trading.brokers.kis.access import KisAccess
from jts_trading.brokers.kis.orders import KisOrders
from jts_trading.brokers.kis.rest import KisRest
from jts_trading.brokers.kis.settings import Environment, KisKeys, KisSettings
from jts_trading.brokers.kis.simulator.player import World
from jts_trading.brokers.kis.simulator.server import Ready, serve
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.brokers.kis.stream import KisStream
from jts_trading.brokers.kis.transport import KisTransport
from jts_trading.ports.clock import VirtualClock
from jts_trading.simulation.faults import Fault, FaultPlan
from jts_trading.simulation.krx_market import Listing
from jts_trading.simulation.tape import TapeBar
from jts_trading.telemetry.secrets import Secret

START_NS = int(datetime(2024, 6, 3, 0, 30, tzinfo=UTC).timestamp()) * 10**9  # 09:30 in Korea
MINUTE_NS = 60 * 10**9
OPEN_LIMITS = {"calls_per_s": 100_000, "ledger_calls_per_s": 100_000, "token_every_s": 0.0}
FULL_SPEED = {"speed": 0.0, "waits_for_reader": True}


@dataclass
class Venue:
    """The simulator and one client of it."""

    ready: Ready
    settings: KisSettings
    keys: KisKeys
    clock: Any
    http: httpx.AsyncClient
    access: KisAccess
    transport: KisTransport
    rest: KisRest
    orders: KisOrders
    waits: list[float] = field(default_factory=list)

    def stream(self, **changes: Any) -> KisStream:
        """Another socket of the same key; its pauses are noted, not waited for."""
        settings = KisSettings(
            **{f: getattr(self.settings, f) for f in KisSettings.__struct_fields__} | changes
        )
        return KisStream(settings, self.access, clock=self.clock, sleep=self.sleep)

    def new_access(self, **changes: Any) -> KisAccess:
        """Another process with the same key."""
        more = {"clock": self.clock, "sleep": self.sleep, **changes}
        return KisAccess(self.settings, changes.pop("keys", self.keys), self.http, **more)

    async def sleep(self, seconds: float) -> None:
        """Note a pause."""
        self.waits.append(seconds)
        await asyncio.sleep(0)


def _bars() -> list[TapeBar]:
    """Thirty minutes around 70,000 won; every bar touches four prices."""
    bars = []
    for at in range(30):
        middle = 70_000 + 100 * ((at * 7) % 11 - 5)
        prices = (middle, middle + 300, middle - 200, middle + 100 * (at % 3 - 1))
        bars.append(TapeBar("005930", START_NS + at * MINUTE_NS, *prices, 1_000 + 37 * at))
    return bars


@pytest.fixture
def bars() -> list[TapeBar]:
    """Generated minutes of one instrument."""
    return _bars()


@contextlib.asynccontextmanager
async def _open(
    *,
    bars: Sequence[TapeBar] = (),
    faults: Sequence[Fault] = (),
    timeout_s: float = 5,
    world: World | None = None,
    clock: Any = None,
    **changes: Any,
) -> AsyncIterator[Venue]:
    world_changes = {key: changes.pop(key) for key in ("history", "references") if key in changes}
    settings = SimulatorSettings(**(OPEN_LIMITS | FULL_SPEED | changes))
    if world is None:
        world = World([Listing("005930", "삼성전자")], list(bars) or _bars(), **world_changes)
    clock = clock or VirtualClock(min(bar.start_ns for bar in world.bars))
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        serve(
            settings,
            world,
            clock=clock,
            faults=FaultPlan(tuple(faults)),
            on_ready=ready.set_result,
        )
    )
    done, _ = await asyncio.wait({ready, task}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    if task in done:
        await task
    try:
        async with httpx.AsyncClient(timeout=timeout_s, trust_env=False) as http:
            yield _venue(ready.result(), settings, clock, http)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _venue(
    ready: Ready, simulator: SimulatorSettings, clock: Any, http: httpx.AsyncClient
) -> Venue:
    settings = KisSettings(
        environment=Environment(simulator.environment),
        rest_url=ready.rest_url,
        stream_url=ready.stream_url,
        account=simulator.account,
        product=simulator.product,
        user_id=simulator.user_id,
    )
    keys = KisKeys(Secret(simulator.app_key), Secret(simulator.app_secret))
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    access = KisAccess(settings, keys, http, clock=clock, sleep=sleep)
    transport = KisTransport(settings, access, http)
    parts = (access, transport, KisRest(transport, clock), KisOrders(transport), waits)
    return Venue(ready, settings, keys, clock, http, *parts)


@pytest.fixture
def open_venue() -> Callable[..., contextlib.AbstractAsyncContextManager[Venue]]:
    """Opens a simulator with some settings changed."""
    return _open
