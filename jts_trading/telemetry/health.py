"""How a role is: its heartbeat in a file, and on the bus at a slower pace.

`<home>/run/roles/<role>.json` is replaced every second. Who reads it learns that the event loop of
that process turns (the file is fresh and names its pid), whether the role does its work, why not,
and its metrics. No server has to live for that.
"""

import asyncio
import contextlib
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
import structlog

from jts_trading.domain.errors import TransientError
from jts_trading.domain.feed_messages import RoleHealth
from jts_trading.domain.messages import MESSAGES
from jts_trading.ports.bus import Bus, Envelope
from jts_trading.ports.clock import Clock
from jts_trading.telemetry.metrics import Latency

BEAT_S = 1.0
# What a reason says that is no defect: the market of the role sleeps.
CLOSED = "session closed"
HEALTH_TOPIC, METRICS_TOPIC = "system.health", "system.metrics"
_PUBLISH_S = 10.0
_METRICS_S = 30.0
_LAG_EVERY_S = 0.25
_LAG_WARN_MS = 50.0
_LAG_QUIET_S = 10.0

_log = structlog.get_logger(__name__)


class Role(Protocol):
    """One daemon role; built by `bootstrap`, run until it is cancelled.

    One with a method `remarks() -> tuple[str, ...]` also has what people want to know although
    all is well, such as when its market opens (`Remarking`).
    """

    @property
    def name(self) -> str:
        """Of the role: `trader`."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...

    def readiness(self) -> tuple[str, ...]:
        """Return why it does not do its work; empty when it does.

        A reason that contains `CLOSED` is told, and the role counts as ready.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """Return counters and gauges by sample name."""
        ...


@runtime_checkable
class Remarking(Protocol):
    """What a role may have beside the methods of `Role`."""

    def remarks(self) -> tuple[str, ...]:
        """Return what people want to know although all is well."""
        ...


def health_file(run_directory: Path, role: str) -> Path:
    """Return where the heartbeat of a role is."""
    return run_directory / "roles" / f"{role}.json"


def read_health(run_directory: Path, role: str) -> RoleHealth | None:
    """Return the newest heartbeat of a role, however old; None without one."""
    try:
        content = health_file(run_directory, role).read_bytes()
        return msgspec.json.decode(content, type=RoleHealth)
    except (OSError, msgspec.DecodeError):
        return None


class LoopWatch:
    """Measures how late the event loop comes back to a waiting task."""

    def __init__(self) -> None:
        self.lag = Latency()

    async def watch(self) -> None:
        """Measure until cancelled; warn of a loop that was held up for over 50 ms."""
        loop = asyncio.get_running_loop()
        worst_ms, quiet_until = 0.0, 0.0
        while True:
            due = loop.time() + _LAG_EVERY_S
            await asyncio.sleep(_LAG_EVERY_S)
            late_ms = (loop.time() - due) * 1000
            self.lag.add(max(0.0, late_ms))
            worst_ms = max(worst_ms, late_ms)
            if worst_ms > _LAG_WARN_MS and loop.time() >= quiet_until:
                _log.warning("event_loop_held_up", worst_ms=round(worst_ms, 1))
                worst_ms, quiet_until = 0.0, loop.time() + _LAG_QUIET_S


class Heartbeat:
    """Writes and publishes how one role is.

    Args:
        name: Of the role.
        run_directory: `<home>/run`.
        clock: Of the instance.
        wall_ns: Real time, UTC ns.
        bus: Where health and metrics are published; None publishes nothing.
        readiness: Why the role does not do its work, also while it is being started again.
        metrics: Of the role and of what runs it.
    """

    def __init__(
        self,
        name: str,
        *,
        run_directory: Path,
        clock: Clock,
        wall_ns: Callable[[], int],
        bus: Bus | None,
        readiness: Callable[[], tuple[str, ...]],
        metrics: Callable[[], Mapping[str, float]],
    ) -> None:
        self._name = name
        self._file = health_file(run_directory, name)
        self._clock = clock
        self._wall_ns = wall_ns
        self._bus = bus
        self._readiness = readiness
        self._metrics = metrics

    async def keep(self) -> None:
        """Beat until cancelled; the file goes at the end, because nobody answers for it then."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            async with asyncio.TaskGroup() as group:
                # A bus that does not answer must not stop the heart.
                group.create_task(self._beat())
                group.create_task(self._tell())
        finally:
            self._file.unlink(missing_ok=True)

    async def _beat(self) -> None:
        while True:
            # In this thread: one that is left behind would put the file back after the end.
            _replace(self._file, msgspec.json.encode(self.look()))
            await asyncio.sleep(BEAT_S)

    async def _tell(self) -> None:
        """Publish health every 10 s and when it changes, metrics every 30 s."""
        loop = asyncio.get_running_loop()
        health_at = metrics_at = loop.time()
        said: tuple[str, ...] | None = None
        while True:
            health, now = self.look(), loop.time()
            if health.reasons != said or now >= health_at:
                said, health_at = health.reasons, now + _PUBLISH_S
                await self._publish(HEALTH_TOPIC, msgspec.structs.replace(health, metrics={}))
            if now >= metrics_at:
                metrics_at = now + _METRICS_S
                await self._publish(METRICS_TOPIC, health)
            await asyncio.sleep(BEAT_S)

    def look(self) -> RoleHealth:
        """Return how the role is now."""
        reasons = self._readiness()
        return RoleHealth(
            role=self._name,
            pid=os.getpid(),
            is_ready=all(CLOSED in reason for reason in reasons),
            reasons=reasons,
            metrics=dict(self._metrics()),
            ts_ns=self._clock.now_ns(),
            real_ns=self._wall_ns(),
        )

    async def _publish(self, topic: str, health: RoleHealth) -> None:
        if self._bus is None:
            return
        kind, version = MESSAGES.identify(health)
        name = str(uuid.uuid4())
        envelope = Envelope(
            type=kind,
            version=version,
            id=name,
            correlation_id=name,
            causation_id=name,
            source=self._name,
            ts_event_ns=health.ts_ns,
            ts_recv_ns=health.ts_ns,
            payload=msgspec.msgpack.encode(health),
        )
        # The file says how the role is when the bus is away.
        with contextlib.suppress(TransientError):
            await self._bus.publish(topic, envelope)


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
