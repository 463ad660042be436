"""Wires the recorder."""

import time

from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.services.recorder.role import Recorder
from jts_trading.services.recorder.settings import RecorderSettings


async def build(daemon: DaemonSettings, stores: Stores) -> Recorder:
    """Return the recorder, not yet running.

    Raises:
        ConfigError: The section `recorder` cannot be used.
    """
    return Recorder(
        bus=stores.bus(),
        journal=stores.journal(),
        market=stores.market(),
        clock=stores.clock,
        monotonic_ns=time.monotonic_ns,
        settings=daemon.source.load(RecorderSettings, "recorder"),
    )
