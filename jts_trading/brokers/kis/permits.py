"""The published quotas of one app key as limits that all processes share.

A limit is named by a digest of the app key, so that the key itself is nowhere; the quota of
tokens is kept by the token file and its lock instead (`access.FileTokens`).
"""

import hashlib
from collections import deque
from collections.abc import Callable

from jts_trading.brokers.kis.limits import NS_PER_S, QUOTAS, Acquire, Quota, QuotaName
from jts_trading.brokers.kis.settings import KisKeys, KisSettings
from jts_trading.execution.priority import Priority
from jts_trading.guards.limiter import SharedLimiter
from jts_trading.ports.state import Limit, State

_NS_PER_MS = 1_000_000
# The venue counts arrivals: a call that was long on its way stands closer to the next one there.
_SLACK_MS = 100
# A permit that was paid for and not used is worth nothing after the window that it was given in.
_PREPAID_LIFE_NS = NS_PER_S


class KisPermits:
    """Permits of one app key.

    Args:
        settings: The account; may name other quotas than the published ones.
        keys: Of the app.
        state: Where the windows are.
        monotonic_ns: Real time.
        sharers: How many processes use the key.
    """

    def __init__(
        self,
        settings: KisSettings,
        keys: KisKeys,
        state: State,
        *,
        monotonic_ns: Callable[[], int],
        sharers: int = 3,
    ) -> None:
        digest = hashlib.sha256(keys.app_key.reveal().encode()).hexdigest()[:12]
        self._monotonic_ns = monotonic_ns
        self._limiter = SharedLimiter(
            state,
            {
                str(name): Limit(
                    f"kis/{digest}/{name}", quota.calls, quota.window_ns // _NS_PER_MS + _SLACK_MS
                )
                for name, quota in quotas_of(settings).items()
                if name is not QuotaName.TOKEN
            },
            monotonic_ns=monotonic_ns,
            sharers=sharers,
        )

    def acquire_as(self, priority: Priority) -> Acquire:
        """Return what a transport acquires from, with one priority for all of its calls."""

        async def acquire(quotas: tuple[QuotaName, ...]) -> None:
            names = [str(name) for name in quotas if name is not QuotaName.TOKEN]
            if names:
                await self._limiter.acquire(names, priority)

        return acquire

    def prepaid(self) -> "PrepaidPermits":
        """Return permits that are paid before they are used, for orders."""
        return PrepaidPermits(self, self._monotonic_ns)


class PrepaidPermits:
    """Permits of orders: paid for with their priority, then taken without any wait.

    A call that nobody paid for pays as an entry.

    Args:
        permits: Of the app key.
        monotonic_ns: Real time.
    """

    def __init__(self, permits: KisPermits, monotonic_ns: Callable[[], int]) -> None:
        self._pay = {priority: permits.acquire_as(priority) for priority in Priority}
        self._monotonic_ns = monotonic_ns
        self._paid: deque[int] = deque()

    async def pay(self, priority: Priority) -> None:
        """Return when one order call is paid for.

        Raises:
            PermitTimeoutError: No permit came in time.
        """
        await self._pay[priority]((QuotaName.REST, QuotaName.LEDGER))
        self._paid.append(self._monotonic_ns())

    async def acquire(self, quotas: tuple[QuotaName, ...]) -> None:
        """Take a permit that was paid for; what a transport of orders acquires from."""
        now_ns = self._monotonic_ns()
        while self._paid:
            if now_ns - self._paid.popleft() <= _PREPAID_LIFE_NS:
                return
        await self._pay[Priority.ENTRY](quotas)


def quotas_of(settings: KisSettings) -> dict[QuotaName, Quota]:
    """Return the quotas of an account: the published ones, or those of its settings."""
    quotas = dict(QUOTAS[settings.environment])
    for name, calls in (
        (QuotaName.REST, settings.calls_per_s),
        (QuotaName.LEDGER, settings.ledger_calls_per_s),
    ):
        if calls is not None:
            quotas[name] = Quota(calls, NS_PER_S)
    return quotas
