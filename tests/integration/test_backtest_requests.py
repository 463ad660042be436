"""A backtest asked for on the bus: one run, one answer, and what cannot be read is set aside."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import pytest

from jts_pipelines.defs.joint import envelope_of
from jts_pipelines.defs.market_data.definitions import market_data
from jts_pipelines.defs.research.definitions import research
from jts_pipelines.defs.research.requests import REQUESTS, RESULTS, backtest_results
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.ingest.generated import daily_panel
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.config.instance import ClockSettings
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.research_messages import BacktestFinished, BacktestRequested
from jts_trading.ports.bus import BusUnavailableError, Envelope
from jts_trading.ports.clock import write_clock

pytestmark = pytest.mark.integration

SMA = (Path(__file__).resolve().parents[2] / "examples/strategies/sma_crossover.jts").read_text()


@dataclass(frozen=True)
class Office:
    """A house with half a year of bars, a bus, and the sensors of research."""

    resource: HouseResource
    instance: dg.DagsterInstance
    redis_url: str

    def ask_bus(self, question: Callable[[RedisBus], Awaitable[Any]]) -> Any:
        """Ask the bus as somebody else."""

        async def ask() -> Any:
            bus = RedisBus(self.redis_url)
            try:
                return await question(bus)
            finally:
                await bus.close()

        return asyncio.run(ask())

    def send(self, envelope: Envelope) -> None:
        """Publish on the topic of requests."""
        self.ask_bus(lambda bus: bus.publish(REQUESTS, envelope))

    def look(self) -> list[dg.RunRequest]:
        """Let the sensor of requests look once."""
        (sensor,) = [s for s in research().sensors or () if s.name == "backtest_requests"]
        with dg.build_sensor_context(
            instance=self.instance, resources={"house": self.resource}
        ) as context:
            answer = sensor(context)
        if isinstance(answer, dg.SkipReason):
            return []
        assert isinstance(answer, dg.SensorResult)
        return list(answer.run_requests or [])

    def run(self, request: dg.RunRequest) -> Any:
        """Run what was requested, as the daemon would."""
        return dg.materialize(
            [*market_data().assets, *research().assets],
            selection=["research/backtest_result", "research/tearsheet"],
            resources={"house": self.resource},
            instance=self.instance,
            raise_on_error=False,
            run_config=request.run_config,
            tags=request.tags,
        )

    def announce(self, cursor: str | None = None) -> str | None:
        """Let the sensor of results look once; return its cursor."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources={"house": self.resource}
        ) as context:
            backtest_results(context)
            return context.cursor

    def results(self) -> list[tuple[Envelope, BacktestFinished]]:
        """Return what was announced."""
        entries, _ = self.ask_bus(lambda bus: bus.read({RESULTS: "0-0"}, count=50, wait_ms=0))
        found = []
        for entry in entries:
            said = entry.envelope
            message = MESSAGES.decode(said.type, said.version, said.payload)
            assert isinstance(message, BacktestFinished)
            found.append((said, message))
        return found

    def pending(self) -> int:
        """Return how many requests were taken and not acknowledged."""
        found = self.ask_bus(lambda bus: bus._client.xpending(REQUESTS, "dagster"))
        return int(found["pending"])


@pytest.fixture
def office(
    tmp_path: Path, clickhouse_client: Any, clickhouse_url: str, redis_url: str
) -> Iterator[Office]:
    """The house, its rows in a database of this test, and an empty bus."""
    dsn = f"{clickhouse_url}/{clickhouse_client.database}"
    variables = {
        "JTS_HOME": str(tmp_path), "JTS_HOT__DSN": dsn, "JTS_REDIS__DSN": redis_url
    }  # fmt: skip
    resource = HouseResource(variables=variables)
    write_clock(tmp_path / "run", ClockSettings(epoch="2024-06-14T18:30:00+09:00"))
    file = tmp_path / "panel.parquet"
    span = {"first": date(2024, 1, 2), "last": date(2024, 6, 14)}
    daily_panel(seed=7, symbols=2, **span).write_parquet(file)
    resource.open().ingest(file, "KRX", "1d")
    with dg.instance_for_test() as instance:
        yield Office(resource, instance, redis_url)


def _request(request_id: str, **changes: Any) -> Envelope:
    message = BacktestRequested(request_id=request_id, **{"dsl_code": SMA, **changes})
    return envelope_of(message, message_id=request_id, now_ns=1, correlation_id="desk:7")


def test_request_when_run_then_one_result_names_its_correlation(office: Office) -> None:
    """From the bus to a run and back; the entry is acknowledged when its run is known."""
    actions = {
        "splits": ["000040@2024-05-02=1:2"],
        "dividends": ["000040@2024-05-03=9"],
        "rights": ["000040@2024-05-07=0.2:1"],
        "delistings": ["000020@2024-05-02"],
    }
    assumed = ["fill=close", "volume_percent=50", "short_selling=yes"]
    office.send(_request("r-1", cash=50_000_000, assume=assumed, **actions))

    (wanted,) = office.look()
    assert office.pending() == 1
    assert wanted.run_key == "backtest:r-1"
    result = office.run(wanted)
    assert result.success
    assert office.look() == []
    assert office.pending() == 0

    cursor = office.announce()
    office.announce(cursor)
    office.announce(None)
    ((said, found),) = office.results()
    assert (said.correlation_id, said.causation_id) == ("desk:7", "r-1")
    assert (found.request_id, found.run_id, found.is_success) == ("r-1", result.run_id, True)
    assert found.strategy == "SMA_Crossover"
    assert "sharpe" in found.metrics
    assert "seconds" not in found.metrics
    assert Path(found.tearsheet).is_file()
    document = json.loads(Path(found.document).read_text(encoding="utf-8"))
    assert {kind: document["config"][kind] for kind in actions} == actions
    names = ("fill", "volume_percent", "short_selling")
    assert [document["config"][name] for name in names] == ["close", "50", True]


def test_request_when_its_text_is_refused_then_the_answer_says_where(office: Office) -> None:
    """Whoever asked learns the line and column, not only that a run failed."""
    office.send(_request("r-2", dsl_code="strategy("))

    (wanted,) = office.look()
    office.run(wanted)
    office.announce()

    ((_, found),) = office.results()
    assert not found.is_success
    assert "<text>:1:" in found.reason


def test_request_when_its_run_was_never_stored_then_is_asked_for_again(office: Office) -> None:
    """A tick that died after reading loses nothing: the entry stays pending."""
    office.send(_request("r-3"))

    first, second = office.look(), office.look()

    assert [request.run_key for request in first + second] == ["backtest:r-3"] * 2
    assert office.pending() == 1


@pytest.mark.parametrize(
    "poison",
    [
        msgspec.structs.replace(_request("p-1"), payload=b"\xc1"),
        msgspec.structs.replace(_request("p-2"), type="unheard_of"),
        msgspec.structs.replace(_request("p-3"), version=99),
        _request("p-4", from_day="yesterday"),
        _request("p-5", cash=-1),
        _request("p-6", dsl_code=" "),
        envelope_of(
            BacktestFinished(request_id="p-7", run_id="", is_success=True),
            message_id="p-7",
            now_ns=1,
        ),
    ],
)
def test_request_when_poison_then_goes_to_the_dead_letters(
    office: Office, poison: Envelope
) -> None:
    """It is set aside once; the good request behind it is served."""
    office.send(poison)
    office.send(_request("good"))

    assert [request.run_key for request in office.look()] == ["backtest:good"]
    (letter,) = office.ask_bus(lambda bus: bus.dead_letters(REQUESTS))
    assert letter.group == "dagster"
    assert office.pending() == 1


def test_results_when_the_bus_is_away_then_are_announced_at_the_next_look(office: Office) -> None:
    """The cursor moves only over what the bus has."""
    office.send(_request("r-4", dsl_code="strategy("))
    (wanted,) = office.look()
    office.run(wanted)
    variables = {**office.resource.variables, "JTS_REDIS__DSN": "unix:///nowhere/redis"}
    away = Office(HouseResource(variables=variables), office.instance, office.redis_url)

    with pytest.raises(BusUnavailableError):
        away.announce()
    assert office.results() == []
    office.announce()
    assert len(office.results()) == 1
