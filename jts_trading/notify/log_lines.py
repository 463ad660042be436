"""Telling people by structured log lines: the log of the notifier is what they read."""

import structlog

from jts_trading.domain.feed_messages import RiskAlert

_log = structlog.get_logger(__name__)


class LogNotifier:
    """Writes one line per alert; see `ports.notifier.Notifier`."""

    async def notify(self, alert: RiskAlert) -> None:
        """Write one alert; never fails."""
        write = {"critical": _log.error, "warning": _log.warning}.get(alert.severity, _log.info)
        write(
            "people_told",
            severity=alert.severity,
            check=alert.check,
            subject=alert.subject,
            text=alert.text,
            happened_ns=alert.ts_ns,
        )
