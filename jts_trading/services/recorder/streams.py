"""Ticks and gaps from the bus into the store.

Theory of operation. Entries are taken from the group `recorder`, and acknowledged only after their
rows were stored; killed in between, they come again and make the same rows. While rows are being
stored nothing is read, so that memory holds one batch, and the bus holds what waits behind it.

An entry of which no rows can be made is not acknowledged. It comes back with what other consumers
left behind, and the bus moves it to the dead letters when it has come too often.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from jts_trading.domain.errors import JtsError
from jts_trading.domain.feed_messages import GapSeen, TicksCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.bus import Bus, Entry
from jts_trading.ports.clock import Clock
from jts_trading.ports.market import MarketRefusedError, Row
from jts_trading.services.recorder.patience import Patience
from jts_trading.services.recorder.rows import RowError, gap_row, tick_rows
from jts_trading.services.recorder.settings import RecorderSettings
from jts_trading.services.recorder.writing import RowWriter
from jts_trading.telemetry.metrics import Counters

TOPICS = ("market-data.krx.ticks", "market-data.crypto.ticks", "market-data.gaps")
GROUP = "recorder"
CONSUMER = "recorder"
_IDLE_MS = 1_000
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry with the rows that are made of it."""

    entry: Entry
    dataset: str
    rows: tuple[Row, ...]


class StreamRecording:
    """The part of the recorder that reads the bus.

    Args:
        bus: Where ticks and gaps are.
        writer: Into the store.
        patience: Of this part.
        counters: Of the role.
        clock: Of the instance.
        monotonic_ns: Reads real monotonic time.
        settings: Bounds and pauses.
    """

    def __init__(
        self,
        bus: Bus,
        writer: RowWriter,
        patience: Patience,
        counters: Counters,
        *,
        clock: Clock,
        monotonic_ns: Callable[[], int],
        settings: RecorderSettings,
    ) -> None:
        self._bus = bus
        self._writer = writer
        self._patience = patience
        self._counters = counters
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._settings = settings
        self._waiting: list[Taken] = []
        self._waiting_rows = 0
        self._first_ns = 0
        self._claim_at_ns = 0

    async def run(self) -> None:
        """Record until cancelled."""
        await self._take_over(idle_ms=0)
        while True:
            entries = await self._patience.insist(self._read)
            self._gather(entries)
            if self._is_due():
                await self._store()
            elif not self._waiting:
                self._counters.put("lag_seconds", 0, part="streams")
            if self._monotonic_ns() >= self._claim_at_ns:
                await self._store()
                await self._take_over(idle_ms=self._claim_ns // 1_000_000)

    @property
    def _claim_ns(self) -> int:
        return int(self._settings.claim_s * _NS_PER_S)

    async def _read(self) -> list[Entry]:
        return await self._bus.consume(
            TOPICS, GROUP, CONSUMER, count=self._settings.entries, wait_ms=self._wait_ms()
        )

    def _wait_ms(self) -> int:
        until_ns = min(self._due_ns(), self._claim_at_ns) if self._waiting else self._claim_at_ns
        left_ms = (until_ns - self._monotonic_ns()) // 1_000_000
        return max(1, min(_IDLE_MS, left_ms))

    def _due_ns(self) -> int:
        return self._first_ns + int(self._settings.batch_s * _NS_PER_S)

    def _is_due(self) -> bool:
        if not self._waiting:
            return False
        is_full = self._waiting_rows >= self._settings.batch_rows
        return is_full or self._monotonic_ns() >= self._due_ns()

    async def _take_over(self, *, idle_ms: int) -> None:
        """Store what was delivered and not acknowledged: before a crash, or refused since."""
        for topic in TOPICS:
            # As long as pages end up stored: what cannot be stored stays pending.
            while await self._take_over_page(topic, idle_ms):
                pass
        self._claim_at_ns = self._monotonic_ns() + self._claim_ns

    async def _take_over_page(self, topic: str, idle_ms: int) -> bool:
        count = self._settings.entries
        entries = await self._patience.insist(
            lambda: self._bus.claim(topic, GROUP, CONSUMER, idle_ms=idle_ms, count=count)
        )
        self._counters.add("claimed_total", len(entries))
        self._gather(entries)
        return await self._store() == len(entries) == count

    def _gather(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            try:
                taken = self._open(entry)
            except JtsError as error:
                self._refuse(entry, error)
                continue
            if not self._waiting:
                self._first_ns = self._monotonic_ns()
            self._waiting.append(taken)
            self._waiting_rows += len(taken.rows)

    def _open(self, entry: Entry) -> Taken:
        """Return the rows of an entry.

        Raises:
            SchemaError: Its payload is not of a registered shape.
            RowError: It is no message of its topic, or no rows can be made of it.
            InstrumentError: A venue is unknown.
        """
        said = entry.envelope
        message = MESSAGES.decode(said.type, said.version, said.payload)
        match message:
            case TicksCollected():
                rows = tuple(tick_rows(message, entry.topic))
                self._counters.add("books_total", len(message.ticks) - len(rows))
                return Taken(entry, "ticks", rows)
            case GapSeen():
                row = gap_row(message, entry.topic, entry.entry_id, said.ts_recv_ns)
                return Taken(entry, "gaps", (row,))
            case _:
                raise RowError(f"{said.type} is no message of {entry.topic}")

    async def _store(self) -> int:
        """Store and acknowledge what waits; return how many entries."""
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        if not waiting:
            return 0
        try:
            await self._write(waiting)
            stored = waiting
        except MarketRefusedError:
            # One bad row must not keep the others out.
            stored = [taken for taken in waiting if await self._is_stored(taken)]
        entries = [taken.entry for taken in stored]
        await self._patience.insist(lambda: self._bus.acknowledge(GROUP, entries))
        newest_ns = max(taken.entry.envelope.ts_recv_ns for taken in waiting)
        lag_s = max(0, self._clock.now_ns() - newest_ns) / _NS_PER_S
        self._counters.put("lag_seconds", lag_s, part="streams")
        return len(stored)

    async def _write(self, taken: Sequence[Taken]) -> None:
        by_dataset: dict[str, list[Row]] = {}
        for each in taken:
            by_dataset.setdefault(each.dataset, []).extend(each.rows)
        for dataset, rows in by_dataset.items():
            await self._writer.write(dataset, rows)

    async def _is_stored(self, taken: Taken) -> bool:
        try:
            await self._write([taken])
        except MarketRefusedError as error:
            self._refuse(taken.entry, error)
            return False
        return True

    def _refuse(self, entry: Entry, error: JtsError) -> None:
        self._counters.add("refused_total", part="streams")
        _log.error(
            "entry_refused", topic=entry.topic, entry_id=entry.entry_id, error=str(error)[:300]
        )
