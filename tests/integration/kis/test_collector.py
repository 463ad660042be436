"""Frames of the simulated KIS, off a TCP socket, become entries of a real Redis, once."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis as sync_redis

from jts_trading.brokers.kis.feed import KisFeed
from jts_trading.brokers.kis.orders import CashOrder
from jts_trading.bus.redis_state import RedisState
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.domain.feed_messages import GapSeen, NoticesCollected, PriceNote, TicksCollected
from jts_trading.domain.market.costs import Side
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.market_store.frames import KeptFrame, read_frames
from jts_trading.market_store.segments import SegmentError
from jts_trading.ports.state import Kind
from jts_trading.services.collector.entry_log import frames_directory
from jts_trading.services.collector.reception import CollectedFeed
from jts_trading.services.collector.role import Collector
from jts_trading.services.collector.settings import CollectorSettings
from jts_trading.simulation.faults import Fault, FaultKind

pytestmark = pytest.mark.integration
TICKS = "market-data.krx.ticks"


class Trial:
    """A collector of one simulated venue, and what the bus has of it."""

    def __init__(self, venue: Any, url: str, home: Path, **changes: Any) -> None:
        self.venue = venue
        self.url = url
        self.home = home
        settings = {"event_ahead_s_max": 1e9, "event_behind_s_max": 1e9, **changes}
        self.bus = RedisBus(url)
        self.state = RedisState(url, time.monotonic_ns)
        self.feed = KisFeed(venue.stream(), venue.settings)
        self.collector = Collector(
            feeds=[CollectedFeed("kis-1", self.feed, ("KRX:005930",))],
            bus=self.bus,
            state=self.state,
            clock=venue.clock,
            home=home,
            settings=CollectorSettings(**settings),
            histories={},
            monotonic_ns=time.monotonic_ns,
        )

    def entries(self, topic: str = TICKS) -> list[Any]:
        """Payloads of a topic, oldest first."""
        found = []
        with sync_redis.Redis.from_url(self.url) as client:
            for _, fields in client.xrange(topic):
                envelope = msgspec.msgpack.decode(fields[b"e"])
                found.append(envelope)
        return found

    def collected(self) -> list[TicksCollected]:
        """Entries of ticks, oldest first."""
        return [
            msgspec.msgpack.decode(envelope["payload"], type=TicksCollected)
            for envelope in self.entries()
        ]

    def ticks(self) -> dict[int, TradeTick | BookTick]:
        """Ticks by number."""
        return {
            entry.first_tick + at: tick
            for entry in self.collected()
            for at, tick in enumerate(entry.ticks)
        }

    def gaps(self) -> list[GapSeen]:
        """Gaps, oldest first."""
        return [
            msgspec.msgpack.decode(envelope["payload"], type=GapSeen)
            for envelope in self.entries("market-data.gaps")
        ]

    def shares(self) -> int:
        """Shares in all trades so far."""
        return int(sum(t.quantity for t in self.ticks().values() if isinstance(t, TradeTick)))

    def reached(self) -> int:
        """Cumulative volume of the newest trade."""
        line = self.collector._receptions[0].judges.lines().get("KRX:005930")
        return 0 if line is None else int(line.reached)

    def has_all(self, total: int) -> bool:
        """Whether the day is collected to its last share, and published."""
        return self.reached() == total and self.is_published()

    def is_published(self) -> bool:
        """Whether the bus has everything that was accepted."""
        if any(reception.batch._found for reception in self.collector._receptions):
            return False
        topic = self.collector._topics[TICKS]
        shipper = topic.shipper
        is_shipped = shipper.is_in_step and not shipper.waiting and not shipper.trouble
        return is_shipped and not self.collector._hints._waiting

    def count(self, name: str, **labels: str) -> float:
        """One counter."""
        return self.collector._counters.read(name, feed="kis-1", **labels)

    def raw(self) -> dict[int, KeptFrame]:
        """Kept frames by number."""
        return {f.number: f for f in read_frames(frames_directory(self.home, "kis-1"))}

    async def run_until(self, until: Any, *, timeout_s: float = 30.0) -> None:
        """Run the collector until a condition holds."""
        task = asyncio.ensure_future(self.collector.run())
        try:
            async with asyncio.timeout(timeout_s):
                while not until():
                    if task.done():
                        task.result()
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.bus.close()
            await self.state.close()


def test_day_when_collected_then_every_share_and_frame_is_there_once(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """Volume is conserved from the tape to the bus; each tick names the frame it came in."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars) as venue:
            trial = Trial(venue, redis_url, tmp_path)
            await trial.run_until(lambda: trial.has_all(total))
            assert trial.shares() == total
            ticks = trial.ticks()
            frames = trial.raw()
            assert sorted(ticks) == list(range(1, len(ticks) + 1))
            assert sorted(frames) == list(range(1, len(frames) + 1))
            for entry in trial.collected():
                assert len(entry.ticks) == len(entry.frames) <= 256
                for tick, offset in zip(entry.ticks, entry.frames, strict=True):
                    raw = frames[entry.first_frame + offset].raw.decode()
                    assert f"|{'H0STCNT0' if isinstance(tick, TradeTick) else 'H0STASP0'}|" in raw
                    assert tick.instrument_id == "KRX:005930"
            metrics = trial.collector.metrics()
            assert metrics['frames_total{feed="kis-1"}'] == len(frames)
            assert metrics['ticks_total{feed="kis-1"}'] == len(ticks)
            with sync_redis.Redis.from_url(redis_url) as client:
                note = client.get(f"jts:{Kind.PRICE.value}:KRX:005930")
            price = msgspec.msgpack.decode(note, type=PriceNote)
            newest = [tick for tick in ticks.values() if isinstance(tick, TradeTick)][-1]
            assert (price.price, price.ts_event_ns) == (newest.price, newest.ts_event_ns)

    asyncio.run(run())


def test_socket_when_cut_half_way_then_the_gap_says_what_is_missing(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """A drop begins a gap, its end closes it, and the shares on the way are counted exactly."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        faults = [Fault(kind=FaultKind.DISCONNECT, at=100)]
        async with open_venue(bars=bars, faults=faults) as venue:
            trial = Trial(venue, redis_url, tmp_path)
            await trial.run_until(lambda: trial.has_all(total) and len(trial.gaps()) >= 3)
            missing = total - trial.shares()
            gaps = trial.gaps()
            dark = [gap for gap in gaps if gap.kind == "disconnected"]
            assert [(gap.end_ns > 0, gap.reason) for gap in dark] == [
                *((False, "dropped"), (True, "the feed is back"))
            ]
            assert dark[0].start_ns == dark[1].start_ns
            missed = [gap for gap in gaps if gap.kind == "missed"]
            assert sum(int(gap.missing) for gap in missed) == missing > 0
            assert {entry.session for entry in trial.collected()} == {1, 2}
            assert trial.count("reconnects_total") == 1
            assert trial.count("missed_total") == missing

    asyncio.run(run())


def test_in24_in25_frames_when_spoilt_then_each_is_kept_and_counted(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """Invalid UTF-8, HTML, an unknown id, 62 fields: bytes are there, no trade is made of them."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        kinds = (FaultKind.INVALID_UTF8, FaultKind.HTML, FaultKind.UNKNOWN_TR, FaultKind.WIDE)
        faults = [Fault(kind=kind, at=20 + 20 * n) for n, kind in enumerate(kinds)]
        async with open_venue(bars=bars, faults=faults) as venue:
            trial = Trial(venue, redis_url, tmp_path)

            def is_told() -> bool:
                told = [gap for gap in trial.gaps() if gap.kind == "undecodable"]
                return trial.has_all(total) and sum(int(gap.missing) for gap in told) == 4

            await trial.run_until(is_told)
            raw = [frame.raw for frame in trial.raw().values()]
            assert sum(b"\xed\xa0\x80" in body for body in raw) == 1
            assert sum(body.startswith(b"<html>") for body in raw) == 1
            assert sum(b"|H0ZZ" in body for body in raw) == 1
            assert sum(body.endswith(b"^7^7^7^7") for body in raw) == 1
            reasons = {gap.reason for gap in trial.gaps() if gap.kind == "undecodable"}
            assert {"utf8", "tr_id"} <= reasons
            assert len(reasons) == 4
            assert total - trial.shares() == trial.count("missed_total")
            assert trial.collector.readiness() == ()

    asyncio.run(run())


def test_in26_in29_frames_when_repeated_lost_or_swapped_then_shares_are_accounted_for(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """Repeats are dropped, late trades believed, and what is lost is a gap of so many shares."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        faults = [
            Fault(kind=FaultKind.DUPLICATE, at=20, count=10),
            Fault(kind=FaultKind.REORDER, at=50),
            Fault(kind=FaultKind.LOSS, at=80, count=3),
        ]
        async with open_venue(bars=bars, faults=faults) as venue:
            trial = Trial(venue, redis_url, tmp_path)
            await trial.run_until(lambda: trial.has_all(total))
            assert trial.count("repeated_total") > 0
            lost = total - trial.shares()
            found = trial.count("missed_total")
            assert 0 < lost <= found
            ticks = trial.ticks()
            assert sorted(ticks) == list(range(1, len(ticks) + 1))
            trades = [tick for tick in ticks.values() if isinstance(tick, TradeTick)]
            assert len({tick.cumulative_quantity for tick in trades}) == len(trades)

    asyncio.run(run())


def test_notices_when_an_order_lives_then_they_are_on_the_bus(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """Own orders are told encrypted on the same socket, and passed on as hints."""

    async def run() -> None:
        async with open_venue(bars=bars, speed=None) as venue:
            trial = Trial(venue, redis_url, tmp_path)

            async def trade() -> None:
                while not trial.feed._stream.registered:  # noqa: ASYNC110 - a state of the socket
                    await asyncio.sleep(0.01)
                await venue.orders.submit(CashOrder("005930", Side.BUY, 5, 60_000))

            def is_told() -> bool:
                return len(trial.entries("orders.notices")) >= 1

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(trade())
                await trial.run_until(is_told)
            (envelope,) = trial.entries("orders.notices")
            told = msgspec.msgpack.decode(envelope["payload"], type=NoticesCollected)
            assert (told.broker, told.account) == ("kis", "5000000101")
            assert told.notices[0].quantity == 5
            feed, _, number = envelope["correlation_id"].partition(":")
            assert feed == "kis-1"
            assert b"|H0STCNI9|" in trial.raw()[int(number)].raw

    asyncio.run(run())


def test_f42_bus_when_wiped_while_ticks_flow_then_everything_is_there_again(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """A lost stream is filled from the log under the same ids; numbers have no gaps."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars) as venue:
            trial = Trial(venue, redis_url, tmp_path)
            wipes = [total // 4, total // 2, total * 3 // 4]

            def is_done() -> bool:
                if wipes and trial.reached() > wipes[0]:
                    wipes.pop(0)
                    with sync_redis.Redis.from_url(redis_url) as client:
                        client.flushall()
                        # Consumers make the stream anew before the collector says anything.
                        client.xgroup_create(TICKS, "recorder", id="0", mkstream=True)
                return not wipes and trial.has_all(total)

            await trial.run_until(lambda: is_done() and trial.shares() == total)
            ticks = trial.ticks()
            assert sorted(ticks) == list(range(1, len(ticks) + 1))
            entries = trial.collected()
            numbers = [entry.first_tick for entry in entries]
            assert numbers == sorted(set(numbers))

    asyncio.run(run())


def test_f42_bus_when_wiped_while_nothing_happens_then_it_is_filled_all_the_same(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """After the close no tick reminds the collector: it looks by itself."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars) as venue:
            trial = Trial(venue, redis_url, tmp_path)
            wiped: list[int] = []

            def is_done() -> bool:
                if not wiped and trial.has_all(total):
                    with sync_redis.Redis.from_url(redis_url) as client:
                        wiped.append(client.xlen(TICKS))
                        client.flushall()
                return bool(wiped) and len(trial.entries()) == wiped[0]

            await trial.run_until(is_done)
            assert trial.shares() == total

    asyncio.run(run())


def test_f41_bus_when_down_and_back_then_nothing_is_missing(
    open_venue: Any, bars: Any, launch_server: Any, short_home: Path, tmp_path: Path
) -> None:
    """A killed Redis costs latency: what waited is published when it is back."""

    async def run() -> None:
        options = ("--path", str(short_home / "r"), "--socket", str(short_home / "s" / "r"))
        server = launch_server("redis", *options)
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars) as venue:
            trial = Trial(venue, server.address, tmp_path, queue_entries_max=3)
            steps = ["kill", "back"]

            def is_done() -> bool:
                if steps[:1] == ["kill"] and trial.count("ticks_total") > 200:
                    server.kill()
                    steps.pop(0)
                if steps == ["back"] and trial.reached() == total:
                    assert any("bus" in reason for reason in trial.collector.readiness())
                    launch_server("redis", *options)
                    steps.pop(0)
                return not steps and trial.has_all(total)

            await trial.run_until(is_done, timeout_s=60)
            ticks = trial.ticks()
            assert sorted(ticks) == list(range(1, len(ticks) + 1))
            assert trial.shares() == total

    asyncio.run(run())


def test_collector_when_started_again_then_numbers_and_sessions_go_on(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """A second process goes on where the first ended, and knows what it missed in between."""

    async def run() -> None:
        total = sum(bar.volume for bar in bars)
        async with open_venue(bars=bars) as venue:
            first = Trial(venue, redis_url, tmp_path)
            await first.run_until(lambda: first.count("ticks_total") > 150)
            second = Trial(venue, redis_url, tmp_path)
            await second.run_until(lambda: second.has_all(total))
            ticks, frames = second.ticks(), second.raw()
            assert sorted(ticks) == list(range(1, len(ticks) + 1))
            assert sorted(frames) == list(range(1, len(frames) + 1))
            sessions = [entry.session for entry in second.collected()]
            assert sessions == sorted(sessions)
            assert set(sessions) == {1, 2}
            assert total - second.shares() == second.count("missed_total")
            for entry in second.collected():
                for offset in entry.frames:
                    assert frames[entry.first_frame + offset].session == entry.session

    asyncio.run(run())


def test_role_when_another_collects_the_same_feed_then_it_is_refused(
    open_venue: Any, bars: Any, redis_url: str, tmp_path: Path
) -> None:
    """Two writers would number frames twice."""

    async def run() -> None:
        async with open_venue(bars=bars) as venue:
            Trial(venue, redis_url, tmp_path)
            with pytest.raises(SegmentError, match="another process"):
                Trial(venue, redis_url, tmp_path)

    asyncio.run(run())
