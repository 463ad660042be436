"""A command that needs stores: its own for a while, those of somebody else, or a clear error."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psycopg2
import pytest

from jts_pipelines.cli import instance as instance_module
from jts_pipelines.cli.instance import owned_home, running_stores
from jts_pipelines.cli.record import read_record
from jts_trading.config import procfs
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import read
from jts_trading.telemetry.console import CommandError, exit_code_of
from storage.embedded.dsn import libpq_url
from storage.embedded.private import DirectoryOwnedError

pytestmark = pytest.mark.integration


def _settings(home: Path, **environ: str) -> Settings:
    return load_settings(read({"JTS_HOME": str(home), **environ}))


def _ask(dsn: str, statement: str) -> str:
    return httpx.post(dsn, content=statement, trust_env=False, timeout=30).text


def test_running_stores_when_nothing_runs_then_they_run_for_the_block_only(
    short_home: Path,
) -> None:
    """The hot store answers inside the block on a port of its own, and its rows stay after it."""
    settings = _settings(short_home)
    with running_stores(settings) as endpoints:
        assert endpoints.hot != settings.hot_dsn
        _ask(endpoints.hot, "CREATE TABLE kept (n Int64) ENGINE = MergeTree ORDER BY n")
        _ask(endpoints.hot, "INSERT INTO kept VALUES (7)")
        record = read_record(settings.instance)
        assert record is not None
        assert ([part.name for part in record.parts], record.is_lasting) == (["clickhouse"], False)
    with pytest.raises(httpx.ConnectError):
        _ask(endpoints.hot, "SELECT 1")
    assert read_record(settings.instance) is None
    assert not settings.instance.socket_directory.exists()
    with running_stores(settings) as again:
        assert _ask(again.hot, "SELECT n FROM kept") == "7\n"


def test_running_stores_when_all_are_needed_then_all_answer(short_home: Path) -> None:
    """PostgreSQL has our database, Redis its socket."""
    settings = _settings(short_home)
    with running_stores(settings, ("clickhouse", "postgres", "redis")) as endpoints:
        with psycopg2.connect(libpq_url(endpoints.postgres)) as session:
            assert session.info.dbname == "jts"
        session.close()
        assert Path(endpoints.redis.removeprefix("unix://")).is_socket()


def test_running_stores_when_a_dsn_is_configured_then_it_is_used_and_nothing_is_started(
    short_home: Path, clickhouse_url: str
) -> None:
    """Somebody else's server is asked; the home is not even made."""
    settings = _settings(short_home / "home", JTS_HOT__DSN=clickhouse_url)
    with running_stores(settings) as endpoints:
        assert endpoints.hot == clickhouse_url
        assert _ask(endpoints.hot, "SELECT 1") == "1\n"
    assert not (short_home / "home").exists()


def test_running_stores_when_the_configured_server_is_gone_then_it_is_a_storage_error(
    short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 5; the address is named and its password is not."""
    monkeypatch.setattr(instance_module, "READY_SECONDS_FOREIGN", 0.5)
    settings = _settings(short_home, JTS_HOT__DSN="http://desk:canary-55@127.0.0.1:1/x")
    with pytest.raises(CommandError) as refused, running_stores(settings):
        pass
    assert exit_code_of(refused.value) == 5
    text = str(refused.value)
    assert text.startswith("clickhouse at http://desk:***@127.0.0.1:1/x does not answer: ")
    assert "canary-55" not in text


def test_running_stores_when_another_command_has_the_home_then_it_waits(short_home: Path) -> None:
    """Two commands at once do not fail: the second runs after the first."""
    settings = _settings(short_home)
    order: list[str] = []
    opened = threading.Event()

    def second() -> None:
        opened.wait(10)
        with running_stores(settings):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with running_stores(settings):
        opened.set()
        thread.join(0.5)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def test_running_stores_when_the_home_stays_owned_then_it_leaves_with_3(
    short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait has an end, and the error names who owns the home."""
    monkeypatch.setattr(instance_module, "_OWNER_WAIT_SECONDS", 0.3)
    settings = _settings(short_home)
    with (
        owned_home(settings),
        pytest.raises(DirectoryOwnedError) as refused,
        running_stores(settings),
    ):
        pass
    assert exit_code_of(refused.value) == 3
    assert str(os.getpid()) in str(refused.value)


def test_running_stores_when_the_block_fails_then_its_error_goes_on_and_stores_end(
    short_home: Path,
) -> None:
    """The stores of a command end with it, however it ends."""
    settings = _settings(short_home)
    with pytest.raises(RuntimeError, match="broke"), running_stores(settings) as endpoints:
        raise RuntimeError("broke")
    with pytest.raises(httpx.ConnectError):
        _ask(endpoints.hot, "SELECT 1")


def test_running_stores_when_a_store_cannot_start_then_its_log_is_named(short_home: Path) -> None:
    """Exit code 5 after a few tries, with the reason of the last end and where the log is."""
    settings = _settings(short_home)
    (short_home / "hot").write_text("a file where a directory must be")
    with (
        pytest.raises(CommandError, match=r"not ready: clickhouse: ") as refused,
        running_stores(settings),
    ):
        pass
    assert exit_code_of(refused.value) == 5
    assert str(short_home / "run" / "logs" / "clickhouse.log") in str(refused.value)


def test_command_when_terminated_then_its_stores_end_and_nothing_is_left(short_home: Path) -> None:
    """SIGTERM leaves as Ctrl-C does: no process, no socket directory, exit code 143."""
    instance = _settings(short_home).instance
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JTS_")}
    argv = [sys.executable, "-P", "-m", "jts_pipelines.cli", "sql", "SELECT 1"]
    with subprocess.Popen(argv, env={**environ, "JTS_HOME": str(short_home)}) as command:
        deadline = time.monotonic() + 30
        while read_record(instance) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        record = read_record(instance)
        command.terminate()
        assert command.wait(30) == 143
    assert record is not None
    pids = [(part.pid, part.started_ticks) for part in record.parts if part.pid is not None]
    assert [pid for pid in pids if procfs.is_running(*pid)] == []
    assert not instance.socket_directory.exists()
