"""Shared state in Redis: every key has a time to live, every step is one script.

Limits are sliding windows in sorted sets. Their time is the boot clock that the caller reads, the
same in all processes of a machine: the wall clock may jump, and a window must not. Entries later
than now belong to an earlier boot and are dropped.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jts_trading.bus.asking import ask_within
from jts_trading.ports.state import (
    KEYS,
    Kind,
    Limit,
    Lock,
    LockName,
    StateUnavailableError,
    check_cost,
)

_TIMEOUT_S = 2.0
# A token must outlive every lock that was taken with an earlier one.
_TOKEN_TTL_MS = 30 * 86_400_000
# Redis 6 runs a script that reads the time only if its effects are replicated.
_ACQUIRE = """
redis.replicate_commands()
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = math.max(last + 1, time[1] * 1000000 + time[2])
token = string.format('%.0f', token)
redis.call('SET', KEYS[2], token, 'PX', ARGV[2])
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
_TAKE = """
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local permits, cost = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf')
local missing = redis.call('ZCARD', KEYS[1]) + cost - permits
if missing > 0 then
    local row = redis.call('ZRANGE', KEYS[1], missing - 1, missing - 1, 'WITHSCORES')
    return row[2] + window - now
end
local number = redis.call('INCR', KEYS[2])
for permit = 1, cost do
    redis.call('ZADD', KEYS[1], now, number .. ':' .. permit)
end
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1000)
redis.call('PEXPIRE', KEYS[2], math.ceil(window / 1000) + 60000)
return 0
"""


class RedisState:
    """Values, locks and limits in Redis; one instance per event loop.

    Args:
        url: `unix:///path` or `redis://host:port`.
        boottime_ns: Reads the boot clock of this machine.
    """

    def __init__(self, url: str, boottime_ns: Callable[[], int]) -> None:
        self._client = redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self._boottime_ns = boottime_ns

    async def put(self, kind: Kind, name: str, value: bytes) -> None:
        """Keep a value; see `ports.state.State`."""
        await self._ask(lambda: self._client.set(_key(kind, name), value, ex=KEYS[kind].ttl_s))

    async def get(self, kind: Kind, name: str) -> bytes | None:
        """Return a value; see `ports.state.State`."""
        value: bytes | None = await self._ask(lambda: self._client.get(_key(kind, name)))
        return value

    async def drop(self, kind: Kind, name: str) -> None:
        """Forget a value; see `ports.state.State`."""
        await self._ask(lambda: self._client.delete(_key(kind, name)))

    async def acquire_lock(self, name: LockName, subject: str, ttl_ms: int) -> Lock | None:
        """Take a lock; see `ports.state.State`."""
        keys = [_lock_key(name, subject), _lock_key(name, subject) + ":token"]
        token = await self._run(_ACQUIRE, keys, ttl_ms, _TOKEN_TTL_MS)
        return None if token is None else Lock(name, subject, int(token))

    async def renew_lock(self, lock: Lock, ttl_ms: int) -> bool:
        """Prolong a lock; see `ports.state.State`."""
        key = _lock_key(lock.name, lock.subject)
        return bool(await self._run(_RENEW, [key], lock.token, ttl_ms))

    async def release_lock(self, lock: Lock) -> bool:
        """Give a lock back; see `ports.state.State`."""
        key = _lock_key(lock.name, lock.subject)
        return bool(await self._run(_RELEASE, [key], lock.token))

    async def take(self, limit: Limit, cost: int = 1) -> int:
        """Take permits; see `ports.state.State`."""
        check_cost(limit, cost)
        key = f"jts:limit:{limit.name}"
        now_us = self._boottime_ns() // 1000
        values = (now_us, limit.window_ms * 1000, limit.permits, cost)
        return int(await self._run(_TAKE, [key, f"{key}:number"], *values))

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _run(self, script: str, keys: list[str], *values: int) -> Any:
        return await self._ask(lambda: self._client.eval(script, len(keys), *keys, *values))

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await ask_within(2 * _TIMEOUT_S, command)
        except (exceptions.RedisError, TimeoutError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise StateUnavailableError(f"shared state: {text}") from error


def _key(kind: Kind, name: str) -> str:
    return f"jts:{kind.value}:{name}"


def _lock_key(name: LockName, subject: str) -> str:
    return f"jts:lock:{name.value}:{subject}"
