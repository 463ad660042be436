"""Gaps as they are told: one message when a gap begins, one when it ends, floods in one line.

What happens to single frames and ticks (undecodable, quarantined) is gathered for a second of real
time by instrument and reason; all else is told at once.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from jts_trading.domain.feed_messages import GapSeen, NoticesCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.bus import Envelope
from jts_trading.services.collector.shipping import Hints
from jts_trading.telemetry.metrics import Counters

GAPS = "market-data.gaps"
NOTICES = "orders.notices"
Kind = Literal["disconnected", "silent", "missed", "undecodable", "quarantined"]


class _Place(NamedTuple):
    feed: str
    kind: Kind
    instrument_id: str
    reason: str


class _Span(NamedTuple):
    start_ns: int
    end_ns: int
    missing: int
    correlation_id: str


class Gaps:
    """Tells gaps on the bus.

    Args:
        hints: Publishes them.
        source: Who tells.
        now_ns: Instance time, UTC ns.
        counters: Metrics of the role.
    """

    def __init__(
        self, hints: Hints, source: str, now_ns: Callable[[], int], counters: Counters
    ) -> None:
        self._hints = hints
        self._source = source
        self._now_ns = now_ns
        self._counters = counters
        self._gathered: dict[_Place, _Span] = {}

    def tell(self, gap: GapSeen, correlation_id: str) -> None:
        """Tell a gap now."""
        end = gap.end_ns or "open"
        subject = f"{gap.feed}/{gap.kind}/{gap.instrument_id}"
        if gap.end_ns:
            self._counters.add("gaps_total", feed=gap.feed, kind=gap.kind)
        name = f"gap/{subject}/{gap.start_ns}/{end}"
        self._hints.tell(GAPS, self._envelope(gap, name, correlation_id, gap.start_ns))

    def gather(
        self, feed: str, kind: Kind, instrument_id: str, reason: str, correlation_id: str
    ) -> None:
        """Count one frame or tick that cannot be used; told with the next `flush`."""
        place = _Place(feed, kind, instrument_id, reason)
        now = self._now_ns()
        before = self._gathered.get(place, _Span(now, now, 0, correlation_id))
        self._gathered[place] = before._replace(end_ns=now, missing=before.missing + 1)

    def flush(self) -> None:
        """Tell what was gathered."""
        gathered, self._gathered = self._gathered, {}
        for place, span in gathered.items():
            gap = GapSeen(
                feed=place.feed,
                instrument_id=place.instrument_id,
                kind=place.kind,
                start_ns=span.start_ns,
                # A gap that ends is told as ended, however short it was.
                end_ns=max(span.end_ns, span.start_ns + 1),
                missing=Decimal(span.missing),
                reason=place.reason,
            )
            self.tell(gap, span.correlation_id)

    def tell_notices(self, notices: NoticesCollected, correlation_id: str) -> None:
        """Tell what a stream says about own orders."""
        first = notices.notices[0]
        name = f"notices/{correlation_id}/{notices.account}"
        envelope = self._envelope(notices, name, correlation_id, first.ts_event_ns)
        self._hints.tell(NOTICES, envelope)

    def _envelope(
        self, message: msgspec.Struct, name: str, correlation_id: str, event_ns: int
    ) -> Envelope:
        kind, version = MESSAGES.identify(message)
        return Envelope(
            type=kind,
            version=version,
            id=name,
            correlation_id=correlation_id,
            causation_id=correlation_id,
            source=self._source,
            ts_event_ns=event_ns,
            ts_recv_ns=self._now_ns(),
            payload=msgspec.msgpack.encode(message),
        )
