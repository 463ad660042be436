"""Programs that this one starts and must be able to end, with all that they started.

Each runs in a session of its own, so that Ctrl-C reaches only the supervisor, and dies with the
process that started it (`jts_pipelines/cli/child.py`).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from jts_trading.config import procfs

_SHIM = Path(__file__).with_name("child.py")
_LOG_BYTES_MAX = 16 * 1024 * 1024
_KILL_SECONDS_MAX = 5.0


class Child:
    """One started program: the leader of a session.

    Args:
        argv: The program by its absolute path, and its arguments.
        environment: All of its variables.
        log: Its output is appended here; a log above 16 MiB is moved to `<name>.1` first.
        directory: Its working directory.
        death_signal: What the kernel sends it when the process that started it dies.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        directory: Path,
        death_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
            log.replace(log.with_name(f"{log.name}.1"))
        shim = (sys.executable, "-I", "-S", str(_SHIM))
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*shim, str(os.getpid()), str(death_signal.value), *argv],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self.started_ticks = procfs.started_ticks(self.pid)

    def exit_code(self) -> int | None:
        """Return how it ended, negative for a signal, or None while it runs."""
        return self._popen.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the program itself, which ends what it started."""
        if self.exit_code() is None:
            self._popen.terminate()

    def kill(self) -> None:
        """Kill it and everything it started, and collect it."""
        kill_family(self.pid, self.started_ticks)
        self._popen.wait(_KILL_SECONDS_MAX)

    def family(self) -> list[int]:
        """Return the pids of it and of all that it started and that still runs."""
        return procfs.family(self.pid, self.started_ticks)

    def wait(self, deadline: float) -> bool:
        """Return whether it and its session ended before a monotonic time."""
        while time.monotonic() < deadline:
            if self.exit_code() is not None and not self.family():
                return True
            time.sleep(0.02)
        return False


def kill_family(pid: int, ticks: int) -> None:
    """Send SIGKILL to a program, its descendants and the members of its session."""
    deadline = time.monotonic() + _KILL_SECONDS_MAX
    members = procfs.family(pid, ticks)
    while members and time.monotonic() < deadline:
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        time.sleep(0.01)
        members = procfs.family(pid, ticks)


def stop_together(children: Sequence[Child], *, grace_s: float) -> list[Child]:
    """Stop some programs at once: SIGTERM, then SIGKILL to whatever is left after the grace.

    Returns:
        Those that had to be killed.
    """
    for child in children:
        child.ask_to_stop()
    deadline = time.monotonic() + grace_s
    late = [child for child in children if not child.wait(deadline)]
    for child in late:
        child.kill()
    return late
