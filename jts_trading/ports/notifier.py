"""The notifier port: what a person should hear of."""

from typing import Protocol

from jts_trading.domain.feed_messages import RiskAlert


class Notifier(Protocol):
    """Tells people."""

    async def notify(self, alert: RiskAlert) -> None:
        """Tell one thing once.

        Raises:
            TransientError: Nobody was told; repeat it.
        """
        ...
