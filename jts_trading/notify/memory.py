"""Telling nobody: alerts are kept in memory, for tests and simulation."""

from collections import deque

from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import RiskAlert

KEPT_MAX = 10_000


class MemoryNotifier:
    """Keeps the newest alerts; see `ports.notifier.Notifier`.

    Attributes:
        told: Oldest first.
        failures: So many of the next calls fail.
    """

    def __init__(self) -> None:
        self.told: deque[RiskAlert] = deque(maxlen=KEPT_MAX)
        self.failures = 0

    async def notify(self, alert: RiskAlert) -> None:
        """Keep one alert.

        Raises:
            TransientError: A failure was asked for.
        """
        if self.failures:
            self.failures -= 1
            raise TransientError("nobody can be told now")
        self.told.append(alert)
