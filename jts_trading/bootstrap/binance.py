"""The line to Binance's public market data: no key, one weight for all calls of this address."""

import asyncio

import httpx

from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.brokers.binance.errors import VenueBusyError
from jts_trading.brokers.binance.feed import BinanceFeed
from jts_trading.brokers.binance.limits import WEIGHT_PER_MIN
from jts_trading.brokers.binance.rest import BinanceRest
from jts_trading.brokers.binance.stream import BinanceStream
from jts_trading.ports.state import Limit, State, StateUnavailableError

_WEIGHT = Limit("binance/address/weight", WEIGHT_PER_MIN, 60_000)
_US_PER_S = 1_000_000


async def open_binance(
    daemon: DaemonSettings, stores: Stores, state: State
) -> tuple[BinanceFeed, BinanceRest]:
    """Return feed and questions of one socket; they close with the connections of the role."""
    settings = daemon.binance
    timeout = httpx.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
    http = await stores.enter(httpx.AsyncClient(timeout=timeout, trust_env=False))

    async def acquire(weight: int) -> None:
        try:
            while wait_us := await state.take(_WEIGHT, weight):  # noqa: ASYNC110 - no event
                await asyncio.sleep(wait_us / _US_PER_S)
        except StateUnavailableError as error:
            # Nobody knows what is left; the venue bans addresses that take more.
            raise VenueBusyError(f"Binance: {error}") from error

    rest = BinanceRest(settings, http, stores.clock, acquire=acquire)
    stream = BinanceStream(settings, rest.snapshot, clock=stores.clock)
    return BinanceFeed(stream, settings), rest
