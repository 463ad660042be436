"""Telling people: alerts on the bus, in the log, and never in the way of an order."""

import asyncio
import contextlib
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import msgspec
import structlog

from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import RiskAlert
from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.bus import Bus, Envelope
from jts_trading.ports.clock import Clock

TOPIC = "risk.alerts"
_AGAIN_S = 30.0
_KEPT_MAX = 1_000
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger(__name__)

Severity = Literal["info", "warning", "critical"]


class Alerts:
    """Publishes alerts, the same one at most every 30 s.

    Args:
        bus: Where they go.
        source: Who says it.
        clock: Dates them.
        monotonic_ns: Real time.
    """

    def __init__(
        self, bus: Bus, *, source: str, clock: Clock, monotonic_ns: Callable[[], int]
    ) -> None:
        self._bus = bus
        self._source = source
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._said: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._waiting: asyncio.Queue[RiskAlert] = asyncio.Queue(_KEPT_MAX)

    def say(self, severity: Severity, check: str, subject: str, text: str) -> None:
        """Tell one thing, later; a bus that does not answer loses it, the log keeps it."""
        now_ns = self._monotonic_ns()
        said_ns = self._said.get((check, subject))
        if said_ns is not None and now_ns - said_ns < _AGAIN_S * _NS_PER_S:
            return
        self._said[check, subject] = now_ns
        while len(self._said) > _KEPT_MAX:
            self._said.popitem(last=False)
        log = _log.info if severity == "info" else _log.warning
        log("risk_alert", severity=severity, check=check, subject=subject, text=text)
        alert = RiskAlert(
            severity=severity,
            check=check,
            subject=subject,
            text=text,
            ts_ns=self._clock.now_ns(),
        )
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(alert)

    async def publish(self) -> None:
        """Publish what was said, until cancelled."""
        while True:
            alert = await self._waiting.get()
            with contextlib.suppress(TransientError):
                await self._bus.publish(TOPIC, self._envelope(alert))

    def _envelope(self, alert: RiskAlert) -> Envelope:
        kind, version = MESSAGES.identify(alert)
        name = str(uuid.uuid4())
        return Envelope(
            type=kind,
            version=version,
            id=name,
            correlation_id=name,
            causation_id=name,
            source=self._source,
            ts_event_ns=alert.ts_ns,
            ts_recv_ns=alert.ts_ns,
            payload=msgspec.msgpack.encode(alert),
        )
