"""The topics and their retention: one table, the outer contract of the bus."""

from dataclasses import dataclass

from jts_trading.ports.bus import BusRefusedError

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Topic:
    """A named stream.

    Attributes:
        retention_s: Seconds that an entry is kept.
        is_market: Entries are also in the hot tier and may be shed early.
    """

    name: str
    retention_s: int
    is_market: bool = False

    @property
    def is_archived(self) -> bool:
        """Whether entries are archived before they are trimmed."""
        return self.retention_s >= 30 * _DAY_S

    @property
    def dead_letters(self) -> str:
        """The stream of entries that could not be read or applied."""
        return f"{self.name}.dead"


_RETENTION_DAYS = {
    "market-data.krx.ticks": 1,
    "market-data.krx.candles": 7,
    "market-data.crypto.ticks": 1,
    "market-data.crypto.candles": 7,
    "market-data.gaps": 7,
    "signals.entry.buy": 30,
    "signals.entry.sell": 30,
    "signals.exit.all": 30,
    "orders.pending": 1,
    "orders.executions": 30,
    "orders.failures": 7,
    "orders.notices": 1,
    "portfolio.updates": 30,
    "risk.alerts": 7,
    "risk.metrics": 1,
    "system.health": 3,
    "system.errors": 7,
    "system.metrics": 1,
    "backtest.requests": 1,
    "backtest.results": 30,
    "strategies.releases": 30,
    "trading.inputs": 30,
}

TOPICS = {
    name: Topic(
        name, days * _DAY_S, is_market=name.startswith(("market-data.krx", "market-data.c"))
    )
    for name, days in _RETENTION_DAYS.items()
}


def find_topic(name: str) -> Topic:
    """Return a topic by its name.

    Raises:
        BusRefusedError: No topic has this name.
    """
    try:
        return TOPICS[name]
    except KeyError:
        raise BusRefusedError(f"topic {name!r} is unknown; known: {', '.join(TOPICS)}") from None
