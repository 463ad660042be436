"""Ticks and gaps from the bus into the store.

Theory of operation. The recorder reads each topic behind a place of its own, which the store keeps
beside the rows. The place moves after the rows up to it were stored; killed in between, the
recorder reads some entries again and makes the same rows of them. While rows are being stored
nothing is read, so memory holds one batch, and the bus what waits behind it.

A consumer group would do the same, but gives an entry up that was delivered five times without an
acknowledgement, and that is what a recorder in a crash loop does to good entries.

A bus that was wiped is filled again under the same ids or under later ones; should its newest id
lie before our place, everything there is gets read again. An entry of which no rows can be made is
counted, logged and passed over. A jump in the tick numbers of a feed is a gap like any other.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog

from jts_trading.bus.entries import entry_key
from jts_trading.domain.errors import JtsError
from jts_trading.domain.feed_messages import GapSeen, TicksCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.bus import Bus, Entry
from jts_trading.ports.clock import Clock
from jts_trading.ports.market import Market, MarketRefusedError, Row
from jts_trading.services.recorder.patience import Patience
from jts_trading.services.recorder.rows import RowError, gap_row, tick_rows
from jts_trading.services.recorder.settings import RecorderSettings
from jts_trading.services.recorder.writing import RowWriter
from jts_trading.telemetry.metrics import Counters

TOPICS = ("market-data.krx.ticks", "market-data.crypto.ticks", "market-data.gaps")
BEGINNING = "0-0"
_READER = "recorder/"
_IDLE_MS = 1_000
_NS_PER_S = 1_000_000_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry with the rows that are made of it, by dataset."""

    entry: Entry
    rows: dict[str, list[Row]]


class StreamRecording:
    """The part of the recorder that reads the bus.

    Args:
        bus: Where ticks and gaps are.
        market: Keeps the places.
        writer: Into the same store.
        patience: Of this part.
        counters: Of the role.
        clock: Of the instance.
        monotonic_ns: Reads real monotonic time.
        settings: Bounds and pauses.
    """

    def __init__(
        self,
        bus: Bus,
        market: Market,
        writer: RowWriter,
        patience: Patience,
        counters: Counters,
        *,
        clock: Clock,
        monotonic_ns: Callable[[], int],
        settings: RecorderSettings,
    ) -> None:
        self._bus = bus
        self._market = market
        self._writer = writer
        self._patience = patience
        self._counters = counters
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._settings = settings
        self._places = dict.fromkeys(TOPICS, BEGINNING)
        self._followers = Followers()
        self._waiting: list[Taken] = []
        self._waiting_rows = 0
        self._due_ns = 0
        self._look_at_ns = 0

    async def run(self) -> None:
        """Record until cancelled."""
        kept = await self._patience.insist(self._market.places)
        self._places = {topic: kept.get(_READER + topic, BEGINNING) for topic in TOPICS}
        await self._look()
        while True:
            entries, self._places = await self._patience.insist(self._read)
            await self._gather(entries)
            if self._is_due():
                await self._store()
            elif not self._waiting:
                self._counters.put("lag_seconds", 0, part="streams")
                if self._monotonic_ns() >= self._look_at_ns:
                    await self._look()

    async def _read(self) -> tuple[list[Entry], dict[str, str]]:
        return await self._bus.read(
            self._places, count=self._settings.entries, wait_ms=self._wait_ms()
        )

    def _wait_ms(self) -> int:
        until_ns = self._due_ns if self._waiting else self._look_at_ns
        left_ms = (until_ns - self._monotonic_ns()) // 1_000_000
        return max(1, min(_IDLE_MS, left_ms))

    def _is_due(self) -> bool:
        is_full = self._waiting_rows >= self._settings.batch_rows
        return is_full or (bool(self._waiting) and self._monotonic_ns() >= self._due_ns)

    async def _look(self) -> None:
        """Go back to the beginning of a topic that ends before our place."""
        for topic, place in self._places.items():
            newest = await self._newest(topic)
            if newest is not None and newest < entry_key(place):
                _log.warning("topic_begins_anew", topic=topic, place=place)
                self._places[topic] = BEGINNING
        self._look_at_ns = self._monotonic_ns() + int(self._settings.look_s * _NS_PER_S)

    async def _newest(self, topic: str) -> tuple[int, int] | None:
        return await self._patience.insist(lambda: self._bus.newest(topic))

    async def _gather(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            # A full entry takes milliseconds; others must get their turn in between.
            await asyncio.sleep(0)
            try:
                rows = self._rows_of(entry)
            except JtsError as error:
                self._refuse(entry, error)
                continue
            if not self._waiting:
                age_ns = int(self._settings.batch_s * _NS_PER_S)
                self._due_ns = self._monotonic_ns() + age_ns
            self._waiting.append(Taken(entry, rows))
            self._waiting_rows += sum(map(len, rows.values()))

    def _rows_of(self, entry: Entry) -> dict[str, list[Row]]:
        """Return the rows of an entry by dataset.

        Raises:
            SchemaError: Its payload is not of a registered shape.
            RowError: It is no message of its topic, or no rows can be made of it.
            InstrumentError: A venue is unknown.
        """
        said = entry.envelope
        message = MESSAGES.decode(said.type, said.version, said.payload)
        match message:
            case TicksCollected():
                rows = {"ticks": list(tick_rows(message, entry.topic))}
                self._counters.add("books_total", len(message.ticks) - len(rows["ticks"]))
                gap = self._followers.follow(message, said.ts_recv_ns)
                if gap is not None:
                    self._counters.add("missing_ticks_total", int(gap.missing), feed=gap.feed)
                    rows["gaps"] = [gap_row(gap, entry.topic, entry.entry_id, said.ts_recv_ns)]
                return rows
            case GapSeen():
                row = gap_row(message, entry.topic, entry.entry_id, said.ts_recv_ns)
                return {"gaps": [row]}
            case _:
                raise RowError(f"{said.type} is no message of {entry.topic}")

    async def _store(self) -> None:
        """Store what waits, then note how far that was."""
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        try:
            await self._write(waiting)
        except MarketRefusedError:
            # One bad row must not keep the others out.
            for taken in waiting:
                await self._write_alone(taken)
        places = {_READER + topic: place for topic, place in self._places.items()}
        await self._patience.insist(lambda: self._market.keep_places(places))
        newest_ns = max(taken.entry.envelope.ts_recv_ns for taken in waiting)
        lag_s = max(0, self._clock.now_ns() - newest_ns) / _NS_PER_S
        self._counters.put("lag_seconds", lag_s, part="streams")

    async def _write(self, waiting: Sequence[Taken]) -> None:
        by_dataset: dict[str, list[Row]] = {}
        for taken in waiting:
            for dataset, rows in taken.rows.items():
                by_dataset.setdefault(dataset, []).extend(rows)
        for dataset, rows in by_dataset.items():
            await self._writer.write(dataset, rows)

    async def _write_alone(self, taken: Taken) -> None:
        try:
            await self._write([taken])
        except MarketRefusedError as error:
            self._refuse(taken.entry, error)

    def _refuse(self, entry: Entry, error: JtsError) -> None:
        self._counters.add("refused_total", part="streams")
        _log.error(
            "entry_refused", topic=entry.topic, entry_id=entry.entry_id, error=str(error)[:300]
        )


class Followers:
    """Knows which tick of each feed comes next."""

    def __init__(self) -> None:
        self._next: dict[str, tuple[int, int]] = {}

    def follow(self, collected: TicksCollected, ts_recv_ns: int) -> GapSeen | None:
        """Take note of an entry; return the gap before it if ticks are missing."""
        feed, first = collected.feed, collected.first_tick
        expected, since_ns = self._next.get(feed, (first, ts_recv_ns))
        self._next[feed] = (first + len(collected.ticks), ts_recv_ns)
        if first <= expected:
            return None
        return GapSeen(
            feed=feed,
            instrument_id="",
            kind="missed",
            start_ns=since_ns,
            end_ns=ts_recv_ns,
            missing=Decimal(first - expected),
            reason=f"ticks {expected} to {first - 1} were not on the bus",
        )
