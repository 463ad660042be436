"""A running instance is found by its home: its ports count, not those of the configuration."""

import os
from pathlib import Path

import msgspec
import pytest

from jts_trading.bootstrap.settings import load_daemon
from jts_trading.config import procfs
from jts_trading.config.running import RunningInstance, record_file
from jts_trading.config.settings import load_settings
from jts_trading.config.source import read
from jts_trading.telemetry.start import start_logs

OURS = RunningInstance(
    pid=os.getpid(),
    started_ticks=procfs.started_ticks(os.getpid()),
    home="/h",
    is_lasting=True,
    ports={"clickhouse": 20_003, "sim_kis_rest": 20_011, "of_a_later_version": 1},
)
LEFT_OVER = msgspec.structs.replace(OURS, started_ticks=1)
OWN_STORES = msgspec.structs.replace(OURS, is_lasting=False)
OLD = msgspec.structs.replace(OURS, ports={})


def _home(folder: Path, content: bytes) -> dict[str, str]:
    """Return the environment of a home in which something runs."""
    home = {"JTS_HOME": str(folder)}
    file = record_file(load_settings(read(home)).instance)
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return home


def test_load_settings_when_an_instance_runs_then_its_ports_are_used(tmp_path: Path) -> None:
    """Also against a configured port base; what the record does not name stays configured."""
    home = _home(tmp_path, msgspec.json.encode(OURS))
    assert load_settings(read(home)).hot_dsn == "http://127.0.0.1:20003"
    settings = load_settings(read({**home, "JTS_PORT_BASE": "21000"}))
    assert settings.hot_dsn == "http://127.0.0.1:20003"
    assert settings.instance.port("dagster") == 21_001
    assert load_daemon(read(home)).kis.rest_root == "http://127.0.0.1:20011"


def test_load_settings_when_an_instance_is_to_be_started_then_its_configuration_counts(
    tmp_path: Path,
) -> None:
    """One that is just ending must not lend its ports to the next."""
    home = _home(tmp_path, msgspec.json.encode(OURS))
    settings = load_settings(read({**home, "JTS_PORT_BASE": "21000"}), to_start=True)
    assert settings.hot_dsn == "http://127.0.0.1:21003"


@pytest.mark.parametrize(
    "content",
    [
        *(msgspec.json.encode(record) for record in (LEFT_OVER, OWN_STORES, OLD)),
        msgspec.json.encode(msgspec.structs.replace(OURS, version=99)),
        b"{",
    ],
    # A record has the number of this process, which must not be part of the name of a test.
    ids=["left over", "own stores", "old", "other version", "no record"],
)
def test_load_settings_when_no_instance_is_up_then_the_configuration_counts(
    tmp_path: Path, content: bytes
) -> None:
    """A killed supervisor, a command with stores of its own, a record of another form."""
    home = _home(tmp_path, content)
    assert load_settings(read(home)).hot_dsn == "http://127.0.0.1:8123"


_OWN_PORTS = {"JTS_INSTANCE__CLICKHOUSE_PORT": "20003", "JTS_INSTANCE__SIM_KIS_REST_PORT": "20011"}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, None),
        (_OWN_PORTS, None),
        ({"JTS_PORT_BASE": "21000"}, "environment JTS_PORT_BASE: instance.port_base"),
        (
            {"JTS_INSTANCE__CLICKHOUSE_PORT": "9000"},
            "environment JTS_INSTANCE__CLICKHOUSE_PORT: instance.clickhouse_port",
        ),
    ],
)
def test_start_logs_when_a_configured_port_does_not_count_then_one_line_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    environ: dict[str, str],
    named: str | None,
) -> None:
    """Silent without a configured port, and where the ports are those that run."""
    home = _home(tmp_path, msgspec.json.encode(OURS))
    for name, value in {**home, **environ}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jts_trading.telemetry.start.configure_logging", lambda *_: None)
    monkeypatch.setattr("jts_trading.telemetry.start.log_uncaught", lambda: None)
    start_logs()
    has = f"what runs in {tmp_path} has clickhouse 20003, sim_kis_rest 20011"
    told = f"jts: {named} counts from the next start; {has}\n"
    assert capsys.readouterr().err == (told if named else "")
