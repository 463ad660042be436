"""Promises of the instance clock."""

import asyncio
import json
import subprocess
import sys
import time
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.config.instance import ClockSettings
from jts_trading.config.source import ConfigError
from jts_trading.domain.clock import AffineClock
from jts_trading.ports.clock import (
    InstanceClock,
    SystemClock,
    VirtualClock,
    open_clock,
    today,
    write_clock,
)

EPOCH = "2024-06-03T08:00:00+09:00"
EPOCH_NS = 1_717_369_200_000_000_000
HOUR_NS = 3600 * 10**9


@given(
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.fractions(Fraction(1, 1000), 10_000),
    st.integers(0, 2**60),
)
def test_affine_clock_when_asked_for_an_instant_then_gives_its_first_reading(
    epoch, anchor, speed, ahead
):
    """`monotonic_at_ns` is the least reading at which the clock has reached an instant."""
    clock = AffineClock(epoch, anchor, speed)
    reading = clock.monotonic_at_ns(epoch + ahead)

    assert clock.now_ns(reading) >= epoch + ahead
    assert clock.now_ns(reading - 1) < epoch + ahead


@given(st.integers(-(2**62), 2**62), st.integers(0, 2**50), st.fractions(Fraction(1, 99), 99))
def test_affine_clock_when_time_passes_then_never_goes_back(reading, later, speed):
    """A later reading is never an earlier time."""
    clock = AffineClock(0, 0, speed)

    assert clock.now_ns(reading + later) >= clock.now_ns(reading)


def test_affine_clock_when_speed_is_not_above_zero_then_is_refused():
    """A clock neither stands nor runs back."""
    with pytest.raises(ValueError, match="not above 0"):
        AffineClock(0, 0, Fraction(0))


def test_affine_clock_when_read_after_years_then_is_exact_to_the_nanosecond():
    """No float takes part: ten years at speed 7/3 are exact."""
    elapsed = 10 * 365 * 86_400 * 10**9 + 1

    assert AffineClock(5, 11, Fraction(7, 3)).now_ns(11 + elapsed) == 5 + elapsed * 7 // 3


def test_open_clock_when_nothing_was_written_then_follows_the_system(tmp_path: Path):
    """An instance without a file runs on the real time."""
    clock = open_clock(tmp_path)

    assert isinstance(clock, SystemClock)
    assert abs(clock.now_ns() - time.time_ns()) < HOUR_NS


def test_write_clock_when_system_at_speed_one_then_removes_an_older_file(tmp_path: Path):
    """Going back to the real time leaves nothing of an earlier epoch."""
    write_clock(tmp_path, ClockSettings(epoch=EPOCH))

    assert isinstance(write_clock(tmp_path, ClockSettings()), SystemClock)
    assert isinstance(open_clock(tmp_path), SystemClock)


def test_write_clock_when_an_epoch_is_named_then_starts_there(tmp_path: Path):
    """The first instant of the instance is its epoch."""
    clock = write_clock(tmp_path / "run", ClockSettings(epoch=EPOCH))

    assert 0 <= clock.now_ns() - EPOCH_NS < HOUR_NS
    assert today(clock, "KRX") == date(2024, 6, 3)
    assert today(clock, "UPBIT") == date(2024, 6, 2)


def test_instance_clock_when_read_by_another_process_then_agrees(tmp_path: Path):
    """Two processes of an instance share one time, also at high speed."""
    mine = write_clock(tmp_path, ClockSettings(epoch=EPOCH, speed=1000.0))
    program = (
        "import sys; from pathlib import Path; from jts_trading.ports.clock import open_clock;"
        "print(open_clock(Path(sys.argv[1])).now_ns())"
    )
    before = mine.now_ns()
    answer = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    after = mine.now_ns()

    assert before <= int(answer.stdout) <= after


def test_instance_clock_when_speed_is_60_then_an_hour_takes_a_minute(tmp_path: Path):
    """Speed is instance seconds per real second."""
    clock = write_clock(tmp_path, ClockSettings(epoch=EPOCH, speed=60.0))
    before = time.monotonic_ns()
    first = clock.now_ns()
    after_first = time.monotonic_ns()
    while (before_last := time.monotonic_ns()) - after_first < 20_000_000:
        pass
    last = clock.now_ns()
    after = time.monotonic_ns()

    # The readings of the clock lie between those of the real one; one tick of rounding each.
    assert 60 * (before_last - after_first) - 60 <= last - first <= 60 * (after - before) + 60


def test_instance_clock_when_the_machine_was_rebooted_then_goes_on_by_the_wall_clock(
    tmp_path: Path,
):
    """Another boot id voids the anchor; the line goes on as if the machine had slept."""
    write_clock(tmp_path, ClockSettings(epoch=EPOCH, speed=2.0))
    path = tmp_path / "clock.json"
    content = json.loads(path.read_text())
    content |= {
        "boot_id": "another-boot",
        "anchor_boottime_ns": content["anchor_boottime_ns"] + 10**18,
        "anchor_wall_ns": content["anchor_wall_ns"] - HOUR_NS,
    }
    path.write_text(json.dumps(content))
    passed = open_clock(tmp_path).now_ns() - EPOCH_NS

    assert 2 * HOUR_NS <= passed < 3 * HOUR_NS


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (ClockSettings(epoch="2024-06-03T08:00:00"), "clock.epoch"),
        (ClockSettings(epoch="yesterday"), "clock.epoch"),
        (ClockSettings(speed=0.0), "clock.speed"),
        (ClockSettings(speed=-1.0), "clock.speed"),
        (ClockSettings(speed=float("nan")), "clock.speed"),
        (ClockSettings(speed=float("inf")), "clock.speed"),
    ],
)
def test_write_clock_when_settings_are_wrong_then_names_the_key(
    tmp_path: Path, settings: ClockSettings, named: str
):
    """A clock that cannot be built says which key is wrong."""
    with pytest.raises(ConfigError, match=named):
        write_clock(tmp_path, settings)


@pytest.mark.parametrize("content", ["", "{}", '{"version": 2}', "[1"])
def test_open_clock_when_the_file_is_damaged_then_names_it(tmp_path: Path, content: str):
    """A damaged clock file is never read as the real time."""
    (tmp_path / "clock.json").write_text(content)
    with pytest.raises(ConfigError, match=r"clock\.json: not a clock file"):
        open_clock(tmp_path)


def test_write_clock_when_done_then_leaves_no_other_file(tmp_path: Path):
    """The file appears at once and whole."""
    write_clock(tmp_path, ClockSettings(epoch=EPOCH))

    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]


def test_sleep_until_when_the_instant_has_come_then_returns(tmp_path: Path):
    """Waiting ends at the instant, never before it, on every clock."""

    async def wait() -> None:
        fast = write_clock(tmp_path, ClockSettings(epoch=EPOCH, speed=1000.0))
        for clock in (SystemClock(), fast, VirtualClock(7)):
            when = clock.now_ns() + 5_000_000
            await clock.sleep_until(when)

            assert clock.now_ns() >= when
            await clock.sleep_until(0)

    asyncio.run(asyncio.wait_for(wait(), 30))


def test_virtual_clock_when_moved_then_shows_it_and_refuses_to_go_back():
    """A virtual clock moves only by hand, and only forward."""
    clock = VirtualClock(10)
    clock.advance(5)

    assert clock.now_ns() == 15
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_instance_clock_when_speed_is_a_decimal_fraction_then_is_exact(tmp_path: Path):
    """0.1 means one tenth, not the float nearest to it."""
    clock = write_clock(tmp_path, ClockSettings(epoch=EPOCH, speed=0.1))

    assert isinstance(clock, InstanceClock)
    assert clock.speed == Fraction(1, 10)


def test_write_clock_when_the_file_cannot_be_put_then_leaves_nothing_behind(tmp_path: Path):
    """A failed start leaves no half-written clock."""
    (tmp_path / "clock.json" / "in-the-way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"clock\.json"):
        write_clock(tmp_path, ClockSettings(epoch=EPOCH))

    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]


def test_instance_clock_when_the_system_has_no_boot_id_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Systems without boot id and boot clock name the boot by its instant."""
    monkeypatch.setattr("jts_trading.ports.clock._BOOT_ID", tmp_path / "absent")
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    write_clock(tmp_path, ClockSettings(epoch=EPOCH, speed=2.0))
    clock = open_clock(tmp_path)

    assert "boot-" in (tmp_path / "clock.json").read_text()
    assert 0 <= clock.now_ns() - EPOCH_NS < HOUR_NS
