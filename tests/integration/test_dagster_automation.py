"""What starts runs by itself: the nightly archive and the landing folder, on a real store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from jts_pipelines.defs.house import House
from jts_pipelines.defs.market_data.families import FAMILIES
from jts_pipelines.defs.market_data.landing import (
    LandedFile,
    ingest_landed_file,
    ingest_landing,
    landing_files,
    touched_partitions,
)
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.tiers.definitions import tiers
from jts_pipelines.ingest.generated import daily_panel
from jts_trading.config.instance import ClockSettings
from jts_trading.ports.clock import write_clock

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Landing:
    """A house whose landing folder can be filled, on the evening of 2024-06-14."""

    resource: HouseResource
    house: House
    folder: Path
    instance: dg.DagsterInstance

    def drop(self, name: str, first: date = date(2024, 4, 1)) -> Path:
        """Put a file of daily bars into the folder, as an atomic rename would."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        panel = daily_panel(seed=3, symbols=2, first=first, last=date(2024, 6, 14))
        panel.write_parquet(path)
        return path

    def tick(self, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        """Let the sensor look once."""
        with dg.build_sensor_context(
            cursor=cursor, instance=self.instance, resources={"house": self.resource}
        ) as context:
            answer = landing_files(context)
            if isinstance(answer, dg.SkipReason):
                return dg.SensorResult(skip_reason=answer, cursor=context.cursor)
            return answer

    def ingest(self, request: dg.RunRequest) -> Any:
        """Run what the sensor requested."""
        return ingest_landing.execute_in_process(
            run_config=request.run_config,
            resources={"house": self.resource},
            instance=self.instance,
            raise_on_error=False,
        )


@pytest.fixture
def landing(tmp_path: Path, clickhouse_client: Any, clickhouse_url: str) -> Iterator[Landing]:
    """The house, its rows in a database of this test."""
    dsn = f"{clickhouse_url}/{clickhouse_client.database}"
    resource = HouseResource(variables={"JTS_HOME": str(tmp_path), "JTS_HOT__DSN": dsn})
    write_clock(tmp_path / "run", ClockSettings(epoch="2024-06-14T18:30:00+09:00"))
    with dg.instance_for_test() as instance:
        yield Landing(resource, resource.open(), tmp_path / "landing", instance)


def _requests(answer: Any) -> list[dg.RunRequest]:
    return list(answer.run_requests or [])


def test_sensor_when_a_file_has_landed_then_requests_it_once(landing: Landing) -> None:
    """Two looks make a file ready; its key is the arrival, so a third look repeats the key."""
    landing.drop("KRX/1d/june.parquet")
    landing.drop("KRX/1d/half.parquet.part")

    first = landing.tick(None)
    second = landing.tick(first.cursor)
    third = landing.tick(second.cursor)

    assert _requests(first) == []
    assert [request.tags["jts/file"] for request in _requests(second)] == ["KRX/1d/june.parquet"]
    assert _requests(third)[0].run_key == _requests(second)[0].run_key


def test_ingest_when_run_then_file_is_accepted_and_its_partitions_are_known(
    landing: Landing,
) -> None:
    """The run loads the file, moves it aside and says which partitions it touched."""
    path = landing.drop("KRX/1d/june.parquet")
    ready = landing.tick(landing.tick(None).cursor)
    result = landing.ingest(_requests(ready)[0])

    with landing.house.lake() as lake:
        served = lake.count()
    touched = touched_partitions(landing.instance, result.run_id)
    assert result.success
    assert served > 0
    assert not path.exists()
    assert (landing.folder / "accepted/KRX/1d/june.parquet").is_file()
    assert touched == {FAMILIES[0]: ["2024-04", "2024-05", "2024-06"]}
    assert _requests(landing.tick(ready.cursor)) == []


def test_landed_partitions_when_ingest_succeeded_then_requests_candles_as_one_range(
    landing: Landing,
) -> None:
    """The partitions that a file touched are checked in one run of their family."""
    landing.drop("KRX/1d/june.parquet")
    result = landing.ingest(_requests(landing.tick(landing.tick(None).cursor))[0])
    sensors = {sensor.name: sensor for sensor in tiers().sensors or []}
    context = dg.build_run_status_sensor_context(
        sensor_name="landed_partitions",
        dagster_event=result.get_run_success_event(),
        dagster_instance=landing.instance,
        dagster_run=result.dagster_run,
    )

    (request,) = list(sensors["landed_partitions"](context))

    assert request.job_name == "archive_krx_1d"
    assert [key.to_user_string() for key in request.asset_selection] == ["krx_1d/candles"]
    assert set(request.tags.values()) >= {"2024-04", "2024-06"}


@pytest.mark.parametrize(
    ("name", "said"),
    [("KRX/1d/broken.parquet", "broken.parquet"), ("MOON/1d/rows.parquet", "MOON")],
)
def test_ingest_when_a_file_cannot_be_used_then_it_is_rejected_with_its_reason(
    landing: Landing, name: str, said: str
) -> None:
    """A bad file fails its run in one line and is kept, with the reason, out of the way."""
    path = landing.drop(name)
    if "broken" in name:
        path.write_bytes(path.read_bytes()[:200])

    result = landing.ingest(_requests(landing.tick(landing.tick(None).cursor))[0])

    kept = landing.folder / "rejected" / name
    assert not result.success
    assert not path.exists()
    assert kept.is_file()
    assert said in kept.with_name(f"{kept.name}.reason").read_text(encoding="utf-8")


def test_ingest_when_the_store_is_away_then_the_file_stays(
    landing: Landing, tmp_path: Path
) -> None:
    """A store that does not answer is no fault of the file: it waits for the retry."""
    path = landing.drop("KRX/1d/june.parquet")
    away = {"JTS_HOME": str(tmp_path), "JTS_HOT__DSN": "http://127.0.0.1:9/none"}
    resources = {"house": HouseResource(variables=away)}

    with dg.build_op_context(resources=resources) as context, pytest.raises(dg.Failure) as failed:
        ingest_landed_file(context, LandedFile(path="KRX/1d/june.parquet"))

    assert failed.value.allow_retries
    assert path.is_file()


def test_nightly_when_partitions_are_due_then_requests_one_run_per_range(
    landing: Landing,
) -> None:
    """Months that need the same steps share a run; the key carries the instance date."""
    landing.drop("KRX/1d/june.parquet", first=date(2024, 1, 2))
    landing.ingest(_requests(landing.tick(landing.tick(None).cursor))[0])
    nightly = {schedule.name: schedule for schedule in tiers().schedules or []}["nightly_krx_1d"]

    def requests() -> list[dg.RunRequest]:
        with dg.build_schedule_context(resources={"house": landing.resource}) as context:
            return list(nightly.evaluate_tick(context).run_requests)

    wanted = [(r.run_key, [key.path[1] for key in r.asset_selection]) for r in requests()]

    assert wanted == [
        (
            (
                "krx_1d:2024-06-14:2024-01..2024-02:"
                "warm_candles+hot_evicted+cold_candles+warm_evicted"
            ),
            ["warm_candles", "hot_evicted", "cold_candles", "warm_evicted"],
        ),
        (
            "krx_1d:2024-06-14:2024-03..2024-05:warm_candles+hot_evicted",
            ["warm_candles", "hot_evicted"],
        ),
    ]


def test_nightly_when_nothing_is_due_then_skips_and_says_the_instance_date(
    landing: Landing,
) -> None:
    """An empty house is skipped with a reason that names the clock it went by."""
    nightly = {schedule.name: schedule for schedule in tiers().schedules or []}["nightly_krx_1m"]

    with dg.build_schedule_context(resources={"house": landing.resource}) as context:
        answer = nightly.evaluate_tick(context)

    assert answer.run_requests == []
    assert "2024-06-14 (instance clock)" in str(answer.skip_message)
