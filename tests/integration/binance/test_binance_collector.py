"""Real Binance frames on the clock of an instance, through the collector to a real Redis."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis as sync_redis

from jts_trading.brokers.binance.simulator.capture import Line, capture_files, read_lines
from jts_trading.brokers.binance.simulator.server import World
from jts_trading.bus.redis_state import RedisState
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.config.instance import ClockSettings
from jts_trading.domain.feed_messages import GapSeen, PriceNote, TicksCollected
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.market_store.frames import read_frames
from jts_trading.ports.clock import write_clock
from jts_trading.ports.state import Kind
from jts_trading.services.collector.entry_log import frames_directory
from jts_trading.services.collector.reception import CollectedFeed
from jts_trading.services.collector.role import Collector
from jts_trading.services.collector.settings import CollectorSettings
from jts_trading.simulation.faults import Fault, FaultKind

pytestmark = pytest.mark.integration
TICKS = "market-data.crypto.ticks"
SPEED = 20
SKEW_NS = 1_270_000_000


def payloads(url: str, topic: str, kind: Any) -> list[Any]:
    """What is on a topic, oldest first."""
    with sync_redis.Redis.from_url(url) as client:
        envelopes = [msgspec.msgpack.decode(fields[b"e"]) for _, fields in client.xrange(topic)]
    return [msgspec.msgpack.decode(envelope["payload"], type=kind) for envelope in envelopes]


def collector_of(venue: Any, url: str, home: Path, speed: int = 1, **changes: Any) -> Collector:
    """A collector of the feed of a venue."""
    return Collector(
        feeds=[CollectedFeed("binance-1", venue.feed, ("BINANCE:BTCUSDT",))],
        bus=RedisBus(url),
        state=RedisState(url, time.monotonic_ns),
        clock=venue.clock,
        home=home,
        settings=CollectorSettings(**changes),
        histories={},
        speed=Fraction(speed),
        monotonic_ns=time.monotonic_ns,
    )


async def run_until(collector: Collector, until: Any, *, timeout_s: float = 60.0) -> None:
    """Run a collector until a condition holds."""
    task = asyncio.ensure_future(collector.run())
    try:
        async with asyncio.timeout(timeout_s):
            while not until():
                if task.done():
                    task.result()
                await asyncio.sleep(0.1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await collector._bus.close()
        await collector._board._state.close()


def first_seconds(data: Path, seconds: int) -> Iterator[Line]:
    """The beginning of the capture."""
    lines = read_lines(capture_files(data))
    first = next(lines)
    end_ns = first.due_ns + seconds * 10**9
    return itertools.chain([first], itertools.takewhile(lambda x: x.due_ns < end_ns, lines))


def test_capture_when_its_receiver_s_clock_is_behind_then_times_stay_sane(
    open_binance: Any, test_data: Path, redis_url: str, tmp_path: Path
) -> None:
    """Trades are dated by the venue, 1.27 s ahead of us: none is refused, none is re-dated."""

    async def run() -> None:
        lines = list(first_seconds(test_data, 40))
        epoch = "2024-08-08T23:54:13.500+00:00"
        clock = write_clock(tmp_path / "run", ClockSettings(epoch=epoch, speed=SPEED))
        world = World(iter(lines), ("BTCUSDT",), SKEW_NS)
        settings = {"speed": None, "waits_for_reader": False}
        async with open_binance(world, clock=clock, **settings) as venue:
            collector = collector_of(venue, redis_url, tmp_path, SPEED)
            sent = venue.ready.push
            await run_until(
                collector,
                lambda: (
                    venue.ready.tape_ended.is_set()
                    and collector._counters.read("frames_total", feed="binance-1")
                    >= sent.frames_sent
                    and collector._topics[TICKS].shipper.is_in_step
                    and not collector._topics[TICKS].shipper.waiting
                ),
            )
            assert (await venue.rest.time_ns()) - clock.now_ns() == pytest.approx(SKEW_NS, abs=1e9)
            entries = payloads(redis_url, TICKS, TicksCollected)
            ticks = [tick for entry in entries for tick in entry.ticks]
            trades = [tick for tick in ticks if isinstance(tick, TradeTick)]
            numbers = [tick.trade_id for tick in trades]
            captured = [line.raw for line in lines if line.stream.endswith("@trade")]
            texts = {f'"t":{tick.trade_id},"p":"{tick.price}"' for tick in trades}
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert len(texts) == len(trades) > 0.8 * len(captured)
            assert all(any(text.encode() in raw for raw in captured) for text in texts)
            ahead = [tick.ts_event_ns - tick.ts_recv_ns for tick in trades]
            assert max(ahead) < 1.3e9
            metrics = collector.metrics()
            assert not [name for name in metrics if name.startswith("quarantined_total")]
            assert not [name for name in metrics if name.startswith("undecodable_total")]
            assert any(isinstance(tick, BookTick) and len(tick.bids) == 10 for tick in ticks)
            with sync_redis.Redis.from_url(redis_url) as client:
                note = client.get(f"jts:{Kind.PRICE.value}:BINANCE:BTCUSDT")
            price = msgspec.msgpack.decode(note, type=PriceNote)
            assert price.ts_event_ns == trades[-1].ts_event_ns
            assert price.bid is not None
            assert price.ask is not None
            assert price.bid < price.ask

    asyncio.run(run())


def test_frames_when_lost_then_trades_and_books_say_what_is_missing(
    open_binance: Any, make_world: Any, now_ns: int, redis_url: str, tmp_path: Path
) -> None:
    """A jump in trade numbers counts the lost ones; a book out of sync is told, too."""

    async def run() -> None:
        lines = list(make_world(2500, now_ns).lines)
        faults = [Fault(kind=FaultKind.LOSS, at=800, count=40)]
        world = World(iter(lines), ("BTCUSDT",))
        async with open_binance(world, faults=faults, speed=20.0) as venue:
            # A tape that outruns the clock is ahead of it.
            collector = collector_of(venue, redis_url, tmp_path, event_ahead_s_max=1e6)

            def is_done() -> bool:
                gaps = payloads(redis_url, "market-data.gaps", GapSeen)
                return venue.ready.tape_ended.is_set() and len(gaps) >= 2

            await run_until(collector, is_done)
            gaps = payloads(redis_url, "market-data.gaps", GapSeen)
            entries = payloads(redis_url, TICKS, TicksCollected)
            ticks = [tick for entry in entries for tick in entry.ticks]
            numbers = [tick.trade_id for tick in ticks if isinstance(tick, TradeTick)]
            lost = numbers[-1] - numbers[0] + 1 - len(numbers)
            trades = [gap for gap in gaps if gap.reason == "trades were lost"]
            assert sum(int(gap.missing) for gap in trades) == lost > 0
            books = [gap for gap in gaps if gap.reason == "changes of the order book were lost"]
            assert len(books) == 1
            unknown = [t for t in ticks if isinstance(t, BookTick) and not t.asks and not t.bids]
            assert len(unknown) == 1
            assert ticks[-1] not in unknown
            kept = list(read_frames(frames_directory(tmp_path, "binance-1")))
            assert [frame.number for frame in kept] == list(range(1, len(kept) + 1))
            assert any(b"@depthSnapshot" in frame.raw[:64] for frame in kept)

    asyncio.run(run())


def test_socket_when_renewed_then_repeated_trades_are_published_once(
    open_binance: Any, make_world: Any, now_ns: int, redis_url: str, tmp_path: Path
) -> None:
    """Two sockets side by side deliver twice; the bus has every trade once, and no gap."""

    async def run() -> None:
        lines = list(make_world(1500, now_ns).lines)
        world = World(iter(lines), ("BTCUSDT",))
        client = {"life_s": 0.5, "overlap_s": 0.2}
        async with open_binance(world, speed=20.0, client=client) as venue:
            # A tape that outruns the clock is ahead of it.
            collector = collector_of(venue, redis_url, tmp_path, event_ahead_s_max=1e6)
            total = sum(line.stream.endswith("@trade") for line in lines)

            def numbers() -> list[int]:
                entries = payloads(redis_url, TICKS, TicksCollected)
                ticks = [tick for entry in entries for tick in entry.ticks]
                return [tick.trade_id for tick in ticks if isinstance(tick, TradeTick)]

            await run_until(collector, lambda: len(numbers()) == total)
            assert numbers() == sorted(set(numbers()))
            assert collector._counters.read("repeated_total", feed="binance-1") > 0
            assert payloads(redis_url, "market-data.gaps", GapSeen) == []

    asyncio.run(run())
