"""Keeps one role running in this process: heartbeat, restarts, and an end when it is in vain.

A role that ends, for whatever reason, is built anew and started again: start-up is recovery. More
than `BUDGET` ends within `WINDOW_S` are not the role's to cure: then the process ends, and the
supervisor waits longer each time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import structlog

from jts_trading.config.source import ConfigError
from jts_trading.domain.errors import TerminalError
from jts_trading.ports.bus import Bus
from jts_trading.ports.clock import Clock, SystemClock
from jts_trading.telemetry.health import Heartbeat, LoopWatch, Remarking, Role
from jts_trading.telemetry.metrics import Counters
from storage.embedded.private import own_directory
from storage.errors import InputError, StorageError

BUDGET = 5
WINDOW_S = 60.0
PAUSE_S, PAUSE_S_MAX = 0.25, 5.0
# Waiting does not change these: somebody has to.
_LASTING = (ConfigError, InputError, StorageError)

_log = structlog.get_logger(__name__)

BuildRole = Callable[[], AbstractAsyncContextManager[Role]]


class RoleEndedError(TerminalError):
    """A role ended too often; its process ends."""


class Budget:
    """Counts ends of a role within a window of real time.

    Args:
        ends_max: Ends within the window that are forgiven.
        window_s: Length of the window.
    """

    def __init__(self, ends_max: int = BUDGET, window_s: float = WINDOW_S) -> None:
        self._ends_max = ends_max
        self._window_s = window_s
        self._ends: deque[float] = deque()

    def spend(self, now_s: float) -> int | None:
        """Note an end; return how many are in the window, None when that is one too many."""
        self._ends.append(now_s)
        while self._ends and self._ends[0] < now_s - self._window_s:
            self._ends.popleft()
        return len(self._ends) if len(self._ends) <= self._ends_max else None


class Tended:
    """One role with whoever starts it again.

    Args:
        name: Of the role.
        build: Builds it; used for every start.
        home: Data root; one process at a time runs a role there.
        run_directory: Where heartbeats are.
        clock: Of the instance.
        bus: For health and metrics; None keeps them to the file.
        watch: Of the event loop of this process.
        budget: How many ends are forgiven.
    """

    def __init__(
        self,
        name: str,
        build: BuildRole,
        *,
        home: Path,
        run_directory: Path,
        clock: Clock,
        bus: Bus | None,
        watch: LoopWatch,
        budget: Budget | None = None,
    ) -> None:
        self._name = name
        self._build = build
        self._home = home
        self._watch = watch
        self._budget = budget or Budget()
        self._role: Role | None = None
        self._why = "starting"
        self._counters = Counters()
        self._heartbeat = Heartbeat(
            name,
            run_directory=run_directory,
            clock=clock,
            wall_ns=SystemClock().now_ns,
            bus=bus,
            readiness=self.readiness,
            metrics=self.metrics,
        )

    async def run(self) -> None:
        """Run the role until cancelled.

        Raises:
            DirectoryOwnedError: Another process runs this role in this home.
            RoleEndedError: It ended too often.
        """
        owner = own_directory(self._home / "trading" / self._name, f"the role {self._name}")
        try:
            structlog.contextvars.bind_contextvars(role=self._name)
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(self._heartbeat.keep(), name=f"{self._name}-heartbeat")
                try:
                    await self._tend()
                finally:
                    heart.cancel()
        finally:
            owner.release()

    def readiness(self) -> tuple[str, ...]:
        """Return why the role does not do its work."""
        if self._role is None:
            return (self._why,)
        remarks = self._role.remarks() if isinstance(self._role, Remarking) else ()
        return (*self._role.readiness(), *remarks)

    def metrics(self) -> Mapping[str, float]:
        """Return the metrics of the role and of its process."""
        own = {**self._counters.samples(), **self._watch.lag.samples("event_loop_lag")}
        return own if self._role is None else {**own, **self._role.metrics()}

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            end = await self._run_once()
            self._counters.add("role_ends_total")
            ends = self._budget.spend(loop.time())
            if ends is None:
                raise RoleEndedError(f"{self._name}: ended too often, at last with: {end}")
            self._why = f"ended with: {end}; starting again"
            await asyncio.sleep(min(PAUSE_S * 2 ** (ends - 1), PAUSE_S_MAX))

    async def _run_once(self) -> str:
        """Run the role to its end; return how it ended."""
        try:
            async with self._build() as role:
                self._role, self._why = role, ""
                try:
                    await role.run()
                finally:
                    self._role = None
        except _LASTING:
            raise
        except Exception as error:  # noqa: BLE001 - the task boundary of a role: count, log, restart
            _log.exception("role_failed")
            return one_line(error)
        _log.error("role_returned")
        return "a return"


def one_line(error: BaseException) -> str:
    """Return class and text of an error; of a group, those of its first member."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
