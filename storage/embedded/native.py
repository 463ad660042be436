"""Runs a native server (postgres, redis-server) as the child of a foreground process.

The child dies with us (see `storage.embedded.lifetime`), and we end when the child ends, so a
supervisor watches one process and knows about both.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.embedded.lifetime import StopRequest, die_with_parent
from storage.embedded.probe import wait_until
from storage.errors import StorageError

STDERR = 2
LEFTOVER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class NativeServer:
    """How to run one native server.

    Attributes:
        name: For messages.
        command: The program and its arguments.
        stop_signals: Signals that stop it, each with the seconds it is given; SIGKILL follows.
        enter: Runs in the child before the program, to change who it is; raises to refuse.
        directory: The working directory.
    """

    name: str
    command: Sequence[str]
    stop_signals: Sequence[tuple[signal.Signals, float]]
    enter: Callable[[], None]
    directory: Path


def run_until_stopped(
    server: NativeServer, stop: StopRequest, when_ready: Callable[[Callable[[], bool]], None]
) -> None:
    """Start the server, wait until it is ready, keep it until the stop is requested, stop it.

    Args:
        server: What to run.
        stop: Ends the wait.
        when_ready: Waits for readiness and prepares the server; gets a function that tells
            whether it still makes sense to wait.

    Raises:
        StorageError: The server did not start, or ended by itself.
    """
    child = start(server)
    ended = threading.Event()

    def watch() -> None:
        child.wait()
        ended.set()
        stop.ask()

    threading.Thread(target=watch, name=f"watch-{server.name}", daemon=True).start()
    was_asked = False
    try:
        when_ready(lambda: not ended.is_set() and not stop.is_asked)
        stop.wait()
    except StorageError:
        # A stop during the start is no failure.
        if not stop.is_asked or ended.is_set():
            raise
    finally:
        was_asked = not ended.is_set()
        stop_child(child, server.stop_signals)
    if not was_asked:
        raise StorageError(f"{server.name}: ended by itself with code {child.returncode}")


def start(server: NativeServer) -> subprocess.Popen[bytes]:
    """Start the program as our child.

    Raises:
        StorageError: It cannot be executed.
    """
    death = die_with_parent(server.stop_signals[0][0])

    def prepare() -> None:
        # The death signal comes last: a change of user clears it.
        server.enter()
        death()

    try:
        return subprocess.Popen(
            list(server.command),
            preexec_fn=prepare,  # noqa: PLW1509 - the main thread starts it before any other thread of ours matters
            stdin=subprocess.DEVNULL,
            # Our stdout carries one line, the one that says where; logs are on stderr.
            stdout=STDERR,
            cwd=server.directory,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StorageError(f"{server.name}: cannot start {server.command[0]}: {error}") from error


def stop_child(
    child: subprocess.Popen[bytes], stop_signals: Sequence[tuple[signal.Signals, float]]
) -> None:
    """Send each signal in turn until the child has ended."""
    for number, seconds in (*stop_signals, (signal.SIGKILL, 10.0)):
        if child.poll() is not None:
            return
        child.send_signal(number)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def end_leftovers(program: str, directory: Path) -> None:
    """Wait for, then kill, processes of a killed owner that still work in the directory.

    The owner of the directory calls it before it starts its own: two servers on one directory
    would destroy it. Where there is no /proc, the death signal does not exist either, and the
    server's own pid file has to do.

    Args:
        program: Name of the program, as /proc shows it.
        directory: The working directory of its processes.

    Raises:
        NotReadyError: A process cannot be ended.
    """
    directory = directory.resolve()

    def is_clear() -> bool:
        return not processes_in(program, directory)

    if is_clear():
        return
    with suppress(StorageError):
        wait_until(f"the end of the old {program}", is_clear, seconds=LEFTOVER_SECONDS)
    for pid in processes_in(program, directory):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(f"the end of the old {program}", is_clear, seconds=LEFTOVER_SECONDS)


def processes_in(program: str, directory: Path) -> list[int]:
    """Return the processes of a program whose working directory is the one given."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name = (entry / "comm").read_text().rstrip("\n")
            if name == program and (entry / "cwd").readlink() == directory:
                found.append(int(entry.name))
    return found
