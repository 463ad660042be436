"""One account at KIS as the account port sees it: the day's orders, the balance, the quotas.

KIS numbers orders anew every day and branch, so the id that lasts is made of all three:
`20180226-06010-0000000012`. It keeps no id of ours and tells no single fills: its reports are
cumulative per order.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from urllib.parse import urlsplit

from jts_trading.brokers.kis.codec import BROKER
from jts_trading.brokers.kis.limits import (
    QUOTAS,
    Acquire,
    Quota,
    QuotaName,
    free_permits,
)
from jts_trading.brokers.kis.rest import KisRest
from jts_trading.brokers.kis.settings import Environment, KisSettings
from jts_trading.domain.account_reports import BalanceReport, OrderReport
from jts_trading.ports.account import AccountProfile, RateLimitStatus

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_NS_PER_MS = 1_000_000


class CountedPermits:
    """Gives the permits of another source and remembers how many it gave.

    Args:
        acquire: The source, shared by all processes that use the app key.
        environment: Whose published quotas count.
        quotas: Those that count instead.
        monotonic_ns: Reads real time.
    """

    def __init__(
        self,
        acquire: Acquire = free_permits,
        *,
        environment: Environment,
        quotas: Mapping[QuotaName, Quota] | None = None,
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._acquire = acquire
        self._quotas = dict(quotas or QUOTAS[environment])
        self._monotonic_ns = monotonic_ns
        self._given: dict[QuotaName, deque[int]] = {name: deque() for name in self._quotas}

    async def __call__(self, quotas: tuple[QuotaName, ...]) -> None:
        """Return when one call may be made under each of the quotas."""
        await self._acquire(quotas)
        now_ns = self._monotonic_ns()
        for name in quotas:
            self._forget_old(name, now_ns)
            self._given[name].append(now_ns)

    def status(self) -> tuple[RateLimitStatus, ...]:
        """Return what is left of each quota, as far as this process knows."""
        now_ns = self._monotonic_ns()
        for name in self._quotas:
            self._forget_old(name, now_ns)
        return tuple(
            RateLimitStatus(
                quota=f"{BROKER}/{name}",
                permits=quota.calls,
                left=max(0, quota.calls - len(self._given[name])),
                window_ms=quota.window_ns // _NS_PER_MS,
            )
            for name, quota in self._quotas.items()
        )

    def _forget_old(self, name: QuotaName, now_ns: int) -> None:
        given = self._given[name]
        while given and given[0] <= now_ns - self._quotas[name].window_ns:
            given.popleft()


class KisAccount:
    """Asks about one account; see `ports.account.Account`.

    Args:
        rest: Asks KIS.
        settings: The account.
        permits: What the transport of `rest` acquires from, to tell what is left.
    """

    def __init__(
        self, rest: KisRest, settings: KisSettings, permits: CountedPermits | None = None
    ) -> None:
        self._rest = rest
        self._settings = settings
        self._permits = permits

    @property
    def broker(self) -> str:
        """Name of the broker."""
        return BROKER

    @property
    def account(self) -> str:
        """The ten digits of the account."""
        return self._settings.account + self._settings.product

    async def orders(self, first: date, last: date) -> Sequence[OrderReport]:
        """Return every order of a span of trading days; see `ports.account.Account`.

        Raises:
            VenueBusyError: Ask again later.
            VenueRefusedError: The question is wrong.
            DecodeError: The answer cannot be read.
        """
        return await self._rest.orders(first, last)

    async def balance(self) -> BalanceReport:
        """Return money and positions, likewise; `cash` is the deposit of D+2."""
        return await self._rest.balance()

    async def profile(self) -> AccountProfile:
        """Return which account this is; asks nobody."""
        host = urlsplit(self._settings.rest_root).hostname
        environment = "simulated" if host in _LOOPBACK else str(self._settings.environment)
        return AccountProfile(
            broker=BROKER, account=self.account, environment=environment, currency="KRW"
        )

    async def rate_limits(self) -> Sequence[RateLimitStatus]:
        """Return what is left of each quota, as far as this process knows; asks nobody."""
        return () if self._permits is None else self._permits.status()
