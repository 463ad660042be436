"""Readiness: the first yes, a deadline, or nobody left to answer."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from storage.embedded.dsn import socket_dsn
from storage.embedded.lifetime import StopRequest, is_alive, watch_exit
from storage.embedded.probe import (
    NotReadyError,
    answers_clickhouse,
    answers_postgres,
    answers_redis,
    wait_until,
)


def test_wait_until_when_the_answer_becomes_yes_then_it_returns() -> None:
    """It asks until the first yes and says how long that took."""
    answers = iter([False, False, True])

    assert 0 < wait_until("x", lambda: next(answers), seconds=5) < 5


def test_wait_until_when_the_deadline_passes_then_who_and_how_long_are_named() -> None:
    """It never waits for ever."""
    with pytest.raises(NotReadyError, match=r"redis: no answer within 0\.1 s"):
        wait_until("redis", lambda: False, seconds=0.1)


def test_wait_until_when_the_process_ended_then_it_gives_up_at_once() -> None:
    """Nobody will answer any more, so the deadline is not waited for."""
    started = time.monotonic()

    with pytest.raises(NotReadyError, match="ended"):
        wait_until("postgres", lambda: False, seconds=60, is_running=lambda: False)

    assert time.monotonic() - started < 5


def test_probes_when_nobody_is_there_then_no(tmp_path: Path) -> None:
    """A missing server is a no, not an error."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    assert not answers_clickhouse(f"http://127.0.0.1:{port}")
    assert not answers_postgres(socket_dsn(tmp_path, "jts"))
    assert not answers_redis(tmp_path / "redis.sock")


def test_probes_when_the_server_is_mute_then_no_within_the_time() -> None:
    """A port that accepts and says nothing is not ready."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        started = time.monotonic()

        assert not answers_clickhouse(url, 0.2)
        assert time.monotonic() - started < 5


def test_watch_exit_when_the_process_ends_then_it_is_told_once() -> None:
    """Any process can be watched; one that is gone already is told at once."""
    told = threading.Event()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        watch_exit(process.pid, told.set)
        assert is_alive(process.pid)
        assert not told.is_set()
        process.kill()
        assert told.wait(10)

    again = threading.Event()
    watch_exit(process.pid, again.set)
    assert again.wait(10)


def test_leave_after_when_a_thread_waits_on_then_the_process_ends_all_the_same() -> None:
    """An interpreter joins its threads, and one may ask for what is gone for long."""
    program = """
import sys, threading, time
from storage.embedded.lifetime import leave_after
leave_after(int(sys.argv[1]), 0.2)
threading.Thread(target=time.sleep, args=(600,)).start()
print("ready", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as watched:
        command = [sys.executable, "-c", program, str(watched.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert process.poll() is None
            watched.kill()

            assert process.wait(30) == 1


def test_stop_request_when_asked_from_a_thread_then_the_waiter_goes_on() -> None:
    """The main thread wakes up, and asking twice does no harm."""
    stop = StopRequest()
    threading.Timer(0.05, stop.ask).start()

    stop.wait()
    stop.ask()

    assert stop.is_asked
    os.close(stop._reader)
    os.close(stop._writer)
