"""The clock port and its real forms: the only room that reads wall and monotonic time.

Theory of operation. An instance has one clock, written once at its start to
`<home>/run/clock.json` by `write_clock`: an epoch, a speed, and the reading of the boot clock
(CLOCK_BOOTTIME: it counts while the machine sleeps and reads the same in every process) at which
instance time was the epoch.
Every process computes `now = epoch + speed x (boot clock - anchor)` and so agrees with all others.
An instance on the real time (`system`, speed 1) has no file and follows the system clock, so that
corrections by NTP reach it.

After a reboot the boot clock has begun again and the anchor means nothing; the file tells by the
boot id. The instance then goes on along the same line by the wall clock that was noted beside the
anchor, as if the machine had slept, until the next start of the instance writes a new file.

Rate limits and leases are no business of this clock: they stay on real monotonic time.
"""

import asyncio
import os
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from jts_trading.config.instance import ClockSettings
from jts_trading.config.source import ConfigError
from jts_trading.domain.clock import AffineClock
from jts_trading.domain.sessions import local_date

FILE_NAME = "clock.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NS_PER_S = 1_000_000_000
# Longest single wait, so that a changed system clock or a suspended machine is noticed.
_WAIT_S_MAX = 30.0


class Clock(Protocol):
    """What the time is, and waiting for it."""

    def now_ns(self) -> int:
        """Return the time in UTC ns."""
        ...

    async def sleep_until(self, when_ns: int) -> None:
        """Return as soon as `now_ns()` has reached `when_ns`, at once if it has."""
        ...


class ClockFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `clock.json`.

    Attributes:
        epoch_ns: Instance time (UTC ns) at the anchor.
        anchor_boottime_ns: Boot clock at the anchor.
        anchor_wall_ns: Real time (UTC ns) at the anchor.
        boot_id: Which boot the boot clock belongs to.
        speed: Instance seconds per real second, as an exact fraction such as `60` or `1/2`.
    """

    version: Literal[1] = 1
    epoch_ns: int
    anchor_boottime_ns: int
    anchor_wall_ns: int
    boot_id: str
    speed: str


class SystemClock:
    """The real time."""

    def now_ns(self) -> int:
        """Return the real time in UTC ns."""
        return time.time_ns()

    async def sleep_until(self, when_ns: int) -> None:
        """Return as soon as the real time has reached `when_ns`."""
        while (left_ns := when_ns - self.now_ns()) > 0:  # noqa: ASYNC110 - time is no event
            await asyncio.sleep(min(left_ns / _NS_PER_S, _WAIT_S_MAX))


class InstanceClock:
    """The clock of one instance, the same in all its processes.

    Args:
        file: What the instance wrote at its start.
    """

    def __init__(self, file: ClockFile) -> None:
        self._line = AffineClock(file.epoch_ns, _anchor_in_this_boot(file), Fraction(file.speed))

    @property
    def speed(self) -> Fraction:
        """Instance seconds per real second."""
        return self._line.speed

    def now_ns(self) -> int:
        """Return the instance time in UTC ns."""
        return self._line.now_ns(boottime_ns())

    async def sleep_until(self, when_ns: int) -> None:
        """Return as soon as the instance time has reached `when_ns`."""
        reading = self._line.monotonic_at_ns(when_ns)
        while (left_ns := reading - boottime_ns()) > 0:  # noqa: ASYNC110 - time is no event
            await asyncio.sleep(min(left_ns / _NS_PER_S, _WAIT_S_MAX))


class VirtualClock:
    """A clock that stands until somebody moves it; waiting moves it.

    Args:
        now_ns: Its first time in UTC ns.
    """

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the time in UTC ns."""
        return self._now_ns

    def advance(self, by_ns: int) -> None:
        """Move the clock forward.

        Raises:
            ValueError: The step is negative.
        """
        if by_ns < 0:
            raise ValueError(f"a clock does not go back by {-by_ns} ns")
        self._now_ns += by_ns

    async def sleep_until(self, when_ns: int) -> None:
        """Jump to `when_ns` if it lies ahead, giving others one turn."""
        self._now_ns = max(self._now_ns, when_ns)
        await asyncio.sleep(0)


def write_clock(run_directory: Path, settings: ClockSettings) -> Clock:
    """Start the clock of an instance; called once, before its other processes start.

    Args:
        run_directory: `<home>/run`; created when missing.
        settings: Section `clock`. `system` at speed 1 is the system clock and leaves no file.

    Raises:
        ConfigError: The epoch is no instant with an offset, or the speed is not above zero.
    """
    speed = _speed_of(settings)
    path = run_directory / FILE_NAME
    if settings.epoch == "system" and speed == 1:
        path.unlink(missing_ok=True)
        return SystemClock()
    wall_ns = time.time_ns()
    file = ClockFile(
        epoch_ns=wall_ns if settings.epoch == "system" else _instant_ns(settings.epoch),
        anchor_boottime_ns=boottime_ns(),
        anchor_wall_ns=wall_ns,
        boot_id=_boot_id(),
        speed=str(speed),
    )
    run_directory.mkdir(parents=True, exist_ok=True)
    _replace(path, msgspec.json.encode(file) + b"\n")
    return InstanceClock(file)


def open_clock(run_directory: Path) -> Clock:
    """Return the clock of the instance whose `<home>/run` this is; the system's without a file.

    Raises:
        ConfigError: The file is no clock file of this version.
    """
    path = run_directory / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return SystemClock()
    try:
        return InstanceClock(msgspec.json.decode(content, type=ClockFile))
    except (msgspec.DecodeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(
            f"{path}: not a clock file ({error}); start the instance again to write it"
        ) from error


def today(clock: Clock, venue: str) -> date:
    """Return the date in a venue's zone, which need not be a session.

    Raises:
        InstrumentError: The venue is unknown.
    """
    return local_date(venue, clock.now_ns())


def _anchor_in_this_boot(file: ClockFile) -> int:
    if file.boot_id == _boot_id():
        return file.anchor_boottime_ns
    return boottime_ns() - (time.time_ns() - file.anchor_wall_ns)


def _speed_of(settings: ClockSettings) -> Fraction:
    try:
        speed = Fraction(str(settings.speed))
    except ValueError:
        speed = Fraction(0)
    if speed <= 0:
        raise ConfigError(f"clock.speed is {settings.speed}; accepted: a number above 0")
    return speed


def _instant_ns(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ConfigError(
            f"clock.epoch is {text!r}; accepted: `system` or an instant with its offset such as"
            " 2024-06-03T08:00:00+09:00"
        )
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def boottime_ns() -> int:
    """Return the boot clock in ns: it counts sleep and reads the same in every program here."""
    # Not every system counts sleep; there the monotonic clock has to do.
    clock_id = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock_id is None else time.clock_gettime_ns(clock_id)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        # Without a boot id, the instant of the boot to a minute names it well enough.
        return f"boot-{(time.time_ns() - boottime_ns()) // (60 * _NS_PER_S)}"


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
