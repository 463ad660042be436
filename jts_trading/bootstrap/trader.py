"""Wires the trader."""

import time
from pathlib import Path

from jts_trading.bootstrap.listing import listed_in
from jts_trading.bootstrap.memory import settle_memory, tidy_memory
from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.kernels.loader import load
from jts_trading.kernels.own_indicators import load_catalog
from jts_trading.services.trader.memory import Memory
from jts_trading.services.trader.role import Trader
from jts_trading.services.trader.settings import TraderSettings


async def build(daemon: DaemonSettings, stores: Stores) -> Trader:
    """Return the trader, not yet running.

    Raises:
        ConfigError: The section `trader` cannot be used.
        InputError: The list of instruments cannot be read.
        OwnIndicatorError: An indicator of the configured folder cannot be used.
    """

    def load_kernel(source: str, cache_dir: Path) -> object:
        return load(source, cache_dir)

    return Trader(
        bus=stores.bus(),
        journal=stores.journal(),
        market=stores.market(),
        clock=stores.clock,
        monotonic_ns=time.monotonic_ns,
        home=stores.home,
        load_kernel=load_kernel,
        listing_of=listed_in(stores),
        catalog=load_catalog(daemon.settings.indicators.own),
        speed=stores.speed,
        settings=daemon.source.load(TraderSettings, "trader"),
        memory=Memory(settle_memory, tidy_memory),
    )
