"""The embedded Redis: append-only, private, gone when it is told to be."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from storage.embedded.native import processes_in
from storage.embedded.probe import answers_redis, wait_until

pytestmark = pytest.mark.integration
Launch = Callable[..., Any]


def _options(home: Path) -> tuple[str, ...]:
    return ("--path", str(home / "redis"), "--socket", str(home / "s" / "redis.sock"))


def _processes(home: Path) -> list[int]:
    directory = (home / "redis").resolve()
    return processes_in("redis-server", directory) + processes_in("valkey-server", directory)


def _client(url: str) -> Any:
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), decode_responses=True)


def test_stream_when_added_then_it_is_read_back(redis_url: str) -> None:
    """Redis answers over its Unix socket, with the append-only file on and no TCP port."""
    with _client(redis_url) as client:
        client.xadd("s", {"k": "v"})

        assert [entry for _, entry in client.xrange("s")] == [{"k": "v"}]
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port") == {"port": "0"}


@pytest.mark.parametrize("victim", ["redis", "owner"])
def test_server_when_killed_then_acknowledged_entries_are_still_there(
    victim: str, launch_server: Launch, short_home: Path
) -> None:
    """SIGKILL of either process ends both; the next start has every acknowledged entry."""
    server = launch_server("redis", *_options(short_home))
    with _client(server.address) as client:
        for number in range(500):
            client.xadd("s", {"n": number})

    if victim == "redis":
        os.kill(_processes(short_home)[0], signal.SIGKILL)
        assert server.popen.wait(15) == 5
    else:
        server.kill()
    again = launch_server("redis", *_options(short_home))

    with _client(again.address) as client:
        assert client.xlen("s") == 500
    assert len(_processes(short_home)) == 1


def test_directories_when_the_umask_is_open_then_nothing_is(
    launch_server: Launch, short_home: Path, find_open: Callable[[Path], list[str]]
) -> None:
    """Data and socket are for the owner alone."""
    server = launch_server("redis", *_options(short_home))
    with _client(server.address) as client:
        client.set("a", "b")

    assert find_open(short_home / "redis") == []
    assert find_open(short_home / "s") == []


def test_server_when_stopped_then_nothing_is_left(launch_server: Launch, short_home: Path) -> None:
    """SIGTERM: exit code 0, no process, no socket, no lock."""
    server = launch_server("redis", *_options(short_home))

    assert server.stop() == 0

    assert _processes(short_home) == []
    assert list((short_home / "s").iterdir()) == []
    assert [entry.name for entry in (short_home / "redis").iterdir()] == ["appendonly.aof"]


def test_server_when_there_is_one_then_a_second_is_refused_with_its_pid(
    launch_server: Launch, short_home: Path
) -> None:
    """Two servers would write one file; the second leaves with one line and exit code 3."""
    server = launch_server("redis", *_options(short_home))

    second = subprocess.run(
        [sys.executable, "-m", "storage.embedded.redis", *_options(short_home)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert second.returncode == 3
    assert str(server.popen.pid) in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert answers_redis(short_home / "s" / "redis.sock")


def test_server_when_its_supervisor_dies_then_both_processes_stop(
    launch_server: Launch, short_home: Path, mortal: subprocess.Popen[bytes]
) -> None:
    """`--parent-pid` reaches Redis too."""
    server = launch_server("redis", *_options(short_home), "--parent-pid", str(mortal.pid))
    mortal.kill()

    assert server.popen.wait(15) == 0
    wait_until("the end of redis", lambda: not _processes(short_home), seconds=10)


def test_socket_when_its_path_is_too_long_then_it_is_refused(short_home: Path) -> None:
    """One line with the length that is accepted, before anything is started."""
    socket = short_home / ("x" * 100) / "redis.sock"

    options = ("--path", str(short_home / "redis"), "--socket", str(socket))

    refused = subprocess.run(
        [sys.executable, "-m", "storage.embedded.redis", *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert refused.returncode == 5
    assert "at most 103" in refused.stderr
    assert not (short_home / "redis").exists()
