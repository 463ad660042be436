"""`jts sim kis` as a program, and a tape that follows a clock."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.brokers.kis.simulator.worlds import generated_recording, mapped_world
from jts_trading.brokers.kis.stream import ReceivedFrame, Registration

pytestmark = pytest.mark.integration


def korean_ns(text: str) -> int:
    """Instant of a Korean wall time."""
    return int(datetime.fromisoformat(f"{text}+09:00").astimezone(UTC).timestamp()) * 10**9


@contextlib.contextmanager
def start(home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command as its user would; it ends with the block at the latest."""
    with subprocess.Popen(
        [sys.executable, "-m", "jts_trading", "sim", "kis", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JTS_HOME": str(home)},
    ) as popen:
        try:
            yield popen
        finally:
            popen.kill()


def test_command_when_ready_then_prints_urls_and_ends_at_once(tmp_path: Path) -> None:
    """One JSON line once both ports answer; SIGTERM ends it within a moment."""
    with start(tmp_path, "--port", "0", "--seed", "3", "--json") as popen:
        assert popen.stdout is not None
        told = json.loads(popen.stdout.readline())
        answer = httpx.post(f"{told['rest_url']}/oauth2/tokenP", json={"appkey": "wrong"})
        assert answer.json()["error_code"] == "EGW00103"
        assert told["stream_url"].startswith("ws://127.0.0.1:")
        assert "삼성전자" in told["plays"]
        began = time.monotonic()
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(5) == 0
        assert time.monotonic() - began < 2


def test_command_when_port_is_taken_then_one_line_says_so(tmp_path: Path) -> None:
    """Exit 2 and what would be accepted, no traceback."""
    with start(tmp_path, "--port", "0", "--json") as first:
        assert first.stdout is not None
        port = json.loads(first.stdout.readline())["rest_url"].rpartition(":")[2]
        with start(tmp_path, "--port", port) as second:
            assert second.wait(20) == 2
            assert second.stderr is not None
            last = second.stderr.read().strip().splitlines()[-1]
            assert last.startswith("jts: a port of the simulator is taken; accepted: --port")


def is_data(item: object) -> bool:
    """Whether it is a data frame."""
    return isinstance(item, ReceivedFrame) and item.raw[:1] == b"0"


async def until(condition: Callable[..., bool]) -> None:
    """Wait for a state of another task."""
    while not condition():  # noqa: ASYNC110 - it is no event
        await asyncio.sleep(0.01)


class HandClock:
    """A clock that a test moves; waiting waits for it."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self._moved = asyncio.Condition()

    def now_ns(self) -> int:
        """Return the time."""
        return self._now_ns

    async def sleep_until(self, when_ns: int) -> None:
        """Wait until the test has moved the time there."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._now_ns >= when_ns)

    async def move(self, to_ns: int) -> None:
        """Set the time."""
        async with self._moved:
            self._now_ns = to_ns
            self._moved.notify_all()


def test_tape_when_it_starts_in_mid_session_then_the_day_has_had_its_volume(
    open_venue: Any,
) -> None:
    """A simulator that starts again at 10:20 goes on as if it had never been away."""

    async def run() -> None:
        recording = generated_recording(1, date(2024, 6, 28), count=3, symbols=["005930"])
        now_ns = korean_ns("2026-11-27T10:20:30")
        clock = HandClock(now_ns)
        world = mapped_world(recording, now_ns)
        assert world.days is not None
        day = next(world.days(now_ns))
        settings = {"speed": None, "waits_for_reader": False}
        async with open_venue(world=world, clock=clock, **settings) as venue:
            prices = await venue.rest.quote("005930")
            bars = [bar for bar in day.bars if bar.start_ns + 60 * 10**9 <= now_ns]
            minutes = await venue.rest.minutes_today("005930", "101959")
            assert [int(bar.volume) for bar in minutes] == [b.volume for b in bars[-30:]]
            assert int(prices.reference) == day.references["005930"]
            stream = venue.stream()
            await stream.subscribe(Registration(wire.TR_TRADE, "005930"))
            frames: list[bytes] = []

            async def read() -> None:
                async for item in stream.events():
                    frames.extend([item.raw] if is_data(item) else [])

            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(read())
                await until(lambda: bool(stream.registered))
                await clock.move(now_ns + 60 * 10**9)
                last = wire.TRADE_COLUMNS.index("ACML_VOL")
                due = [b for b in day.bars if b.start_ns + 60 * 10**9 <= now_ns]
                total = sum(b.volume for b in due)
                await until(lambda: bool(frames) and int(frames[-1].split(b"^")[last]) >= total)
                first = frames[0].decode().split("|", 3)[3].split("^")
                assert "102030" <= first[1] <= "102130"
                assert first[wire.TRADE_COLUMNS.index("BSOP_DATE")] == "20261127"
                reading.cancel()
            desk = venue.ready.desk
            assert desk.day == date(2026, 11, 27)
            assert desk.markets["005930"].figures.volume >= sum(b.volume for b in bars)

    asyncio.run(run())


def test_tape_when_the_next_day_comes_then_the_desk_opens_before_the_auction(
    open_venue: Any,
) -> None:
    """Orders of the opening auction belong to the new day; every day trades all its shares."""

    async def run() -> None:
        recording = generated_recording(1, date(2024, 6, 28), count=2, symbols=["005930"])
        clock = HandClock(korean_ns("2026-11-27T08:10:00"))
        world = mapped_world(recording, clock.now_ns())
        assert world.days is not None
        days = world.days(clock.now_ns())
        async with open_venue(
            world=world, clock=clock, speed=None, waits_for_reader=False
        ) as venue:
            desk = venue.ready.desk
            for text in ("2026-11-27", "2026-11-30", "2026-12-01"):
                day, today = next(days), date.fromisoformat(text)
                await clock.move(korean_ns(f"{text}T08:30:00"))
                async with asyncio.timeout(20):
                    await until(lambda today=today: desk.day == today)
                    assert desk.markets["005930"].figures.volume == 0
                    await clock.move(korean_ns(f"{text}T15:31:00"))
                    total = sum(bar.volume for bar in day.bars)
                    figures = desk.markets["005930"].figures
                    await until(lambda f=figures, t=total: f.volume >= t)
                    assert desk.markets["005930"].figures.volume == total
                assert int(desk.markets["005930"].limits.reference) == day.references["005930"]

    asyncio.run(run())


def test_settings_when_nothing_is_said_then_the_tape_follows_the_clock() -> None:
    """A simulator of an instance plays by the instance's clock and waits for nobody."""
    settings = SimulatorSettings()
    assert settings.speed is None
    assert not settings.waits_for_reader
