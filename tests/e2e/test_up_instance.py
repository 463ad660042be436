"""`jts up` as a user runs it: real parts, a home and ports of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
import httpx
import msgspec
import psycopg2
import pytest
import redis

from jts_pipelines.cli.parts import STORES
from jts_pipelines.cli.record import read_record
from jts_pipelines.ingest.generated import write_generated
from jts_trading.config import procfs
from jts_trading.config.instance import InstanceSettings
from storage.embedded.dsn import libpq_url
from storage.manifest.locks import exclusive

pytestmark = pytest.mark.e2e

READY_SECONDS = 75
# A run waits for two looks of a sensor; a new one for run monitoring, for its place in the pool,
# and for definitions that are loaded again: half a minute in all, on cores that do nothing else.
RUN_SECONDS = 180
_PARTS = ("status", *STORES, "dagster-code-server", "dagster-webserver", "dagster-daemon")
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"


def _wait(is_so: Callable[[], bool], seconds: float) -> float:
    """Return the seconds until it was so."""
    started = time.monotonic()
    while not is_so():
        if time.monotonic() - started >= seconds:
            pytest.fail(f"not within {seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - started


def _free_base() -> int:
    for base in range(20_000 + os.getpid() % 500 * 20, 60_000, 20):
        try:
            for port in range(base, base + 4):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


class Installation:
    """A home with ports of its own, in which `jts` commands run."""

    def __init__(self, home: Path) -> None:
        self.home = home / "home"
        self.cwd = home / "cwd"
        self.cwd.mkdir()
        self.base = _free_base()
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JTS_")},
            "JTS_HOME": str(self.home),
            "JTS_PORT_BASE": str(self.base),
            # Simulators and roles have their own test: `test_up_trading.py`.
            "JTS_TRADING__ENABLED": "false",
        }

    def argv(self, *words: str) -> list[str]:
        """The command line of a jts command."""
        return [sys.executable, "-P", "-m", "jts_pipelines.cli", *words]

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.argv(*words),
            cwd=self.cwd,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """Every part by its name, as the supervisor keeps it written down."""
        # Read without a command: asking every moment must not slow down what shall get ready.
        record = read_record(InstanceSettings(home=str(self.home)))
        assert record is not None
        return {part.name: msgspec.to_builtins(part) for part in record.parts}

    def sockets(self) -> list[Path]:
        """The directories of Unix sockets of this home."""
        directory = InstanceSettings(home=str(self.home)).socket_directory
        return [directory] if directory.exists() else []

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the hot store with an unmodified client."""
        with clickhouse_connect.get_client(host="127.0.0.1", port=self.base + 3) as client:
            rows: list[tuple[Any, ...]] = client.query(statement).result_rows
            return rows

    def is_answering_sql(self) -> bool:
        """True once the hot store answers a query."""
        try:
            url = f"http://127.0.0.1:{self.base + 3}/?query=SELECT%201"
            return httpx.get(url, trust_env=False).text == "1\n"
        except httpx.HTTPError:
            return False

    def is_loaded(self) -> bool:
        """True once Dagster's page has its code location loaded."""
        try:
            url = f"http://127.0.0.1:{self.base + 1}"
            answer = httpx.post(f"{url}/graphql", json={"query": _LOCATIONS}, trust_env=False)
            entries = answer.json()["data"]["workspaceOrError"]["locationEntries"]
        except (httpx.HTTPError, ValueError, KeyError):
            return False
        return [entry["loadStatus"] for entry in entries] == ["LOADED"]


class Up:
    """A running `jts up --json`."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.started = time.monotonic()
        with (installation.cwd.parent / "up.err").open("ab") as errors:
            self.popen = subprocess.Popen(
                installation.argv("up", "--json"),
                cwd=installation.cwd,
                env=installation.environ,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self.sql_seconds = _wait(installation.is_answering_sql, 20)
        assert self.popen.stdout is not None
        self.document = json.loads(self.popen.stdout.readline())
        self.seconds = time.monotonic() - self.started

    def members(self) -> list[tuple[int, int]]:
        """Pid and start of every process of this instance."""
        ticks = procfs.started_ticks(self.popen.pid)
        return [(pid, procfs.started_ticks(pid)) for pid in procfs.family(self.popen.pid, ticks)]

    def end(self, number: int) -> float:
        """Send a signal to the supervisor; return the seconds until it left."""
        started = time.monotonic()
        self.popen.send_signal(number)
        self.popen.wait(30)
        if self.popen.stdout is not None:
            assert self.popen.stdout.read() == ""
            self.popen.stdout.close()
        return time.monotonic() - started


def _running(members: list[tuple[int, int]]) -> list[int]:
    return [pid for pid, ticks in members if procfs.is_running(pid, ticks)]


def _assert_nothing_is_left(installation: Installation, members: list[tuple[int, int]]) -> None:
    assert _running(members) == []
    assert installation.sockets() == []
    run = installation.home / "run"
    # The file under the lock of loads stays, so that two loads can never lock different ones.
    assert {path.name for path in run.iterdir()} - {"ingest.lock"} == {"logs"}
    assert list(installation.cwd.iterdir()) == []


@contextmanager
def _installation() -> Iterator[Installation]:
    # Directly under /tmp: the paths of sockets must stay short.
    home = Path(tempfile.mkdtemp(prefix="jt-", dir="/tmp"))
    try:
        yield Installation(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """One instance for the tests that only use it; SIGTERM at the end leaves nothing behind."""
    with _installation() as installation:
        running = Up(installation)
        yield running
        members = running.members()
        assert running.end(signal.SIGTERM) < 10
        assert running.popen.returncode == 0
        _assert_nothing_is_left(installation, members)


def test_up_when_started_then_sql_answers_in_20_s_and_all_parts_in_75_s(up: Up) -> None:
    """The one document names every part as healthy, and the page of Dagster is loaded."""
    assert up.document["is_ready"]
    assert up.seconds < READY_SECONDS
    states = {part["name"]: part["state"] for part in up.document["parts"]}
    assert states == dict.fromkeys(_PARTS, "healthy")
    assert up.document["pid"] == up.popen.pid
    assert up.installation.is_loaded()
    page = httpx.get(f"http://127.0.0.1:{up.installation.base + 1}/", trust_env=False)
    assert page.status_code == 200
    assert "dagster" in page.text.lower()


def test_status_when_it_is_up_then_parts_and_memory_are_shown(up: Up) -> None:
    """Exit 0, a pid and memory for each part; the same over HTTP."""
    done = up.installation.run("status", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["is_up"], document["pid"]) == (0, True, up.popen.pid)
    assert all(part["pss_bytes"] > 1_000_000 for part in document["parts"])
    url = f"http://127.0.0.1:{up.installation.base}"
    ready = httpx.get(f"{url}/readyz", trust_env=False).json()
    assert (ready["is_ready"], ready["reasons"]) == (True, {})
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    assert 'jts_part_state{part="postgres",state="healthy"} 1' in metrics


def test_commands_when_they_know_the_home_only_then_they_find_the_running_instance(
    up: Up, tmp_path: Path
) -> None:
    """Without its port base: rows are loaded and read through its own hot store."""
    del up.installation.environ["JTS_PORT_BASE"]
    try:
        bars = tmp_path / "bars.csv"
        bars.write_text(
            "timestamp,symbol,open,high,low,close,volume\n"
            "2025-06-02T00:00:00+00:00,KRW-FIND,100,110,90,105,3\n"
        )
        where = ("--venue", "UPBIT", "--interval", "1h", "--broker", "file")
        loaded = up.installation.run("ingest", str(bars), *where)
        assert (loaded.returncode, loaded.stderr) == (0, "")
        query = "SELECT close FROM candles WHERE symbol = 'KRW-FIND'"
        asked = up.installation.run("sql", "--json", query)
        assert (asked.returncode, asked.stderr) == (0, "")
        assert json.loads(asked.stdout) == [{"close": 105}]
    finally:
        up.installation.environ["JTS_PORT_BASE"] = str(up.installation.base)
    stored = "SELECT count() FROM candles WHERE symbol = 'KRW-FIND'"
    assert up.installation.sql(stored) == [(1,)]


def test_commands_when_another_port_base_is_named_then_one_line_says_that_it_waits(
    up: Up,
) -> None:
    """They work on what runs in the home; a second `up` leaves with 3 all the same."""
    other = str(up.installation.base + 20)
    asked = up.installation.run("sql", "--json", "SELECT 1 AS one", JTS_PORT_BASE=other)
    assert (asked.returncode, json.loads(asked.stdout)) == (0, [{"one": 1}])
    assert asked.stderr.startswith(
        "jts: environment JTS_PORT_BASE: instance.port_base counts from the next start; "
    )
    assert f"clickhouse {up.installation.base + 3}" in asked.stderr
    assert asked.stderr.count("\n") == 1
    second = up.installation.run("up", JTS_PORT_BASE=other)
    assert second.returncode == 3
    assert f"owned by process {up.popen.pid}" in second.stderr


def test_up_when_a_second_one_takes_the_home_then_it_leaves_with_3(up: Up) -> None:
    """The process that owns the home is named, and goes on."""
    second = up.installation.run("up")
    assert second.returncode == 3
    assert f"owned by process {up.popen.pid}" in second.stderr
    assert (second.stderr.count("\n"), second.stdout) == (1, "")


def test_up_when_its_port_is_taken_then_port_part_and_owner_are_named(
    up: Up, tmp_path: Path
) -> None:
    """Another home on the same ports is refused before anything starts."""
    home = tmp_path / "other"
    second = up.installation.run("up", JTS_HOME=str(home))
    owner = up.installation.status()["status"]["pid"]
    assert second.returncode == 2
    assert f"port {up.installation.base} of status is held by pid {owner} (" in second.stderr
    assert not (home / "hot").exists()


def test_up_when_each_store_is_killed_then_it_answers_in_15_s_with_its_rows(up: Up) -> None:
    """What was acknowledged before SIGKILL is there after it, in all three stores."""
    parts = up.installation.status()
    up.installation.sql("CREATE TABLE kept (n Int64) ENGINE = MergeTree ORDER BY n")
    up.installation.sql("INSERT INTO kept VALUES (7)")
    postgres, bus = libpq_url(parts["postgres"]["url"]), parts["redis"]["url"]
    with psycopg2.connect(postgres) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 7 AS n")
    session.close()
    with redis.Redis.from_url(bus) as client:
        client.set("kept", 7)
    for name in STORES:
        os.kill(parts[name]["pid"], signal.SIGKILL)

    def has_restarted(name: str) -> bool:
        part = up.installation.status()[name]
        return part["restarts"] >= 1 and part["state"] == "healthy"

    started = time.monotonic()
    for name in STORES:
        _wait(lambda name=name: has_restarted(name), 15 - (time.monotonic() - started))
    assert up.installation.sql("SELECT n FROM kept") == [(7,)]
    with psycopg2.connect(postgres) as session, session.cursor() as cursor:
        cursor.execute("SELECT n FROM kept")
        assert cursor.fetchall() == [(7,)]
    session.close()
    with redis.Redis.from_url(bus) as client:
        assert client.get("kept") == b"7"


@pytest.mark.parametrize("name", ["dagster-webserver", "dagster-code-server"])
def test_up_when_dagster_is_killed_then_it_is_loaded_again_in_60_s(up: Up, name: str) -> None:
    """The page answers with its definitions again; nobody has to do anything."""
    before = up.installation.status()[name]
    os.kill(before["pid"], signal.SIGKILL)

    def is_back() -> bool:
        part = up.installation.status()[name]
        return bool(part["restarts"] > before["restarts"] and part["state"] == "healthy")

    _wait(is_back, 60)
    _wait(up.installation.is_loaded, 60)


def test_up_when_killed_hard_then_its_parts_end_and_the_next_one_recovers() -> None:
    """SIGKILL to the supervisor ends every part; the next `up` works, and Ctrl-C ends it clean."""
    with _installation() as installation:
        first = Up(installation)
        installation.sql("CREATE TABLE kept (n Int64) ENGINE = MergeTree ORDER BY n")
        installation.sql("INSERT INTO kept VALUES (7)")
        members = first.members()
        first.end(signal.SIGKILL)
        _wait(lambda: not _running(members), 10)
        assert installation.run("status").returncode == 1
        second = Up(installation)
        assert installation.sql("SELECT n FROM kept") == [(7,)]
        members = second.members()
        assert len(members) > len(_PARTS)
        assert second.end(signal.SIGINT) < 10
        assert second.popen.returncode == 0
        _assert_nothing_is_left(installation, members)


_RUNS = "{ runsOrError(limit: 10) { ... on Runs { results { runId parentRunId status } } } }"


def _runs(up: Up) -> list[dict[str, Any]]:
    """The newest runs of the instance, newest first."""
    try:
        url = f"http://127.0.0.1:{up.installation.base + 1}/graphql"
        answer = httpx.post(url, json={"query": _RUNS}, trust_env=False, timeout=10)
        found: list[dict[str, Any]] = answer.json()["data"]["runsOrError"]["results"]
    except (httpx.HTTPError, ValueError, KeyError):
        return []
    return found


def _status(up: Up, run_id: str) -> str | None:
    return {run["runId"]: run["status"] for run in _runs(up)}.get(run_id)


@pytest.mark.timeout(3 * RUN_SECONDS + 60)
def test_up_when_the_code_server_is_killed_in_a_run_then_the_run_fails_and_is_retried(
    up: Up,
) -> None:
    """A run that died with its code server does not stay started: what it began is done again."""
    files = write_generated(up.installation.cwd.parent / "made", seed=7, symbols=30)
    landing = up.installation.home / "landing" / "KRX" / "1d"
    landing.mkdir(parents=True, exist_ok=True)
    # While another load holds the lock, the run cannot end before it is killed.
    with exclusive(up.installation.home / "run" / "ingest.lock"):
        shutil.copy(files.daily, landing / "bars.parquet")
        _wait(lambda: any(run["status"] == "STARTED" for run in _runs(up)), RUN_SECONDS)
        first = _runs(up)[-1]["runId"]
        os.kill(up.installation.status()["dagster-code-server"]["pid"], signal.SIGKILL)
        _wait(lambda: _status(up, first) == "FAILURE", RUN_SECONDS)

    def is_retried() -> bool:
        retries = [run["status"] for run in _runs(up) if run["parentRunId"] == first]
        return retries == ["SUCCESS"]

    _wait(is_retried, RUN_SECONDS)
    assert _status(up, first) == "FAILURE"
