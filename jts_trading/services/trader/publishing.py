"""Closed bars and alerts onto the bus: in order, bounded, never in the way of a decision."""

from collections import deque
from typing import NamedTuple

import msgspec

from jts_trading.domain.feed_messages import BarsClosed, RiskAlert
from jts_trading.domain.messages import MESSAGES
from jts_trading.engine.events import Effect
from jts_trading.ports.bus import Bus, BusUnavailableError, Envelope
from jts_trading.telemetry.metrics import Counters

ALERTS = "risk.alerts"
_CANDLES = {
    "KRX": "market-data.krx.candles",
    "NXT": "market-data.krx.candles",
    "UPBIT": "market-data.crypto.candles",
    "BINANCE": "market-data.crypto.candles",
}


class _Message(NamedTuple):
    topic: str
    envelope: Envelope


class Publisher:
    """What waits to be published.

    Args:
        bus: Where it goes.
        waiting_max: Most messages that wait; older ones are dropped and counted.
        counters: Of the role.
    """

    def __init__(self, bus: Bus, waiting_max: int, counters: Counters) -> None:
        self._bus = bus
        self._counters = counters
        self._waiting: deque[_Message] = deque(maxlen=waiting_max)

    @property
    def is_empty(self) -> bool:
        """Whether everything was published."""
        return not self._waiting

    def add(self, effect: Effect, now_ns: int) -> None:
        """Take bars or an alert in; bars of venues without a topic are left out."""
        event = effect.event
        if isinstance(event, BarsClosed):
            topic = _CANDLES.get(event.venue)
            at_ns = event.start_ns
        elif isinstance(event, RiskAlert):
            topic, at_ns = ALERTS, event.ts_ns
        else:
            return
        if topic is None:
            return
        if len(self._waiting) == self._waiting.maxlen:
            self._counters.add("dropped_messages_total")
        kind, version = MESSAGES.identify(event)
        self._waiting.append(
            _Message(
                topic,
                Envelope(
                    type=kind,
                    version=version,
                    id=effect.event_id,
                    correlation_id=effect.correlation_id,
                    causation_id=effect.causation_id or effect.event_id,
                    source="trader",
                    ts_event_ns=at_ns,
                    ts_recv_ns=now_ns,
                    payload=msgspec.msgpack.encode(event),
                ),
            )
        )

    async def flush(self) -> None:
        """Publish what waits, as far as the bus takes it."""
        while self._waiting:
            message = self._waiting[0]
            try:
                await self._bus.publish(message.topic, message.envelope)
            except BusUnavailableError:
                return
            self._waiting.popleft()
