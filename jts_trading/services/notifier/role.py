"""The notifier role: alerts, failed orders and errors from the bus to people.

An entry is acknowledged after its alert was told or left out on purpose, so a crash repeats at
most one alert; a channel that fails is tried again until it works, and the bus keeps the rest.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.schemas import SchemaError
from jts_trading.ports.bus import Bus, Entry
from jts_trading.ports.clock import Clock
from jts_trading.ports.notifier import Notifier
from jts_trading.services.notifier.settings import NotifierSettings
from jts_trading.services.notifier.telling import Told, alert_of
from jts_trading.telemetry.metrics import Counters

GROUP = "notifier"
TOPICS = ("risk.alerts", "orders.failures", "system.errors")
_CONSUMER = "notifier"
_COUNT = 64
_WAIT_MS = 1000
_log = structlog.get_logger(__name__)


class NotifierRole:
    """Tells people; see the module.

    Args:
        notifier: How.
        bus: Where alerts come from.
        clock: Dates summaries.
        boottime_ns: Real time.
        settings: Section `notifier`.
    """

    name = "notifier"

    def __init__(
        self,
        *,
        notifier: Notifier,
        bus: Bus,
        clock: Clock,
        boottime_ns: Callable[[], int],
        settings: NotifierSettings,
    ) -> None:
        self._notifier = notifier
        self._bus = bus
        self._clock = clock
        self._boottime_ns = boottime_ns
        self._settings = settings
        self._told = Told(again_s=settings.again_s, per_minute_max=settings.told_per_minute_max)
        self._counters = Counters()
        self._why = "starting"

    async def run(self) -> None:
        """Tell until cancelled."""
        pause_s = self._settings.retry_s
        is_resuming = True
        while True:
            try:
                if is_resuming:
                    await self._resume()
                    is_resuming = False
                entries = await self._bus.consume(
                    TOPICS, GROUP, _CONSUMER, count=_COUNT, wait_ms=_WAIT_MS
                )
                await self._take(entries)
            except TransientError as error:
                if str(error) != self._why:
                    _log.warning("store_away", error=str(error))
                self._why, is_resuming = str(error), True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._settings.retry_s_max)
            else:
                self._why, pause_s = "", self._settings.retry_s

    def readiness(self) -> tuple[str, ...]:
        """Return why people are not told; empty when they are."""
        return (self._why,) if self._why else ()

    def metrics(self) -> dict[str, float]:
        """Return counters by sample name."""
        self._counters.put("repeated_alerts", self._told.repeated)
        self._counters.put("crowded_alerts", self._told.crowded)
        return self._counters.samples()

    async def _resume(self) -> None:
        """Take what an earlier process, or this one before a failure, did not acknowledge."""
        for topic in TOPICS:
            await self._take(
                await self._bus.claim(topic, GROUP, _CONSUMER, idle_ms=0, count=_COUNT)
            )

    async def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            alert = self._read(entry)
            if alert is not None and self._told.is_due(alert, self._boottime_ns()):
                await self._tell(alert)
            await self._bus.acknowledge(GROUP, [entry])
        summary = self._told.summary(self._boottime_ns(), self._clock.now_ns())
        if summary is not None:
            await self._tell(summary)

    async def _tell(self, alert: RiskAlert) -> None:
        pause_s = self._settings.retry_s
        while True:
            try:
                await self._notifier.notify(alert)
                break
            except TransientError as error:
                if str(error) != self._why:
                    _log.warning("nobody_told", error=str(error), text=alert.text)
                self._why = str(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._settings.retry_s_max)
        self._told.note(alert, self._boottime_ns())
        self._counters.add("told_total", severity=alert.severity)

    def _read(self, entry: Entry) -> RiskAlert | None:
        envelope = entry.envelope
        try:
            message = MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
        except SchemaError as error:
            _log.warning("entry_unreadable", topic=entry.topic, error=str(error))
            self._counters.add("unreadable_entries_total", topic=entry.topic)
            return None
        alert = alert_of(message, envelope.ts_event_ns)
        if alert is None:
            self._counters.add("passed_over_total", topic=entry.topic)
        return alert
