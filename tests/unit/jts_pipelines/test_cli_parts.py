"""The table of parts, and the files that Dagster reads."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from jts_pipelines.cli import parts, probes
from jts_pipelines.cli.part import AliveReason, Part, levels
from jts_pipelines.cli.status import address_of
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import read
from jts_trading.domain.feed_messages import RoleHealth
from jts_trading.ports.clock import SystemClock
from jts_trading.telemetry.health import health_file

_ROOT = Path(__file__).resolve().parents[3]


def _settings(home: Path, **environ: str) -> Settings:
    base = {"JTS_HOME": str(home), "JTS_PORT_BASE": "20000", **environ}
    return load_settings(read(base))


@pytest.fixture(scope="module")
def dagster_yaml() -> dict[str, Any]:
    """The parsed `dagster.yaml` of the checkout."""
    found: dict[str, Any] = yaml.safe_load((_ROOT / "dagster.yaml").read_text())
    return found


def test_all_parts_when_listed_then_stores_come_before_dagster(tmp_path: Path) -> None:
    """Each part starts after those that it needs: stores, code server, web server, daemon."""
    settings = _settings(tmp_path, JTS_TRADING__ENABLED="false")
    order = [[part.name for part in level] for level in levels(parts.all_parts(settings))]
    assert order == [
        ["status", *parts.STORES],
        ["dagster-code-server"],
        ["dagster-webserver"],
        ["dagster-daemon"],
    ]


def test_all_parts_when_stopped_in_turn_then_the_graces_leave_room_in_10_s(tmp_path: Path) -> None:
    """Even if nothing ends by itself, the levels together take less than the promise."""
    graces = [max(part.grace_s for part in level) for level in levels(_parts(tmp_path))]
    assert sum(graces) <= 9.0


def test_trading_parts_when_listed_then_roles_come_after_stores_migrations_and_simulators(
    tmp_path: Path,
) -> None:
    """A role that meets a broker starts when it answers; the ledger is ready before any role."""
    settings = _settings(tmp_path)
    found = {part.name: part for part in parts.trading_parts(settings)}
    assert found["migrations"].is_step
    for name in parts.ROLES:
        assert {*parts.STORES, "migrations"} <= set(found[name].parents)
        assert found[name].argv[-2:] == ("run", name)
        assert found[name].environment["JTS_HOME"] == str(tmp_path)
    assert {part.name for part in parts.all_parts(settings)} >= found.keys()


def test_trading_parts_when_trading_is_off_then_there_are_none(tmp_path: Path) -> None:
    """`[trading] enabled = false` leaves stores and Dagster."""
    names = {p.name for p in parts.all_parts(_settings(tmp_path, JTS_TRADING__ENABLED="false"))}
    assert "migrations" not in names
    assert not names & set(parts.ROLES)


def test_role_when_its_heart_is_asked_then_only_a_fresh_beat_of_this_process_counts(
    tmp_path: Path,
) -> None:
    """Ready, alive but not ready, of an earlier process, silent: told apart."""

    def beat(age_s: float, *reasons: str) -> None:
        now_ns = SystemClock().now_ns()
        health = RoleHealth(
            role="trader", pid=1, is_ready=not reasons, reasons=reasons, metrics={},
            ts_ns=0, real_ns=now_ns - int(age_s * 1e9),
        )  # fmt: skip
        file = health_file(tmp_path, "trader")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.encode(health))

    assert probes.role(tmp_path, "trader", 60) == "no heartbeat yet"
    beat(0.1)
    assert probes.role(tmp_path, "trader", 60) is None
    beat(2)
    assert probes.role(tmp_path, "trader", 1) == "no heartbeat yet"
    beat(20)
    assert probes.role(tmp_path, "trader", 60) == "no heartbeat for 20 s"
    beat(0.1, "no prices", "kill switch latched")
    reason = probes.role(tmp_path, "trader", 60)
    assert reason == "no prices; kill switch latched"
    assert isinstance(reason, AliveReason)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("unix:///tmp/jts-1/redis/redis.sock", "/tmp/jts-1/redis/redis.sock"),
        ("postgresql+psycopg2://postgres@/jts?host=/tmp/jts-1/postgres", "/tmp/jts-1/postgres"),
        ("postgresql+psycopg2://u:canary@db:5432/jts", "postgresql+psycopg2://u:***@db:5432/jts"),
        ("", ""),
    ],
)
def test_address_when_shown_then_it_is_what_a_person_opens(url: str, address: str) -> None:
    """A page, a server without its password, or the path that psql and redis-cli take."""
    assert address_of(url) == address


def _parts(home: Path) -> tuple[Part, ...]:
    return parts.all_parts(_settings(home))


def test_all_parts_when_two_homes_are_up_then_they_share_no_port(tmp_path: Path) -> None:
    """Ports follow the port base; every one of an instance is its own."""
    one = [port for part in _parts(tmp_path) for port in part.ports]
    other = _settings(tmp_path / "other", JTS_PORT_BASE="20020")
    two = [port for part in parts.all_parts(other) for port in part.ports]
    assert {20000, 20001, 20002, 20003} <= set(one) <= set(range(20000, 20019))
    assert sorted(two) == [port + 20 for port in sorted(one)]


def test_environment_when_made_then_places_are_absolute_and_the_user_s_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part depends on no working directory: paths, DSNs and the configuration are fixed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    (tmp_path / "jts.toml").write_text("[tiers]\nwarm_days = 30\n")
    environment = parts.environment_of(load_settings(read({"JTS_HOME": "house"})))
    assert environment["JTS_HOME"] == str(tmp_path / "house")
    assert environment["DAGSTER_HOME"] == str(tmp_path / "house" / "dagster")
    assert environment["JTS_CONFIG"] == str(tmp_path / "jts.toml")
    assert environment["JTS_DAGSTER_PG_URL"].startswith("postgresql+psycopg2://")
    assert environment["HTTP_PROXY"] == "http://proxy:3128"


def test_environment_when_a_part_reads_it_then_it_has_the_same_settings(tmp_path: Path) -> None:
    """What the supervisor resolved is what every part sees."""
    settings = _settings(tmp_path, JTS_TIERS__HOT_DAYS="5")
    passed = {
        name: value
        for name, value in parts.environment_of(settings).items()
        if name.startswith("JTS_")
    }
    seen = load_settings(read({**passed, "JTS_TIERS__HOT_DAYS": "5"}))
    # The settings of a demo exist in no environment: what parts meet each other by is passed on.
    for part in ("sim_kis_rest", "sim_kis_stream", "sim_binance_rest", "sim_binance_stream"):
        assert seen.instance.port(part) == settings.instance.port(part)
    for name in ("hot_dsn", "postgres_dsn", "redis_dsn", "dagster_url", "tiers"):
        assert getattr(seen, name) == getattr(settings, name)
    assert seen.instance.root == settings.instance.root


def test_store_parts_when_a_dsn_is_configured_then_nothing_is_started(tmp_path: Path) -> None:
    """A real server is probed and takes no port of ours; its password is not shown."""
    dsn = "http://desk:canary-8a@db:8123/jts"
    (part,) = parts.store_parts(_settings(tmp_path, JTS_HOT__DSN=dsn), ["clickhouse"])
    assert (part.argv, part.port, part.url) == ((), None, "http://desk:***@db:8123/jts")


def test_prepare_dagster_home_when_done_twice_then_both_files_are_there(tmp_path: Path) -> None:
    """`dagster.yaml` is copied and the workspace names the code server of this instance."""
    settings = _settings(tmp_path)
    for _ in range(2):
        parts.prepare_dagster_home(settings)
    home = settings.instance.dagster_home
    assert (home / "dagster.yaml").read_bytes() == (_ROOT / "dagster.yaml").read_bytes()
    (entry,) = yaml.safe_load((home / "workspace.yaml").read_text())["load_from"]
    assert entry["grpc_server"] == {
        "host": "127.0.0.1",
        "port": settings.instance.port("code_server"),
        "location_name": parts.LOCATION,
    }


def test_workspace_when_used_by_hand_then_it_names_the_same_location() -> None:
    """`dagster-webserver -w workspace.yaml` loads what `jts up` loads, under the same name."""
    (entry,) = yaml.safe_load((_ROOT / "workspace.yaml").read_text())["load_from"]
    module = entry["python_module"]
    assert (module["module_name"], module["location_name"]) == (parts.DEFINITIONS, parts.LOCATION)


def test_dagster_yaml_when_read_then_runs_are_kept_in_postgresql_named_by_the_environment(
    dagster_yaml: dict[str, Any],
) -> None:
    """SQLite locks under a daemon and concurrent runs; any DSN comes in by the environment."""
    assert dagster_yaml["storage"] == {"postgres": {"postgres_url": {"env": "JTS_DAGSTER_PG_URL"}}}


def test_dagster_yaml_when_read_then_only_crashes_are_retried_and_nothing_is_sent(
    dagster_yaml: dict[str, Any],
) -> None:
    """A lost run is noticed and run again; a failed asset is not; telemetry is off."""
    assert dagster_yaml["run_monitoring"]["enabled"] is True
    assert dagster_yaml["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    assert dagster_yaml["run_retries"]["max_retries"] == 1
    assert dagster_yaml["run_retries"]["retry_on_asset_or_op_failure"] is False
    assert dagster_yaml["telemetry"] == {"enabled": False}
    threads = [dagster_yaml[name]["use_threads"] for name in ("sensors", "schedules", "backfills")]
    assert threads == [True, True, True]


def test_dagster_yaml_when_parsed_by_dagster_then_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster itself finds no unknown key and takes the URL from the environment."""
    from dagster._core.instance.config import dagster_instance_config

    monkeypatch.setenv("JTS_DAGSTER_PG_URL", "postgresql+psycopg2://h/dagster")
    parts.prepare_dagster_home(_settings(tmp_path))
    parsed, _ = dagster_instance_config(str(tmp_path / "dagster"))
    assert parsed["concurrency"]["runs"]["max_concurrent_runs"] == 2
    assert parsed["run_coordinator"]["config"] == {"dequeue_interval_seconds": 1}
