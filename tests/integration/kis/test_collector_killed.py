"""SIGKILL at random moments, a count of frames from outside, and memory over many days."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
import redis as sync_redis

from jts_trading.brokers.kis.frames import decode_frame
from jts_trading.brokers.kis.simulator.worlds import GENERATED_DAY, Session, generated_recording
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.market_store.frames import KeptFrame, read_frames
from jts_trading.services.collector.entry_log import frames_directory

pytestmark = pytest.mark.integration
TICKS = "market-data.krx.ticks"
PROGRAM = Path(__file__).with_name("collector_program.py")
# The long runs set more: 100 kills, twenty days.
KILLS = int(os.environ.get("TEST_COLLECTOR_KILLS", "5"))
DAYS = int(os.environ.get("TEST_COLLECTOR_DAYS", "1"))
_NUMBERS = ("open", "high", "low", "close", "volume")
SIMULATOR = {
    "JTS_SIM__KIS__TOKEN_EVERY_S": "0.0",
    "JTS_SIM__KIS__SYMBOLS": '["005930"]',
    "JTS_SIM__KIS__CALLS_PER_S": "100000",
}


@contextlib.contextmanager
def simulator(home: Path, *options: str) -> Iterator[dict[str, Any]]:
    """`jts sim kis` at full speed: the tape stands while nobody reads."""
    command = [sys.executable, "-m", "jts_trading", "sim", "kis", "--port", "0", "--json"]
    with subprocess.Popen(
        [*command, "--speed", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **SIMULATOR, "JTS_HOME": str(home)},
    ) as popen:
        try:
            assert popen.stdout is not None
            yield json.loads(popen.stdout.readline())
        finally:
            popen.kill()


def record(home: Path, days: int) -> list[Session]:
    """Write the newest generated sessions as a data folder and return them."""
    made = generated_recording(1, GENERATED_DAY, symbols=["005930"], count=max(days, 20))
    sessions = made.sessions[-days:]
    rows = [
        {
            "timestamp": datetime.fromtimestamp(bar.start_ns // 10**9, UTC),
            **{name: getattr(bar, name) for name in ("symbol", *_NUMBERS)},
        }
        for session in sessions
        for bar in session.bars
    ]
    frame = pl.DataFrame(rows).with_columns(
        pl.col("timestamp").cast(pl.Datetime("ms", "UTC")), pl.col(_NUMBERS).cast(pl.Float64)
    )
    (home / "krx").mkdir(parents=True)
    frame.write_parquet(home / "krx" / "krx_1m_generated.parquet")
    return list(sessions)


@contextlib.contextmanager
def collector(rest_url: str, stream_url: str, redis_url: str, home: Path) -> Iterator[Any]:
    """The collector as a process; killed at the end of the block."""
    words = [sys.executable, str(PROGRAM), rest_url, stream_url, redis_url, str(home)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as popen:
        try:
            yield popen
        finally:
            popen.kill()
            if popen.stderr is not None:
                sys.stdout.write(popen.stderr.read().decode()[-2000:])


class Told:
    """What is on the bus."""

    def __init__(self, url: str) -> None:
        self.client = sync_redis.Redis.from_url(url)

    def newest(self) -> TicksCollected | None:
        """The newest entry."""
        rows = self.client.xrevrange(TICKS, count=1)
        return _entry(rows[0][1]) if rows else None

    def has_ended(self, session: Session) -> bool:
        """Whether the last trade of a session is there."""
        for _, fields in self.client.xrevrange(TICKS, count=20):
            for tick in reversed(_entry(fields).ticks):
                if isinstance(tick, TradeTick):
                    is_last = tick.cumulative_quantity == sum(bar.volume for bar in session.bars)
                    return is_last and local_date("KRX", tick.ts_event_ns) == session.day
        return False

    def ticks(self) -> dict[int, tuple[TradeTick | BookTick, int]]:
        """Ticks and their frames by number; a number that comes again is the same tick."""
        found: dict[int, tuple[TradeTick | BookTick, int]] = {}
        for _, fields in self.client.xrange(TICKS):
            entry = _entry(fields)
            for at, tick in enumerate(entry.ticks):
                place = (tick, entry.first_frame + entry.frames[at])
                assert found.setdefault(entry.first_tick + at, place) == place
        return found


def _entry(fields: dict[bytes, bytes]) -> TicksCollected:
    envelope = msgspec.msgpack.decode(fields[b"e"])
    return msgspec.msgpack.decode(envelope["payload"], type=TicksCollected)


def wait_until(condition: Any, seconds: float, popen: Any) -> None:
    """Wait for the state of another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert popen.poll() is None, "the collector ended by itself"
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


async def come_true(condition: Any) -> None:
    """Wait for the state of another process, giving way."""
    while not condition():  # noqa: ASYNC110 - it is no event of ours
        await asyncio.sleep(0.05)


def kept(home: Path) -> list[KeptFrame]:
    """Frames that are kept."""
    return list(read_frames(frames_directory(home, "kis-1")))


def require_whole(told: Told, home: Path) -> None:
    """Every tick in a kept frame is on the bus under one number, and no other is."""
    frames = {frame.number: frame for frame in kept(home)}
    ticks = told.ticks()
    assert sorted(frames) == list(range(1, len(frames) + 1))
    assert sorted(ticks) == list(range(1, len(ticks) + 1))
    in_frames = []
    for frame in frames.values():
        if frame.raw[:1] == b"0":
            found = decode_frame(frame.raw, frame.ts_recv_ns)
            in_frames += [(tick, frame.number) for tick in found if isinstance(found, tuple)]
    assert [ticks[number] for number in sorted(ticks)] == in_frames
    trades = [tick for tick, _ in ticks.values() if isinstance(tick, TradeTick)]
    places = {(local_date("KRX", t.ts_event_ns), t.cumulative_quantity) for t in trades}
    assert len(places) == len(trades)


def test_f05_collector_when_killed_at_random_then_no_tick_is_lost_or_twice(
    redis_url: str, tmp_path: Path
) -> None:
    """Whatever moment SIGKILL hits, numbers have no gaps; the bus is wiped once on the way."""
    seed = int(os.environ.get("TEST_COLLECTOR_SEED", str(random.randrange(10**6))))
    sys.stdout.write(f"TEST_COLLECTOR_SEED={seed}\n")
    chance = random.Random(seed)
    days = 1 + KILLS // 10
    sessions = record(tmp_path / "data", days)
    told, home = Told(redis_url), tmp_path / "home"
    options = ("--data", str(tmp_path / "data"), "--day", str(sessions[0].day))
    kills = 0
    with simulator(tmp_path, *options) as venue:
        urls = (venue["rest_url"], venue["stream_url"], redis_url)
        while kills < KILLS and not told.has_ended(sessions[-1]):
            before = told.newest()
            with collector(*urls, home) as popen:
                wait_until(lambda before=before: told.newest() != before, 60, popen)
                if kills == KILLS // 2:
                    told.client.flushall()
                time.sleep(chance.random() * 0.3)
            kills += 1
        with collector(*urls, home) as popen:
            wait_until(lambda: told.has_ended(sessions[-1]), 120, popen)
            require_whole(told, home)
    sys.stdout.write(f"{kills} kills, {len(told.ticks())} ticks, {len(kept(home))} frames\n")


class FrameCountingProxy:
    """Passes bytes between a client and a server, counting whole WebSocket frames of data."""

    def __init__(self, host: str, port: int) -> None:
        self.place = (host, port)
        self.frames = 0
        self.bytes_read = 0
        self.sessions: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        task = asyncio.current_task()
        assert task is not None
        self.sessions.append(task)
        to_server, from_client = await asyncio.open_connection(*self.place)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_on(reader, from_client))
            tasks.create_task(self._count(to_server, writer))
        for end in (writer, from_client):
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(2)
                length, more = head[1] & 0x7F, b""
                if length >= 126:
                    more = await reader.readexactly(2 if length == 126 else 8)
                    length = int.from_bytes(more)
                body = await reader.readexactly(length)
                if head[0] & 0x0F in (1, 2):
                    self.frames += 1
                    self.bytes_read += length
                writer.write(head + more + body)
                await writer.drain()
        writer.close()


def test_frames_when_counted_by_a_proxy_then_as_many_are_kept(
    redis_url: str, tmp_path: Path
) -> None:
    """What went over the wire, counted from outside in TCP bytes, is what lies in the files."""
    (session,) = record(tmp_path / "data", 1)
    told, home = Told(redis_url), tmp_path / "home"

    async def run(venue: dict[str, Any]) -> None:
        host, _, port = venue["stream_url"].removeprefix("ws://").partition(":")
        proxy = FrameCountingProxy(host, int(port))
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        stream_url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with collector(venue["rest_url"], stream_url, redis_url, home):
            async with asyncio.timeout(120):
                await come_true(lambda: told.has_ended(session))
                # Questions of the server may follow the last trade.
                await come_true(lambda: len(kept(home)) == proxy.frames)
            frames = kept(home)
            assert sum(len(frame.raw) for frame in frames) == proxy.bytes_read
            require_whole(told, home)
        server.close()
        await asyncio.gather(*proxy.sessions)

    with simulator(tmp_path, "--data", str(tmp_path / "data")) as venue:
        asyncio.run(run(venue))


def test_memory_when_many_days_are_replayed_then_it_stays_flat(
    redis_url: str, tmp_path: Path
) -> None:
    """Between the first third of the replay and the last the process does not grow."""
    sessions = record(tmp_path / "data", DAYS)
    told, home = Told(redis_url), tmp_path / "home"
    options = ("--data", str(tmp_path / "data"), "--day", str(sessions[0].day))
    with simulator(tmp_path, *options) as venue:
        urls = (venue["rest_url"], venue["stream_url"], redis_url)
        with collector(*urls, home) as popen:
            sizes: list[int] = []
            deadline = time.monotonic() + 90 + 30 * DAYS
            while not told.has_ended(sessions[-1]):
                assert popen.poll() is None
                assert time.monotonic() < deadline
                if told.newest() is not None:
                    sizes.append(_resident_bytes(popen.pid))
                # The bus is no part of the collector: keep it small.
                told.client.xtrim(TICKS, maxlen=200, approximate=False)
                time.sleep(0.05)
            newest = told.newest()
            assert newest is not None
            early, late = max(sizes[: len(sizes) // 3]), max(sizes[-(len(sizes) // 3) :])
            sys.stdout.write(
                f"{newest.first_tick} ticks, {len(kept(home))} frames, {len(sizes)} samples, "
                f"resident MiB: {early >> 20} early, {late >> 20} late\n"
            )
            assert late - early < 8 << 20


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
