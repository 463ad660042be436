"""Keeping the right to send, and stopping before somebody else can have it.

A lease lasts 10 s, is renewed every 2 s, and its keeper stops sending 6 s after the last renewal
that it knows of, measured on the boot clock, which counts while the machine sleeps. So a keeper
that was paused or lost the database has stopped 4 s before a successor can begin. The fencing
token in the journal's own transaction is the second lock on the same door.
"""

import asyncio
from collections.abc import Callable

from jts_trading.ports.journal import JournalUnavailableError, Lease, Leases

LEASE_S = 10.0
RENEW_S = 2.0
STOP_S = 6.0


class LeaseKeeper:
    """Holds one lease.

    Args:
        leases: Where leases are noted.
        name: Of the lease, such as the account set.
        holder: Who this is, for people.
        boottime_ns: Reads the boot clock.
        is_successor: A file lock proves that earlier processes of this holder are dead, so that
            their lease need not run out first. May be set later, before the first renewal.
    """

    def __init__(
        self,
        leases: Leases,
        name: str,
        holder: str,
        boottime_ns: Callable[[], int],
        *,
        is_successor: bool = False,
    ) -> None:
        self.is_successor = is_successor
        self._leases = leases
        self._name = name
        self._holder = holder
        self._boottime_ns = boottime_ns
        self._lease: Lease | None = None
        self._renewed_ns = 0

    @property
    def token(self) -> int | None:
        """The token to send under; None when nothing may be sent now."""
        lease = self._lease
        if lease is None or self.left_ns() <= 0:
            return None
        return lease.token

    def left_ns(self) -> int:
        """Return for how long sending is allowed without another renewal; at least 0.

        Ask it as the last statement before bytes leave: a process may be paused at any other.
        """
        if self._lease is None:
            return 0
        return max(0, self._renewed_ns + int(STOP_S * 1e9) - self._boottime_ns())

    async def renew(self) -> bool:
        """Take or prolong the lease once; return whether sending is allowed."""
        # Counted from before the question: the answer may have been long on its way.
        asked_ns = self._boottime_ns()
        try:
            if self._lease is not None and await self._leases.renew_lease(self._lease):
                self._renewed_ns = asked_ns
            else:
                self._lease = await self._leases.acquire_lease(
                    self._name, self._holder, LEASE_S, is_successor=self.is_successor
                )
                self._renewed_ns = asked_ns
        except JournalUnavailableError:
            # Not known: what is left of the last renewal still counts, and no more.
            pass
        return self.token is not None

    async def keep(self) -> None:
        """Renew until cancelled; then give the lease back."""
        try:
            while True:
                await self.renew()
                await asyncio.sleep(RENEW_S)
        finally:
            await self.give_back()

    async def give_back(self) -> None:
        """Stop sending and let the next one begin at once."""
        lease, self._lease = self._lease, None
        if lease is not None:
            try:
                await self._leases.release_lease(lease)
            except JournalUnavailableError:
                # It ends by itself.
                return
