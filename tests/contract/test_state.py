"""What every shared state promises, in Redis and in memory."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis

from jts_trading.bus.memory_state import MemoryState
from jts_trading.bus.redis_state import RedisState
from jts_trading.ports.state import KEYS, Kind, Limit, LockName, StateUnavailableError

pytestmark = pytest.mark.integration
Scenario = Callable[[Any], Awaitable[None]]
ORDERS = LockName.ORDER_PLACEMENT


class Trial:
    """A state on a clock that the test moves; locks and values live on real time in Redis."""

    def __init__(self, url: str | None) -> None:
        self.now_ns = 10**15
        self.url = url
        self.state: Any = self.another()

    def another(self) -> Any:
        """A second process on the same store; in memory there is only one."""
        if self.url:
            return RedisState(self.url, lambda: self.now_ns)
        return getattr(self, "state", None) or MemoryState(lambda: self.now_ns)


@pytest.fixture(params=["memory", "redis"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Run a scenario with a state of its own."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None

    def go(scenario: Scenario) -> None:
        async def play() -> None:
            trial = Trial(url)
            try:
                await scenario(trial)
            finally:
                await trial.state.close()

        asyncio.run(play())

    return go


@pytest.mark.parametrize("kind", Kind)
def test_value_when_put_then_it_is_shared_and_can_be_dropped(run: Any, kind: Kind) -> None:
    """Every kind of key keeps bytes as they are, apart from the other kinds."""

    async def scenario(trial: Any) -> None:
        await trial.state.put(kind, "a", b"\x00\xff")

        assert await trial.state.get(kind, "a") == b"\x00\xff"
        assert await trial.state.get(kind, "b") is None
        others = [await trial.state.get(other, "a") for other in Kind if other is not kind]
        assert others == [None] * (len(Kind) - 1)
        await trial.state.drop(kind, "a")
        assert await trial.state.get(kind, "a") is None

    run(scenario)


def test_keys_when_written_then_each_has_its_time_to_live(redis_url: str) -> None:
    """No key of ours stays for ever: values, locks, tokens and limits all end."""

    async def play() -> None:
        state = RedisState(redis_url, time.monotonic_ns)
        for kind in Kind:
            await state.put(kind, "x", b"1")
        await state.acquire_lock(ORDERS, "a", 5_000)
        await state.take(Limit("kis", 2, 1_000))
        await state.close()

    asyncio.run(play())
    with sync_redis.Redis.from_url(redis_url) as client:
        lives = {key.decode(): client.ttl(key) for key in client.keys("*")}
        assert all(seconds > 0 for seconds in lives.values())
        for kind in Kind:
            assert KEYS[kind].ttl_s - 5 <= lives[f"jts:{kind.value}:x"] <= KEYS[kind].ttl_s
    assert len(lives) == len(Kind) + 4


def test_value_when_its_time_is_over_then_it_is_gone() -> None:
    """The clock of the memory ends values as Redis does."""

    async def play() -> None:
        now = [0]
        state = MemoryState(lambda: now[0])
        await state.put(Kind.PRICE, "a", b"1")
        now[0] = KEYS[Kind.PRICE].ttl_s * 10**9 - 1
        assert await state.get(Kind.PRICE, "a") == b"1"
        now[0] += 1
        assert await state.get(Kind.PRICE, "a") is None

    asyncio.run(play())


def test_lock_when_held_then_nobody_else_gets_it_until_released(run: Any) -> None:
    """One holder at a time per subject; a late release by an old holder does nothing."""

    async def scenario(trial: Any) -> None:
        first = await trial.state.acquire_lock(ORDERS, "a", 60_000)
        second = await trial.state.acquire_lock(ORDERS, "a", 60_000)
        other = await trial.state.acquire_lock(ORDERS, "b", 60_000)
        assert second is None
        assert other is not None
        assert await trial.state.renew_lock(first, 60_000)
        assert await trial.state.release_lock(first)
        third = await trial.state.acquire_lock(ORDERS, "a", 60_000)

        assert third.token > first.token
        assert not await trial.state.release_lock(first)
        assert not await trial.state.renew_lock(first, 60_000)
        assert await trial.state.acquire_lock(ORDERS, "a", 60_000) is None

    run(scenario)


def test_lock_when_its_holder_died_then_it_ends_and_the_token_grows(redis_url: str) -> None:
    """A lock that nobody renews is free again; after a wipe tokens still grow."""

    async def play() -> None:
        state = RedisState(redis_url, time.monotonic_ns)
        dead = await state.acquire_lock(ORDERS, "a", 20)
        assert dead is not None
        async with asyncio.timeout(10):
            while (heir := await state.acquire_lock(ORDERS, "a", 60_000)) is None:
                pass
        with sync_redis.Redis.from_url(redis_url) as client:
            client.flushall()
        after = await state.acquire_lock(ORDERS, "a", 60_000)
        assert after is not None
        await state.close()

        assert dead.token < heir.token < after.token

    asyncio.run(play())


def test_limit_when_a_window_slides_then_no_window_has_more_than_its_permits(run: Any) -> None:
    """In any second at most three; the answer says when to come again, to the microsecond."""

    async def scenario(trial: Any) -> None:
        limit = Limit("kis/app", 3, 1_000)
        granted = []
        for _ in range(2_000):
            wait_us = await trial.state.take(limit)
            if wait_us == 0:
                granted.append(trial.now_ns)
                trial.now_ns += 130_000_000
            else:
                trial.now_ns += wait_us * 1000
            if len(granted) == 60:
                break
        spans = [later - first for first, later in zip(granted, granted[3:], strict=False)]

        assert len(granted) == 60
        assert min(spans) == 10**9

    run(scenario)


def test_limit_when_two_processes_share_it_then_permits_are_shared(run: Any) -> None:
    """The window belongs to the key, not to the process; weights count."""

    async def scenario(trial: Any) -> None:
        limit = Limit("binance/ip", 10, 60_000)
        other = trial.another()
        assert await trial.state.take(limit, 6) == 0
        assert await other.take(limit, 5) == 60_000_000
        assert await other.take(limit, 4) == 0
        assert await trial.state.take(Limit("upbit", 1, 1_000)) == 0
        with pytest.raises(ValueError, match="accepted: 1 to 10"):
            await trial.state.take(limit, 11)
        if other is not trial.state:
            await other.close()

    run(scenario)


def test_state_when_redis_is_not_there_then_it_fails_by_name(tmp_path: Any) -> None:
    """No answer is an error, never a permit."""

    async def play() -> None:
        state = RedisState(f"unix://{tmp_path}/nobody", time.monotonic_ns)
        with pytest.raises(StateUnavailableError, match="shared state"):
            await state.take(Limit("kis", 1, 1_000))
        await state.close()

    asyncio.run(play())
