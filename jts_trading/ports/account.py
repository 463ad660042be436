"""The account port: what a broker says about orders, money and positions. Changes nothing."""

from collections.abc import Sequence
from datetime import date
from typing import Protocol

import msgspec

from jts_trading.domain.account_reports import BalanceReport, OrderReport


class RateLimitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a quota is left in its current window."""

    quota: str
    permits: int
    left: int
    window_ms: int


class AccountProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Which account this is.

    Attributes:
        environment: `paper`, `real` or `simulated`.
        currency: What its cash is counted in.
    """

    broker: str
    account: str
    environment: str
    currency: str


class Account(Protocol):
    """Asks about one account; every call may be repeated.

    Every method raises TransientError when the venue cannot answer now.
    """

    @property
    def broker(self) -> str:
        """Name of the broker."""
        ...

    @property
    def account(self) -> str:
        """The account, in the broker's spelling."""
        ...

    async def orders(self, first: date, last: date) -> Sequence[OrderReport]:
        """Return every order of a span of trading days, oldest first, ended ones too."""
        ...

    async def balance(self) -> BalanceReport:
        """Return money and positions."""
        ...

    async def profile(self) -> AccountProfile:
        """Return which account this is."""
        ...

    async def rate_limits(self) -> Sequence[RateLimitStatus]:
        """Return what is left of each quota."""
        ...
