"""Shared state in memory: the same rules as in Redis, for one process and for tests."""

from collections.abc import Callable

from jts_trading.ports.state import KEYS, Kind, Limit, Lock, LockName, check_cost


class MemoryState:
    """Values, locks and limits in memory.

    Args:
        monotonic_ns: Reads real monotonic time.
    """

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._monotonic_ns = monotonic_ns
        self._values: dict[tuple[Kind, str], tuple[bytes, int]] = {}
        self._locks: dict[tuple[LockName, str], tuple[int, int]] = {}
        self._token = 0
        self._taken: dict[str, list[int]] = {}

    async def put(self, kind: Kind, name: str, value: bytes) -> None:
        """Keep a value; see `ports.state.State`."""
        ends_ns = self._monotonic_ns() + KEYS[kind].ttl_s * 1_000_000_000
        self._values[kind, name] = (value, ends_ns)

    async def get(self, kind: Kind, name: str) -> bytes | None:
        """Return a value; see `ports.state.State`."""
        value, ends_ns = self._values.get((kind, name), (None, 0))
        return value if ends_ns > self._monotonic_ns() else None

    async def drop(self, kind: Kind, name: str) -> None:
        """Forget a value; see `ports.state.State`."""
        self._values.pop((kind, name), None)

    async def acquire_lock(self, name: LockName, subject: str, ttl_ms: int) -> Lock | None:
        """Take a lock; see `ports.state.State`."""
        now_ns = self._monotonic_ns()
        if self._locks.get((name, subject), (0, 0))[1] > now_ns:
            return None
        self._token = max(self._token + 1, now_ns // 1000)
        self._locks[name, subject] = (self._token, now_ns + ttl_ms * 1_000_000)
        return Lock(name, subject, self._token)

    async def renew_lock(self, lock: Lock, ttl_ms: int) -> bool:
        """Prolong a lock; see `ports.state.State`."""
        if not self._holds(lock):
            return False
        ends_ns = self._monotonic_ns() + ttl_ms * 1_000_000
        self._locks[lock.name, lock.subject] = (lock.token, ends_ns)
        return True

    async def release_lock(self, lock: Lock) -> bool:
        """Give a lock back; see `ports.state.State`."""
        if not self._holds(lock):
            return False
        del self._locks[lock.name, lock.subject]
        return True

    async def take(self, limit: Limit, cost: int = 1) -> int:
        """Take permits; see `ports.state.State`."""
        check_cost(limit, cost)
        now_us = self._monotonic_ns() // 1000
        window_us = limit.window_ms * 1000
        taken = [at for at in self._taken.get(limit.name, []) if at > now_us - window_us]
        self._taken[limit.name] = taken
        missing = len(taken) + cost - limit.permits
        if missing > 0:
            return taken[missing - 1] + window_us - now_us
        taken += [now_us] * cost
        return 0

    async def close(self) -> None:
        """Nothing is held open."""

    def _holds(self, lock: Lock) -> bool:
        token, ends_ns = self._locks.get((lock.name, lock.subject), (0, 0))
        return token == lock.token and ends_ns > self._monotonic_ns()
