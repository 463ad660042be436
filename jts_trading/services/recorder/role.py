"""The recorder: what happened, into the hot tier, each row exactly once.

Two parts that do not wait for each other: `streams` reads ticks and gaps from the bus, `tail`
reads signals, decisions, orders and fills from the journal. A store that is away is asked again
until it answers; bus and journal hold what is not recorded yet.
"""

import asyncio
from collections.abc import Callable

from jts_trading.ports.bus import Bus
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal
from jts_trading.ports.market import Market
from jts_trading.services.recorder.patience import Patience
from jts_trading.services.recorder.settings import RecorderSettings
from jts_trading.services.recorder.streams import StreamRecording
from jts_trading.services.recorder.tail import JournalTail
from jts_trading.services.recorder.writing import RowWriter
from jts_trading.telemetry.metrics import Counters, Latency


class Recorder:
    """Records ticks, gaps, signals, decisions, orders and fills.

    Args:
        bus: Ticks and gaps.
        journal: All the rest.
        market: Where it is recorded.
        clock: Of the instance; lags are measured by it.
        monotonic_ns: Reads real monotonic time; batches are timed by it.
        settings: Bounds and pauses.

    Attributes:
        name: Of the role.
    """

    name = "recorder"

    def __init__(
        self,
        *,
        bus: Bus,
        journal: Journal,
        market: Market,
        clock: Clock,
        monotonic_ns: Callable[[], int],
        settings: RecorderSettings | None = None,
    ) -> None:
        settings = settings or RecorderSettings()
        self._counters = Counters()
        self._appending = Latency()
        self._parts = {part: self._patience(part, settings) for part in ("streams", "journal")}
        writers = {
            part: RowWriter(
                market,
                patience,
                self._counters,
                self._appending,
                monotonic_ns=monotonic_ns,
                batch_rows=settings.batch_rows,
            )
            for part, patience in self._parts.items()
        }
        self._streams = StreamRecording(
            bus,
            market,
            writers["streams"],
            self._parts["streams"],
            self._counters,
            clock=clock,
            monotonic_ns=monotonic_ns,
            settings=settings,
        )
        self._tail = JournalTail(
            journal,
            market,
            writers["journal"],
            self._parts["journal"],
            self._counters,
            clock=clock,
            settings=settings,
        )

    async def run(self) -> None:
        """Record until cancelled; a start continues where the last one was killed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._streams.run(), name="recorder-streams")
            group.create_task(self._tail.run(), name="recorder-journal")

    def readiness(self) -> tuple[str, ...]:
        """Return which store does not answer; empty when both parts record."""
        return tuple(part.reason for part in self._parts.values() if part.reason)

    def metrics(self) -> dict[str, float]:
        """Return rows, batches, lags and the time that a batch takes."""
        return {**self._counters.samples(), **self._appending.samples("append")}

    def _patience(self, part: str, settings: RecorderSettings) -> Patience:
        return Patience(
            part, self._counters, pause_s=settings.retry_s, pause_s_max=settings.retry_s_max
        )
