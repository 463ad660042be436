"""What every market store promises, over a real ClickHouse engine and in memory."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest

from jts_trading.market_store.clickhouse import open_market
from jts_trading.market_store.memory import MemoryMarket
from jts_trading.ports.market import Market, MarketRefusedError
from storage.schema.datasets import DATASETS, Kind
from storage.schema.tiers import default_settings

pytestmark = pytest.mark.integration
DAY = date(2025, 6, 2)
OPEN_NS = 1_748_822_400_000_000_000
Scenario = Callable[[Market], Awaitable[None]]


@pytest.fixture(params=["memory", "clickhouse"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario with a store of its own."""

    def go(scenario: Scenario) -> None:
        if request.param == "memory":
            asyncio.run(scenario(MemoryMarket()))
            return
        url, database = request.getfixturevalue("clickhouse_url"), f"t_{uuid.uuid4().hex[:8]}"
        with clickhouse_connect.get_client(dsn=url) as admin:
            admin.command(f"CREATE DATABASE {database}")
            market = open_market(f"{url}/{database}", default_settings(), tmp_path)
            try:
                asyncio.run(scenario(market))
            finally:
                market.close()
                admin.command(f"DROP DATABASE {database}")

    return go


def row(dataset: str, **values: Any) -> dict[str, Any]:
    """A row with something in every column."""
    filler: dict[Kind, Any] = {
        Kind.TIMESTAMP_NS: OPEN_NS,
        Kind.DAY: DAY,
        Kind.LABEL: "x",
        Kind.TEXT: "some text, 글",
        Kind.PRICE: Decimal(71_500),
        Kind.VOLUME: Decimal(3),
        Kind.MONEY: Decimal(20_000_000_000),
        Kind.COUNT: 1,
        Kind.FLAG: False,
    }
    made = {column.name: filler[column.kind] for column in DATASETS[dataset].columns}
    return {**made, "venue": "KRX", "symbol": "005930", "interval": "1m", **values}


def tick(number: int, **values: Any) -> dict[str, Any]:
    """One trade of a feed."""
    at = OPEN_NS + number * 1_000_000 + 7
    return row(
        "ticks", **{"interval": "tick", "tick": number, "timestamp": at, "bid": None, **values}
    )


async def ticks(market: Market, *symbols: str, venue: str = "KRX") -> list[dict[str, Any]]:
    """What the store holds of the day."""
    found = await market.read(
        "ticks", venue=venue, symbols=symbols or ("005930",), first=DAY, last=DAY
    )
    return found.to_dicts()


@pytest.mark.parametrize("dataset", [name for name in DATASETS if DATASETS[name].is_appended])
def test_read_when_rows_were_appended_returns_them_exactly(
    run: Callable[[Scenario], None], dataset: str
) -> None:
    """Each kind of column comes back as it was, to the nanosecond and to the last digit."""
    given = row(dataset)

    async def scenario(market: Market) -> None:
        assert await market.append(dataset, [given]) == 1
        found = await market.read(dataset, venue="KRX", symbols=["005930"], first=DAY, last=DAY)
        assert found.columns == [column.name for column in DATASETS[dataset].columns]
        times = {
            column.name for column in DATASETS[dataset].columns if column.kind is Kind.TIMESTAMP_NS
        }
        plain = found.with_columns(found.select(sorted(times)).cast(int))
        assert plain.to_dicts() == [given]

    run(scenario)


def test_append_when_repeated_in_whatever_batch_adds_nothing(
    run: Callable[[Scenario], None],
) -> None:
    """A writer that was killed before it heard an answer sends the rows again, cut otherwise."""
    rows = [tick(number) for number in range(30)]

    async def scenario(market: Market) -> None:
        await market.append("ticks", rows[:20])
        await market.append("ticks", rows[:20])
        await market.append("ticks", rows[5:])
        await market.append("ticks", [*rows[:3], *rows[:3]])
        assert [each["tick"] for each in await ticks(market)] == list(range(30))

    run(scenario)


def test_read_when_a_row_has_several_revisions_returns_the_highest(
    run: Callable[[Scenario], None],
) -> None:
    """An order that moved is one row, whatever came last."""

    async def scenario(market: Market) -> None:
        for seq, status in ((4, "open"), (9, "filled"), (7, "partial")):
            changed = row("orders", interval="order", revision=seq, seq=seq, status=status)
            await market.append("orders", [changed])
        found = await market.read("orders", venue="KRX", symbols=["005930"], first=DAY, last=DAY)
        assert found["status"].to_list() == ["filled"]

    run(scenario)


def test_read_when_bounds_are_given_keeps_to_them_and_sorts(
    run: Callable[[Scenario], None],
) -> None:
    """Symbols, days, interval and venue bound; the order is that of files."""
    next_day = {"trade_date": date(2025, 6, 3), "timestamp": OPEN_NS + 86_400 * 10**9}
    coin = {"venue": "BINANCE", "symbol": "BTCUSDT", "price": Decimal("0.00000001")}

    async def scenario(market: Market) -> None:
        await market.append("ticks", [tick(2, symbol="000660"), tick(1), tick(0)])
        await market.append("ticks", [tick(3, **next_day)])
        await market.append("ticks", [tick(4, **coin)])
        both = await ticks(market, "005930", "000660")
        assert [(each["symbol"], each["tick"]) for each in both] == [
            ("000660", 2), ("005930", 0), ("005930", 1),
        ]  # fmt: skip
        assert await ticks(market, "035720") == []
        (found,) = await ticks(market, "BTCUSDT", venue="BINANCE")
        assert found["price"] == Decimal("0.00000001")
        wide = await market.read(
            "ticks", venue="KRX", symbols=["005930"], first=DAY, last=date(2025, 6, 3)
        )
        assert wide["tick"].to_list() == [0, 1, 3]
        none = await market.read(
            "ticks", venue="KRX", symbols=["005930"], first=DAY, last=DAY, interval="1m"
        )
        assert none.is_empty()

    run(scenario)


@pytest.mark.parametrize(
    ("dataset", "bad", "message"),
    [
        ("tics", {}, "dataset 'tics' is unknown; known: candles, ticks"),
        ("candles", {}, "rows come in loads"),
        ("ticks", {"price": Decimal("71500.5")}, r"column price: Decimal\('71500.5'\) is no dec"),
        ("ticks", {"price": Decimal("NaN")}, "column price"),
        ("ticks", {"price": None}, "column price has no value"),
        ("ticks", {"quantity": "seven"}, "column quantity: 'seven'"),
        ("ticks", {"tick": 1 << 63}, "column tick"),
        ("ticks", {"colour": "red"}, "columns: unknown colour"),
        ("ticks", {"venue": "KRXX"}, "unknown venue 'KRXX'"),
        ("ticks", {"trade_date": "2025-06-02"}, "venue, interval and trade_date are"),
        (
            "ticks",
            {"trade_date": date(2025, 6, 3)},
            "a batch is of one partition; found ticks/KRX",
        ),
    ],
)
def test_append_when_a_row_is_not_as_declared_refuses_all(
    run: Callable[[Scenario], None], dataset: str, bad: dict[str, Any], message: str
) -> None:
    """Nothing is rounded, guessed or stored in part."""
    broken = {**tick(1), **bad}
    rows = [broken] if "venue" in bad else [tick(0), broken]

    async def scenario(market: Market) -> None:
        with pytest.raises(MarketRefusedError, match=message):
            await market.append(dataset, rows)
        assert await ticks(market) == []

    run(scenario)


def test_append_when_a_column_is_missing_names_it(run: Callable[[Scenario], None]) -> None:
    """A writer of an older version is told what it lacks."""
    given = tick(0)
    del given["frame"]

    async def scenario(market: Market) -> None:
        with pytest.raises(MarketRefusedError, match="ticks: columns: missing frame"):
            await market.append("ticks", [given])

    run(scenario)


def test_append_when_there_is_nothing_to_append_answers_zero(
    run: Callable[[Scenario], None],
) -> None:
    """An empty batch is no batch."""

    async def scenario(market: Market) -> None:
        assert await market.append("ticks", []) == 0

    run(scenario)


def test_read_when_dataset_or_venue_is_unknown_refuses(run: Callable[[Scenario], None]) -> None:
    """A typo is no empty answer."""

    async def scenario(market: Market) -> None:
        for dataset, venue in (("tics", "KRX"), ("ticks", "KRXX")):
            with pytest.raises(MarketRefusedError, match="unknown"):
                await market.read(dataset, venue=venue, symbols=["x"], first=DAY, last=DAY)

    run(scenario)


def test_places_are_those_that_were_kept_last(run: Callable[[Scenario], None]) -> None:
    """A journal that was replaced begins anew, so a place may go back."""

    async def scenario(market: Market) -> None:
        assert await market.places() == {}
        for place in ("10", "400", "7"):
            await market.keep_places({"journal": place, "ticks": f"{place}-1"})
            assert await market.places() == {"journal": place, "ticks": f"{place}-1"}
        await market.keep_places({"ticks": "9-9"})
        assert await market.places() == {"journal": "7", "ticks": "9-9"}

    run(scenario)
