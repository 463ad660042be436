"""The assets of a family on a real embedded store: what they move, and what they refuse."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from jts_pipelines.cli.demo_house import Ledger
from jts_pipelines.defs.house import House
from jts_pipelines.defs.market_data.definitions import market_data
from jts_pipelines.defs.ranges import range_tags
from jts_pipelines.defs.research.definitions import research
from jts_pipelines.defs.research.gate import GATES, RELEASES
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.tiers.definitions import tiers
from jts_pipelines.ingest.generated import daily_panel, listing
from jts_trading.config.instance import ClockSettings
from jts_trading.ports.clock import write_clock
from storage.schema.partitions import parse_partition
from storage.schema.tiers import Tier

pytestmark = pytest.mark.integration

EVENING = "2024-06-14T18:30:00+09:00"
FIRST, LAST = "2024-02", "2024-06"
CANDIDATE = """strategy("Cross") {
  params { fast = 5 in 5..6 step 1 }
  indicators {
    quick = SMA(period: fast)
    slow = SMA(period: 10)
  }
  entry.long { when (quick crosses above slow) { buy(quantity: "20%", type: "market") } }
  exit.long { when (quick crosses below slow) { sell(quantity: "all", type: "market") } }
}
"""
# A fifth of this is inside the limits of the account, of 100 million it is not.
CASH = 20_000_000
EVIDENCE = {
    "config": {
        "train": 40,
        "test": 20,
        "benchmarks": ["KOSPI"],
        "cash": CASH,
        "assume": ["slippage_bps=3"],
    }
}
STEPS = ("warm_candles", "hot_evicted", "cold_candles", "warm_evicted")


@dataclass(frozen=True)
class Bench:
    """A house with five months of daily bars of four symbols, loaded on 2024-06-14."""

    resource: HouseResource
    house: House
    instance: dg.DagsterInstance
    ledger: Ledger

    def run(
        self, *assets: str, keys: tuple[str, str] | None = (FIRST, LAST), **config: Any
    ) -> Any:
        """Materialise some assets, with their checks, over a range of keys."""
        everything = [*market_data().assets, *tiers().assets, *research().assets]
        return dg.materialize(
            [*everything, *tiers().asset_checks],
            selection=dg.AssetSelection.assets(*(name.split("/") for name in assets)),
            tags=range_tags(*keys) if keys else {},
            resources={"house": self.resource},
            instance=self.instance,
            raise_on_error=False,
            run_config={"ops": config} if config else None,
        )

    def archive(self) -> None:
        """Move everything that is due, as the nightly schedule would."""
        self.run("krx_1d/warm_candles", "krx_1d/hot_evicted", keys=("2024-02", "2024-05"))
        self.run("krx_1d/cold_candles", "krx_1d/warm_evicted", keys=("2024-02", "2024-02"))

    def serving(self, key: str) -> set[Tier]:
        """Return the tiers that serve rows of a month."""
        with self.house.lake() as lake:
            served = lake.summary()
        month = parse_partition("candles", "KRX", "1d", key)
        return {found.tier for found in served if found.partition == month}


@pytest.fixture
def bench(tmp_path: Path, clickhouse_client: Any, clickhouse_url: str) -> Iterator[Bench]:
    """The house, its rows in a database of this test."""
    dsn = f"{clickhouse_url}/{clickhouse_client.database}"
    resource = HouseResource(variables={"JTS_HOME": str(tmp_path), "JTS_HOT__DSN": dsn})
    house = resource.open()
    write_clock(tmp_path / "run", ClockSettings(epoch=EVENING))
    file = tmp_path / "panel.parquet"
    first, last = date(2024, 2, 1), date(2024, 6, 14)
    daily_panel(seed=7, symbols=4, first=first, last=last).write_parquet(file)
    ledger = Ledger()
    ledger.reports.append(house.ingest(file, "KRX", "1d"))
    with dg.instance_for_test() as instance:
        yield Bench(resource, house, instance, ledger)


def _failure(result: Any) -> str:
    failed = [event for event in result.all_events if event.is_step_failure]
    return str(failed[0].step_failure_data.error)


def _numbers(result: Any, asset: str) -> dict[str, dict[str, Any]]:
    key = dg.AssetKey(asset.split("/"))
    found = {}
    for event in result.all_events:
        if event.is_step_materialization and event.asset_key == key:
            metadata = event.materialization.metadata
            found[event.partition] = {name: value.value for name, value in metadata.items()}
    return found


def test_candles_when_materialised_over_a_range_then_numbers_stand_on_every_partition(
    bench: Bench,
) -> None:
    """One run covers the range, each key has its own figures, the picture stands once."""
    result = bench.run("krx_1d/candles")

    numbers = _numbers(result, "krx_1d/candles")
    assert result.success
    assert list(numbers) == ["2024-02", "2024-03", "2024-04", "2024-05", "2024-06"]
    assert sum(found["rows"] for found in numbers.values()) == bench.ledger.expected
    assert all(found["bytes"] > 0 and len(found["digest"]) == 64 for found in numbers.values())
    assert [key for key, found in numbers.items() if "rows_per_day" in found] == ["2024-06"]
    checks = result.get_asset_check_evaluations()
    assert len(checks) == 6
    assert all(check.passed for check in checks)


@pytest.mark.parametrize("keys", [(FIRST, LAST), ("2024-03", "2024-03")])
def test_checks_when_a_run_succeeded_then_the_instance_knows_them_as_passed(
    bench: Bench, keys: tuple[str, str]
) -> None:
    """What the asset graph asks for, the latest state of each check, is there and green."""
    bench.run("krx_1d/candles", keys=keys)
    check_keys = [
        dg.AssetCheckKey(dg.AssetKey(["krx_1d", "candles"]), name)
        for name in ("rows_present", "sessions_covered")
    ]

    latest = bench.instance.event_log_storage.get_latest_asset_check_execution_by_key(check_keys)

    assert {key.name for key in latest} == {"rows_present", "sessions_covered"}
    for record in latest.values():
        assert record.status is AssetCheckExecutionRecordStatus.SUCCEEDED
        assert record.partition is None


def test_candles_when_a_partition_is_empty_then_blocking_check_names_it(bench: Bench) -> None:
    """A click on a month without rows is red and says which month."""
    result = bench.run("krx_1d/candles", keys=("2024-01", "2024-02"))

    failed = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not result.success
    assert not failed["rows_present"].passed
    assert failed["rows_present"].metadata["worst"].value == "2024-01"


def test_moves_when_due_then_rows_go_from_hot_to_warm_to_cold(bench: Bench) -> None:
    """After the archive each month serves from the tier of its age, and no row was lost."""
    bench.archive()

    count = bench.ledger.count(bench.house, "archive")
    assert bench.serving("2024-02") == {Tier.COLD}
    assert bench.serving("2024-05") == {Tier.WARM}
    assert bench.serving("2024-06") == {Tier.HOT}
    assert count.served == count.expected
    assert bench.house.plan() == []


def test_moves_when_repeated_then_change_nothing(bench: Bench) -> None:
    """A person may press Materialize again: the copies stay the same, the checks are green."""
    bench.archive()
    before = bench.house.plan()

    again = bench.run("krx_1d/warm_candles", "krx_1d/hot_evicted", keys=("2024-02", "2024-05"))

    numbers = _numbers(again, "krx_1d/warm_candles")
    assert again.success
    assert {found["changed"] for found in numbers.values()} == {0}
    assert bench.house.plan() == before
    assert bench.ledger.count(bench.house, "again").served == bench.ledger.expected


def test_warm_when_a_month_is_open_then_refuses_before_anything_moves(bench: Bench) -> None:
    """A range that reaches into the running month is refused whole, and says why."""
    result = bench.run("krx_1d/warm_candles")

    assert not result.success
    assert "still open on 2024-06-14 (instance clock): 2024-06" in _failure(result)
    with bench.house.moves() as moves:
        assert not moves.manifests.catalog("candles").states


def test_warm_when_old_partition_has_no_hot_rows_then_cannot_empty_the_archive(
    bench: Bench,
) -> None:
    """Materialize on an evicted month keeps its file; on a month never loaded it is refused."""
    bench.archive()
    bench.run("krx_1d/warm_candles", keys=("2024-02", "2024-02"))
    never = bench.run("krx_1d/warm_candles", keys=("2023-12", "2023-12"))

    assert bench.serving("2024-02") == {Tier.COLD}
    assert not never.success
    assert "no rows" in _failure(never)
    assert bench.ledger.count(bench.house, "clicks").served == bench.ledger.expected


def test_eviction_when_not_old_enough_then_refuses(bench: Bench) -> None:
    """May is copied the night it closes and serves from hot until it is eight days old."""
    write_clock(bench.house.root / "run", ClockSettings(epoch="2024-06-03T18:30:00+09:00"))
    result = bench.run("krx_1d/warm_candles", "krx_1d/hot_evicted", keys=("2024-05", "2024-05"))

    assert not result.success
    assert "3 days old, it leaves hot after 7" in _failure(result)
    assert bench.serving("2024-05") == {Tier.HOT}


def test_eviction_when_there_is_no_copy_then_refuses(bench: Bench) -> None:
    """Nothing is deleted that does not stand, verified, in a colder tier."""
    result = bench.run("krx_1d/hot_evicted", keys=("2024-03", "2024-03"))

    assert not result.success
    assert "no verified copy in warm" in _failure(result)
    assert bench.ledger.count(bench.house, "refused").served == bench.ledger.expected


def test_warm_verified_when_a_byte_flips_then_blocks_the_eviction(bench: Bench) -> None:
    """A damaged copy is found by opening the file again, and its source stays."""
    bench.run("krx_1d/warm_candles", keys=("2024-03", "2024-03"))
    file = next((bench.house.root / "warm").rglob("part-*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)

    result = bench.run("krx_1d/warm_candles", "krx_1d/hot_evicted", keys=("2024-03", "2024-03"))

    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not result.success
    assert not checks["warm_verified"].passed
    assert "2024-03" in str(checks["warm_verified"].metadata["worst"].value)
    assert bench.serving("2024-03") == {Tier.HOT}


def test_conserved_when_one_row_vanishes_behind_the_back_then_is_false(
    bench: Bench, clickhouse_client: Any
) -> None:
    """The outside reader notices a single row of the open month that somebody deleted."""
    bench.archive()
    bench.ledger.count(bench.house, "archive")
    assert bench.ledger.conserved

    clickhouse_client.command(
        "DELETE FROM candles WHERE symbol = '005930' AND trade_date = '2024-06-11'",
        settings={"mutations_sync": 2},
    )
    count = bench.ledger.count(bench.house, "sabotage")

    assert count.served == count.expected - 1
    assert not bench.ledger.conserved


def test_backtest_when_materialised_then_sheet_and_result_are_one_run(bench: Bench) -> None:
    """Result and tear sheet come from the same bars of all tiers, with their own audit."""
    bench.archive()
    reference = bench.house.root / "reference"
    reference.mkdir()
    listing(4).write_parquet(reference / "instruments.parquet")
    strategy = Path(__file__).parents[2] / "examples/strategies/sma_crossover.jts"
    text = strategy.read_text(encoding="utf-8")

    result = bench.run(
        "research/backtest_result", "research/tearsheet", keys=None,
        backtest={"config": {"text": text, "symbols": ["005930", "37550L"]}},
    )  # fmt: skip

    numbers = _numbers(result, "research/backtest_result")[None]
    pages = _numbers(result, "research/tearsheet")[None]
    assert result.success
    assert numbers["bars"] > 150
    assert list(numbers)[:5] == ["strategy", "bars", "trades", "final_equity", "equity"]
    assert numbers["equity"].startswith("![equity](data:image/png;base64,")
    assert all(check.passed for check in result.get_asset_check_evaluations())
    fills = pl.read_parquet(pages["fills"])
    assert fills.height > 0
    assert set(fills["name"]) <= {"견본전자1", "견본화학1우"}
    assert "<html" in Path(pages["page"]).read_text(encoding="utf-8")


def test_backtest_when_strategy_is_refused_then_fails_in_one_line(bench: Bench) -> None:
    """A text that does not parse names its place; nothing is written."""
    result = bench.run(
        "research/backtest_result", "research/tearsheet", keys=None,
        backtest={"config": {"text": 'strategy("X") { indicators { a = NOPE(period: 3) } }'}},
    )  # fmt: skip

    assert not result.success
    assert "NOPE" in _failure(result)
    assert not (bench.house.root / "reports").exists()


def test_release_when_a_text_is_a_candidate_then_its_evidence_decides(
    bench: Bench, kernels: Path
) -> None:
    """The sensor makes a partition of a new text; gates that are closed stop its release."""
    (bench.house.root / "cache").mkdir(exist_ok=True)
    (bench.house.root / "cache" / "kernels").symlink_to(kernels)
    (bench.house.root / "strategies").mkdir()
    (bench.house.root / "strategies" / "cross.jts").write_text(CANDIDATE, encoding="utf-8")
    (sensor,) = [s for s in research().sensors or () if s.name == "strategy_candidates"]
    with dg.build_sensor_context(
        instance=bench.instance, resources={"house": bench.resource}
    ) as context:
        found = sensor(context)
    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or []
    key = str(request.partition_key)
    bench.instance.add_dynamic_partitions("strategy_releases", [key])
    with dg.build_sensor_context(
        instance=bench.instance, resources={"house": bench.resource}
    ) as context:
        assert isinstance(sensor(context), dg.SkipReason)

    tried = _release(bench, key, "backtest_result", "tearsheet", "walk_forward",
                     "strategy_release", release_evidence=EVIDENCE)  # fmt: skip
    assert not (bench.house.root / RELEASES / key / "release.json").exists()
    short = {"config": {**EVIDENCE["config"], "assume": ["short_selling=yes"]}}
    refused = _release(
        bench, key, "backtest_result", "tearsheet", "walk_forward", release_evidence=short
    )
    opened = _release(
        bench, key, "strategy_release",
        release__strategy_release={
            "config": {"override_by": "Kim", "override_reason": "paper only"}
        },
    )  # fmt: skip

    checks = {c.check_name: c.passed for c in tried.get_asset_check_evaluations()}
    assert set(checks) == set(GATES)
    assert checks["decisions_are_causal"]
    assert not checks["not_luck"]
    (document,) = (bench.house.root / "reports").glob("backtest-*/backtest.json")
    found = json.loads(document.read_bytes())
    assert found["config"]["limits"]["order_value"] == "10000000"
    assert found["config"]["slippage_bps"] == "3"
    assert found["fills"] > 0
    assert "live never sells short" in _failure(refused)
    assert opened.success
    (event,) = opened.asset_materializations_for_node("release__strategy_release")
    assert "not_luck" in str(event.metadata["overridden"].value)


def _release(bench: Bench, key: str, *assets: str, **config: Any) -> Any:
    return dg.materialize(
        [*market_data().assets, *research().assets],
        selection=dg.AssetSelection.assets(*(["release", name] for name in assets)),
        partition_key=key,
        resources={"house": bench.resource},
        instance=bench.instance,
        raise_on_error=False,
        run_config={"ops": config},
    )
