"""Parts of the collector: shipping to a bus that fails, prices, silence, hours, recovery."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jts_trading.bus.memory import MemoryBus
from jts_trading.bus.memory_state import MemoryState
from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import GapSeen, PriceNote, TicksCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.ticks import Aggressor, BookLevel, BookTick, Quote, TradeTick
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.market_store.frames import FrameKeeper
from jts_trading.market_store.segments import SegmentSettings
from jts_trading.ports.bus import BusUnavailableError, Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.feed import FeedNews, FeedOpened, FeedRefused, Frame, FrameError
from jts_trading.ports.state import Kind, StateUnavailableError
from jts_trading.services.collector.entry_log import (
    EntryLog,
    FeedPlace,
    LoggedEntry,
    entries_directory,
    frames_directory,
)
from jts_trading.services.collector.hours import (
    is_continuous,
    is_open,
    next_open_ns,
    was_open_between,
)
from jts_trading.services.collector.prices import PriceBoard
from jts_trading.services.collector.reception import CollectedFeed
from jts_trading.services.collector.role import Collector
from jts_trading.services.collector.settings import CollectorSettings
from jts_trading.services.collector.silence import Silence, SilenceChange
from jts_trading.telemetry.metrics import Counters

S = 10**9
TICKS = "market-data.krx.ticks"
SAMSUNG = "KRX:005930"


def korean_ns(text: str) -> int:
    """Instant of a Korean wall time."""
    return int(datetime.fromisoformat(f"{text}+09:00").astimezone(UTC).timestamp()) * S


OPEN = korean_ns("2024-06-03T10:00:00")


def trade(cumulative: int, price: int = 70_000, at_ns: int = OPEN, **changes: Any) -> TradeTick:
    """A trade of ten shares."""
    fields: dict[str, Any] = {
        "instrument_id": SAMSUNG,
        "venue": "KRX",
        "broker": "kis",
        "ts_event_ns": at_ns,
        "ts_recv_ns": at_ns,
        "price": Decimal(price),
        "quantity": Decimal(10),
        "aggressor": Aggressor.BUY,
        "cumulative_quantity": Decimal(cumulative),
    }
    return TradeTick(**(fields | changes))


def book(bid: int, ask: int, at_ns: int = OPEN) -> BookTick:
    """A book of one level a side."""
    return BookTick(
        instrument_id=SAMSUNG,
        venue="KRX",
        broker="kis",
        ts_event_ns=at_ns,
        ts_recv_ns=at_ns,
        asks=(BookLevel(Decimal(ask), Decimal(1)),),
        bids=(BookLevel(Decimal(bid), Decimal(1)),),
    )


class ScriptedFeed:
    """A feed whose frames are numbers: each is the tuple of items at that place of a script."""

    broker = "kis"
    venue = "KRX"

    def __init__(self, *frames: tuple[Any, ...] | Exception) -> None:
        self.frames = list(frames)
        self.news_now: list[FeedNews] = []
        self.subscribed: list[str] = []
        self.room = 10
        self.has_told = asyncio.Event()

    async def subscribe(self, instrument_ids: list[str]) -> None:
        """Note what is asked for."""
        for instrument_id in instrument_ids:
            if len(self.subscribed) >= self.room:
                raise FrameError("no room")
            self.subscribed.append(instrument_id)

    async def news(self) -> Any:
        """Yield the script and stay open."""
        yield FeedOpened(1, OPEN)
        for number in range(len(self.frames)):
            yield Frame(str(number).encode(), OPEN, 1)
        for item in self.news_now:
            yield item
        self.has_told.set()
        await asyncio.sleep(1000)

    def decode(self, frame: Frame) -> tuple[Any, ...]:
        """Return the items of a frame."""
        found = self.frames[int(frame.raw)]
        if isinstance(found, Exception):
            raise found
        return found


class FlakyBus(MemoryBus):
    """A bus whose answers get lost as a script says, after it did what was asked."""

    def __init__(self) -> None:
        super().__init__(time.time_ns)
        self.lost_answers: list[bool] = []

    async def extend(self, *args: Any, **kwargs: Any) -> bool:
        """Do it, and lose the answer if it is due."""
        done = await super().extend(*args, **kwargs)
        if self.lost_answers and self.lost_answers.pop(0):
            raise BusUnavailableError("the answer was lost")
        return done


@dataclass
class World:
    """A collector and all around it in memory."""

    home: Path
    feed: ScriptedFeed
    bus: MemoryBus = field(default_factory=FlakyBus)
    state: Any = field(default_factory=lambda: MemoryState(time.monotonic_ns))
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(OPEN))
    histories: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    instruments: tuple[str, ...] = (SAMSUNG,)

    def collector(self) -> Collector:
        """Build it."""
        return Collector(
            feeds=[CollectedFeed("kis-1", self.feed, self.instruments)],
            bus=self.bus,
            state=self.state,
            clock=self.clock,
            home=self.home,
            settings=CollectorSettings(**self.settings),
            histories=self.histories,
            speed=Fraction(1),
            monotonic_ns=time.monotonic_ns,
        )

    def payloads(self, topic: str, kind: Any) -> list[Any]:
        """What is on a topic, oldest first."""
        stream = self.bus.streams.get(topic)
        bodies = stream.rows.values() if stream is not None else ()
        envelopes = [msgspec.msgpack.decode(body, type=Envelope) for body in bodies]
        return [msgspec.msgpack.decode(envelope.payload, type=kind) for envelope in envelopes]

    def ticks(self) -> list[tuple[int, Any]]:
        """Numbered ticks, in the order of the bus."""
        return [
            (entry.first_tick + at, tick)
            for entry in self.payloads(TICKS, TicksCollected)
            for at, tick in enumerate(entry.ticks)
        ]

    def gaps(self, kind: str) -> list[GapSeen]:
        """Gaps of a kind."""
        return [gap for gap in self.payloads("market-data.gaps", GapSeen) if gap.kind == kind]


async def run_until(collector: Collector, until: Callable[[], object]) -> None:
    """Run a collector until a condition holds."""
    task = asyncio.ensure_future(collector.run())
    try:
        async with asyncio.timeout(10):
            while not until():
                if task.done():
                    task.result()
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def come_true(condition: Callable[[], object]) -> None:
    """Wait for a state of another task."""
    while not condition():  # noqa: ASYNC110 - it is no event
        await asyncio.sleep(0.001)


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario."""
    asyncio.run(scenario())


def test_answer_when_lost_after_the_entry_landed_then_it_is_not_published_twice(
    tmp_path: Path,
) -> None:
    """A repeated entry is recognised by its id; nothing is lost and nothing comes twice."""

    async def scenario() -> None:
        frames = [(trade(10 * n, 70_000 + n),) for n in range(1, 200)]
        world = World(tmp_path, ScriptedFeed(*frames), settings={"entry_ticks_max": 3})
        world.bus.lost_answers = [True, False, True, True, False, False, True]
        await run_until(world.collector(), lambda: len(world.ticks()) == 199)
        assert [number for number, _ in world.ticks()] == list(range(1, 200))
        assert [tick.cumulative_quantity for _, tick in world.ticks()] == [
            10 * n for n in range(1, 200)
        ]

    play(scenario)


def test_frame_when_it_holds_more_than_an_entry_then_it_is_cut_and_numbered_through(
    tmp_path: Path,
) -> None:
    """An entry has at most 256 ticks, whatever a frame holds."""

    async def scenario() -> None:
        ticks = tuple(trade(10 * n) for n in range(1, 601))
        settings = {"entry_age_ms_max": 1000.0}
        world = World(tmp_path, ScriptedFeed(ticks), settings=settings)
        await run_until(world.collector(), lambda: len(world.ticks()) == 600)
        sizes = [len(entry.ticks) for entry in world.payloads(TICKS, TicksCollected)]
        assert sizes == [256, 256, 88]
        assert {entry.first_frame for entry in world.payloads(TICKS, TicksCollected)} == {1}

    play(scenario)


def test_decoder_when_it_fails_by_mistake_then_the_stream_lives(tmp_path: Path) -> None:
    """An unexpected exception costs the frame, which is kept and counted."""

    async def scenario() -> None:
        feed = ScriptedFeed(
            (trade(10),), ValueError("a mistake of ours"), FrameError("width: 62"), (trade(20),)
        )
        world = World(tmp_path, feed)
        collector = world.collector()
        await run_until(collector, lambda: len(world.gaps("undecodable")) == 2)
        assert len(world.ticks()) == 2
        assert {gap.reason for gap in world.gaps("undecodable")} == {"decoder", "width"}
        assert collector.metrics()['frames_total{feed="kis-1"}'] == 4

    play(scenario)


def test_ticks_when_impossible_then_kept_counted_and_told_but_not_published(
    tmp_path: Path,
) -> None:
    """Quarantine: a flood of one kind is one line with its count."""

    async def scenario() -> None:
        bad = [(trade(20, 0),)] * 7 + [(trade(20, 900_000),), (book(70_000, 69_000),)]
        feed = ScriptedFeed((trade(10),), *bad, (trade(20),))
        world = World(tmp_path, feed)
        await run_until(world.collector(), lambda: len(world.gaps("quarantined")) == 3)
        told = {gap.reason: int(gap.missing) for gap in world.gaps("quarantined")}
        assert told == {"price_not_positive": 7, "price_jump": 1, "crossed_book": 1}
        assert [tick.cumulative_quantity for _, tick in world.ticks()] == [10, 20]

    play(scenario)


def test_numbers_when_the_bus_knows_more_than_the_files_then_none_is_given_twice(
    tmp_path: Path,
) -> None:
    """After a loss of power the files may be older than the bus: numbers go on behind its own."""

    async def scenario() -> None:
        first = World(tmp_path / "a", ScriptedFeed(*[(trade(10 * n),) for n in range(1, 30)]))
        await run_until(first.collector(), lambda: len(first.ticks()) == 29)
        feed = ScriptedFeed(*[(trade(10 * n),) for n in range(30, 40)])
        second = World(tmp_path / "b", feed, bus=first.bus)
        await run_until(second.collector(), lambda: len(second.ticks()) == 39)
        assert [number for number, _ in second.ticks()] == list(range(1, 40))
        frames = [
            entry.first_frame + offset
            for entry in second.payloads(TICKS, TicksCollected)
            for offset in entry.frames
        ]
        assert frames == list(range(1, 40))

    play(scenario)


def test_numbers_when_the_log_is_gone_then_none_is_given_twice(tmp_path: Path) -> None:
    """Frames without what was said of them: nothing is said again, numbers leap ahead."""

    async def scenario() -> None:
        keeper = FrameKeeper(frames_directory(tmp_path, "kis-1"))
        for _ in range(10_000):
            keeper.keep(b"0", 1, OPEN)
        keeper.close()
        world = World(tmp_path, ScriptedFeed((trade(10),)))
        await run_until(world.collector(), lambda: len(world.ticks()) == 1)
        (entry,) = world.payloads(TICKS, TicksCollected)
        assert (entry.first_frame, entry.first_tick) == (10_001, 10_000_001)

    play(scenario)


def test_log_when_a_segment_is_dropped_then_quiet_feeds_keep_their_place(tmp_path: Path) -> None:
    """A checkpoint begins each segment: how long a feed was silent does not matter."""
    sizes = SegmentSettings(segment_bytes=2_000, retained_bytes=4_000)
    log = EntryLog(tmp_path, sizes)
    envelope = Envelope(
        type="ticks_collected",
        version=1,
        id="x",
        correlation_id="c",
        causation_id="c",
        source="collector",
        ts_event_ns=0,
        ts_recv_ns=0,
        payload=b"\x80" * 100,
    )
    quiet = LoggedEntry(log.next_id(5), "quiet", FeedPlace(7, 0, 70), envelope)
    log.append(quiet, dict)
    for number in range(1, 200):
        place = FeedPlace(number, 0, number)
        log.append(LoggedEntry(log.next_id(5), "loud", place, envelope), dict)
        log.compact()
    log.close()
    again = EntryLog(tmp_path, sizes)

    assert again.place("quiet") == FeedPlace(7, 0, 70)
    assert again.place("loud") == FeedPlace(199, 0, 199)
    assert again.newest == (5, 199)
    later = [entry.entry_id for entry in again.after((5, 190))]
    assert later == [(5, number) for number in range(191, 200)]
    assert len(list(again.after((0, 0)))) < 199


def test_clock_when_it_goes_back_then_entry_ids_still_grow(tmp_path: Path) -> None:
    """A home that is used for an earlier day once more keeps its order."""
    log = EntryLog(tmp_path, SegmentSettings())
    assert log.next_id(100) == (100, 0)
    log.raise_floor((100, 0))
    assert log.next_id(50) == (100, 1)
    assert log.next_id(101) == (101, 0)


def test_price_when_shared_then_best_prices_and_limits_stand_beside_it(tmp_path: Path) -> None:
    """The newest trade with the newer book's best prices, base price and limits of the day."""

    async def scenario() -> None:
        asked: list[str] = []

        class History:
            async def quote(self, instrument_id: str) -> Quote:
                asked.append(instrument_id)
                if len(asked) == 1:
                    raise TransientError("busy")
                zero = Decimal(70_000)
                return Quote(
                    instrument_id=instrument_id,
                    venue="KRX",
                    broker="kis",
                    ts_recv_ns=OPEN,
                    last=zero,
                    open=zero,
                    high=zero,
                    low=zero,
                    reference=zero,
                    quantity=zero,
                )

        feed = ScriptedFeed((trade(10, bid=Decimal(1)),), (book(69_900, 70_000, OPEN + 1),))
        world = World(
            tmp_path, feed, histories={"kis": History()}, settings={"limits_retry_s": 0.01}
        )
        notes: list[PriceNote] = []

        def has_limits() -> bool:
            found = world.state._values.get((Kind.PRICE, SAMSUNG))
            if found is not None:
                body = found[0] if isinstance(found, tuple) else found.value
                notes.append(msgspec.msgpack.decode(body, type=PriceNote))
            return bool(notes) and notes[-1].upper is not None

        await run_until(world.collector(), has_limits)
        note = notes[-1]
        assert (note.price, note.bid, note.ask) == (70_000, 69_900, 70_000)
        assert (note.reference, note.upper, note.lower) == (70_000, 91_000, 49_000)
        assert asked == [SAMSUNG, SAMSUNG]

    play(scenario)


def test_prices_when_the_store_is_away_then_the_newest_is_shared_when_it_is_back() -> None:
    """What was overtaken is not sent; trouble is told meanwhile."""

    async def scenario() -> None:
        stored: list[bytes] = []

        class Away:
            is_away = True

            async def put(self, _kind: Kind, _name: str, value: bytes) -> None:
                if self.is_away:
                    raise StateUnavailableError("away")
                stored.append(value)

        state: Any = Away()
        board = PriceBoard(state, {}, pause_s=0, retry_s=0, counters=Counters())
        board.note_trade(trade(10, 1), 1)
        task = asyncio.ensure_future(board.share())
        async with asyncio.timeout(5):
            await come_true(lambda: board.trouble)
            board.note_trade(trade(20, 2), 1)
            state.is_away = False
            await come_true(lambda: stored)
        task.cancel()
        assert [msgspec.msgpack.decode(x, type=PriceNote).price for x in stored] == [2]
        assert board.trouble == ""

    play(scenario)


def test_silence_when_an_instrument_stops_then_told_once_and_when_it_speaks() -> None:
    """Only in its session, only while the socket stands, never for what is halted."""
    silence = Silence("KRX", 60, 0)
    silence.watch(SAMSUNG, OPEN - 3600 * S)
    silence.watch("KRX:000660", OPEN - 3600 * S)
    assert silence.look(OPEN) == []
    silence.opened(OPEN)
    silence.heard("KRX:000660", OPEN + 1, is_halted=True)
    assert silence.look(OPEN + 59 * S) == []
    assert silence.look(OPEN + 61 * S) == [SilenceChange(SAMSUNG, OPEN, 0)]
    assert silence.look(OPEN + 70 * S) == []
    assert silence.reasons() == ["silent in their session: KRX:005930"]
    silence.heard(SAMSUNG, OPEN + 80 * S)
    assert silence.look(OPEN + 80 * S) == [SilenceChange(SAMSUNG, OPEN, OPEN + 80 * S)]
    auction = korean_ns("2024-06-03T15:21:00")
    assert len(silence.look(auction - 120 * S)) == 1
    assert silence.look(auction) == [SilenceChange(SAMSUNG, OPEN + 80 * S, auction)]
    assert silence.reasons() == []


def test_silence_when_the_clock_is_fast_then_a_moment_of_ours_is_no_silence() -> None:
    """At 240 times the real speed five real seconds have to pass."""
    silence = Silence("KRX", 60, 120 * S, 1200 * S)
    silence.watch(SAMSUNG, OPEN)
    silence.opened(OPEN)
    assert silence.look(OPEN + 1100 * S) == []
    assert len(silence.look(OPEN + 1201 * S)) == 1


@pytest.mark.parametrize(
    ("at", "open_", "continuous"),
    [
        ("2024-06-03T08:29:59", False, False),
        ("2024-06-03T08:30:00", True, False),
        ("2024-06-03T09:00:00", True, True),
        ("2024-06-03T15:25:00", True, False),
        ("2024-06-03T15:30:00", False, False),
        ("2024-06-06T10:00:00", False, False),
        ("2099-01-05T10:00:00", False, False),
    ],
)
def test_hours_when_asked_then_as_the_calendar_says(
    at: str, open_: bool, continuous: bool
) -> None:
    """Auctions belong to the session; holidays and days beyond the calendar do not."""
    assert is_open("KRX", korean_ns(at)) is open_
    assert is_continuous("KRX", korean_ns(at)) is continuous
    assert is_open("BINANCE", korean_ns(at))


def test_hours_when_closed_then_the_next_open_is_known() -> None:
    """Before the open today's, after the close the next session's."""
    assert next_open_ns("KRX", korean_ns("2024-06-05T08:00:00")) == korean_ns(
        "2024-06-05T09:00:00"
    )
    assert next_open_ns("KRX", korean_ns("2024-06-05T16:00:00")) == korean_ns(
        "2024-06-07T09:00:00"
    )
    assert not was_open_between(
        "KRX", korean_ns("2024-06-05T16:00:00"), korean_ns("2024-06-07T08:59:59")
    )
    assert was_open_between(
        "KRX", korean_ns("2024-06-05T16:00:00"), korean_ns("2024-06-07T09:00:01")
    )


def test_readiness_when_the_venue_is_closed_then_it_says_when_it_opens(tmp_path: Path) -> None:
    """A closed market is told and is no defect; an open one without a socket is."""
    clock = VirtualClock(korean_ns("2024-06-05T18:00:00"))
    world = World(tmp_path, ScriptedFeed(), clock=clock)
    collector = world.collector()
    assert collector.readiness() == ("session closed: KRX, next open 2024-06-07 09:00:00 KST",)
    clock.advance(korean_ns("2024-06-07T09:00:00") - clock.now_ns())
    assert collector.readiness() == ()  # nothing is wanted of it yet
    collector._receptions[0].silence.watch(SAMSUNG, clock.now_ns())
    assert collector.readiness() == ("kis-1: not connected yet",)


def test_inputs_when_they_name_more_then_it_is_subscribed_without_a_restart(
    tmp_path: Path,
) -> None:
    """New instruments go to a feed that has room; what finds none is told."""

    async def scenario() -> None:
        feed = ScriptedFeed()
        feed.room = 2
        feed.news_now = [FeedRefused("KRX:000660", OPEN, "H0STCNT0 refused: OPSP8991")]
        world = World(tmp_path, feed)
        collector = world.collector()
        names = (SAMSUNG, "KRX:000660", "KRX:035420")
        inputs = TradingInputs(version=2, created_ns=0, source="x", instances=(instance(names),))
        kind, version = MESSAGES.identify(inputs)
        envelope = Envelope(
            type=kind,
            version=version,
            id="inputs",
            correlation_id="c",
            causation_id="c",
            source="test",
            ts_event_ns=0,
            ts_recv_ns=0,
            payload=msgspec.msgpack.encode(inputs),
        )
        await world.bus.publish("trading.inputs", envelope)
        await run_until(
            collector,
            lambda: (
                any("000660" in reason for reason in collector.readiness())
                and any("035420" in reason for reason in collector.readiness())
            ),
        )
        assert feed.subscribed == [SAMSUNG, "KRX:000660"]

    play(scenario)


def instance(names: tuple[str, ...]) -> StrategyInput:
    """A strategy instance on some instruments."""
    return StrategyInput(
        instance="i",
        strategy_id="s",
        release="r",
        dsl_code="",
        broker="kis",
        account="a",
        venue="KRX",
        interval="1m",
        instrument_ids=names,
        allocation=Decimal(1),
        currency="KRW",
    )


def test_files_when_named_then_below_the_home(tmp_path: Path) -> None:
    """Frames and entries lie side by side."""
    assert frames_directory(tmp_path, "kis-1") == tmp_path / "trading/frames/kis-1"
    assert entries_directory(tmp_path, TICKS).parent == tmp_path / "trading/frames"
