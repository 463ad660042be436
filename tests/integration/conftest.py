"""Real embedded servers for the tests: started lazily, once per xdist worker, stopped by pid."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import psycopg2
import pytest

from storage.embedded.dsn import libpq_url
from storage.embedded.probe import NotReadyError

STOP_SECONDS = 20
ROOM_BYTES = 2 << 30


@dataclass
class RunningServer:
    """One server process of a test.

    Attributes:
        popen: The process.
        address: What its one line on stdout named: a URL.
        log: Its stderr.
    """

    popen: subprocess.Popen[str]
    address: str
    log: Path

    def stop(self) -> int:
        """Stop it with SIGTERM and return its exit code; a hung one is killed."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(STOP_SECONDS)
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        return self.popen.returncode

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.popen.kill()
        self.stop()


def open_to_others(root: Path) -> list[str]:
    """Return what below a directory anybody else could read, write or enter."""
    return [
        f"{path} {stat.filemode(path.lstat().st_mode)}"
        for path in (root, *root.rglob("*"))
        if path.lstat().st_mode & 0o077
    ]


@pytest.fixture
def find_open() -> Callable[[Path], list[str]]:
    """The function that lists what is open to others below a directory."""
    return open_to_others


@pytest.fixture
def mortal() -> Iterator[subprocess.Popen[bytes]]:
    """A process to be named as the supervisor of a server, and to be killed."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as popen:
        yield popen
        popen.kill()


def launch(name: str, log: Path, *options: str) -> RunningServer:
    """Start `python -m storage.embedded.<name>` and wait for the line that says where it is."""
    # A test run that is killed takes its servers along, unless a test names another supervisor.
    own = () if "--parent-pid" in options else ("--parent-pid", str(os.getpid()))
    with log.open("a", encoding="utf-8") as stderr:
        popen = subprocess.Popen(
            [sys.executable, "-m", f"storage.embedded.{name}", *options, *own],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            # The most careless parent: privacy must not depend on its umask.
            umask=0,
        )
    assert popen.stdout is not None
    line = popen.stdout.readline()
    server = RunningServer(popen, line.split()[-1] if line else "", log)
    if not line:
        server.stop()
        raise NotReadyError(f"{name} ended with {popen.returncode}: {log.read_text()[-2000:]}")
    return server


@contextmanager
def _short_home() -> Iterator[Path]:
    # A name of its own under a short root: the path of a socket is limited to about 100 bytes.
    # In memory where there is room: clusters of a thousand files are slow to remove from a disk.
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    home = Path(tempfile.mkdtemp(prefix="jt-", dir=memory if has_room else "/tmp"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """The private directory of this worker's servers."""
    with _short_home() as home:
        yield home


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A private directory with a short name for the servers of one test."""
    with _short_home() as home:
        yield home


@pytest.fixture
def launch_server(short_home: Path) -> Iterator[Callable[..., RunningServer]]:
    """Start servers that end with the test: `launch_server(name, *options)`."""
    servers: list[RunningServer] = []

    def start(name: str, *options: str) -> RunningServer:
        servers.append(launch(name, short_home / f"{name}.log", *options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def clickhouse_url(servers_home: Path) -> Iterator[str]:
    """URL `http://127.0.0.1:port` of this worker's ClickHouse; its databases are shared."""
    options = ("--path", str(servers_home / "hot"), "--port", "0")
    server = launch("clickhouse", servers_home / "clickhouse.log", *options)
    yield server.address
    server.stop()


@pytest.fixture
def clickhouse_client(clickhouse_url: str) -> Iterator[Any]:
    """An unmodified clickhouse-connect client in a database of its own, dropped afterwards."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE `{database}`")
        with clickhouse_connect.get_client(dsn=clickhouse_url, database=database) as client:
            yield client
        admin.command(f"DROP DATABASE `{database}`")


@pytest.fixture(scope="session")
def postgres_server_dsn(servers_home: Path) -> Iterator[str]:
    """SQLAlchemy URL of database `jts` of this worker's PostgreSQL; use `postgres_dsn` instead."""
    options = ("--path", str(servers_home / "pg"), "--socket-dir", str(servers_home / "pgs"))
    server = launch("postgres", servers_home / "postgres.log", *options)
    yield server.address
    server.stop()


@pytest.fixture
def postgres_dsn(postgres_server_dsn: str) -> Iterator[str]:
    """`postgresql+psycopg2://…` of an empty database of this test, dropped afterwards."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    admin = psycopg2.connect(libpq_url(postgres_server_dsn))
    try:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{database}"')
            yield postgres_server_dsn.replace("/jts?", f"/{database}?")
            cursor.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
    finally:
        admin.close()


@pytest.fixture(scope="session")
def redis_server_url(servers_home: Path) -> Iterator[str]:
    """`unix:///…` of this worker's Redis; use `redis_url` instead."""
    options = ("--path", str(servers_home / "redis"), "--socket", str(servers_home / "rs" / "r"))
    server = launch("redis", servers_home / "redis.log", *options)
    yield server.address
    server.stop()


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """`unix:///…` of an empty Redis: `redis.Redis.from_url(redis_url)`."""
    import redis

    with redis.Redis.from_url(redis_server_url) as client:
        client.flushall()
    return redis_server_url
