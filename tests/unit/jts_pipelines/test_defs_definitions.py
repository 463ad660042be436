"""The definitions as Dagster sees them: complete, light to load, and switched on."""

import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from jts_pipelines.definitions import defs
from jts_pipelines.defs.market_data.families import FAMILIES

HEAVY = (
    "chdb", "numba", "pandas", "polars", "pyarrow", "numpy", "duckdb", "matplotlib",
    "exchange_calendars", "clickhouse_connect", "httpx", "sqlalchemy", "psycopg2", "redis",
    "jts_trading.engine", "jts_pipelines.backtest.engine", "storage.hot.store",
)  # fmt: skip

LOAD = f"""
import sys, time
import dagster
before = set(sys.modules)
began = time.process_time()
from jts_pipelines.definitions import defs
defs().get_repository_def()
print(time.process_time() - began)
print([name for name in {HEAVY!r} if name in sys.modules and name not in before])
"""

REPORTS = {"daily_report", "parity_certificate"}
RANGE = dg.BackfillPolicy.single_run()
TICKS = {"krx_tick/recorded_ticks", "binance_tick/recorded_ticks"}
FAMILY_GRAPH = {
    "candles": set(),
    "warm_candles": {"candles"},
    "hot_evicted": {"warm_candles"},
    "cold_candles": {"warm_candles"},
    "warm_evicted": {"cold_candles", "hot_evicted"},
}
FAMILY_CHECKS = {
    "candles": {
        "rows_present", "keys_unique", "prices_ordered", "prices_positive", "sessions_only",
        "sessions_covered",
    },
    "warm_candles": {"warm_verified"},
    "hot_evicted": {"nothing_lost"},
    "cold_candles": {"cold_verified"},
    "warm_evicted": {"nothing_lost"},
}  # fmt: skip


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    """Everything that the code location offers."""
    return defs().get_repository_def()


def test_load_when_fresh_process_then_adds_less_than_a_second_and_no_engine() -> None:
    """Loading adds under a second of work to importing Dagster, and imports nothing heavy."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD], capture_output=True, text=True, check=True
    )
    seconds, heavy = answer.stdout.split("\n")[:2]

    assert float(seconds) < 1.0
    assert heavy == "[]"


def test_definitions_when_validated_then_are_loadable() -> None:
    """All references between jobs, assets, schedules and sensors resolve."""
    dg.Definitions.validate_loadable(defs())


# Dagster reads a deprecated property of its own while it takes the snapshot.
@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")
def test_definitions_when_sent_to_the_web_server_then_serialise(
    repository: dg.RepositoryDefinition,
) -> None:
    """The code server can tell the web server all of it, tags and metadata included."""
    assert "krx_1d" in dg.serialize_value(RepositorySnap.from_def(repository))


def test_assets_when_listed_then_are_exactly_these(repository: dg.RepositoryDefinition) -> None:
    """A change of the graph is made on purpose: keys, dependencies and checks stand here."""
    graph = repository.asset_graph
    wanted = {
        "reference/krx_calendar": set(),
        "research/backtest_result": {"krx_1d/candles", "krx_1m/candles"},
        "research/tearsheet": {"research/backtest_result"},
        "release/backtest_result": {"krx_1d/candles", "krx_1m/candles"},
        "release/tearsheet": {"release/backtest_result"},
        "release/walk_forward": {"release/backtest_result"},
        "release/strategy_release": {
            "release/backtest_result",
            "release/tearsheet",
            "release/walk_forward",
        },
        "trading/trading_inputs": {"krx_1d/candles", "krx_1m/candles", "reference/krx_calendar"},
        "krx_tick/recorded_ticks": set(),
        "binance_tick/recorded_ticks": set(),
        "trading/recorded_orders": {"trading/trading_inputs", *TICKS},
        "trading/daily_report": {"trading/recorded_orders", *TICKS},
        "trading/parity_certificate": {"trading/recorded_orders", "krx_1m/candles", *TICKS},
    }
    for family in FAMILIES:
        for asset, parents in FAMILY_GRAPH.items():
            wanted[f"{family.name}/{asset}"] = {f"{family.name}/{name}" for name in parents}

    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }

    assert found == wanted


def test_checks_when_listed_then_are_exactly_these_and_guard_the_moves(
    repository: dg.RepositoryDefinition,
) -> None:
    """Every step of a family has its checks, and what follows waits for them.

    A check has no partitions: the graph counts only evaluations of the partition that it knows,
    and ours are one per run.
    """
    found: dict[str, set[str]] = {}
    for check in repository.asset_graph.asset_check_keys:
        found.setdefault(check.asset_key.to_user_string(), set()).add(check.name)
        spec = repository.asset_graph.get_check_spec(check)
        assert spec.partitions_def is None, check
        # A report is read all the more when something is wrong.
        is_report = check.asset_key.path[0] in {"research", "reference"}
        if not is_report and check.asset_key.path[-1] not in REPORTS:
            assert spec.blocking, check

    wanted = {
        f"{f.name}/{asset}": names for f in FAMILIES for asset, names in FAMILY_CHECKS.items()
    }
    wanted["research/backtest_result"] = {"cash_conserved", "fills_sane", "prefix_invariant"}
    wanted["release/backtest_result"] = {
        "decisions_are_causal", "nothing_serious", "enough_trades", "not_luck"
    }  # fmt: skip
    wanted["release/walk_forward"] = {"holds_outside"}
    wanted["reference/krx_calendar"] = {"calendars_agree"}
    wanted["trading/trading_inputs"] = {
        "strategies_compile", "instruments_tradable", "warmup_present"
    }  # fmt: skip
    wanted["trading/parity_certificate"] = {"nothing_unexplained"}
    wanted["trading/daily_report"] = {"ledger_balances", "no_unknown_left", "orders_named"}
    assert found == wanted


def test_assets_when_shown_then_each_says_what_it_is(
    repository: dg.RepositoryDefinition,
) -> None:
    """Owner, kind, group and description stand on every asset; a range is one run."""
    for key in repository.asset_graph.get_all_asset_keys():
        node = repository.asset_graph.get(key)

        assert node.owners, key
        assert node.kinds, key
        assert node.description, key
        assert node.group_name not in {None, "default"}, key
        if node.is_partitioned and node.is_materializable:
            # A release is one candidate; a range of days is one run.
            is_release = key.path[0] == "release"
            expected = dg.BackfillPolicy.multi_run(1) if is_release else RANGE
            assert node.backfill_policy == expected, key


def test_automation_when_installed_then_all_of_it_runs(
    repository: dg.RepositoryDefinition,
) -> None:
    """Nothing has to be switched on by hand."""
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}

    assert set(schedules) == {"evening", *(f"nightly_{family.name}" for family in FAMILIES)}
    assert set(sensors) == {
        "default_automation_condition_sensor", "failed_runs", "landed_partitions",
        "landing_files", "backtest_requests", "backtest_results", "trading_inputs_published",
        "strategy_candidates",
        "recorded_sessions",
    }  # fmt: skip
    assert all(s.default_status is dg.DefaultScheduleStatus.RUNNING for s in schedules.values())
    assert all(s.default_status is dg.DefaultSensorStatus.RUNNING for s in sensors.values())


def test_nightly_when_scheduled_then_ticks_after_the_last_session_end(
    repository: dg.RepositoryDefinition,
) -> None:
    """The KRX after-market ends at 20:00 in Seoul; the archive begins half an hour later."""
    nightly = repository.get_schedule_def("nightly_krx_1d")

    assert (nightly.cron_schedule, nightly.execution_timezone) == ("30 20 * * *", "Asia/Seoul")


def test_jobs_when_listed_then_each_family_has_its_archive(
    repository: dg.RepositoryDefinition,
) -> None:
    """Stable names: scripts and the demo launch jobs by them."""
    names = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}

    archives = {family.archive_job for family in FAMILIES}
    assert names == {
        "ingest_landing", "research", "release", "trading_inputs", "end_of_day", *archives
    }  # fmt: skip
