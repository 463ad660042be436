"""Orders that walk the order book in a backtest by events: parts, limits, what is there once."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from free_limits import FREE

from jts_pipelines.backtest.cautions import Code
from jts_pipelines.backtest.event_orders import OrderLine
from jts_pipelines.backtest.event_result import EventResult, event_document
from jts_pipelines.backtest.loading import BacktestRequest
from jts_pipelines.backtest.quote_levels import level_names
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.reports.event_page import render_events
from jts_pipelines.research.events import study_events
from jts_pipelines.research.study import Place
from jts_trading.domain.sessions import calendar_for
from jts_trading.indicators.catalog import NATIVE
from storage.errors import InputError

OPEN_NS = calendar_for("KRX").open_close_ns(date(2024, 6, 3))[0]
LISTING = pl.DataFrame({"symbol": ["005930"], "market": ["KOSPI"]})
# The first minute closes above ten thousand won: one order, which meets the trades after it.
TEXT = """strategy("Books") {{
  entry.long {{ when (close > 10_000 KRW and minutes_since_open < 2) {{ buy({order}) }} }}
  exit.long {{ when (close < 10_000 KRW) {{ close() }} }}
}}
"""
Levels = list[tuple[int, int]]
FIRST: Levels = [(10_010, 30), (10_020, 40)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, kernels: Path) -> Path:
    """A home whose compiled code is shared by the tests of a run."""
    found = tmp_path_factory.mktemp("books")
    (found / "cache").mkdir()
    (found / "cache" / "kernels").symlink_to(kernels)
    return found


def moment(
    second: int, price: int, asks: Levels = FIRST, bids: Levels | None = None
) -> dict[str, Any]:
    """Return a trade with the book after it, as deep as three levels."""
    row: dict[str, Any] = {
        "symbol": "005930",
        "timestamp": OPEN_NS + second * 10**9,
        "price": price,
        "quantity": 10,
    }
    bids = [(asks[0][0] - 20, 500)] if bids is None else bids
    for side, levels in (("ask", asks), ("bid", bids)):
        for level in (1, 2, 3):
            shown = levels[level - 1] if level <= len(levels) else (0, 0)
            row |= dict(zip(level_names(side, level), shown, strict=True))
    return row


def run(
    home: Path, rows: list[dict[str, Any]], order: str, quotes: Path | None = None
) -> EventResult:
    """Run one order over trades with books; the trade that decides comes first."""
    trades = pl.DataFrame([moment(58, 10_010), *rows]).with_columns(
        pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    )
    path = home / "trades.parquet"
    trades.write_parquet(path)
    settings = BacktestSettings(cash=100_000_000, interval="1m")
    request = BacktestRequest(text=TEXT.format(order=order), settings=settings, quotes=quotes)
    place = Place(home=home, at_ns=1, catalog=NATIVE, instruments=LISTING)
    return study_events(request, place, path, FREE)


def parts(result: EventResult, number: int = 0) -> list[tuple[int, int, int]]:
    """Return second, price and quantity of the fills of an order."""
    return [
        ((fill.ts_event_ns - OPEN_NS) // 10**9, int(fill.price), int(fill.quantity))
        for fill in line_of(result, number).fills
    ]


def line_of(result: EventResult, number: int = 0) -> OrderLine:
    """Return an order."""
    return result.run.orders[number]


def test_market_order_when_a_book_is_thin_then_it_takes_level_after_level(home: Path) -> None:
    """What one and the same book shows is there once; a level that changed is there again."""
    rows = [
        moment(70, 10_010),
        moment(71, 10_020),  # The same book: nothing is left in it.
        moment(72, 10_020, [(10_020, 40), (10_030, 5)]),  # Of 10,020 nothing is left.
        moment(73, 10_020, [(10_020, 41), (10_030, 5)]),  # It shows another quantity.
    ]

    found = run(home, rows, "quantity: 100")

    assert parts(found) == [(70, 10_010, 30), (70, 10_020, 40), (72, 10_030, 5), (73, 10_020, 25)]
    assert line_of(found).status == "filled"
    order = found.orders.row(0, named=True)
    assert (order["filled"], order["decided"], order["quantity"]) == (100, 10_010, 100)
    assert order["price"] == (30 * 10_010 + 65 * 10_020 + 5 * 10_030) / 100
    assert found.fills["quantity"].to_list() == [30, 40, 5, 25]
    assert found.fills["trade"].to_list() == [1] * 4
    slippage = event_document(found, BacktestSettings(cash=100_000_000))["slippage"]
    assert slippage["orders"] == 1
    assert slippage["cost"] == pytest.approx(65 * 10 + 5 * 20)
    assert "market buy" in render_events(found)
    paid = int((found.fills["gross"] + found.fills["commission"]).sum())
    assert found.equity["cash"][-1] == 100_000_000 - paid


def test_level_that_went_and_came_back_is_there_again(home: Path) -> None:
    """Another order of somebody else put it there."""
    other = [(10_020, 1)]
    rows = [moment(70, 10_010), moment(71, 10_010, other), moment(72, 10_010)]

    found = run(home, rows, "quantity: 80")

    assert parts(found) == [(70, 10_010, 30), (70, 10_020, 40), (71, 10_020, 1), (72, 10_010, 9)]


def test_market_order_when_books_do_not_hold_it_then_the_rest_ends_with_the_session(
    home: Path,
) -> None:
    """Nothing is made up: what was not shown was not traded."""
    found = run(home, [moment(70, 10_010), moment(71, 10_020)], "quantity: 100")

    assert parts(found) == [(70, 10_010, 30), (70, 10_020, 40)]
    assert line_of(found).left == 30
    assert found.orders["status"].to_list() == ["waiting"]
    assert found.orders["filled"].to_list() == [70]
    assert found.run.marks == {"KRX:005930": Decimal(10_020)}
    assert found.equity["positions"].to_list() == [70 * 10_020]


def test_limit_order_when_a_level_is_beyond_it_then_the_rest_waits_for_trades_beyond(
    home: Path,
) -> None:
    """Behind everybody at its price: a trade at it fills nothing, a lower one does."""
    deep = [*FIRST, (10_030, 100)]
    rows = [
        moment(70, 10_010, deep),
        moment(71, 10_020, deep),
        moment(72, 10_020, [(10_010, 500)]),  # Offered within it, but nothing traded below it.
        moment(73, 10_010, deep),
    ]

    found = run(home, rows, 'quantity: 100, type: "limit", price: close + 10 KRW')

    assert parts(found) == [(70, 10_010, 30), (70, 10_020, 40), (73, 10_020, 30)]


def test_limit_order_when_there_may_be_more_behind_the_last_level_then_it_takes_the_next_book(
    home: Path,
) -> None:
    """All that is shown is within its limit, so it is still the one that takes."""
    rows = [moment(70, 10_010), moment(71, 10_020, [(10_030, 5), (10_040, 10), (10_060, 99)])]

    found = run(home, rows, 'quantity: 100, type: "limit", price: close + 40 KRW')

    assert parts(found) == [
        *((70, 10_010, 30), (70, 10_020, 40)),
        *((71, 10_030, 5), (71, 10_040, 10)),
    ]
    assert line_of(found).status == "waiting"


@pytest.mark.parametrize(
    ("order", "expected", "status", "reason"),
    [
        (
            'quantity: 100, tif: "ioc"',
            [(70, 10_010, 30), (70, 10_020, 40)],
            "cancelled",
            "the rest was not filled at once",
        ),
        (
            'quantity: 100, type: "limit", price: close, tif: "ioc"',
            [(70, 10_010, 30)],
            "cancelled",
            "the rest was not filled at once",
        ),
        ('quantity: 100, tif: "fok"', [], "cancelled", "it was not filled at once"),
        (
            'quantity: 40, type: "limit", price: close, tif: "fok"',
            [],
            "cancelled",
            "it was not filled at once",
        ),
        ('quantity: 70, tif: "fok"', [(70, 10_010, 30), (70, 10_020, 40)], "filled", ""),
    ],
)
def test_orders_at_once_when_a_book_is_thin_then_ioc_takes_a_part_and_fok_all_or_nothing(
    home: Path, order: str, expected: list[tuple[int, int, int]], status: str, reason: str
) -> None:
    """The book that comes next is of no use to them."""
    found = run(home, [moment(70, 10_010), moment(71, 10_020, [(10_010, 999)])], order)

    line = line_of(found)
    assert (parts(found), line.status, line.reason) == (expected, status, reason)


def test_sale_when_bids_are_thin_then_it_walks_down(home: Path) -> None:
    """The opposite side of a sale is that of the bids."""
    bids = [(9_990, 20), (9_980, 25), (9_970, 99)]
    rows = [moment(70, 10_010), moment(130, 9_990), moment(185, 9_990, bids=bids)]

    found = run(home, rows, "quantity: 60")

    assert parts(found, 1) == [(185, 9_990, 20), (185, 9_980, 25), (185, 9_970, 15)]
    assert found.metrics["trades"] == 1
    assert found.equity["positions"].to_list() == [0]


def test_best_quotes_without_quantities_fill_whole(home: Path) -> None:
    """As long as nobody knows how much there is."""
    keep = ("symbol", "timestamp", "price", "quantity", "bid", "ask")
    rows = [{name: moment(70, 10_000)[name] for name in keep}]
    path, text = home / "best.parquet", TEXT.format(order="quantity: 5000")
    first = {name: moment(58, 10_010)[name] for name in keep}
    pl.DataFrame([first, *rows]).with_columns(
        pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    ).write_parquet(path)
    settings = BacktestSettings(cash=100_000_000, interval="1m")

    found = study_events(
        BacktestRequest(text=text, settings=settings),
        Place(home=home, at_ns=1, catalog=NATIVE, instruments=LISTING),
        path,
        FREE,
    )

    assert parts(found) == [(70, 10_010, 5_000)]


def test_books_of_another_file_are_those_known_at_each_trade(home: Path) -> None:
    """The newest one; what cannot be there is said in the document and on the page."""
    rows = [moment(70, 10_010), moment(80, 10_010)]
    quotes = [
        moment(0, 0, [(10_010, 1)]),
        moment(69, 0, [(10_010, 7), (10_020, 8)]),
        moment(71, 0, [(10_030, 3), (10_020, 8)]),
    ]
    path = home / "quotes.parquet"
    pl.DataFrame(quotes).drop("price", "quantity").with_columns(
        pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    ).write_parquet(path)

    found = run(home, rows, "quantity: 20", path)

    assert parts(found) == [(70, 10_010, 7), (70, 10_020, 8), (80, 10_030, 3)]
    assert [caution.code for caution in found.cautions] == [Code.LEVELS_LEFT_OUT]
    warning = "the first in row 3: ask_2 is not beyond the level before it"
    document = event_document(found, BacktestSettings(cash=100_000_000))
    assert document["warning_codes"] == ["levels_left_out"]
    assert warning in render_events(found)


def judged(
    rows: list[dict[str, Any]], wanted: int, limit: int | None, force: str
) -> list[tuple[int, int, int]]:
    """Return what a purchase should get, worked out the slow way."""
    found, taken, rests = list[tuple[int, int, int]](), dict[int, tuple[int, int]](), False
    for row in rows:
        second = (row["timestamp"] - OPEN_NS) // 10**9
        pairs = [[row[name] for name in level_names("ask", level)] for level in (1, 2, 3)]
        shown = {price: size for price, size in pairs if size}
        taken = {price: was for price, was in taken.items() if shown.get(price) == was[0]}
        if rests:
            if limit is not None and row["price"] < limit:
                return [*found, (second, limit, wanted)]
            continue
        there = {
            price: size - taken.get(price, (size, 0))[1]
            for price, size in sorted(shown.items())
            if limit is None or price <= limit
        }
        if force == "fok" and sum(there.values()) < wanted:
            return []
        for price, left in there.items():
            part = min(left, wanted)
            if part:
                found.append((second, price, part))
                wanted -= part
                taken[price] = shown[price], shown[price] - left + part
        if wanted == 0 or force in {"ioc", "fok"}:
            return found
        rests = limit is not None and max(shown) >= limit
    return found


def moments(seed: int) -> list[dict[str, Any]]:
    """Return trades within a minute, with books of few prices that often stay as they are."""
    chance = random.Random(seed)
    rows, asks = list[dict[str, Any]](), FIRST
    for second in range(65, 85):
        if chance.random() < 0.6:
            prices = chance.sample(range(10_010, 10_060, 10), chance.randint(1, 3))
            asks = [(price, chance.randint(1, 12)) for price in sorted(prices)]
        rows.append(moment(second, chance.randrange(10_000, 10_050, 10), asks))
    return rows


@pytest.mark.parametrize(
    ("limit", "force"),
    [
        (None, "day"),
        (10_030, "day"),
        (10_040, "gtc"),
        (None, "ioc"),
        (10_030, "ioc"),
        (None, "fok"),
    ],
)
def test_orders_when_books_are_drawn_then_they_get_what_a_slow_judge_says(
    home: Path, limit: int | None, force: str
) -> None:
    """Every part, and no order gets more than it wanted: the rest waits or was cancelled."""
    price = "" if limit is None else f', type: "limit", price: close + {limit - 10_010} KRW'
    filled = set()
    for seed in range(8):
        wanted, rows = (20, 60)[seed % 2], moments(seed)

        found = run(home, rows, f'quantity: {wanted}{price}, tif: "{force}"')

        line = line_of(found)
        assert parts(found) == judged(rows, wanted, limit, force)
        assert line.filled + line.left == wanted
        assert (line.left == 0) == (line.status == "filled")
        filled.add(int(line.filled))
    assert len(filled) > 1


class NoLake:
    """All tiers, of which nothing may be read."""

    def scan(self, *_: Any, **__: Any) -> pl.LazyFrame:
        """Fail."""
        raise AssertionError("was read")

    def batches(self, *_: Any, **__: Any) -> Iterator[pl.DataFrame]:
        """Fail."""
        raise AssertionError("was read")


def test_quotes_beside_bars_are_refused(home: Path) -> None:
    """Of bars nobody knows which quotes their trades met."""
    request = BacktestRequest(
        text=TEXT.format(order="quantity: 1"),
        settings=BacktestSettings(interval="1m"),
        quotes=home / "quotes.parquet",
    )
    place = Place(home=home, at_ns=1, catalog=NATIVE, instruments=LISTING)

    with pytest.raises(InputError, match="beside trades only: --ticks, or a file of trades"):
        study_events(request, place, NoLake(), FREE)


def test_capture_of_binance_when_orders_are_large_then_they_walk_its_best_quotes(
    home: Path, test_data: Path
) -> None:
    """Every part is at a quote that was there, and no larger."""
    crypto = test_data / "crypto"
    quotes = crypto / "binance_spot_btcusdt_2024-08-08_09_quotes.parquet"
    request = BacktestRequest(
        text="""strategy("Books") {
          entry.long { when (SMA(2) crosses above SMA(5)) { buy(quantity: "90%") } }
          exit.long { when (SMA(2) crosses below SMA(5)) { close() } }
        }""",
        settings=BacktestSettings(cash=1_000_000, venue="BINANCE", interval="5s"),
        quotes=quotes,
    )
    trades = crypto / "binance_spot_btcusdt_2024-08-08_09_trades.parquet"
    place = Place(home=home, at_ns=1, catalog=NATIVE, instruments=None)

    found = study_events(request, place, trades, FREE)

    known = pl.read_parquet(quotes)
    most: dict[tuple[str, float], float] = {}
    for side, opposite in (("buy", "ask"), ("sell", "bid")):
        largest = known.group_by(opposite).agg(pl.max(f"{opposite}_size"))
        most |= {(side, price): size for price, size in largest.rows()}
    assert found.fills.height > 3 * found.orders.height > 30
    assert all(
        quantity <= most[side, price]
        for side, price, quantity in found.fills.select("side", "price", "quantity").rows()
    )
    by_order = found.fills.group_by("order_id").agg(pl.sum("quantity").round(8).alias("parts"))
    joined = found.orders.join(by_order, "order_id")
    assert joined["parts"].to_list() == joined["filled"].to_list()
    assert set(joined["status"]) == {"filled"}

    # The same orders at best quotes of any size: a walk costs more.
    bare = home / "bare.parquet"
    known.drop("bid_size", "ask_size").write_parquet(bare)
    whole = study_events(replace(request, quotes=bare), place, trades, FREE)
    assert whole.fills.height == whole.orders.height == found.orders.height
    assert found.final_equity < whole.final_equity
