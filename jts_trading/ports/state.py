"""The state port: what the processes of an instance share for a while, and may lose.

Nothing here is the only copy of anything: a lost store costs latency and patience, never an order.
Every kind of key has an owner and a time to live, in one catalogue. What must not be lost (who may
send, orders, money) is in the journal; a lock here keeps work from being done twice at the same
time, and its token lets the place that is written to refuse a late writer.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from jts_trading.domain.errors import TransientError


class StateUnavailableError(TransientError):
    """The store did not answer; nothing can be said about the key."""


class Kind(StrEnum):
    """Kinds of shared values."""

    PRICE = "price"
    SESSION = "session"
    REVOKED_TOKEN = "revoked-token"  # noqa: S105 - the name of a kind of key
    BROKER_TOKEN = "broker-token"  # noqa: S105 - the name of a kind of key
    BREAKER = "breaker"
    STRATEGY = "strategy"
    SOCKET = "socket"
    CLOCK = "clock"
    RECONCILED = "reconciled"


@dataclass(frozen=True, slots=True)
class KeyRule:
    """What is kept under a kind of key.

    Attributes:
        ttl_s: Seconds after which it is gone unless it is put again.
        owner: The only role that writes it.
        meaning: What the value says.
    """

    ttl_s: int
    owner: str
    meaning: str


KEYS: dict[Kind, KeyRule] = {
    Kind.PRICE: KeyRule(300, "collector", "newest trade of an instrument"),
    Kind.SESSION: KeyRule(86_400, "gateway", "a signed-in person"),
    Kind.REVOKED_TOKEN: KeyRule(900, "gateway", "an access token that is no longer good"),
    Kind.BROKER_TOKEN: KeyRule(86_400, "collector", "sealed access token of an app key"),
    Kind.BREAKER: KeyRule(600, "executor", "a venue's circuit breaker"),
    Kind.STRATEGY: KeyRule(172_800, "trader", "which snapshot a strategy instance is at"),
    Kind.SOCKET: KeyRule(60, "gateway", "an open WebSocket of a client"),
    Kind.RECONCILED: KeyRule(300, "reconciler", "newest successful look at an account"),
    Kind.CLOCK: KeyRule(60, "supervisor", "the affine clock of the instance"),
}


class LockName(StrEnum):
    """What is done by one process at a time."""

    ORDER_PLACEMENT = "order-placement"
    PORTFOLIO_UPDATE = "portfolio-update"
    STRATEGY_EXECUTION = "strategy-execution"


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held.

    Attributes:
        subject: What it is about, such as an account.
        token: Grows with every holder, also after the store was lost.
    """

    name: LockName
    subject: str
    token: int


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many permits in any window of this length.

    Attributes:
        name: Venue, key and class of calls, such as `kis/app1/rest`.
        permits: Permits per window.
        window_ms: Length of the sliding window, real time.
    """

    name: str
    permits: int
    window_ms: int


class State(Protocol):
    """Shared values, locks and limits with a time to live."""

    async def put(self, kind: Kind, name: str, value: bytes) -> None:
        """Keep a value for the time of its kind.

        Raises:
            StateUnavailableError: The store did not answer.
        """
        ...

    async def get(self, kind: Kind, name: str) -> bytes | None:
        """Return a value, or None when it was never put or its time is over.

        Raises:
            StateUnavailableError: The store did not answer.
        """
        ...

    async def drop(self, kind: Kind, name: str) -> None:
        """Forget a value.

        Raises:
            StateUnavailableError: The store did not answer.
        """
        ...

    async def acquire_lock(self, name: LockName, subject: str, ttl_ms: int) -> Lock | None:
        """Take a lock; None when it is held.

        Raises:
            StateUnavailableError: The store did not answer; the lock is not held.
        """
        ...

    async def renew_lock(self, lock: Lock, ttl_ms: int) -> bool:
        """Prolong a lock; False when it is not held under this token any more.

        Raises:
            StateUnavailableError: The store did not answer.
        """
        ...

    async def release_lock(self, lock: Lock) -> bool:
        """Give a lock back; False when it was not held under this token any more.

        Raises:
            StateUnavailableError: The store did not answer; it ends by itself.
        """
        ...

    async def take(self, limit: Limit, cost: int = 1) -> int:
        """Take permits; return 0, or after how many microseconds to ask again.

        Raises:
            StateUnavailableError: The store did not answer: treat it as no permit.
            ValueError: The cost is above what a window ever has.
        """
        ...


def check_cost(limit: Limit, cost: int) -> None:
    """Refuse a cost that no window can pay.

    Raises:
        ValueError: It is below 1 or above the permits of a window.
    """
    if not 1 <= cost <= limit.permits:
        raise ValueError(f"limit {limit.name}: cost {cost}; accepted: 1 to {limit.permits}")
