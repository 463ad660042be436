"""How long a server process lives: until it is told to stop, or until its supervisor is gone.

Theory of operation. Each embedded server is a foreground process, started by a supervisor in a
session of its own, so a Ctrl-C in the terminal reaches the supervisor only; should a SIGINT arrive
nevertheless, it is ignored. SIGTERM means: stop now, cleanly. Two nets catch a supervisor that was
killed hard:

* `--parent-pid PID`: a thread waits on a pidfd of that process and then acts as if SIGTERM had
  come. Any process can be named, not only the parent, so it works for grandchildren; unlike
  PR_SET_PDEATHSIG it does not fire when merely the *thread* that spawned us ends.
* A native server below us (postgres, redis-server) is told by PR_SET_PDEATHSIG to stop when we
  die; it is our direct child, spawned by our main thread, so the signal means exactly that.
"""

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.5


class StopRequest:
    """Asked for once, by SIGTERM or by the end of the supervisor; the main thread waits for it.

    The main thread reads from a pipe. The kernel may deliver SIGTERM to any thread, of which the
    engine has many, and a main thread that waits for a lock would then sleep on: seen under load.
    Python writes to the wake-up descriptor in whichever thread the signal arrives.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._is_asked = False

    def install(self, parent_pid: int | None) -> None:
        """Take SIGTERM, ignore SIGINT and watch the supervisor. Call in the main thread."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if parent_pid is not None:
            watch_exit(parent_pid, self.ask)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._is_asked = True

    def ask(self) -> None:
        """Request the stop; may be called from any thread, and twice."""
        self._is_asked = True
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")

    @property
    def is_asked(self) -> bool:
        """True once somebody asked."""
        return self._is_asked

    def wait(self) -> None:
        """Wait until the stop is requested."""
        while not self._is_asked:
            os.read(self._reader, 64)


def watch_exit(pid: int, on_exit: Callable[[], None]) -> None:
    """Call `on_exit` in a daemon thread once the process `pid` has ended, at once if it has."""
    thread = threading.Thread(target=_await_exit, args=(pid, on_exit), daemon=True)
    thread.name = f"watch-{pid}"
    thread.start()


def _await_exit(pid: int, on_exit: Callable[[], None]) -> None:
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            on_exit()
            return
        # A pidfd becomes readable when its process ends, also while a zombie waits to be reaped.
        select.select([descriptor], [], [])
        os.close(descriptor)
    else:
        while is_alive(pid):
            time.sleep(_POLL_SECONDS)
    on_exit()


def leave_after(pid: int, grace_s: float) -> None:
    """End this process once another one has ended and some time to leave by itself has passed.

    For a program that is told of the death by a signal, but may then wait long for what is gone.
    """

    def leave() -> None:
        time.sleep(grace_s)
        os._exit(1)

    watch_exit(pid, leave)


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id exists; a zombie counts as alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def die_with_parent(number: int) -> Callable[[], None]:
    """Return a `preexec_fn` that has the kernel send a signal when the parent dies.

    It runs in the child after its user was set (a change of user would clear the request) and does
    nothing where the kernel has no such request.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    # Looked up before the fork: the child must not import.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def request() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return request
