"""A role in its process: heartbeat, restarts, and an end when they are in vain."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jts_trading.bootstrap.tending import Budget, RoleEndedError, Tended
from jts_trading.bus.memory import MemoryBus
from jts_trading.config.source import ConfigError
from jts_trading.domain.feed_messages import RoleHealth
from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.clock import VirtualClock
from jts_trading.telemetry.health import LoopWatch, Role, read_health
from storage.embedded.private import DirectoryOwnedError, own_directory


class _Role:
    """A role that does what the test says."""

    name = "trader"

    def __init__(self, work: Callable[[], None] | None = None) -> None:
        self._work = work

    async def run(self) -> None:
        if self._work is not None:
            self._work()
            return
        await asyncio.Event().wait()

    def readiness(self) -> tuple[str, ...]:
        return ("session closed, next open 09:00",)

    def metrics(self) -> dict[str, float]:
        return {"bars_total": 3.0}


def _tended(home: Path, role: Callable[[], Role], bus: MemoryBus | None = None) -> Tended:
    @asynccontextmanager
    async def build() -> AsyncIterator[Role]:
        yield role()

    return Tended(
        "trader",
        build,
        home=home,
        run_directory=home / "run",
        clock=VirtualClock(5),
        bus=bus,
        watch=LoopWatch(),
        budget=Budget(ends_max=1),
    )


async def _until_heard(home: Path) -> RoleHealth:
    while True:
        health = read_health(home / "run", "trader")
        if health is not None and "bars_total" in health.metrics:
            return health
        await asyncio.sleep(0.01)


def test_tended_when_a_role_works_then_its_heartbeat_says_how_it_is(tmp_path: Path) -> None:
    """The file names pid, readiness and metrics; the same is published; it goes at the end."""

    async def scenario() -> None:
        bus = MemoryBus(VirtualClock(5).now_ns)
        async with asyncio.timeout(5):
            task = asyncio.ensure_future(_tended(tmp_path, _Role, bus).run())
            health = await _until_heard(tmp_path)
            entries, _ = await bus.read({"system.health": "0-0"}, count=9, wait_ms=1000)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert health.is_ready, "a closed session is no defect"
        assert health.reasons == ("session closed, next open 09:00",)
        assert health.ts_ns == 5
        assert "event_loop_lag_p99_ms" in health.metrics
        first = entries[0].envelope
        published = MESSAGES.decode(first.type, first.version, first.payload)
        assert isinstance(published, RoleHealth)
        assert (published.role, published.metrics) == ("trader", {})
        assert read_health(tmp_path / "run", "trader") is None

    asyncio.run(scenario())


def test_tended_when_a_role_ends_then_it_starts_again_until_the_budget_is_spent(
    tmp_path: Path,
) -> None:
    """An error and a plain return both count; the last reason is in the final error."""
    starts = []

    def work() -> None:
        starts.append(1)
        if len(starts) == 2:
            raise OSError("no more")

    with pytest.raises(ExceptionGroup) as ended:
        asyncio.run(_tended(tmp_path, lambda: _Role(work)).run())
    (error,) = ended.value.exceptions
    assert isinstance(error, RoleEndedError)
    assert str(error) == "trader: ended too often, at last with: OSError: no more"
    assert len(starts) == 2


def test_tended_when_the_configuration_is_wrong_then_it_is_not_tried_again(tmp_path: Path) -> None:
    """Somebody has to change something: the error leaves at once."""
    starts = []

    def broken() -> Role:
        starts.append(1)
        raise ConfigError("trader.x: wrong")

    with pytest.raises(ExceptionGroup, match="unhandled") as ended:
        asyncio.run(_tended(tmp_path, broken).run())
    assert [type(error) for error in ended.value.exceptions] == [ConfigError]
    assert len(starts) == 1


def test_tended_when_another_process_runs_the_role_then_it_is_refused(tmp_path: Path) -> None:
    """One process at a time runs a role in a home: exit code 3."""
    owner = own_directory(tmp_path / "trading" / "trader", "the role trader")
    try:
        with pytest.raises(DirectoryOwnedError, match="the role trader is owned by process"):
            asyncio.run(_tended(tmp_path, _Role).run())
    finally:
        owner.release()


def test_budget_when_ends_are_old_then_they_are_forgiven() -> None:
    """Only the ends of the window count."""
    budget = Budget(ends_max=2, window_s=60)
    assert [budget.spend(at) for at in (0, 10, 61, 65)] == [1, 2, 2, None]
