"""Counters and gauges of one account."""

from jts_trading.telemetry.metrics import Counters


class Tally:
    """Counts for one account.

    Args:
        counters: Of the role.
        broker: Of the account; a label of everything counted here.
        account: Likewise.
    """

    def __init__(self, counters: Counters, broker: str, account: str) -> None:
        self._counters = counters
        self._broker = broker
        self._account = account

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter."""
        self._counters.add(name, amount, broker=self._broker, account=self._account)

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        self._counters.put(name, value, broker=self._broker, account=self._account)
