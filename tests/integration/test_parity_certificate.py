"""A day that the real trader traded, certified in Dagster; then a tick is lost, or a won off."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import dagster as dg
import msgspec
import polars as pl
import pytest

from jts_pipelines.defs.joint import envelope_of
from jts_pipelines.defs.ranges import range_tags
from jts_pipelines.defs.reports.bus_day import recorded_up_to
from jts_pipelines.defs.reports.parity import parity_certificate
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.trading_inputs.document import write_next
from jts_pipelines.ingest.generated import minute_bars
from jts_pipelines.reports.parity import BAR_DIFFERS, TICK_DIFFERS, Certificate
from jts_trading.bootstrap.roles import build_role
from jts_trading.bootstrap.settings import load_daemon
from jts_trading.bus.redis_streams import RedisBus
from jts_trading.config.instance import ClockSettings
from jts_trading.config.source import read
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.ports.clock import write_clock
from jts_trading.strategy.releases import release
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration

DAY = date(2018, 2, 26)
ROOT = Path(__file__).resolve().parents[2]
SMA = (ROOT / "examples/strategies/sma_5_20.jts").read_text(encoding="utf-8")
OPEN_NS = int(datetime.fromisoformat("2018-02-26T09:00:00+09:00").timestamp()) * 10**9
SECOND_NS = 10**9
TICKS = "market-data.krx.ticks"
CANDLES = "market-data.krx.candles"
MINUTES = 120


def _trades() -> list[TradeTick]:
    """Four trades a minute for two hours, of generated bars, and one that closes the last bar."""
    bars = minute_bars(seed=5, first=DAY, last=DAY).head(MINUTES + 1)
    trades = []
    for bar in bars.iter_rows(named=True):
        start_ns = int(bar["timestamp"].timestamp()) * SECOND_NS
        for at, name in enumerate(("open", "high", "low", "close")):
            when = start_ns + at * 15 * SECOND_NS
            trades.append(
                TradeTick(
                    instrument_id="KRX:005930", venue="KRX", broker="kis", ts_event_ns=when,
                    ts_recv_ns=when + 1, price=Decimal(int(bar[name])), quantity=Decimal(3),
                    aggressor=Aggressor.UNKNOWN, cumulative_quantity=Decimal(0),
                )
            )  # fmt: skip
    return trades[: 4 * MINUTES + 1]


def _inputs(version: int) -> TradingInputs:
    wanted = StrategyInput(
        instance="sma", strategy_id="", release="", dsl_code="", broker="kis",
        account="5000000101", venue="KRX", interval="1m", instrument_ids=("KRX:005930",),
        allocation=Decimal(50_000_000), currency="KRW",
    )  # fmt: skip
    made = release(SMA, wanted, file="sma")
    created_ns = OPEN_NS - 1800 * SECOND_NS
    return TradingInputs(version=version, created_ns=created_ns, source="test", instances=(made,))


async def _publish(url: str) -> None:
    trades = _trades()
    bus = RedisBus(url)
    for first in range(0, len(trades), 60):
        part = tuple(trades[first : first + 60])
        entry = TicksCollected(
            feed="kis-1", session=1, first_frame=first + 1, first_tick=first + 1, ticks=part,
            frames=tuple(range(len(part))),
        )  # fmt: skip
        message = envelope_of(entry, message_id=f"kis-1/{first + 1}", now_ns=OPEN_NS)
        await bus.publish(TICKS, message, f"{part[-1].ts_recv_ns // 1_000_000}-0")
    await bus.close()


async def _live(variables: dict[str, str], house: Any) -> None:
    """Publish the ticks to trader and recorder, and let them run until nothing is left to do."""
    daemon = load_daemon(read(variables))
    async with AsyncExitStack() as stack:
        roles = [
            await stack.enter_async_context(build_role(name, daemon))
            for name in ("trader", "recorder")
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(role.run()) for role in roles]
            async with asyncio.timeout(90):
                # Stores and roles send no event that a test could wait for.
                while any(role.readiness() for role in roles):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                await _publish(variables["JTS_REDIS__DSN"])
                while not await _is_done(variables["JTS_REDIS__DSN"], house):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            for task in tasks:
                task.cancel()


async def _is_done(url: str, house: Any) -> bool:
    bus = RedisBus(url)
    bars, newest = await bus.length(CANDLES), await bus.newest(TICKS)
    await bus.close()
    if bars < MINUTES:
        return False
    with house.ledger() as ledger, house.lake() as lake:
        head = ledger.progress("kis").newest_seq
        recorded = lake.count("ticks")
    client = clickhouse_connect.get_client(dsn=house.settings.hot_dsn)
    places = dict(client.query("SELECT reader, place FROM places FINAL").result_rows)
    client.close()
    # Rows come before the place that says that they are all there.
    is_noted = newest is not None and recorded_up_to(places, TICKS) >= newest
    is_told = int(places.get("recorder/journal", "0")) >= head > 0
    return recorded == 4 * MINUTES + 1 and is_noted and is_told


@dataclass(frozen=True)
class Desk:
    """A house after a traded day."""

    resource: HouseResource
    home: Path
    instance: dg.DagsterInstance

    def certify(self) -> tuple[Certificate, dg.AssetCheckEvaluation]:
        """Materialise the certificate of the day; return it with its check."""
        result = dg.materialize(
            [parity_certificate],
            resources={"house": self.resource},
            instance=self.instance,
            tags=range_tags(DAY.isoformat(), DAY.isoformat()),
        )
        (check,) = result.get_asset_check_evaluations()
        content = (self.home / f"reports/parity/{DAY}.json").read_bytes()
        return msgspec.json.decode(content, type=Certificate), check

    def change(self, statement: str) -> None:
        """Change recorded rows behind everybody's back."""
        client = clickhouse_connect.get_client(dsn=self.resource.open().settings.hot_dsn)
        client.command(statement)
        client.close()


@pytest.fixture
def desk(
    tmp_path: Path,
    clickhouse_client: Any,
    clickhouse_url: str,
    postgres_dsn: str,
    redis_url: str,
) -> Iterator[Desk]:
    """The house, its bus, ledger and rows as trader and recorder left them."""
    variables = {
        "JTS_HOME": str(tmp_path),
        "JTS_HOT__DSN": f"{clickhouse_url}/{clickhouse_client.database}",
        "JTS_POSTGRES__DSN": postgres_dsn,
        "JTS_REDIS__DSN": redis_url,
    }
    resource = HouseResource(variables=variables)
    house = resource.open()
    # The trader starts before the market; it takes what came before it as history.
    write_clock(tmp_path / "run", ClockSettings(epoch="2018-02-26T08:30:00+09:00"))
    migrate(libpq_url(postgres_dsn))
    write_next(tmp_path, _inputs)
    with house.moves() as moves:
        moves.hot.ensure_schema()
    asyncio.run(_live(variables, house))
    # Shortly behind the last trade, and slow: the bar that it opened stays open.
    write_clock(tmp_path / "run", ClockSettings(epoch="2018-02-26T11:00:10+09:00", speed=0.1))
    with dg.instance_for_test() as instance:
        yield Desk(resource, tmp_path, instance)


def test_certificate_when_recorded_then_equal_and_when_changed_then_names_exactly_what(
    desk: Desk,
) -> None:
    """Live and again agree on every trade, bar and signal; then each change is found alone."""
    found, check = desk.certify()

    assert check.passed
    assert found.live_signals == found.backtest_signals == found.matched >= 4
    assert (found.unexplained, found.differences, found.notes) == (0, (), ())
    assert found.levels["ticks"].equal == 4 * MINUTES + 1
    assert found.levels["bars"].equal == MINUTES

    # The close of a bar, one won lower: a row with a higher revision hides the recorded one.
    close = 280
    with desk.resource.open().lake() as lake:
        (row,) = lake.scan("ticks").filter(pl.col("tick") == close).collect().to_dicts()
    lower = "INSERT INTO ticks SELECT * REPLACE (price - 1000 AS price, 2 AS revision) FROM ticks"
    desk.change(f"{lower} WHERE tick = {close}")
    found, check = desk.certify()
    (named,) = [each for each in found.differences if not each.cause]
    assert not check.passed
    assert found.unexplained == 1
    assert (named.level, named.live) == ("tick", f"kis-1 tick {close}: 3 at {int(row['price']):,}")
    assert found.explained[TICK_DIFFERS] == 1
    assert set(found.explained) <= {TICK_DIFFERS, BAR_DIFFERS}

    desk.change("DELETE FROM ticks WHERE tick = 280")
    found, check = desk.certify()
    (named,) = [each for each in found.differences if not each.cause]
    assert not check.passed
    assert (found.unexplained, named.again) == (1, "")
    assert named.live.startswith(f"kis-1 tick {close}: ")
    assert "kis-1 tick 280" in str(check.metadata["first"].value)
