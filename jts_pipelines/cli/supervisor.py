"""Keeps the parts of one instance running.

Theory of operation. The main thread owns every decision: `turn` starts a part when its parents
are ready, collects one that ended, and starts it again after a pause that doubles from
`PAUSE_FIRST_S` to `PAUSE_MAX_S`. Starting must stay in the main thread, because the kernel ties
the life of a child to the thread that made it. One thread per part only asks its probe and leaves
the answer; an answer about an earlier process of the part is ignored. `stop` ends the parts level
by level, children before parents.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

from jts_pipelines.cli.part import AliveReason, LastingReason, Part, levels
from jts_pipelines.cli.record import Health, PartRecord
from jts_pipelines.cli.spawned import Child, stop_together
from jts_trading.telemetry import console

PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 30.0
STEADY_AFTER_S = 30.0
TURN_S = 0.1
_PROBE_STARTING_S = 0.25
_LAST_WORDS_BYTES = 2_048
_LAST_WORDS_CHARACTERS = 160

Tell = Callable[[str, str], None]


def pause_s(failures: int) -> float:
    """Return the seconds to wait before the start after this many failures in a row."""
    return float(min(PAUSE_FIRST_S * 2 ** min(failures - 1, 16), PAUSE_MAX_S))


@dataclass(slots=True)
class _Kept:
    """The changing side of a part; only the main thread changes it, except for `answer`."""

    part: Part
    generation: int = 0
    child: Child | None = None
    answer: tuple[int, str | None] | None = None
    was_ready: bool = False
    steady_since: float = 0.0
    answered_at: float = 0.0
    started_at: float = 0.0
    failures: int = 0
    starts: int = 0
    start_at: float = 0.0
    last_end: str = ""
    log_from: int = 0
    is_done: bool = False
    wake: threading.Event = field(default_factory=threading.Event)

    @property
    def is_active(self) -> bool:
        return self.generation > 0 and (self.child is not None or not self.part.argv)

    @property
    def reason(self) -> str | None:
        """Why it is not ready, or None if it is."""
        if self.is_done:
            return None
        if not self.is_active:
            return self.last_end or "waiting"
        if self.answer is None or self.answer[0] != self.generation:
            return "starting"
        return self.answer[1]


class Supervisor:
    """Runs some parts until it is told to stop.

    Args:
        parts: What to run; parents are named by parts of the same list.
        logs: Directory of the log files, one per part.
        tell: Called with the name of a part and what happened to it.
    """

    def __init__(self, parts: tuple[Part, ...], *, logs: Path, tell: Tell) -> None:
        self._levels = levels(parts)
        self._kept = {part.name: _Kept(part) for level in self._levels for part in level}
        self._logs = logs
        self._tell = tell
        self._closed = threading.Event()

    def open(self) -> None:
        """Start the probing threads."""
        for kept in self._kept.values():
            name = f"probe-{kept.part.name}"
            threading.Thread(target=self._ask, args=(kept,), name=name, daemon=True).start()

    def turn(self) -> None:
        """Look at every part once: collect, start and start again what is due."""
        now = time.monotonic()
        for kept in self._kept.values():
            self._collect(kept, now)
            self._judge(kept, now)
            if self._is_due(kept, now) and not self._missing(kept):
                self._start(kept, now)

    def is_ready(self) -> bool:
        """Return whether every part does its work."""
        return all(kept.reason is None for kept in self._kept.values())

    def has_lasting_reason(self) -> bool:
        """Return whether some part is not ready and will not be by waiting."""
        return any(isinstance(kept.reason, LastingReason) for kept in self._kept.values())

    def records(self) -> tuple[PartRecord, ...]:
        """Return how every part is, in start order."""
        return tuple(self._record(kept) for kept in self._kept.values())

    def stop(self) -> list[str]:
        """End every part, children before parents.

        Returns:
            The names of those that had to be killed although they had something to save.
        """
        self._closed.set()
        killed = []
        for level in reversed(self._levels):
            kept = [self._kept[part.name] for part in level]
            running = {k.child.pid: k.part.name for k in kept if k.child is not None}
            children = [k.child for k in kept if k.child is not None]
            careless = {part.name for part in level if part.death_signal is Signals.SIGKILL}
            grace_s = max((part.grace_s for part in level), default=0.0)
            late = (running[child.pid] for child in stop_together(children, grace_s=grace_s))
            killed += [name for name in late if name not in careless]
            for k in kept:
                k.child, k.last_end = None, "stopped"
        return killed

    def _is_due(self, kept: _Kept, now: float) -> bool:
        return not kept.is_active and not kept.is_done and now >= kept.start_at

    def _missing(self, kept: _Kept) -> list[str]:
        return [name for name in kept.part.parents if self._kept[name].reason is not None]

    def _collect(self, kept: _Kept, now: float) -> None:
        code = kept.child.exit_code() if kept.child is not None else None
        if kept.child is None or code is None:
            return
        if code == 0 and kept.part.is_step:
            kept.child.kill()
            kept.child, kept.is_done = None, True
            self._tell(kept.part.name, "done")
            return
        if code < 0:
            end = f"ended by signal {-code}"
        else:
            end = f"ended with exit code {code}{_last_words(self._log(kept.part), kept.log_from)}"
        self._plan_restart(kept, now, end, is_lasting=code == console.BAD_USAGE)

    def _plan_restart(
        self, kept: _Kept, now: float, end: str, *, is_lasting: bool = False
    ) -> None:
        if kept.child is not None:
            # What it started may still hold its port or its files.
            kept.child.kill()
        kept.child = None
        kept.failures += 1
        kept.start_at = now + pause_s(kept.failures)
        last_end = f"{end}; next start in {pause_s(kept.failures):g} s"
        # A configuration that cannot be used will not get better by waiting.
        kept.last_end = LastingReason(last_end) if is_lasting else last_end
        self._tell(kept.part.name, kept.last_end)

    def _judge(self, kept: _Kept, now: float) -> None:
        if not kept.is_active:
            return
        if kept.reason is None:
            if not kept.was_ready:
                kept.was_ready, kept.steady_since = True, now
                self._tell(kept.part.name, "ready")
            if now - kept.steady_since >= STEADY_AFTER_S:
                kept.failures = 0
            kept.answered_at = now
        elif isinstance(kept.reason, AliveReason):
            kept.answered_at = now
        elif kept.child is not None and now - kept.answered_at >= kept.part.hung_after_s:
            self._plan_restart(kept, now, f"did not answer for {kept.part.hung_after_s:g} s")

    def _start(self, kept: _Kept, now: float) -> None:
        kept.generation += 1
        kept.was_ready, kept.answered_at, kept.started_at = False, now, now
        try:
            if kept.part.argv:
                log = self._log(kept.part)
                kept.log_from = log.stat().st_size if log.exists() else 0
                kept.child = self._spawn(kept.part)
        except Exception as error:  # noqa: BLE001 - one part that cannot start must not end the others
            self._plan_restart(kept, now, f"could not be started: {' '.join(str(error).split())}")
            return
        if kept.child is not None:
            kept.starts += 1
            self._tell(kept.part.name, f"started as pid {kept.child.pid}")
        kept.wake.set()

    def _spawn(self, part: Part) -> Child:
        return Child(
            part.argv,
            environment=part.environment,
            log=self._log(part),
            directory=part.directory,
            death_signal=part.death_signal,
        )

    def _ask(self, kept: _Kept) -> None:
        while not self._closed.is_set():
            generation = kept.generation
            if not kept.is_active:
                kept.wake.wait(TURN_S)
                continue
            kept.wake.clear()
            try:
                reason = kept.part.probe(time.monotonic() - kept.started_at)
            except Exception as error:  # noqa: BLE001 - a probe that breaks is a part that is not well
                reason = f"{type(error).__name__}: {error}"
            kept.answer = (generation, reason)
            kept.wake.wait(kept.part.probe_every_s if reason is None else _PROBE_STARTING_S)

    def _record(self, kept: _Kept) -> PartRecord:
        reason = kept.reason
        if kept.generation == 0:
            missing = self._missing(kept)
            state = Health.NOT_STARTED
            reason = f"waits for {', '.join(missing)}" if missing else "waiting"
        elif reason is None:
            state = Health.HEALTHY
        else:
            state = Health.WARNING if kept.is_active else Health.CRITICAL
        return PartRecord(
            name=kept.part.name,
            state=state,
            reason=str(reason or ""),
            pid=kept.child.pid if kept.child is not None else None,
            started_ticks=kept.child.started_ticks if kept.child is not None else 0,
            url=kept.part.url,
            restarts=max(kept.starts - 1, 0),
            log=str(self._log(kept.part)) if kept.part.argv else "",
        )

    def _log(self, part: Part) -> Path:
        return self._logs / f"{part.name}.log"


def _last_words(log: Path, start: int) -> str:
    """Return the last line of a log after a position: why a part ended by itself."""
    try:
        size = log.stat().st_size
        with log.open("rb") as file:
            # A log that is shorter than it was has been moved away: all of it is new.
            file.seek(max(size - _LAST_WORDS_BYTES, start if start <= size else 0))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    line = console.redacted(" ".join(lines[-1].split())) if lines else ""
    return f" ({line[:_LAST_WORDS_CHARACTERS]})" if line else ""


def turns(supervisor: Supervisor, stop: threading.Event) -> Iterator[None]:
    """Keep a supervisor turning until the event is set; yields after each turn."""
    while not stop.is_set():
        supervisor.turn()
        yield
        stop.wait(TURN_S)
