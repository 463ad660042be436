"""Alerts of the role: told once while they last, in a bounded queue towards the bus."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.bus import Bus, BusUnavailableError, Envelope
from jts_trading.telemetry.metrics import Counters

TOPIC = "risk.alerts"
QUEUE_MAX = 256
REMEMBERED_MAX = 4096
_NS_PER_S = 1_000_000_000
_RETRY_S = 1.0
_log = structlog.get_logger(__name__)


class Alerts:
    """Tells alerts.

    Args:
        bus: Where they go.
        source: Who tells.
        boottime_ns: Real time.
        again_s: The same alert is not told again within this time.
        counters: Of the role.
    """

    def __init__(
        self,
        bus: Bus,
        source: str,
        boottime_ns: Callable[[], int],
        again_s: float,
        counters: Counters,
    ) -> None:
        self._bus = bus
        self._source = source
        self._boottime_ns = boottime_ns
        self._again_ns = int(again_s * _NS_PER_S)
        self._counters = counters
        self._told: dict[tuple[str, str, str], int] = {}
        self._waiting: deque[RiskAlert] = deque(maxlen=QUEUE_MAX)
        self._news = asyncio.Event()

    def tell(self, alert: RiskAlert) -> None:
        """Tell an alert unless it was told a moment ago; never waits."""
        key, now_ns = (alert.check, alert.subject, alert.text), self._boottime_ns()
        told_ns = self._told.get(key)
        if told_ns is not None and now_ns - told_ns < self._again_ns:
            return
        self._told[key] = now_ns
        if len(self._told) > REMEMBERED_MAX:
            self._told.pop(next(iter(self._told)))
        self._counters.add("alerts_total", severity=alert.severity)
        if len(self._waiting) == QUEUE_MAX:
            self._counters.add("alerts_dropped_total")
        self._waiting.append(alert)
        self._news.set()
        _log.warning(
            "alert",
            severity=alert.severity,
            check=alert.check,
            subject=alert.subject,
            text=alert.text,
        )

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                try:
                    await self._bus.publish(TOPIC, self._envelope(self._waiting[0]))
                except BusUnavailableError:
                    await asyncio.sleep(_RETRY_S)
                    continue
                self._waiting.popleft()

    def _envelope(self, alert: RiskAlert) -> Envelope:
        kind, version = MESSAGES.identify(alert)
        payload = msgspec.msgpack.encode(alert)
        name = f"alert/{self._source}/{hashlib.sha256(payload).hexdigest()[:24]}"
        return Envelope(
            type=kind,
            version=version,
            id=name,
            correlation_id=name,
            causation_id=name,
            source=self._source,
            ts_event_ns=alert.ts_ns,
            ts_recv_ns=alert.ts_ns,
            payload=payload,
        )
