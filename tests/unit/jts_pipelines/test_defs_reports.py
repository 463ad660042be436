"""When a day is reported, and which trading inputs were in force on it."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg

from jts_pipelines.defs.reports.definitions import reports
from jts_pipelines.defs.reports.traded import merge, traded_on
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.trading_inputs.document import write_next
from jts_pipelines.reports.daily_records import day_span
from jts_trading.config.instance import ClockSettings
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.ports.clock import write_clock

DAY = day_span(date(2018, 2, 26))
HOUR_NS = 3600 * 10**9


def _evening(home: Path, **variables: str) -> Any:
    (schedule,) = reports().schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    house = HouseResource(variables={"JTS_HOME": str(home), **variables})
    with dg.build_schedule_context(resources={"house": house}) as context:
        return schedule(context)


def test_evening_when_it_ticks_then_asks_for_today_and_for_yesterday_once_more(
    tmp_path: Path,
) -> None:
    """The day is that of the instance clock; a market that never closes is reported to its end."""
    write_clock(tmp_path / "run", ClockSettings(epoch="2018-02-26T20:40:00+09:00"))

    answer = _evening(tmp_path)

    assert [request.partition_key for request in answer] == ["2018-02-25", "2018-02-26"]
    assert len({request.run_key for request in answer}) == 2


def test_evening_when_nothing_is_traded_then_reports_nothing(tmp_path: Path) -> None:
    """An instance without the daemon has no journal that could be read."""
    answer = _evening(tmp_path, JTS_TRADING__ENABLED="false")

    assert isinstance(answer, dg.SkipReason)
    assert "not enabled" in str(answer.skip_message)


def _inputs(version: int, hour: int, release: str, instance: str = "sma") -> TradingInputs:
    spec = StrategyInput(
        instance=instance, strategy_id="", release=release, dsl_code="", broker="kis",
        account="1", venue="KRX", interval="1m", instrument_ids=("KRX:005930",),
        allocation=Decimal(1), currency="KRW",
    )  # fmt: skip
    created_ns = DAY.from_ns + hour * HOUR_NS
    return TradingInputs(version=version, created_ns=created_ns, source="t", instances=(spec,))


def test_traded_when_inputs_changed_on_the_day_then_each_release_has_its_span() -> None:
    """A version is in force until the next one was made; the same release goes on."""
    documents = [
        _inputs(1, -48, "old"), _inputs(2, -24, "a"), _inputs(3, 10, "a"), _inputs(4, 12, "b"),
        _inputs(5, 30, "c"),
    ]  # fmt: skip

    found = {each.key: each for each in merge(documents, DAY)}

    assert set(found) == {("sma", "a"), ("sma", "b")}
    assert found["sma", "a"].from_ns == DAY.from_ns - 24 * HOUR_NS
    assert found["sma", "a"].until_ns == found["sma", "b"].from_ns == DAY.from_ns + 12 * HOUR_NS
    assert found["sma", "b"].until_ns == DAY.from_ns + 30 * HOUR_NS


def test_traded_when_read_from_the_home_then_kept_versions_count_and_strangers_do_not(
    tmp_path: Path,
) -> None:
    """A file that is no document is passed over."""
    assert traded_on(tmp_path, DAY) == []
    write_next(tmp_path, lambda version: _inputs(version, 1, "a"))
    write_next(tmp_path, lambda version: _inputs(version, 2, "b"))
    (tmp_path / "trading/inputs/000009.json").write_text("{}")

    assert [each.key for each in traded_on(tmp_path, DAY)] == [("sma", "a"), ("sma", "b")]
