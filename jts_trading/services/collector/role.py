"""The collector role: every feed of one process, from the bytes of a socket to the bus.

Theory of operation. Each feed has a `Reception`; all feeds of a market share one topic, whose only
writer this process is. What is on disk decides after a crash: raw frames say what arrived, the
entry log says what was published or is about to be. Start-up is recovery: frames behind the log
are decoded, entries behind the bus are published, then sockets open.

No frame, no venue and no bus ends this role; only its own disk does.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import structlog

from jts_trading.domain.errors import JtsError, TerminalError
from jts_trading.domain.feed_messages import GapSeen
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.market_store.frames import FrameKeeper
from jts_trading.ports.bus import Bus, BusUnavailableError
from jts_trading.ports.clock import Clock
from jts_trading.ports.history import History
from jts_trading.ports.state import State
from jts_trading.services.collector.batch import Batch
from jts_trading.services.collector.entry_log import (
    EntryLog,
    Lines,
    entries_directory,
    frames_directory,
)
from jts_trading.services.collector.gaps import GAPS, NOTICES, Gaps
from jts_trading.services.collector.hours import KOREAN, in_words, is_open, next_open_ns
from jts_trading.services.collector.prices import PriceBoard
from jts_trading.services.collector.reception import CollectedFeed, Reception
from jts_trading.services.collector.recovery import look_ahead, recover
from jts_trading.services.collector.settings import CollectorSettings
from jts_trading.services.collector.shipping import Hints, Shipper
from jts_trading.services.collector.silence import Silence
from jts_trading.telemetry.health import CLOSED
from jts_trading.telemetry.metrics import Counters, sample_name

_INPUTS = "trading.inputs"
_NS_PER_S = 1_000_000_000
_LOOK_S = 0.25
_FLUSH_LOOKS = 4
_TRIM_LOOKS = 40
_COMPACT_S = 30.0


class _Topic:
    """What belongs to one topic: its log and its shipper."""

    def __init__(self, log: EntryLog, shipper: Shipper) -> None:
        self.log = log
        self.shipper = shipper
        self.receptions: list[Reception] = []

    def lines(self) -> Lines:
        """Where the trades of all its feeds are."""
        return {reception.name: reception.judges.lines() for reception in self.receptions}


class Collector:
    """Collects feeds; see `ports.feed`.

    Args:
        feeds: The feeds, each with a name of its own.
        bus: Where ticks, notices and gaps go; the only writer of its tick topics is this process.
        state: Where the newest prices are shared.
        clock: The instance's time.
        home: The data root; files are below `trading/frames`.
        settings: Section `collector`.
        histories: Who answers quotes for daily limits, by broker.
        speed: Instance seconds per real second.
        monotonic_ns: Real time.

    Raises:
        SegmentError: Another process collects one of these feeds.
    """

    name = "collector"

    def __init__(
        self,
        *,
        feeds: Sequence[CollectedFeed],
        bus: Bus,
        state: State,
        clock: Clock,
        home: Path,
        settings: CollectorSettings,
        histories: Mapping[str, History],
        speed: Fraction = Fraction(1),
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._home = home
        self._settings = settings
        self._monotonic_ns = monotonic_ns
        self._counters = Counters()
        self._unplaced: dict[str, str] = {}
        self._hints = Hints(bus, settings.hints_max, self._counters)
        self._gaps = Gaps(self._hints, self.name, clock.now_ns, self._counters)
        self._board = PriceBoard(
            state,
            histories,
            pause_s=settings.price_pause_ms / 1000,
            retry_s=settings.limits_retry_s,
            counters=self._counters,
        )
        self._speed = speed
        beyond = max(Fraction(0), speed - 1) * Fraction(settings.latency_allowance_s)
        self._allowance_ns = int(beyond * _NS_PER_S)
        self._topics: dict[str, _Topic] = {}
        self._receptions = [self._reception(collected) for collected in feeds]
        self._first_ids = {collected.name: collected.instrument_ids for collected in feeds}

    async def run(self) -> None:
        """Collect until cancelled.

        Raises:
            OSError: Frames or entries cannot be kept: start again where there is room.
        """
        try:
            await self._collect()
        finally:
            # Whoever starts the role again in this process must find the files free.
            for reception in self._receptions:
                reception.batch.cut()
                reception.keeper.close()
            for topic in self._topics.values():
                topic.log.close()

    async def _collect(self) -> None:
        for name, topic in self._topics.items():
            await look_ahead(self._bus, name, topic.log, topic.receptions)
            recover(topic.log, topic.receptions)
        for reception in self._receptions:
            for instrument_id in self._first_ids[reception.name]:
                await self._subscribe(reception, instrument_id)
        async with asyncio.TaskGroup() as tasks:
            for topic in self._topics.values():
                tasks.create_task(topic.shipper.run())
            for reception in self._receptions:
                tasks.create_task(self._receive(reception))
            tasks.create_task(self._hints.run())
            tasks.create_task(self._board.share())
            tasks.create_task(self._board.learn_limits())
            tasks.create_task(self._look_often())
            tasks.create_task(self._compact_often())
            tasks.create_task(self._follow_inputs())

    def readiness(self) -> tuple[str, ...]:
        """Return why something that should be collected is not; empty while all is well.

        That a venue is closed is told, with when it opens, and is no defect.
        """
        now = self._clock.now_ns()
        reasons = [*self._unplaced.values(), *self._closed(now)]
        for reception in self._receptions:
            prefix = f"{reception.name}: "
            # A venue of which nothing is wanted need not be connected.
            is_wanted = bool(reception.silence.instruments)
            if reception.trouble and is_wanted and is_open(reception.feed.venue, now):
                reasons.append(prefix + reception.trouble)
            reasons += [prefix + reason for reason in reception.silence.reasons()]
            reasons += [
                f"{prefix}{instrument_id or 'own notices'}: {reason}"
                for instrument_id, reason in sorted(reception.refused.items())
            ]
        for name, topic in self._topics.items():
            if topic.shipper.trouble:
                reasons.append(f"{name}: {topic.shipper.trouble}")
        if self._board.trouble:
            reasons.append(f"prices: {self._board.trouble}")
        return tuple(reasons)

    def _closed(self, now_ns: int) -> list[str]:
        reasons = []
        for venue in sorted({reception.feed.venue for reception in self._receptions}):
            if not is_open(venue, now_ns):
                opens = next_open_ns(venue, now_ns)
                when = in_words(venue, opens) if opens is not None else "beyond its calendar"
                reasons.append(f"{CLOSED}: {venue}, next open {when}")
        return reasons

    def metrics(self) -> dict[str, float]:
        """Return counters and gauges by sample name."""
        samples = self._counters.samples()
        for reception in self._receptions:
            labels = {"feed": reception.name}
            samples[sample_name("feed_age_seconds", **labels)] = reception.age_s()
            samples[sample_name("feed_connected", **labels)] = float(reception.is_connected)
        for name, topic in self._topics.items():
            labels = {"topic": name}
            samples[sample_name("entries_waiting", **labels)] = float(topic.shipper.waiting)
            samples[sample_name("bus_in_step", **labels)] = float(topic.shipper.is_in_step)
            samples |= topic.shipper.lag.samples("publish_lag", **labels)
        return samples

    # Building

    def _reception(self, collected: CollectedFeed) -> Reception:
        market = "krx" if collected.feed.venue in KOREAN else "crypto"
        topic = self._topic(f"market-data.{market}.ticks")
        settings = self._settings
        batch = Batch(
            collected.name,
            self.name,
            topic.log,
            topic.shipper,
            lines=topic.lines,
            ticks_max=settings.entry_ticks_max,
            age_s_max=settings.entry_age_ms_max / 1000,
            monotonic_ns=self._monotonic_ns,
        )
        reception = Reception(
            collected,
            keeper=FrameKeeper(frames_directory(self._home, collected.name), settings.frames),
            batch=batch,
            gaps=self._gaps,
            board=self._board,
            silence=self._silence(collected.feed.venue),
            settings=settings,
            allowance_ns=self._allowance_ns,
            now_ns=self._clock.now_ns,
            monotonic_ns=self._monotonic_ns,
            counters=self._counters,
        )
        topic.receptions.append(reception)
        return reception

    def _silence(self, venue: str) -> Silence:
        settings = self._settings
        least_ns = int(self._speed * Fraction(settings.silent_real_s_min) * _NS_PER_S)
        after_s = settings.silent_after_s.get(venue)
        return Silence(venue, after_s, self._allowance_ns, least_ns)

    def _topic(self, name: str) -> _Topic:
        if name not in self._topics:
            log = EntryLog(entries_directory(self._home, name), self._settings.entries)
            shipper = Shipper(
                name,
                self._bus,
                log,
                queue_max=self._settings.queue_entries_max,
                now_ns=self._clock.now_ns,
                monotonic_ns=self._monotonic_ns,
                counters=self._counters,
            )
            self._topics[name] = _Topic(log, shipper)
        return self._topics[name]

    # Tasks

    async def _receive(self, reception: Reception) -> None:
        while True:
            try:
                await reception.run()
            except TerminalError as error:
                # The venue may change its mind, and a person may change the key.
                structlog.get_logger().error("feed_refused", feed=reception.name, error=str(error))
                reception.closed(self._clock.now_ns(), str(error))
            await asyncio.sleep(self._settings.feed_retry_s)

    async def _subscribe(self, reception: Reception, instrument_id: str) -> bool:
        try:
            await reception.feed.subscribe([instrument_id])
        except JtsError as error:
            self._unplaced[instrument_id] = f"{reception.name}: {instrument_id}: {error}"
            return False
        self._unplaced.pop(instrument_id, None)
        reception.silence.watch(instrument_id, self._clock.now_ns())
        return True

    async def _look_often(self) -> None:
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_S)
            looks += 1
            for reception in self._receptions:
                self._tell_silence(reception)
            if looks % _FLUSH_LOOKS == 0:
                self._gaps.flush()
            if looks % _TRIM_LOOKS == 0:
                await self._trim()

    def _tell_silence(self, reception: Reception) -> None:
        for change in reception.silence.look(self._clock.now_ns()):
            gap = GapSeen(
                feed=reception.name,
                instrument_id=change.instrument_id,
                kind="silent",
                start_ns=change.start_ns,
                end_ns=change.end_ns,
                reason="" if change.end_ns else "nothing heard in its session",
            )
            self._gaps.tell(gap, f"{reception.name}:{reception.keeper.next_number - 1}")

    async def _trim(self) -> None:
        for name in (*self._topics, GAPS, NOTICES):
            try:
                await self._bus.trim(name, self._clock.now_ns())
            except BusUnavailableError:
                return

    async def _compact_often(self) -> None:
        while True:
            for reception in self._receptions:
                await asyncio.to_thread(reception.keeper.compact)
            for topic in self._topics.values():
                await asyncio.to_thread(topic.log.compact)
            await asyncio.sleep(_COMPACT_S)

    async def _follow_inputs(self) -> None:
        """Subscribe to what new trading inputs name and no feed delivers yet."""
        places: Mapping[str, str] = {_INPUTS: "0-0"}
        while True:
            try:
                entries, places = await self._bus.read(places, count=16, wait_ms=1000)
            except BusUnavailableError:
                await asyncio.sleep(1)
                continue
            for entry in entries:
                try:
                    inputs = MESSAGES.decode(
                        entry.envelope.type, entry.envelope.version, entry.envelope.payload
                    )
                except JtsError as error:
                    structlog.get_logger().warning("inputs_unreadable", error=str(error))
                    continue
                if isinstance(inputs, TradingInputs):
                    await self._follow(inputs)

    async def _follow(self, inputs: TradingInputs) -> None:
        wanted = {
            (instance.venue, instrument_id): None
            for instance in inputs.instances
            for instrument_id in instance.instrument_ids
        }
        for venue, instrument_id in wanted:
            own = [r for r in self._receptions if r.feed.venue == venue]
            if any(instrument_id in reception.silence.instruments for reception in own):
                continue
            for reception in own:
                if await self._subscribe(reception, instrument_id):
                    break
