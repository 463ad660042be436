"""What every role that talks to KIS shares: one client, one token, one set of quotas."""

from dataclasses import dataclass
from pathlib import Path

import httpx

from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.brokers.kis.access import FileTokens, KisAccess
from jts_trading.brokers.kis.limits import Acquire
from jts_trading.brokers.kis.permits import KisPermits
from jts_trading.brokers.kis.settings import KisSettings
from jts_trading.brokers.kis.transport import KisTransport
from jts_trading.execution.priority import Priority
from jts_trading.ports.clock import Clock, boottime_ns
from jts_trading.ports.state import State


@dataclass(frozen=True, slots=True)
class KisLine:
    """One process's line to KIS.

    Attributes:
        settings: The account.
        access: Tokens and approval keys; the token file is shared with the other processes.
        permits: Quotas of the app key, shared through the state.
        clock: Of the instance.
        http: The client of all calls.
    """

    settings: KisSettings
    access: KisAccess
    permits: KisPermits
    clock: Clock
    http: httpx.AsyncClient

    def transport(self, acquire: Acquire) -> KisTransport:
        """Return a transport whose calls take permits from `acquire`."""
        return KisTransport(self.settings, self.access, self.http, acquire=acquire)

    def queries(self) -> KisTransport:
        """Return a transport for questions, which give way to cancels and exits."""
        return self.transport(self.permits.acquire_as(Priority.QUERY))


async def open_kis(daemon: DaemonSettings, stores: Stores, state: State) -> KisLine:
    """Open the line of one role; it closes with the connections of the role."""
    settings = daemon.kis
    timeout = httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
    # A proxy of the environment is for the world outside; this is a simulator on loopback.
    http = await stores.enter(httpx.AsyncClient(timeout=timeout, trust_env=False))
    token_file = Path(settings.token_path)
    token_file.parent.mkdir(parents=True, exist_ok=True)
    permits = KisPermits(settings, daemon.kis_keys, state, monotonic_ns=boottime_ns)
    access = KisAccess(
        settings,
        daemon.kis_keys,
        http,
        clock=stores.clock,
        store=FileTokens(token_file),
        acquire=permits.acquire_as(Priority.QUERY),
    )
    return KisLine(settings, access, permits, stores.clock, http)
