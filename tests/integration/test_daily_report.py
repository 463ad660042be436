"""A day that was journalled and recorded by the real programs, and its report in Dagster."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import polars as pl
import psycopg
import pytest

from jts_pipelines.defs.ranges import range_tags
from jts_pipelines.defs.reports.daily import daily_report
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.reports.daily_document import DailyReport
from jts_trading.bus.memory import MemoryBus
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.journal_events import (
    AttemptStarted,
    CashMoved,
    IntentRecorded,
    JournalEvent,
    NoteRecorded,
    OrderAcknowledged,
    OrderDenied,
    OrderFilled,
)
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.orders import OrderIntent, OrderSide, Reservation
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.journal.connection import Database
from jts_trading.journal.outbox import PostgresOutbox
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.market_store.clickhouse import ClickHouseMarket
from jts_trading.ports.bus import Envelope
from jts_trading.ports.clock import VirtualClock
from jts_trading.ports.journal import Fact
from jts_trading.services.recorder.role import Recorder
from jts_trading.services.recorder.settings import RecorderSettings
from storage.embedded.dsn import libpq_url
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.ledger.migrate import migrate
from storage.manifest.chain import Manifests

pytestmark = pytest.mark.integration

DAY = date(2018, 2, 26)
OPEN_NS = int(datetime.fromisoformat("2018-02-26T09:00:00+09:00").timestamp()) * 10**9
MINUTE_NS = 60 * 10**9
OWNER = {"broker": "kis", "account": "50000001-01", "instance": "sma"}
QUICK = RecorderSettings(batch_s=0.02, poll_s=0.01, retry_s=0.05, retry_s_max=0.1)


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


def _intent(number: int, side: OrderSide, quantity: int) -> IntentRecorded:
    intent = OrderIntent(
        order_id=_id(number), instrument_id="KRX:005930", venue="KRX", side=side,
        quantity=Decimal(quantity), currency="KRW", release="SMA@1", decision_id=f"d{number}",
        **OWNER,
    )  # fmt: skip
    asset, amount = (
        ("KRW", 3_000_000 * quantity) if side is OrderSide.BUY else ("KRX:005930", quantity)
    )
    return IntentRecorded(
        intent=intent, reservation=Reservation(asset=asset, amount=Decimal(amount))
    )


class Day:
    """Writes a day into the journal, minute by minute."""

    def __init__(self, journal: PostgresJournal, token: int) -> None:
        self._journal = journal
        self._token = token

    async def say(self, minute: int, *events: JournalEvent) -> None:
        """Record events at a minute of the session."""
        facts = [
            Fact(event, ts_ns=OPEN_NS + minute * MINUTE_NS, correlation_id=f"kis-1:{minute}")
            for event in events
        ]
        if isinstance(events[0], IntentRecorded):
            await self._journal.record_intent(facts)
        elif isinstance(events[0], AttemptStarted):
            await self._journal.record_attempt(facts[0])
        else:
            await self._journal.record_event(facts)

    async def trade(
        self, minute: int, number: int, side: OrderSide, fills: list[tuple[int, int, int, int]]
    ) -> None:
        """Order, send, acknowledge and fill; a fill is quantity, price, fee and tax."""
        await self.say(minute, _intent(number, side, sum(fill[0] for fill in fills)))
        await self.say(
            minute,
            AttemptStarted(
                order_id=_id(number), client_order_id=f"c{number}", attempt=1, payload_hash="00",
                lease="sender", token=self._token,
            ),
        )  # fmt: skip
        body = msgspec.json.encode({"latency_ms": 10.0 * number}).decode()
        await self.say(
            minute,
            NoteRecorded(topic="order_sent", subject=_id(number), body=body),
            OrderAcknowledged(order_id=_id(number), attempt=1, venue_order_id=f"v{number}"),
        )
        for at, (quantity, price, fee, tax) in enumerate(fills):
            await self.say(
                minute,
                OrderFilled(
                    order_id=_id(number), trade_id=f"20180226-{number}-{at}",
                    quantity=Decimal(quantity), price=Decimal(price), fee=Decimal(fee),
                    tax=Decimal(tax), ts_event_ns=OPEN_NS + minute * MINUTE_NS + 10**9,
                ),
            )  # fmt: skip


async def _write_day(dsn: str) -> None:
    """Ten million won the evening before; a round trip in parts, a refusal, and a share held."""
    migrate(libpq_url(dsn))
    journal, outbox = PostgresJournal(Database(dsn), "executor"), PostgresOutbox(Database(dsn))
    try:
        lease = await outbox.acquire_lease("sender", "test", 60)
        assert lease is not None
        day = Day(journal, lease.token)
        deposit = CashMoved(currency="KRW", amount=Decimal(10_000_000), reason="deposit", **OWNER)
        await day.say(-16 * 60, deposit)
        await day.trade(1, 1, OrderSide.BUY, [(1, 2_360_000, 354, 0), (1, 2_361_000, 354, 0)])
        await day.trade(3, 2, OrderSide.SELL, [(2, 2_370_000, 711, 14_220)])
        await day.trade(5, 3, OrderSide.BUY, [(1, 2_365_000, 354, 0)])
        await day.say(6, _intent(4, OrderSide.BUY, 1))
        await day.say(6, OrderDenied(order_id=_id(4), check="R04", reason="too large"))
    finally:
        await journal.close()
        await outbox.close()


def _ticks() -> Envelope:
    trades = tuple(
        TradeTick(
            instrument_id="KRX:005930", venue="KRX", broker="kis",
            ts_event_ns=OPEN_NS + minute * MINUTE_NS, ts_recv_ns=OPEN_NS + minute * MINUTE_NS + 1,
            price=Decimal(2_360_000 + 1_000 * minute), quantity=Decimal(1),
            aggressor=Aggressor.BUY, cumulative_quantity=Decimal(minute + 1),
        )
        for minute in range(8)
    )  # fmt: skip
    message = TicksCollected(
        feed="kis-1", session=1, first_frame=1, first_tick=1, ticks=trades, frames=(0,) * 8
    )
    kind, version = MESSAGES.identify(message)
    return Envelope(
        type=kind, version=version, id="t", correlation_id="t", causation_id="t",
        source="collector", ts_event_ns=OPEN_NS, ts_recv_ns=OPEN_NS,
        payload=msgspec.msgpack.encode(message),
    )  # fmt: skip


def _market(house: Any) -> ClickHouseMarket:
    settings = house.settings
    hot, own = HotStore(settings.hot_dsn), HotStore(settings.hot_dsn)
    manifests = Manifests(settings.tiers.path(house.root, "manifests"))
    lake = Lake(own, manifests, settings.tiers, house.root)
    return ClickHouseMarket(hot, lake, owned=(own,))


async def _record(house: Any, dsn: str) -> None:
    """Let the recorder write what the journal and the bus say, until it has all of it."""
    market = _market(house)
    journal, bus = PostgresJournal(Database(dsn), "recorder"), MemoryBus(time.monotonic_ns)
    await bus.publish("market-data.krx.ticks", _ticks())
    clock = VirtualClock(OPEN_NS + 60 * MINUTE_NS)
    recorder = Recorder(
        bus=bus, journal=journal, market=market, clock=clock, monotonic_ns=time.monotonic_ns,
        settings=QUICK,
    )  # fmt: skip
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.run())
        async with asyncio.timeout(20):
            while not _is_recorded(house):  # noqa: ASYNC110 - rows send no event
                await asyncio.sleep(0.1)
        task.cancel()
    market.close()
    await journal.close()


def _is_recorded(house: Any) -> bool:
    with house.lake() as lake:
        denied = lake.scan("orders").filter(pl.col("status") == "denied").collect().height
        return denied == 1 and lake.count("fills") == 4 and lake.count("ticks") == 8


@dataclass(frozen=True)
class Desk:
    """A house whose day has been recorded."""

    resource: HouseResource
    home: Path
    dsn: str
    instance: dg.DagsterInstance

    def report(self, day: date = DAY, **config: Any) -> Any:
        """Materialise the report of a day."""
        return dg.materialize(
            [daily_report],
            resources={"house": self.resource},
            instance=self.instance,
            tags=range_tags(day.isoformat(), day.isoformat()),
            raise_on_error=False,
            run_config={"ops": {"trading__daily_report": {"config": config}}},
        )

    def document(self, day: date = DAY) -> DailyReport:
        """Return what a report says."""
        path = self.home / "reports/daily" / day.isoformat() / "kis-50000001-01-KRW.json"
        return msgspec.json.decode(path.read_bytes(), type=DailyReport)


@pytest.fixture
def desk(
    tmp_path: Path, clickhouse_client: Any, clickhouse_url: str, postgres_dsn: str
) -> Iterator[Desk]:
    """The house, its ledger and its rows, as the daemon left them."""
    dsn = f"{clickhouse_url}/{clickhouse_client.database}"
    variables = {
        "JTS_HOME": str(tmp_path), "JTS_HOT__DSN": dsn, "JTS_POSTGRES__DSN": postgres_dsn
    }  # fmt: skip
    resource = HouseResource(variables=variables)
    house = resource.open()
    listing = tmp_path / "reference/instruments.parquet"
    listing.parent.mkdir()
    pl.DataFrame({"symbol": ["005930"], "name": ["삼성전자"], "market": ["KOSPI"]}).write_parquet(
        listing
    )
    asyncio.run(_write_day(postgres_dsn))
    asyncio.run(_record(house, postgres_dsn))
    with dg.instance_for_test() as instance:
        yield Desk(resource, tmp_path, postgres_dsn, instance)


def test_report_when_the_day_is_sound_then_balances_to_the_won(desk: Desk) -> None:
    """What the recorder wrote and what the journal booked are one and the same day."""
    result = desk.report()

    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name: check.passed for name, check in checks.items()} == {
        "ledger_balances": True, "no_unknown_left": True, "orders_named": True
    }  # fmt: skip
    found = desk.document()
    money = found.money
    assert (money.realised, money.fees, money.tax) == (19_000, 1_773, 14_220)
    assert money.opening_equity == 10_000_000
    assert money.closing_equity == 10_000_000 + 19_000 + 2_000 - 1_773 - 14_220
    assert money.result == money.realised + money.unrealised - money.fees - money.tax
    assert found.by_status == {"denied": 1, "filled": 3}
    assert found.denials == {"R04": 1}
    assert (found.latency.n, found.latency.p50_ms, found.latency.p99_ms) == (3, 20.0, 30.0)
    assert found.win_rate == 1.0
    assert found.orders[0].correlation_id == "kis-1:1"
    shown = result.asset_materializations_for_node("trading__daily_report")[0].metadata
    page = Path(shown["page_kis-50000001-01-KRW"].value).read_text(encoding="utf-8")
    assert "삼성전자" in page


def test_report_when_a_row_of_the_lake_was_changed_then_the_check_names_it(desk: Desk) -> None:
    """One won in one fill, in the lake only: the ledger is right, and the check is red."""
    house = desk.resource.open()
    with house.lake() as lake:
        (row,) = lake.scan("fills").filter(pl.col("quantity") == 2).collect().to_dicts()
    changed = {**row, "price": row["price"] + 1, "revision": row["revision"] + 1}

    async def append() -> None:
        market = _market(house)
        await market.append("fills", [changed])
        market.close()

    asyncio.run(append())

    result = desk.report()

    assert result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.check_name for check in failed] == ["ledger_balances"]
    assert "journal rows that differ: " in str(failed[0].metadata["found"].value)
    assert not desk.document().is_balanced


def test_report_when_it_is_another_day_or_account_then_is_empty_or_left_out(desk: Desk) -> None:
    """The evening of the deposit is a day of its own; an account that is not wanted has none."""
    desk.report(date(2018, 2, 25))
    result = desk.report(date(2018, 2, 24), accounts=["paper:paper"])

    found = desk.document(date(2018, 2, 25))
    assert (found.money.moved, found.money.result, found.orders) == (10_000_000, 0, ())
    assert result.success
    assert not (desk.home / "reports/daily/2018-02-24").exists()


def test_report_when_there_is_no_journal_then_fails_with_one_line(desk: Desk) -> None:
    """An empty database is no quiet day."""
    with psycopg.connect(libpq_url(desk.dsn), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")

    result = desk.report()

    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "ledger: relation" in str(failed.step_failure_data.error)
