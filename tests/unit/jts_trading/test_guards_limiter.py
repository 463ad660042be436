"""Permits are shared, ordered by priority, pessimistic after a start and without the state."""

import asyncio

import pytest

from jts_trading.bus.memory_state import MemoryState
from jts_trading.execution.priority import Priority
from jts_trading.guards.breaker import Breaker, BreakerState
from jts_trading.guards.deadline import Deadline, DeadlineError
from jts_trading.guards.limiter import PermitTimeoutError, SharedLimiter
from jts_trading.ports.state import Limit, StateUnavailableError

MS, S = 10**6, 10**9


class Time:
    """Real time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now_ns = 100 * S

    def __call__(self) -> int:
        """Read it."""
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now_ns += int(seconds * S)
        await asyncio.sleep(0)


class DeafState(MemoryState):
    """A state that can stop answering."""

    is_deaf = False
    asked = 0

    async def take(self, limit: Limit, cost: int = 1) -> int:
        """Take, or not answer."""
        self.asked += 1
        if self.is_deaf:
            raise StateUnavailableError("gone")
        return await super().take(limit, cost)


def _limiter(time: Time, state: MemoryState, permits: int = 10, sharers: int = 2) -> SharedLimiter:
    limits = {"rest": Limit("kis/x/rest", permits, 1000)}
    return SharedLimiter(state, limits, monotonic_ns=time, sleep=time.sleep, sharers=sharers)


async def _grants(time: Time, limiter: SharedLimiter, priority: Priority, count: int) -> list[int]:
    """When each of some permits was given, in ms from now."""
    start, given = time.now_ns, []
    for _ in range(count):
        await limiter.acquire(["rest"], priority)
        given.append((time.now_ns - start) // MS)
    return given


def test_limiter_when_it_starts_then_nothing_for_one_window() -> None:
    """Nobody knows what an earlier life has used."""

    async def play() -> None:
        time = Time()
        given = await _grants(time, _limiter(time, MemoryState(time)), Priority.QUERY, 1)
        assert given == [1000]

    asyncio.run(play())


def test_b20_limiter_when_two_processes_share_a_key_then_no_window_has_more() -> None:
    """Both count in the same window, whoever asks."""

    async def play() -> None:
        time = Time()
        state = MemoryState(time)
        limiters = [_limiter(time, state) for _ in range(2)]
        time.now_ns += 2 * S
        given: list[int] = []
        for at in range(50):
            await limiters[at % 2].acquire(["rest"], Priority.QUERY)
            given.append(time.now_ns)
        assert all(later - early >= S for early, later in zip(given, given[10:], strict=False))
        assert given[-1] - given[0] == 4 * S

    asyncio.run(play())


def test_p12_limiter_when_entries_flood_then_cancels_still_find_room() -> None:
    """Entries use at most seven tenths of a window."""

    async def play() -> None:
        time = Time()
        limiter = _limiter(time, MemoryState(time))
        time.now_ns += 2 * S
        assert await _grants(time, limiter, Priority.ENTRY, 8) == [0] * 7 + [1000]
        time.now_ns += 2 * S
        await _grants(time, limiter, Priority.ENTRY, 7)
        assert await _grants(time, limiter, Priority.CANCEL, 3) == [0, 0, 0]
        assert await _grants(time, limiter, Priority.REDUCE, 1) == [1000]

    asyncio.run(play())


def test_p13_limiter_when_many_wait_then_the_most_urgent_goes_first() -> None:
    """A cancel that comes last is served before entries that wait."""

    async def play() -> None:
        time = Time()
        all_wait = asyncio.Event()

        async def sleep(seconds: float) -> None:
            await all_wait.wait()
            await time.sleep(seconds)

        limits = {"rest": Limit("x", 1, 1000)}
        limiter = SharedLimiter(MemoryState(time), limits, monotonic_ns=time, sleep=sleep)
        served: list[Priority] = []

        async def ask(priority: Priority) -> None:
            await limiter.acquire(["rest"], priority)
            served.append(priority)

        async with asyncio.TaskGroup() as group:
            for priority in (Priority.ENTRY, Priority.ENTRY, Priority.QUERY, Priority.CANCEL):
                group.create_task(ask(priority))
            for _ in range(5):
                await asyncio.sleep(0)
            all_wait.set()

        assert served == [Priority.CANCEL, Priority.QUERY, Priority.ENTRY, Priority.ENTRY]

    asyncio.run(play())


@pytest.mark.parametrize(("permits", "expected"), [(10, [0] * 5 + [1000]), (1, [0, 2000, 4000])])
def test_f41_limiter_when_the_state_is_gone_then_only_the_own_share(
    permits: int, expected: list[int]
) -> None:
    """Two processes with half each stay inside the quota; afterwards they share it again."""

    async def play() -> None:
        time = Time()
        state = DeafState(time)
        state.is_deaf = True
        limiter = _limiter(time, state, permits)
        time.now_ns += 10 * S
        assert await _grants(time, limiter, Priority.ENTRY, len(expected)) == expected
        assert state.asked <= len(expected)
        state.is_deaf = False
        time.now_ns += 10 * S
        assert await _grants(time, limiter, Priority.QUERY, permits) == [0] * permits

    asyncio.run(play())


def test_limiter_when_no_permit_comes_in_time_then_the_caller_is_told() -> None:
    """Every wait has an end, and the line behind it moves on."""

    async def play() -> None:
        limits = {"rest": Limit("x", 1, 60_000)}
        limiter = SharedLimiter(
            MemoryState(lambda: S),
            limits,
            monotonic_ns=lambda: S,
            wait_s_max=0.01,
        )
        for _ in range(2):
            with pytest.raises(PermitTimeoutError, match="rest"):
                await limiter.acquire(["rest"], Priority.CANCEL)

    asyncio.run(play())


def test_breaker_when_failures_burst_then_open_trial_and_closed_again() -> None:
    """Three states, each left in one way."""
    time = Time()
    breaker = Breaker(time, failures_max=3, window_s=30, open_s=10)
    assert [breaker.fail(), breaker.fail()] == [False, False]
    assert breaker.allows()
    assert breaker.fail()
    assert (breaker.state, breaker.allows()) == (BreakerState.OPEN, False)
    time.now_ns += 10 * S
    assert breaker.state is BreakerState.TRIAL
    assert [breaker.allows(), breaker.allows()] == [True, False]
    assert breaker.fail()
    assert breaker.state is BreakerState.OPEN
    time.now_ns += 10 * S
    assert breaker.allows()
    breaker.give_back()
    assert breaker.allows()
    breaker.succeed()
    assert (breaker.state, breaker.allows()) == (BreakerState.CLOSED, True)


def test_breaker_when_failures_are_rare_then_it_stays_closed() -> None:
    """Only failures within the window count together."""
    time = Time()
    breaker = Breaker(time, failures_max=2, window_s=5)
    for _ in range(4):
        assert not breaker.fail()
        time.now_ns += 6 * S
    assert breaker.allows()


def test_b16_deadline_when_the_budget_is_spent_then_refused() -> None:
    """What is left shrinks, and after the end nothing goes on."""
    time = Time()
    deadline = Deadline(time, 100, "the review")
    time.now_ns += 60 * MS
    assert deadline.left_s == pytest.approx(0.04)
    deadline.check()
    time.now_ns += 90 * MS
    assert deadline.left_s == 0
    with pytest.raises(DeadlineError, match="took 150 ms"):
        deadline.check()
