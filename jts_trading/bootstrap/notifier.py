"""Wires the notifier: log lines for now."""

from jts_trading.bootstrap.settings import DaemonSettings
from jts_trading.bootstrap.stores import Stores
from jts_trading.notify.log_lines import LogNotifier
from jts_trading.ports.clock import boottime_ns
from jts_trading.services.notifier.role import NotifierRole
from jts_trading.services.notifier.settings import NotifierSettings


async def build(daemon: DaemonSettings, stores: Stores) -> NotifierRole:
    """Return the notifier, not yet running.

    Raises:
        ConfigError: The section `notifier` cannot be used.
    """
    return NotifierRole(
        notifier=LogNotifier(),
        bus=stores.bus(),
        clock=stores.clock,
        boottime_ns=boottime_ns,
        settings=daemon.source.load(NotifierSettings, "notifier"),
    )
