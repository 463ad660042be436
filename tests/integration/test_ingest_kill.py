"""A load killed at any moment leaves nothing visible, or is completed by the next one."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import clickhouse_connect
import polars as pl
import pytest

from jts_pipelines.ingest.generated import write_generated
from jts_pipelines.ingest.load import IngestOptions, ingest_file, recover
from jts_pipelines.ingest.report import IngestReport
from storage.errors import StorageError
from storage.hot.store import HotStore

pytestmark = pytest.mark.integration

RECEIVED_AT_NS = 1_750_000_000_000_000_000
OPTIONS = IngestOptions(venue="KRX", interval="1d")

# A process that loads a file and kills itself, without any chance to clean up, before or after
# the n-th statement that contains a text; `half` replaces the publishing statement by the part of
# it that a dying server may have done.
LOADER = """
import os, signal, sys
from pathlib import Path
from jts_pipelines.ingest.load import IngestOptions, ingest_file
from storage.hot.connection import HotConnection
from storage.hot.store import HotStore

dsn, path, home, when, text, count = sys.argv[1:]
seen = 0

def die_at(original):
    def call(self, first, *rest, **named):
        global seen
        hit = text in first
        seen += hit
        if hit and seen == int(count):
            if when == "after":
                original(self, first, *rest, **named)
            if when == "half":
                staging = first.rsplit(" ", 1)[1]
                ids = self.query(f"SELECT DISTINCT _partition_id AS id FROM {staging}")["id"]
                for one in ids.to_pylist()[:2]:
                    attach = f"ATTACH PARTITION ID '{one}' FROM {staging}"
                    original(self, f"ALTER TABLE candles {attach}")
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, first, *rest, **named)
    return call

HotConnection.command = die_at(HotConnection.command)
HotConnection.insert = die_at(HotConnection.insert)
ingest_file(
    Path(path), IngestOptions(venue="KRX", interval="1d"), hot=HotStore(dsn), home=Path(home),
    received_at_ns=1_750_000_000_000_000_000, batch_rows=150,
)
"""


@pytest.fixture
def dsn(clickhouse_url: str) -> Iterator[str]:
    """A database of its own."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {database}")
        yield f"{clickhouse_url}/{database}"
        admin.command(f"DROP DATABASE {database}")


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    """Daily bars of six symbols over eight months; one row is bad."""
    path = write_generated(
        tmp_path, symbols=6, first=date(2024, 1, 2), last=date(2024, 8, 30)
    ).daily
    frame = pl.read_parquet(path).with_row_index()
    bad = pl.when(pl.col("index") == 0).then(1.0).otherwise(pl.col("high")).alias("high")
    frame.with_columns(bad).drop("index").write_parquet(path)
    return path


def require_tidy(hot: HotStore, home: Path, report: IngestReport) -> None:
    """Nothing is left of a killed load: no table, no scratch files, no second quarantine."""
    assert leftovers(hot) == []
    assert [path.name for path in (home / "run").iterdir()] == ["ingest.lock"]
    kept = [str(path) for path in (home / "quarantine").rglob("*.parquet")]
    assert kept == [report.quarantine_file]


def killed(dsn: str, panel: Path, home: Path, point: tuple[str, str, int]) -> None:
    """Run a load in a process that is killed at one point."""
    arguments = [dsn, str(panel), str(home), *map(str, point)]
    done = subprocess.run(
        [sys.executable, "-c", LOADER, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def visible(hot: HotStore) -> int:
    """Return rows that a reader sees, without any help of FINAL."""
    return int(hot.query_arrow("SELECT count() AS n FROM candles")["n"][0].as_py())


def leftovers(hot: HotStore) -> list[str]:
    """Return staging tables."""
    found = hot.query_arrow(
        "SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND name LIKE 'candles_load_%'"
    )
    return [str(name) for name in found["name"].to_pylist()]


@pytest.mark.parametrize(
    "point",
    [
        ("before", "CREATE TABLE candles_load", 1),
        ("after", "CREATE TABLE candles_load", 1),
        ("after", "candles_load", 2),
        ("after", "candles_load", 4),
        ("before", "ingests", 3),
    ],
    ids=["recorded", "opened", "first batch", "third batch", "verified"],
)
def test_ingest_when_killed_before_publishing_then_nothing_is_visible(
    dsn: str, panel: Path, tmp_path: Path, point: tuple[str, str, int]
) -> None:
    """The next load drops what is left and loads the file whole, once."""
    home = tmp_path / "home"
    killed(dsn, panel, home, point)
    hot = HotStore(dsn)

    assert visible(hot) == 0

    report = ingest_file(panel, OPTIONS, hot=hot, home=home, received_at_ns=RECEIVED_AT_NS)

    assert not report.already
    assert visible(hot) == report.accepted == report.rows - 1
    require_tidy(hot, home, report)


@pytest.mark.parametrize(
    "point",
    [
        ("before", "ATTACH PARTITION ALL", 1),
        ("half", "ATTACH PARTITION ALL", 1),
        ("after", "ATTACH PARTITION ALL", 1),
        ("after", "ingests", 4),
    ],
    ids=["decided", "half attached", "attached", "done"],
)
def test_ingest_when_killed_while_publishing_then_the_next_one_completes_it(
    dsn: str, panel: Path, tmp_path: Path, point: tuple[str, str, int]
) -> None:
    """From the decision on a load can only be completed: the file is then already there."""
    home = tmp_path / "home"
    killed(dsn, panel, home, point)
    hot = HotStore(dsn)

    report = ingest_file(panel, OPTIONS, hot=hot, home=home, received_at_ns=RECEIVED_AT_NS)

    assert report.already
    assert visible(hot) == report.accepted == report.rows - 1
    require_tidy(hot, home, report)
    assert recover(hot, home) == []


def test_ingest_when_killed_twice_at_one_instant_then_each_attempt_is_its_own(
    dsn: str, panel: Path, tmp_path: Path
) -> None:
    """On a standing clock, too, a load that was dropped is not taken for the one after it."""
    home = tmp_path / "home"
    killed(dsn, panel, home, ("after", "candles_load", 2))
    killed(dsn, panel, home, ("half", "ATTACH PARTITION ALL", 1))
    hot = HotStore(dsn)

    report = ingest_file(panel, OPTIONS, hot=hot, home=home, received_at_ns=RECEIVED_AT_NS)

    assert report.already
    assert visible(hot) == report.accepted
    require_tidy(hot, home, report)


def test_ingest_when_another_load_runs_then_recovery_waits_its_turn(
    dsn: str, panel: Path, tmp_path: Path
) -> None:
    """What a living load is doing is nobody's leftover: recovery is refused meanwhile."""
    home = tmp_path / "home"
    hot = HotStore(dsn)

    def while_loading(_phase: str, _done: int, _total: int | None) -> None:
        with pytest.raises(StorageError, match="still locked by another process"):
            recover(HotStore(dsn), home)

    report = ingest_file(
        panel,
        OPTIONS,
        hot=hot,
        home=home,
        received_at_ns=RECEIVED_AT_NS,
        progress=while_loading,
    )

    assert visible(hot) == report.accepted


def test_ingest_when_server_is_killed_then_the_file_loads_after_its_restart(
    panel: Path, tmp_path: Path
) -> None:
    """A store that dies in mid-load is an error; back again, it shows nothing of the load."""
    home, path = tmp_path / "home", tmp_path / "hot"
    first, url = started(path)
    loads = 0

    def kill_it(phase: str, _done: int, _total: int | None) -> None:
        nonlocal loads
        loads += phase == "load"
        if loads == 2:
            os.kill(first.pid, signal.SIGKILL)
            first.wait(20)

    with pytest.raises(StorageError, match="hot store"):
        ingest_file(
            panel,
            OPTIONS,
            hot=HotStore(url),
            home=home,
            received_at_ns=RECEIVED_AT_NS,
            batch_rows=150,
            progress=kill_it,
        )
    close_pipe(first)
    second, url = started(path)
    try:
        hot = HotStore(url)
        assert visible(hot) == 0

        report = ingest_file(panel, OPTIONS, hot=hot, home=home, received_at_ns=RECEIVED_AT_NS)

        assert visible(hot) == report.accepted
        require_tidy(hot, home, report)
        hot.close()
    finally:
        second.terminate()
        second.wait(20)
        close_pipe(second)


def started(path: Path) -> tuple[subprocess.Popen[str], str]:
    """Start an embedded server of its own; return it and its URL."""
    command = [sys.executable, "-m", "storage.embedded.clickhouse", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--path", str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert server.stdout is not None
    return server, server.stdout.readline().split()[-1]


def close_pipe(server: subprocess.Popen[str]) -> None:
    """Close the pipe of a server that has ended."""
    assert server.stdout is not None
    server.stdout.close()
