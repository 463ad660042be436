"""Trading inputs as an asset on a real store, and their way to a real bus."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from jts_pipelines.defs.market_data.definitions import market_data
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.trading_inputs.assets import KEY, trading_inputs
from jts_pipelines.defs.trading_inputs.publishing import TOPIC, trading_inputs_published
from jts_pipelines.ingest.generated import minute_bars
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.config.instance import ClockSettings
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.ports.bus import BusUnavailableError, Entry
from jts_trading.ports.clock import write_clock
from jts_trading.ports.inputs import inputs_file, read_inputs

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "strategies"
BEFORE_OPEN = "2018-02-26T08:50:00+09:00"
SMA = {
    "name": "sma",
    "strategy": str(EXAMPLES / "sma_crossover.jts"),
    "account": "50000001",
    "instruments": ["KRX:005930"],
}


@dataclass(frozen=True)
class Desk:
    """A house on the morning of a session of which it already has the bars."""

    resource: HouseResource
    home: Path
    instance: dg.DagsterInstance
    redis_url: str

    def materialise(self, *instances: dict[str, Any], **risk: str) -> Any:
        """Run the asset as the launchpad would."""
        config = {"instances": list(instances), "risk": risk}
        return dg.materialize(
            [*market_data().assets, trading_inputs],
            selection=[KEY],
            resources={"house": self.resource},
            instance=self.instance,
            raise_on_error=False,
            run_config={"ops": {"trading__trading_inputs": {"config": config}}},
        )

    def publish(self) -> str:
        """Let the sensor look once, and return what it says."""
        with dg.build_sensor_context(
            instance=self.instance, resources={"house": self.resource}
        ) as context:
            answer = trading_inputs_published(context)
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    def published(self) -> list[TradingInputs]:
        """Return what the topic holds."""

        async def read(bus: RedisBus) -> list[Entry]:
            entries, _ = await bus.read({TOPIC: "0-0"}, count=100, wait_ms=0)
            return entries

        found = [
            MESSAGES.decode(e.envelope.type, e.envelope.version, e.envelope.payload)
            for e in _asked(self.redis_url, read)
        ]
        assert all(isinstance(each, TradingInputs) for each in found)
        return found  # type: ignore[return-value]  # asserted above


def _asked(url: str, question: Callable[[RedisBus], Awaitable[Any]]) -> Any:
    async def ask() -> Any:
        bus = RedisBus(url)
        try:
            return await question(bus)
        finally:
            await bus.close()

    return asyncio.run(ask())


def _current(desk: Desk) -> TradingInputs:
    found = read_inputs(desk.home)
    assert found is not None
    return found


@pytest.fixture
def desk(
    tmp_path: Path, clickhouse_client: Any, clickhouse_url: str, redis_url: str
) -> Iterator[Desk]:
    """The house, its rows in a database of this test, and an empty bus."""
    dsn = f"{clickhouse_url}/{clickhouse_client.database}"
    variables = {
        "JTS_HOME": str(tmp_path), "JTS_HOT__DSN": dsn, "JTS_REDIS__DSN": redis_url
    }  # fmt: skip
    resource = HouseResource(variables=variables)
    write_clock(tmp_path / "run", ClockSettings(epoch="2018-02-26T16:00:00+09:00"))
    file = tmp_path / "minutes.parquet"
    minute_bars(seed=7, first=date(2018, 2, 21), last=date(2018, 2, 26)).write_parquet(file)
    resource.open().ingest(file, "KRX", "1m")
    write_clock(tmp_path / "run", ClockSettings(epoch=BEFORE_OPEN))
    with dg.instance_for_test() as instance:
        yield Desk(resource, tmp_path, instance, redis_url)


def test_asset_when_materialised_then_writes_the_document_with_its_warm_up(desk: Desk) -> None:
    """The bars of today are in the lake and are no warm-up; the launchpad's limits are taken."""
    result = desk.materialise(SMA, daily_loss_max="0.02")

    assert result.success
    inputs = _current(desk)
    (made,) = inputs.instances
    assert (made.instance, made.epoch, inputs.version) == ("sma", "2018-02-23", 1)
    assert (made.broker, made.account, made.currency) == ("kis", "5000000101", "KRW")
    assert inputs.source == result.run_id
    assert str(inputs.risk.daily_loss_max) == "0.02"
    shown = result.asset_materializations_for_node("trading__trading_inputs")[0].metadata
    assert "| sma |" in shown["instances"].value
    assert "R06 entries stop at a loss of 2 %" in shown["limits"].value


def test_asset_when_a_check_fails_then_nothing_is_written_and_the_check_says_why(
    desk: Desk,
) -> None:
    """One bad instance keeps the whole document back: the daemon goes on with the last one."""
    desk.materialise(SMA)
    before = (inputs_file(desk.home)).read_bytes()

    result = desk.materialise(
        SMA,
        {**SMA, "name": "broken", "text": "strategy(", "strategy": ""},
        {**SMA, "name": "unknown", "instruments": ["KRX:123450"]},
    )

    assert not result.success
    assert (inputs_file(desk.home)).read_bytes() == before
    failed = {c.check_name: c for c in result.get_asset_check_evaluations() if not c.passed}
    assert set(failed) == {"strategies_compile", "instruments_tradable", "warmup_present"}
    assert "broken" in str(failed["strategies_compile"].metadata["first"].value)
    assert not result.asset_materializations_for_node("trading__trading_inputs")


def test_sensor_when_materialised_then_the_bus_holds_exactly_that_document_once(
    desk: Desk,
) -> None:
    """Looks repeat; the bus holds each version once, whatever became of the file meanwhile."""
    assert "never materialised" in desk.publish()
    desk.materialise(SMA)
    kept = _current(desk)
    (inputs_file(desk.home)).write_text("edited by hand")

    assert "version 1 published" in desk.publish()
    assert "version 1 is on the bus" in desk.publish()
    assert desk.published() == [kept]


def test_sensor_when_redis_is_away_then_fails_and_the_next_look_publishes(desk: Desk) -> None:
    """The tick is red while the bus is not there; nothing is lost."""
    desk.materialise(SMA)
    away = HouseResource(
        variables={**desk.resource.variables, "JTS_REDIS__DSN": f"unix://{desk.home}/none"}
    )

    with pytest.raises(BusUnavailableError):
        Desk(away, desk.home, desk.instance, desk.redis_url).publish()
    assert desk.published() == []
    assert "version 1 published" in desk.publish()
    _asked(desk.redis_url, lambda bus: bus._client.flushall())
    assert "version 1 published" in desk.publish()
    assert [each.version for each in desk.published()] == [1]


def test_sensor_when_two_versions_were_made_then_the_newest_is_published(desk: Desk) -> None:
    """An older version that nobody has seen is superseded."""
    desk.materialise(SMA)
    desk.materialise({**SMA, "is_paused": True})

    desk.publish()

    (found,) = desk.published()
    assert (found.version, found.instances[0].status) == (2, "paused")
    assert msgspec.json.encode(found) == msgspec.json.encode(_current(desk))


CONFIGURED = f"""
[[trading.instances]]
name = "samsung"
strategy = "{EXAMPLES}/sma_crossover.jts"
broker = "kis"
venue = "KRX"
instruments = ["KRX:005930"]
allocation = 50000000
currency = "KRW"

[[trading.instances]]
name = "btc"
strategy = "{EXAMPLES}/sma_crossover.jts"
broker = "paper"
venue = "BINANCE"
interval = "1s"
instruments = ["BINANCE:BTCUSDT"]
allocation = 10000
currency = "USDT"

[risk]
drawdown_max = 0.1
"""


def test_asset_when_the_launchpad_names_none_then_the_configured_instances_are_taken(
    desk: Desk,
) -> None:
    """Minute bars are warmed up from the lake; seconds are not kept, so they start cold."""
    (desk.home / "jts.toml").write_text(CONFIGURED)
    variables = {**desk.resource.variables, "JTS_CONFIG": str(desk.home / "jts.toml")}

    result = replace(desk, resource=HouseResource(variables=variables)).materialise()

    assert result.success
    found = {each.instance: each for each in _current(desk).instances}
    assert (found["samsung"].epoch, found["samsung"].account) == ("2018-02-23", "5000000101")
    assert (found["btc"].interval, found["btc"].epoch) == ("1s", "")
    assert str(_current(desk).risk.drawdown_max) == "0.1"
