"""The owner process of the embedded ClickHouse: one at a time, private, killable."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from storage.embedded.probe import answers_clickhouse, wait_until

pytestmark = pytest.mark.integration
Launch = Callable[..., Any]
LONG = "SELECT sum(cityHash64(number)) FROM numbers(100000000000)"


def _options(home: Path, port: int = 0) -> tuple[str, ...]:
    return ("--path", str(home / "hot"), "--port", str(port))


def _running(url: str) -> list[str]:
    query = "SELECT query FROM system.processes WHERE query NOT LIKE '%system.processes%'"
    return httpx.post(url, content=query).text.splitlines()


def test_owner_when_killed_then_acknowledged_rows_are_still_there(
    launch_server: Launch, short_home: Path
) -> None:
    """SIGKILL loses nothing that was acknowledged, and the next owner opens at once."""
    server = launch_server("clickhouse", *_options(short_home))
    with clickhouse_connect.get_client(dsn=server.address) as client:
        client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        for turn in range(20):
            client.insert("t", [[turn * 100 + row] for row in range(100)], column_names=["a"])
    server.kill()

    again = launch_server("clickhouse", *_options(short_home))
    with clickhouse_connect.get_client(dsn=again.address) as client:
        assert client.query("SELECT count(), sum(a) FROM t").result_rows == [
            (2000, sum(range(2000)))
        ]


def test_owner_when_killed_in_an_upload_then_nothing_of_it_is_left(
    launch_server: Launch, short_home: Path
) -> None:
    """The spool has no names, so a killed owner leaves no files in it."""
    server = launch_server("clickhouse", *_options(short_home))
    host, port = "127.0.0.1", int(server.address.rsplit(":", 1)[1])
    with socket.create_connection((host, port)) as connection:
        head = "POST /?query=INSERT+INTO+t+FORMAT+TSV HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{head}Content-Length: 99000000\r\n\r\n".encode() + b"1\n" * 6_000_000)
        server.kill()

    assert list((short_home / "hot" / "spool").iterdir()) == []


def test_owner_when_there_is_one_then_a_second_is_refused_with_its_pid(
    launch_server: Launch, short_home: Path
) -> None:
    """One clear line and exit code 3; the first one is not disturbed."""
    server = launch_server("clickhouse", *_options(short_home))

    second = subprocess.run(
        [sys.executable, "-m", "storage.embedded.clickhouse", *_options(short_home)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert second.returncode == 3
    assert str(server.popen.pid) in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert answers_clickhouse(server.address)


def test_owner_when_the_port_is_taken_then_it_is_named(short_home: Path) -> None:
    """One clear line and exit code 5."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [sys.executable, "-m", "storage.embedded.clickhouse", *_options(short_home, port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    assert refused.returncode == 5
    assert f"127.0.0.1:{port}" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(("host", "says"), [("0.0.0.0", "--password-file"), ("x", "IP address")])  # noqa: S104 - must be refused
def test_owner_when_the_host_is_unsafe_then_it_is_refused(
    host: str, says: str, short_home: Path
) -> None:
    """Beyond loopback the port needs a password; one line and exit code 2."""
    options = ("--host", host, *_options(short_home))

    refused = subprocess.run(
        [sys.executable, "-m", "storage.embedded.clickhouse", *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert refused.returncode == 2
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_owner_when_told_to_stop_in_a_long_query_then_it_leaves_nothing(
    launch_server: Launch, short_home: Path
) -> None:
    """SIGTERM cancels what runs and ends within seconds, with code 0 and a free directory."""
    server = launch_server("clickhouse", *_options(short_home))
    failed: list[Exception] = []

    def run() -> None:
        try:
            httpx.post(server.address, content=LONG, timeout=60).raise_for_status()
        except httpx.HTTPError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until("the long query", lambda: bool(_running(server.address)), seconds=10)
    started = time.monotonic()

    assert server.stop() == 0
    assert time.monotonic() - started < 8
    thread.join(10)
    assert len(failed) == 1
    assert not (short_home / "hot" / "owner.pid").exists()
    assert launch_server("clickhouse", *_options(short_home)).stop() == 0


def test_ping_when_a_long_query_runs_then_it_answers_at_once(
    launch_server: Launch, short_home: Path
) -> None:
    """Health and short queries do not wait for a query that takes all processors."""
    server = launch_server("clickhouse", *_options(short_home))
    thread = threading.Thread(
        target=lambda: httpx.post(server.address, content=LONG, timeout=60), daemon=True
    )
    thread.start()
    wait_until("the long query", lambda: bool(_running(server.address)), seconds=10)

    started = time.monotonic()
    assert all(answers_clickhouse(server.address, 2.0) for _ in range(20))
    assert time.monotonic() - started < 5
    httpx.post(server.address, content="KILL QUERY WHERE query LIKE 'SELECT sum%' SYNC")
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "query", ["SELECT number FROM numbers(100000000000)", LONG], ids=["stream", "aggregate"]
)
def test_query_when_its_client_goes_away_then_it_is_cancelled(
    query: str, launch_server: Launch, short_home: Path
) -> None:
    """Nobody waits for the rows, so nobody computes them."""
    server = launch_server("clickhouse", *_options(short_home))
    parameters = {"cancel_http_readonly_queries_on_client_close": "1"}

    def look_and_leave() -> None:
        with httpx.stream(
            "POST", server.address, params=parameters, content=query, timeout=0.5
        ) as response:
            next(response.iter_bytes())

    with contextlib.suppress(httpx.ReadTimeout):
        look_and_leave()

    wait_until("the cancellation", lambda: not _running(server.address), seconds=10)


def test_directory_when_the_umask_is_open_then_nothing_is(
    launch_server: Launch, short_home: Path, find_open: Callable[[Path], list[str]]
) -> None:
    """Data, metadata and spool are for the owner alone."""
    server = launch_server("clickhouse", *_options(short_home))
    with clickhouse_connect.get_client(dsn=server.address) as client:
        client.command("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
        client.insert("t", [[1]], column_names=["a"])
        found = find_open(short_home / "hot")

    assert [line for line in found if not line.split()[1].startswith("l")] == []


def test_password_when_set_then_only_it_opens(launch_server: Launch, short_home: Path) -> None:
    """A port on loopback is open to every user of the machine; a password closes it."""
    secret = short_home / "secret"
    secret.write_text("s3cret\n")
    server = launch_server("clickhouse", *_options(short_home), "--password-file", str(secret))

    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(dsn=server.address)
    with clickhouse_connect.get_client(
        dsn=server.address, username="default", password="s3cret"
    ) as client:
        assert client.command("SELECT 1") == 1
    assert "s3cret" not in server.log.read_text()


def test_owner_when_its_supervisor_dies_then_it_stops(
    launch_server: Launch, short_home: Path, mortal: subprocess.Popen[bytes]
) -> None:
    """`--parent-pid` ends the server with any process, parent or not."""
    server = launch_server("clickhouse", *_options(short_home), "--parent-pid", str(mortal.pid))
    mortal.kill()

    assert server.popen.wait(15) == 0


def test_owner_when_interrupted_from_the_terminal_then_it_goes_on(
    launch_server: Launch, short_home: Path
) -> None:
    """Ctrl-C is the supervisor's business."""
    server = launch_server("clickhouse", *_options(short_home))

    server.popen.send_signal(signal.SIGINT)

    assert answers_clickhouse(server.address)
    assert server.stop() == 0
