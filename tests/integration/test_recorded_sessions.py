"""Recorded ticks as external assets: reported when a session closed, again when it changed."""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from jts_pipelines.defs.recorded.reporting import recorded_sessions
from jts_pipelines.defs.resources import HouseResource
from jts_trading.config.instance import ClockSettings
from jts_trading.market_store.clickhouse import ClickHouseMarket
from jts_trading.ports.clock import write_clock
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.manifest.chain import Manifests

pytestmark = pytest.mark.integration

DAY = date(2018, 2, 26)
OPEN_NS = int(datetime.fromisoformat("2018-02-26T09:00:00+09:00").timestamp()) * 10**9


def _tick(number: int, feed: str = "kis-1") -> dict[str, Any]:
    at = OPEN_NS + number * 10**9
    return {
        "timestamp": at, "venue": "KRX", "symbol": "005930", "broker": "kis", "interval": "tick",
        "price": Decimal(2_360_000), "quantity": Decimal(1), "aggressor": "buy",
        "cumulative": Decimal(number), "bid": None, "ask": None, "halted": False,
        "trade_date": DAY, "received_at": at, "available_at": at, "feed": feed, "session": 1,
        "frame": number, "tick": number, "revision": 1, "ingest_id": "test",
    }  # fmt: skip


def _gap() -> dict[str, Any]:
    return {
        "timestamp": OPEN_NS, "venue": "KRX", "symbol": "", "interval": "gap",
        "instrument_id": "", "feed": "kis-1", "kind": "disconnected", "ended_at": OPEN_NS + 1,
        "missing": Decimal(3), "reason": "", "trade_date": DAY, "available_at": OPEN_NS,
        "revision": 1, "ingest_id": "test",
    }  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """A house whose clock can be set, and whose recorder is this test."""

    resource: HouseResource
    home: Path

    def record(self, dataset: str, *rows: dict[str, Any]) -> None:
        """Append rows as the recorder does."""
        house = self.resource.open()
        settings = house.settings
        hot, own = HotStore(settings.hot_dsn), HotStore(settings.hot_dsn)
        manifests = Manifests(settings.tiers.path(house.root, "manifests"))
        market = ClickHouseMarket(
            hot, Lake(own, manifests, settings.tiers, house.root), owned=(own,)
        )
        asyncio.run(market.append(dataset, list(rows)))
        market.close()

    def at(self, moment: str) -> None:
        """Set the instance clock."""
        write_clock(self.home / "run", ClockSettings(epoch=moment))

    def look(self, cursor: str | None) -> tuple[list[dg.AssetMaterialization], str | None]:
        """Let the sensor look once; return what it reports and its cursor."""
        with dg.build_sensor_context(cursor=cursor, resources={"house": self.resource}) as context:
            answer = recorded_sessions(context)
        if isinstance(answer, dg.SkipReason):
            return [], cursor
        assert isinstance(answer, dg.SensorResult)
        events = [
            each for each in answer.asset_events if isinstance(each, dg.AssetMaterialization)
        ]
        return events, answer.cursor


@pytest.fixture
def desk(tmp_path: Path, clickhouse_client: Any, clickhouse_url: str) -> Desk:
    """The house, its rows in a database of this test."""
    dsn = f"{clickhouse_url}/{clickhouse_client.database}"
    resource = HouseResource(variables={"JTS_HOME": str(tmp_path), "JTS_HOT__DSN": dsn})
    return Desk(resource, tmp_path)


def test_sensor_when_a_session_closes_then_reports_it_once_with_its_facts(desk: Desk) -> None:
    """Nothing while the session is open; rows, feeds and gaps once it has closed; not twice."""
    desk.record("ticks", _tick(1), _tick(2), _tick(3, feed="kis-2"))
    desk.record("ticks", _tick(2))
    desk.record("gaps", _gap())
    desk.at("2018-02-26T12:00:00+09:00")
    during, cursor = desk.look(None)
    desk.at("2018-02-26T21:00:00+09:00")

    events, cursor = desk.look(cursor)
    again, cursor = desk.look(cursor)

    assert during == []
    (event,) = events
    assert event.asset_key == dg.AssetKey(["krx_tick", "recorded_ticks"])
    assert event.partition == "2018-02-26"
    shown: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    assert (shown["rows"], shown["symbols"], shown["missing"]) == (3, 1, 3.0)
    assert (shown["feeds"], shown["gaps"]) == ("kis-1 2, kis-2 1", "disconnected 1")
    assert shown["first"].startswith("2018-02-26T00:00:01")
    assert again == []


def test_sensor_when_a_late_row_comes_then_reports_the_day_again(desk: Desk) -> None:
    """The newest event stands for the day."""
    desk.record("ticks", _tick(1))
    desk.at("2018-02-27T08:00:00+09:00")
    _, cursor = desk.look(None)
    desk.record("ticks", _tick(2))

    events, _ = desk.look(cursor)

    assert [event.metadata["rows"].value for event in events] == [2]


def test_sensor_when_strategies_decided_then_reports_their_day(desk: Desk) -> None:
    """Signals, decisions, orders and fills of a day stand together."""
    desk.record("signals", {
        "timestamp": OPEN_NS, "venue": "KRX", "symbol": "005930", "interval": "1m",
        "instance": "sma", "release": "SMA@1", "signal_id": "s1", "decision_id": "d1", "rule": 0,
        "kind": "entry", "side": "buy", "price": Decimal(2_360_000), "condition": "a > b",
        "decided_at": OPEN_NS, "correlation_id": "kis-1:1", "seq": 1, "trade_date": DAY,
        "available_at": OPEN_NS, "revision": 1, "ingest_id": "test",
    })  # fmt: skip
    desk.at("2018-02-27T08:00:00+09:00")

    (event,), _ = desk.look(None)

    assert event.asset_key == dg.AssetKey(["trading", "recorded_orders"])
    assert event.metadata["signals"].value == 1
    assert event.metadata["fills"].value == 0
