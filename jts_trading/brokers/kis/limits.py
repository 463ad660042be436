"""Published quotas of KIS as data, and the sliding window that both sides count them with.

Sources: brokers/kis section 4. The server's refusal counts for more than any constant here.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

from jts_trading.brokers.kis.settings import Environment

STREAM_REGISTRATIONS_MAX = 41
MULTI_QUOTE_SYMBOLS_MAX = 30
MINUTE_ROWS_TODAY = 30
MINUTE_ROWS_PAST = 120
TOKEN_LIFE_S = 86_400
# The same token comes back when another is asked for within this time.
TOKEN_SAME_S = 6 * 3600
NS_PER_S = 1_000_000_000


class QuotaName(StrEnum):
    """What is counted together, per app key."""

    REST = "rest"
    LEDGER = "ledger"
    TOKEN = "token"  # noqa: S105 - the name of a quota


class Quota(NamedTuple):
    """At most `calls` in any `window_ns`."""

    calls: int
    window_ns: int


QUOTAS: dict[Environment, dict[QuotaName, Quota]] = {
    Environment.REAL: {
        QuotaName.REST: Quota(20, NS_PER_S),
        # Not published; lower than the other limit by all reports. Kept below it on purpose.
        QuotaName.LEDGER: Quota(10, NS_PER_S),
        QuotaName.TOKEN: Quota(1, 60 * NS_PER_S),
    },
    Environment.PAPER: {
        QuotaName.REST: Quota(2, NS_PER_S),
        QuotaName.LEDGER: Quota(1, NS_PER_S),
        QuotaName.TOKEN: Quota(1, 60 * NS_PER_S),
    },
}

# Rows of one page of an account query.
PAGE_ROWS: dict[Environment, dict[str, int]] = {
    Environment.REAL: {"orders": 100, "balance": 50, "open_orders": 50},
    Environment.PAPER: {"orders": 15, "balance": 20, "open_orders": 50},
}


class SlidingWindow:
    """Counts calls in a window that ends now; time is monotonic ns and given by the caller."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._calls: deque[int] = deque()

    def take(self, now_ns: int) -> int:
        """Count a call if there is room and return 0; else return the ns until there is."""
        while self._calls and self._calls[0] <= now_ns - self._quota.window_ns:
            self._calls.popleft()
        if len(self._calls) >= self._quota.calls:
            return self._calls[0] + self._quota.window_ns - now_ns
        self._calls.append(now_ns)
        return 0


# Returns when one call may be made under each of the quotas; shared by all who use the same key.
Acquire = Callable[[tuple[QuotaName, ...]], Awaitable[None]]


async def free_permits(quotas: tuple[QuotaName, ...]) -> None:
    """Give leave at once: for one lone caller of a host without quotas."""
    del quotas
