"""Real embedded servers for the tests: started lazily, once per xdist worker, stopped by pid."""

import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from storage.embedded.probe import answers_clickhouse, wait_until

START_SECONDS = 60


def _stop(server: subprocess.Popen[str]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(5)
    if server.stdout is not None:
        server.stdout.close()


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """A private directory with a short name: socket paths are limited to about 100 bytes."""
    home = Path(tempfile.mkdtemp(prefix="jt-", dir="/tmp"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def clickhouse_url(servers_home: Path) -> Iterator[str]:
    """URL `http://127.0.0.1:port` of the embedded ClickHouse of this worker."""
    command = [sys.executable, "-m", "storage.embedded.clickhouse", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--path", str(servers_home / "hot")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        # The one line that says where: "clickhouse VERSION ready on URL".
        url = server.stdout.readline().split()[-1]
        wait_until("clickhouse", lambda: answers_clickhouse(url), seconds=START_SECONDS)
        yield url
    finally:
        _stop(server)


@pytest.fixture
def clickhouse_client(clickhouse_url: str) -> Iterator[Any]:
    """An unmodified clickhouse-connect client in a database of its own, dropped afterwards."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE `{database}`")
        with clickhouse_connect.get_client(dsn=clickhouse_url, database=database) as client:
            yield client
        admin.command(f"DROP DATABASE `{database}`")
