# ruff: noqa: S608 - the queries are written here
"""What the daemon recorded, through the lake and through SQL: hot only, and after it has moved."""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import polars as pl
import pytest

from jts_pipelines.backtest.admitting import Admission
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.loading import BacktestRequest, bars_from_lake
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.plan import Universe
from jts_trading.market_store.clickhouse import ClickHouseMarket
from storage.errors import InputError
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.lake.views import datasets_of
from storage.manifest.chain import Manifests
from storage.moves.mover import Mover
from storage.schema.datasets import DATASETS, Kind
from storage.schema.tiers import default_settings

pytestmark = pytest.mark.integration
DAY = date(2025, 6, 2)
OLD = DAY - timedelta(days=30)
OPEN_NS = 1_748_822_400_000_000_000


class Desk:
    """A hot store with what two days of trading left, and its lake."""

    def __init__(self, dsn: str, home: Path) -> None:
        self.hot = HotStore(dsn)
        self.home = home
        self.lake = Lake(self.hot, Manifests(home / "manifests"), default_settings(), home)

    def append(self, dataset: str, *rows: dict[str, Any]) -> None:
        """Record rows."""
        asyncio.run(ClickHouseMarket(self.hot, self.lake).append(dataset, rows))

    def archive(self, dataset: str) -> None:
        """Move what is due on the day."""
        mover = Mover(
            self.hot,
            Manifests(self.home / "manifests"),
            default_settings(),
            self.home,
            now=lambda: datetime.combine(DAY, datetime.min.time(), UTC),
            today=lambda _: DAY,
        )
        list(mover.archive(dataset))


@pytest.fixture
def desk(clickhouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk on a database of its own, without any table yet."""
    name = f"r_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {name}")
        one = Desk(f"{clickhouse_url}/{name}", tmp_path)
        yield one
        one.hot.close()
        admin.command(f"DROP DATABASE {name}")


def row(dataset: str, **values: Any) -> dict[str, Any]:
    """A row with something in every column."""
    filler: dict[Kind, Any] = {
        Kind.TIMESTAMP_NS: OPEN_NS,
        Kind.DAY: DAY,
        Kind.LABEL: "x",
        Kind.TEXT: "x",
        Kind.PRICE: Decimal(71_500),
        Kind.VOLUME: Decimal(0),
        Kind.MONEY: Decimal(0),
        Kind.COUNT: 1,
        Kind.FLAG: False,
    }
    made = {column.name: filler[column.kind] for column in DATASETS[dataset].columns}
    return {**made, "venue": "KRX", "symbol": "005930", "interval": dataset, **values}


def tick(number: int, day: date = DAY, **values: Any) -> dict[str, Any]:
    """A trade, three hundred microseconds and one nanosecond after the one before."""
    at = OPEN_NS + (day - DAY).days * 86_400 * 10**9 + number * 300_001
    return row("ticks", interval="tick", trade_date=day, timestamp=at, tick=number, **values)


def fill(trade_id: str, side: str, quantity: int, gross: int, **values: Any) -> dict[str, Any]:
    """A fill with a fee of one and a tax of two."""
    return row(
        "fills",
        trade_id=trade_id,
        side=side,
        quantity=Decimal(quantity),
        gross=Decimal(gross),
        fee=Decimal(1),
        tax=Decimal(2),
        **{"account": "a1", "instance": "sma", "currency": "KRW", **values},
    )


@pytest.mark.parametrize("view", [*DATASETS, "positions", "quarantine"])
def test_view_when_nothing_was_ever_recorded_is_empty_and_has_its_columns(
    desk: Desk, view: str
) -> None:
    """A store of an older version has no such table; the question is answered all the same."""
    answer = desk.lake.sql(f"SELECT * FROM {view}")

    assert answer.num_rows == 0
    if view in DATASETS:
        names = [column.name for column in DATASETS[view].columns]
        assert answer.column_names == [*names, "tier"]
        assert desk.lake.read(view).is_empty()


@pytest.mark.parametrize(
    ("where", "fetched", "found"),
    [
        ("true", 60, 60),
        ("symbol = '000660'", 20, 20),
        ("symbol IN ('000660', 'none')", 20, 20),
        ("trade_date = DATE '2025-06-03'", 10, 10),
        ("venue = 'BINANCE'", 0, 0),
        ("tier = 'warm'", 0, 0),
        ("price > 71500", 60, 20),
        ("timestamp < TIMESTAMPTZ '2025-06-02 00:00:00.0015+00' AND symbol = '005930'", 7, 5),
        ("timestamp >= '2025-06-02 00:00:00.0105' AND symbol = '000660'", 16, 15),
    ],
)
def test_ticks_when_filters_can_be_pushed_fetch_only_their_rows(
    desk: Desk, where: str, fetched: int, found: int
) -> None:
    """What comes over the wire is counted; what is answered is exact."""
    desk.append("ticks", *(tick(number) for number in range(30)))
    desk.append("ticks", *(tick(n, symbol="000660", price=Decimal(90_000)) for n in range(30, 50)))
    desk.append("ticks", *(tick(number, date(2025, 6, 3)) for number in range(50, 60)))

    answer = desk.lake.ask(f"SELECT count(*) AS n, max(tick) AS last FROM ticks WHERE {where}")

    assert answer.table["n"].to_pylist() == [found]
    assert answer.hot_rows == fetched
    assert set(answer.hot_columns) <= {"tick", "symbol", "price", "timestamp", "trade_date"}


def test_ticks_when_a_backtest_asks_for_them_become_bars_from_every_tier(desk: Desk) -> None:
    """A trade a second, bars of ten: the same from hot and from files, with their last quotes."""
    day = date(2025, 5, 2)
    rows = [
        tick(at, day, price=Decimal(100 + at % 7), quantity=Decimal(at + 1))
        | {"timestamp": OPEN_NS + (day - DAY).days * 86_400 * 10**9 + at * 10**9}
        for at in range(25)
    ]
    desk.append("ticks", *reversed(rows))
    request = BacktestRequest(
        text="",
        has_ticks=True,
        settings=BacktestSettings(interval="10s"),
        from_day=day,
        to_day=day,
    )
    columns = ("open", "high", "low", "close", "volume", "bid")

    admission = Admission(Universe(), read_instruments(None, "KOSPI"))

    hot = bars_from_lake(desk.lake, request, admission).bars.rows_of([0]).select(columns)
    desk.archive("ticks")
    cold = bars_from_lake(desk.lake, request, admission).bars.rows_of([0]).select(columns)

    assert [row[:5] for row in hot.rows()] == [
        (100, 106, 100, 102, 55),
        (103, 106, 100, 105, 155),
        (106, 106, 100, 103, 115),
    ]
    assert hot["bid"].null_count() == 0
    assert cold.equals(hot)
    assert desk.lake.sql("SELECT tier FROM ticks LIMIT 1").to_pylist() != [{"tier": "hot"}]


def test_ticks_when_joined_with_candles_times_compare(desk: Desk) -> None:
    """Times of all views are of one type."""
    desk.append("ticks", tick(0), tick(1))
    answer = desk.lake.sql(
        "SELECT count(c.close) AS bars, count(*) AS ticks, min(t.timestamp)::VARCHAR AS first"
        " FROM ticks t LEFT JOIN candles c"
        " ON c.symbol = t.symbol AND c.timestamp = time_bucket(INTERVAL '1 minute', t.timestamp)"
    )

    assert answer.to_pylist() == [{"bars": 0, "ticks": 2, "first": "2025-06-02 00:00:00+00"}]


def test_ticks_when_their_day_moved_to_files_are_the_same_rows(desk: Desk) -> None:
    """A day of ticks goes the way of a day of bars; nanoseconds, flags and nulls survive it."""
    old = [tick(number, OLD, bid=None, halted=number == 3) for number in range(40)]
    desk.append("ticks", *old)
    desk.append("ticks", tick(40))
    before = desk.lake.read("ticks")
    query = (
        "SELECT tier, count(*) AS n, sum(tick) AS numbers, sum(price) AS total, max(timestamp),"
        " count(*) FILTER (halted) AS halts, count(bid) AS bids FROM ticks GROUP BY ALL"
    )
    in_hot = desk.lake.sql(query.replace("tier,", "").replace("count(*) AS n", "count(*) AS n", 1))

    desk.archive("ticks")

    after = desk.lake.read("ticks", with_tier=True)
    assert sorted(after["tier"].unique()) == ["hot", "warm"]
    assert after.drop("tier").equals(before)
    moved = desk.lake.sql(query.replace("tier,", ""))
    assert moved.equals(in_hot)
    assert {served.tier.value: served.rows for served in desk.lake.summary("ticks")} == {
        "hot": 1,
        "warm": 40,
    }


def test_orders_when_one_moves_after_its_day_was_archived_has_one_row(desk: Desk) -> None:
    """File and hot are blended: the highest revision is the order."""
    first = row("orders", interval="order", trade_date=OLD, status="open", revision=4, seq=4)
    desk.append("orders", first)
    desk.archive("orders")
    desk.append("orders", {**first, "status": "filled", "revision": 9, "seq": 9})

    answer = desk.lake.sql("SELECT status, seq FROM orders")

    assert answer.to_pylist() == [{"status": "filled", "seq": 9}]


def test_positions_when_fills_are_recorded_add_up_to_the_unit(desk: Desk) -> None:
    """Signed quantities, what was paid and received, costs apart; one row per holder."""
    desk.append(
        "fills",
        fill("t1", "buy", 10, 715_000),
        fill("t2", "sell", 4, 290_000),
        fill("t2", "sell", 4, 290_000),
        fill("t3", "buy", 5, 30_000_000_000, instance="other"),
    )
    desk.append(
        "fills",
        fill("t1", "buy", 1, 7, venue="BINANCE", symbol="BTCUSDT", fee_quantity=Decimal("0.001")),
    )
    answer = desk.lake.sql(
        "SELECT instance, symbol, quantity, bought, sold, paid, received, fee, tax, fills"
        " FROM positions ORDER BY paid"
    )

    def shown(*values: Any) -> dict[str, Any]:
        return dict(zip(answer.column_names, values, strict=True))

    assert answer.to_pylist() == [
        shown("sma", "BTCUSDT", Decimal("0.999"), 1, 0, 7, 0, 1, 2, 1),
        shown("sma", "005930", 6, 10, 4, 715_000, 290_000, 2, 4, 2),
        shown("other", "005930", 5, 5, 0, 30_000_000_000, 0, 1, 2, 1),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM ticks",
        "COPY fills TO '/tmp/x.csv'",
        "SELECT 1; SELECT * FROM ticks",
        "SELECT * FROM read_parquet('/etc/passwd'), ticks",
        "SELECT * FROM places",
    ],
)
def test_records_when_a_query_is_more_than_one_select_are_out_of_reach(
    desk: Desk, query: str
) -> None:
    """The fence of the candles stands around the other views too."""
    with pytest.raises(InputError, match="SQL: "):
        desk.lake.sql(query)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT 1", set()),
        ('SELECT * FROM Ticks, "Gaps"', {"ticks", "gaps"}),
        ("WITH t AS (FROM fills) SELECT * FROM t JOIN main.orders USING (seq)",
         {"orders", "fills"}),
        ("SELECT * FROM positions", {"fills"}),
    ],
)  # fmt: skip
def test_datasets_of_a_query_are_those_it_names(query: str, named: set[str]) -> None:
    """Nobody waits for the parts of datasets that were not asked for."""
    assert datasets_of(query) == named


@pytest.mark.parametrize("where", ["true", "tier = 'warm'", "tick < 3"])
def test_ticks_when_a_query_reads_them_without_naming_them_are_found(
    desk: Desk, where: str
) -> None:
    """A name that is put together at run time is no empty answer."""
    desk.append("ticks", *(tick(number, OLD) for number in range(3)))
    desk.archive("ticks")

    hidden = desk.lake.sql(f"SELECT count(*) AS n FROM query_table('ti' || 'cks') WHERE {where}")

    assert hidden["n"].to_pylist() == [3]


def test_scan_when_a_dataset_is_hot_only_pushes_down_what_is_asked(desk: Desk) -> None:
    """The library half: scale of the venue, nanoseconds, columns and filters."""
    desk.append("ticks", *(tick(number) for number in range(5)))

    found = (
        desk.lake.scan("ticks", venue="KRX", symbols=["005930"], columns=["timestamp", "price"])
        .filter(pl.col("timestamp") > pl.lit(OPEN_NS + 300_001).cast(pl.Datetime("ns", "UTC")))
        .collect()
    )

    assert found["timestamp"].cast(int).to_list() == [OPEN_NS + n * 300_001 for n in (2, 3, 4)]
    assert found.schema["price"] == pl.Decimal(18, 0)
