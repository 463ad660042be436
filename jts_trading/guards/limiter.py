"""A rate limit that all processes of a key share, and that knows who goes first.

Theory of operation. The windows live in the shared state (Redis), so that every process counts
the same calls. Within a process waiting callers stand in a heap by priority, and only the first
one asks the state. Entries may use no more than `ENTRY_SHARE` of a window, so that cancels, exits
and queries always find room (`<limit>/entry` is a second, smaller window for them).

It is pessimistic: for the first window after the start it gives no permit, because nobody knows
what an earlier life has used, and while the state does not answer each process gives itself only
its share of the window, counted with what it has given lately.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jts_trading.domain.errors import TransientError
from jts_trading.execution.priority import Priority
from jts_trading.ports.state import Limit, State, StateUnavailableError

ENTRY_SHARE = 0.7
# A state that did not answer is not asked again for so long: the order path cannot wait for it.
_DEAF_S = 1.0
_ANSWER_S = 0.25
_NS_PER_MS = 1_000_000
_US_PER_S = 1_000_000


class PermitTimeoutError(TransientError):
    """No permit came in time; nothing was done."""


@dataclass(frozen=True, slots=True, order=True)
class _Waiter:
    priority: int
    number: int
    is_next: asyncio.Event = field(compare=False)


class SharedLimiter:
    """Permits under named limits.

    Args:
        state: Where the windows are.
        limits: By the names that callers use; names in the state are those of the limits.
        monotonic_ns: Real time.
        sharers: How many processes use the key; what each gives itself without the state.
        wait_s_max: Longest wait for a permit.
        sleep: Waits in real seconds.
    """

    def __init__(
        self,
        state: State,
        limits: Mapping[str, Limit],
        *,
        monotonic_ns: Callable[[], int],
        sharers: int = 3,
        wait_s_max: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._state = state
        self._limits = dict(limits)
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep
        self._wait_s_max = wait_s_max
        self._began_ns = monotonic_ns()
        self._deaf_until_ns = 0
        self._numbers = itertools.count()
        self._waiting: list[_Waiter] = []
        self._local = {
            name: _LocalShare(limit, sharers, monotonic_ns) for name, limit in limits.items()
        }

    async def acquire(self, names: Sequence[str], priority: Priority) -> None:
        """Return when one call may be made under each of the limits.

        Raises:
            PermitTimeoutError: None came in time.
        """
        waiter = _Waiter(priority, next(self._numbers), asyncio.Event())
        heapq.heappush(self._waiting, waiter)
        self._wake_first()
        try:
            async with asyncio.timeout(self._wait_s_max):
                await waiter.is_next.wait()
                # The scarcest first: what is taken cannot be given back when another is short.
                for name in sorted(names, key=lambda name: self._rate(self._limits[name])):
                    await self._take(waiter, name, priority)
        except TimeoutError:
            raise PermitTimeoutError(
                f"no permit of {', '.join(names)} within {self._wait_s_max} s"
            ) from None
        finally:
            self._waiting.remove(waiter)
            heapq.heapify(self._waiting)
            self._wake_first()

    async def _take(self, waiter: _Waiter, name: str, priority: Priority) -> None:
        limit = self._limits[name]
        wanted = [limit] if priority is not Priority.ENTRY else [entry_limit(limit), limit]
        for window in wanted:
            while wait_us := await self._ask(name, window):
                await self._sleep(wait_us / _US_PER_S)
                # Somebody more urgent may have come while we slept.
                self._wake_first()
                await waiter.is_next.wait()

    async def _ask(self, name: str, limit: Limit) -> int:
        """Return 0 for a permit, else the microseconds until there may be one."""
        now_ns = self._monotonic_ns()
        fresh_ns = self._began_ns + limit.window_ms * _NS_PER_MS - now_ns
        if fresh_ns > 0:
            return fresh_ns // 1000 + 1
        local = self._local[name]
        is_whole = limit == self._limits[name]
        if now_ns < self._deaf_until_ns:
            # One share for everything: the smaller window of entries is not counted apart.
            return local.take() if is_whole else 0
        try:
            async with asyncio.timeout(_ANSWER_S):
                wait_us = await self._state.take(limit)
        except (StateUnavailableError, TimeoutError):
            self._deaf_until_ns = now_ns + int(_DEAF_S * 1e9)
            return local.take() if is_whole else 0
        if not wait_us and is_whole:
            local.note()
        return wait_us

    def _wake_first(self) -> None:
        for waiter in self._waiting:
            if waiter is self._waiting[0]:
                waiter.is_next.set()
            else:
                waiter.is_next.clear()

    @staticmethod
    def _rate(limit: Limit) -> float:
        return limit.permits / limit.window_ms


class _LocalShare:
    """What one process gives itself while the shared window is out of reach."""

    def __init__(self, limit: Limit, sharers: int, monotonic_ns: Callable[[], int]) -> None:
        # A share below one permit becomes one permit in a longer window.
        self._permits = max(1, limit.permits // sharers)
        factor = 1 if limit.permits >= sharers else -(-sharers // limit.permits)
        self._window_ns = limit.window_ms * _NS_PER_MS * factor
        self._monotonic_ns = monotonic_ns
        self._given: deque[int] = deque(maxlen=limit.permits)

    def take(self) -> int:
        """Return 0 for a permit, else the microseconds until the next."""
        now_ns = self._monotonic_ns()
        recent = [at for at in self._given if at > now_ns - self._window_ns]
        if len(recent) < self._permits:
            self._given.append(now_ns)
            return 0
        return (recent[-self._permits] + self._window_ns - now_ns) // 1000 + 1

    def note(self) -> None:
        """Count a permit that the shared window gave."""
        self._given.append(self._monotonic_ns())


def entry_limit(limit: Limit) -> Limit:
    """Return the part of a limit that entries may use; at least one permit."""
    permits = max(1, int(limit.permits * ENTRY_SHARE))
    return Limit(f"{limit.name}/entry", permits, limit.window_ms)
