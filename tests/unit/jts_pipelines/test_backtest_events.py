"""The event backtest: equal to the one over bars where both can be, stricter where live is."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from free_limits import FREE

from jts_pipelines.backtest.benchmark import Benchmark, read_benchmark
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.event_result import EventResult, event_document, first_denials
from jts_pipelines.backtest.event_trades import stream_of_bars, stream_of_trades
from jts_pipelines.backtest.loading import BacktestRequest
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.tick_bars import checked_trades
from jts_pipelines.reports.event_page import render_events
from jts_pipelines.reports.words import grouped
from jts_pipelines.research.events import study_events
from jts_pipelines.research.holdouts import HoldoutLockedError, Locked
from jts_pipelines.research.study import Place
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.sessions import calendar_for
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.engine.stored import entries_of
from jts_trading.indicators.catalog import NATIVE
from jts_trading.services.recorder.rows import tick_rows
from storage.errors import InputError

SESSIONS = calendar_for("KRX").sessions(date(2024, 6, 3), date(2024, 6, 5))
CASH = 10_000_000
LISTING = pl.DataFrame({"symbol": ["000660", "005930"], "market": ["KOSPI"] * 2})
TEXT = """strategy("Trial") {{
  entry.long {{ when (SMA(2) crosses above SMA(5)) {{ buy(quantity: {size}) }} }}
  exit.long {{ when (SMA(2) crosses below SMA(5)) {{ close() }} }}
  risk_management {{ {risk} }}
}}
"""

SURGE_SCANNER = (
    Path(__file__).parents[3] / "examples" / "strategies" / "surge_scanner.jts"
).read_text(encoding="utf-8")
STOP_TEXT = """strategy("S") {
  entry.long { when (close > open) { buy(1, type: "stop", stop: close, tif: "fok") } }
}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, kernels: Path) -> Path:
    """A home whose compiled code is shared by the tests of a run."""
    found = tmp_path_factory.mktemp("events")
    (found / "cache").mkdir()
    (found / "cache" / "kernels").symlink_to(kernels)
    return found


def minutes(seed: int, count: int = 60) -> pl.DataFrame:
    """Return the last minute bars of three sessions; both instruments trade in each of them."""
    chance = np.random.default_rng(seed)
    rows = []
    for symbol, first in (("000660", 71_000), ("005930", 9_000)):
        price = first
        for day in SESSIONS:
            end = datetime.fromtimestamp(calendar_for("KRX").open_close_ns(day)[1] / 1e9, UTC)
            start = end - timedelta(minutes=count)
            for minute in range(count):
                last = max(price + int(chance.integers(-first // 200, first // 200)), 1_000)
                rows.append(
                    {
                        "symbol": symbol,
                        "timestamp": start + timedelta(minutes=minute),
                        "open": price,
                        "high": max(price, last) + 3,
                        "low": min(price, last) - 3,
                        "close": last,
                        "volume": 1_000 * int(chance.integers(4, 99)),
                    }
                )
                price = max(last + int(chance.integers(-first // 900, first // 900)), 1_000)
    return pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def run(
    home: Path,
    bars: pl.DataFrame,
    text: str,
    limits: RiskLimits = FREE,
    **changes: Any,
) -> EventResult:
    """Run a text over a file of bars or trades."""
    path = home / "rows.parquet"
    bars.write_parquet(path)
    assumed: dict[str, Any] = {"cash": CASH, "interval": "1m", **changes}
    request = BacktestRequest(text=text, settings=BacktestSettings(**assumed))
    place = Place(home=home, at_ns=1, catalog=NATIVE, instruments=LISTING)
    return study_events(request, place, path, limits)


def shown(fills: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Return what both kinds of fills have in common; those of a minute by instrument."""
    minute, columns = pl.col("time").dt.truncate("1m"), ("quantity", "price", "commission", "tax")
    return fills.select(minute, "instrument", "side", *columns).sort("time", "instrument").rows()


@pytest.mark.parametrize(
    ("seed", "size", "risk"),
    [
        (1, '"20%"', ""),
        (2, "7", 'stop_loss = "0.4%" max_positions = 1'),
        (3, '"45%"', 'trailing_stop = "0.5%" cooldown = 3'),
        (4, '"3000000 KRW"', 'take_profit = "0.3%" daily_loss_limit = "1%"'),
    ],
)
def test_events_when_risk_denies_nothing_then_fills_and_equity_are_those_over_bars(
    home: Path, seed: int, size: str, risk: str
) -> None:
    """Another engine, other units, other rounding of time: equal to the won."""
    bars, text = minutes(seed), TEXT.format(size=size, risk=risk)

    found = run(home, bars, text)

    expected = run_backtest(
        compile_strategy(text),
        bars,
        BacktestSettings(cash=CASH, interval="1m"),
        cache_dir=home / "cache" / "kernels",
        instruments=LISTING,
    )
    assert shown(found.fills) == shown(expected.fills)
    assert expected.fills.height > 10
    assert found.equity["equity"].to_list() == expected.equity["equity"].to_list()
    assert found.metrics["trades"] == expected.metrics["trades"]
    assert found.denials == {}


def test_order_above_the_largest_value_is_denied_and_its_exit_is_not(home: Path) -> None:
    """R01: every entry of three million won against a limit of two."""
    limits = msgspec.structs.replace(FREE, order_value_max={"KRW": Decimal(2_000_000)})

    found = run(home, minutes(1), TEXT.format(size='"3000000 KRW"', risk=""), limits)

    assert found.fills.height == 0
    assert set(found.denials) == {"R01"}
    assert found.orders["why"][0].startswith("value 29")
    (check, count, why) = first_denials(found)[0]
    assert (check, count, why) == ("R01", found.orders.height, found.orders["why"][0])
    page = render_events(found)
    assert (
        f"{count:,} orders denied by R01: quantity or value of one order; the first one:" in page
    )
    assert f"{grouped(why)}</li>" in page
    assert why.endswith("KRW is above 2000000")
    assert "KRW is above 2,000,000</li>" in page
    assert found.final_equity == CASH


def test_position_above_its_share_of_equity_is_denied(home: Path) -> None:
    """R04: entries of 30 % against a limit of 20 %; of 10 % pass."""
    limits = msgspec.structs.replace(FREE, position_share_max=Decimal("0.20"))

    large = run(home, minutes(1), TEXT.format(size='"30%"', risk=""), limits)
    small = run(home, minutes(1), TEXT.format(size='"10%"', risk=""), limits)

    assert (large.fills.height, set(large.denials)) == (0, {"R04"})
    assert small.fills.height > 10
    assert small.denials == {}


def test_losses_end_entries_of_the_day_and_the_largest_drawdown_ends_them_for_good(
    home: Path,
) -> None:
    """R06 until the next day, R07 latches the kill switch; positions are left all the same."""
    bars, text = minutes(3), TEXT.format(size='"45%"', risk="")
    free = run(home, bars, text)
    per_day = free.fills.group_by("session", maintain_order=True).len()["len"].to_list()

    daily = run(home, bars, text, msgspec.structs.replace(FREE, daily_loss_max=Decimal("0.002")))
    latched = run(home, bars, text, msgspec.structs.replace(FREE, drawdown_max=Decimal("0.002")))

    assert set(daily.denials) == {"R06"}
    assert daily.fills["session"].n_unique() == len(per_day) == 3
    assert daily.fills.height < free.fills.height
    assert latched.run.is_latched
    assert latched.denials["KILL"] > 0
    assert latched.fills["session"].n_unique() == 1
    assert latched.equity["positions"][-1] == 0
    assert event_document(latched, BacktestSettings(cash=CASH))["denied"] == latched.denials


def test_purchase_at_a_locked_upper_limit_waits_and_ends_with_its_session(home: Path) -> None:
    """Everything trades at the limit: nobody sells more; the order does not live on."""
    first, second = SESSIONS[:2]
    opened = [calendar_for("KRX").open_close_ns(day)[0] for day in (first, second)]
    prices = [(opened[0], 10_000), (opened[0] + 10**9, 10_000)]
    prices += [(opened[1] + at * 60 * 10**9, 13_000) for at in range(60)]
    trades = pl.DataFrame(
        {
            "symbol": ["005930"] * len(prices),
            "timestamp": [at for at, _ in prices],
            "price": [price for _, price in prices],
            "quantity": [10] * len(prices),
        },
        schema_overrides={"timestamp": pl.Datetime("ns", "UTC")},
    )
    text = """strategy("Limit") {
      entry.long { when (close > 12_000 KRW) { buy(quantity: 1) } }
      exit.long { when (close < 1 KRW) { close() } }
    }"""

    found = run(home, trades, text)

    assert found.fills.height == 0
    assert found.orders["status"].to_list() == ["waiting"]
    # An order of quotes is another matter: somebody offers at the limit.
    offered = run(home, trades.with_columns(bid=13_000, ask=13_000), text)
    assert offered.fills["price"].to_list() == [13_000]


def test_trades_that_tell_quotes_fill_at_the_opposite_side(home: Path) -> None:
    """Bought at the ask, sold at the bid."""
    start = calendar_for("KRX").open_close_ns(SESSIONS[0])[0]
    path = [100, 101, 102, 103, 104, 103, 102, 101, 100, 99]
    rows = [(start + at * 30 * 10**9, 10_000 + path[at % len(path)] * 10) for at in range(60)]
    trades = pl.DataFrame(
        {
            "symbol": ["005930"] * 60,
            "timestamp": [at for at, _ in rows],
            "price": [price for _, price in rows],
            "quantity": [10] * 60,
            "bid": [price - 10 for _, price in rows],
            "ask": [price + 10 for _, price in rows],
        },
        schema_overrides={"timestamp": pl.Datetime("ns", "UTC")},
    )

    found = run(home, trades, TEXT.format(size="1", risk=""))

    last = dict(rows)
    times = found.fills["time"].dt.epoch("ns").to_list()
    moved = [price - last[at] for price, at in zip(found.fills["price"], times, strict=True)]
    assert found.fills.height > 3
    assert [("buy", 10) if move > 0 else ("sell", -10) for move in moved] == list(
        zip(found.fills["side"], moved, strict=True)
    )


def surging_trades(bid_below: int = 0) -> pl.DataFrame:
    """Return an hour of trades of two shares: every five seconds one, and a surge in the first.

    In the thirty-first minute 005930 rises by 5 % within 40 seconds on ten times the volume.
    """
    begin = calendar_for("KRX").open_close_ns(SESSIONS[0])[0]
    rows = []
    for at in range(0, 3_600, 5):
        for symbol, price in (("000660", 100_000), ("005930", 10_000)):
            rises = symbol == "005930" and at >= 1_800
            step = min((at - 1_800) // 5, 8) * 60 if rises else (at // 5) % 3 * 10
            quantity = 1_000 if rises and at < 1_860 else 100
            last = price + step
            rows.append((symbol, begin + at * 10**9, last, quantity, last - bid_below, last + 10))
    names = ("symbol", "timestamp", "price", "quantity", "bid", "ask")
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    )


def test_third_listing_when_trades_surge_then_it_buys_within_the_minute(home: Path) -> None:
    """Listing 3 as it stands: bought at the trade after the one that made it true, once."""
    begin = calendar_for("KRX").open_close_ns(SESSIONS[0])[0]

    found = run(home, surging_trades(), SURGE_SCANNER, interval="1m")

    (order,) = found.orders.to_dicts()
    assert (order["instrument"], order["side"], order["status"]) == ("KRX:005930", "buy", "filled")
    # More than 3 % above the last price of five minutes ago, 10,000 won: first at 10,360.
    given_ns, filled_ns = begin + 1_830 * 10**9, begin + 1_835 * 10**9
    assert order["given_at"] == datetime.fromtimestamp(given_ns // 10**9, UTC)
    assert order["filled_at"] == datetime.fromtimestamp(filled_ns // 10**9, UTC)
    assert order["price"] == 10_430
    # Kelly before enough trades: 1 % of ten million won at the price of the decision.
    assert order["quantity"] == CASH // 100 // 10_360
    assert found.run.signals == 1
    assert found.run.outcomes == {"ordered": 1}


def test_third_listing_when_spreads_are_wide_or_unknown_then_it_does_not_buy(home: Path) -> None:
    """`spread < 0.5%` is a condition of the listing; without quotes it is null."""
    wide = run(home, surging_trades(bid_below=200), SURGE_SCANNER, interval="1m")
    unknown = run(home, surging_trades().drop("bid", "ask"), SURGE_SCANNER, interval="1m")

    assert (wide.orders.height, unknown.orders.height) == (0, 0)


def test_quotes_of_another_file_when_by_events_then_as_if_the_trades_carried_them(
    home: Path,
) -> None:
    """Each trade has the newest quotes that were known by then."""
    trades, path, quotes = surging_trades(), home / "rows.parquet", home / "quotes.parquet"
    carried = run(home, trades, SURGE_SCANNER)
    bare = trades.drop("bid", "ask")
    bare.write_parquet(path)
    trades.select("symbol", "timestamp", "bid", "ask").write_parquet(quotes)
    request = BacktestRequest(
        text=SURGE_SCANNER, settings=BacktestSettings(cash=CASH, interval="1m"), quotes=quotes
    )
    place = Place(home=home, at_ns=1, catalog=NATIVE, instruments=LISTING)

    found = study_events(request, place, path, FREE)

    assert found.orders.drop("order_id").equals(carried.orders.drop("order_id"))
    assert found.fills.height == 1


def test_recorded_trades_when_by_events_then_they_come_as_the_trader_took_them_in() -> None:
    """Late ones, two feeds, numbers that overtake: in the order of arrival, dated by the venue."""
    begin = calendar_for("KRX").open_close_ns(SESSIONS[0])[0]
    arrivals = [
        *(("kis-1", 1, 10, 10), ("kis-2", 1, 11, 12), ("kis-1", 2, 70, 71), ("kis-1", 3, 58, 72)),
        *(("kis-2", 2, 72, 73), ("kis-1", 4, 74, 76), ("kis-1", 5, 75, 75), ("kis-2", 3, 80, 81)),
    ]
    ticks = [
        TicksCollected(
            feed=feed,
            session=1,
            first_frame=number,
            first_tick=number,
            ticks=(
                TradeTick(
                    instrument_id="KRX:005930" if feed == "kis-1" else "KRX:000660",
                    venue="KRX",
                    broker="kis",
                    ts_event_ns=begin + dated * 10**9,
                    ts_recv_ns=begin + received * 10**9,
                    price=Decimal(10_000 + dated),
                    quantity=Decimal(number),
                    aggressor=Aggressor.BUY,
                    cumulative_quantity=Decimal(0),
                    bid=Decimal(9_990),
                ),
            ),
            frames=(0,),
        )
        for feed, number, dated, received in arrivals
    ]
    rows = [row for each in ticks for row in tick_rows(each, "market-data.krx.ticks")]
    recorded = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.col("timestamp", "received_at").cast(pl.Datetime("ns", "UTC")),
        pl.col("ask").cast(pl.Decimal(18, 0)),
    )
    ids = {"005930": "KRX:005930", "000660": "KRX:000660"}

    stream = stream_of_trades(checked_trades(recorded), ids, "KRX", "kis", by_arrival=True)

    seen = [tick for entry in entries_of(recorded) for tick in entry.ticks]
    names = ("instrument_id", "ts_event_ns", "price", "quantity", "bid", "ask")
    assert [[getattr(tick, name) for name in names] for tick in stream.entry(0, 8).ticks] == [
        [getattr(tick, name) for name in names] for tick in seen
    ]
    arrivals_s = [(at - begin) // 10**9 for at in stream.at.tolist()]
    assert arrivals_s == [10, 12, 71, 72, 73, 76, 76, 81]


def test_orders_with_prices_say_what_they_are_and_what_became_of_them(home: Path) -> None:
    """A limit for the day, one good till cancelled, stops: in the table and on the page."""
    text = """strategy("Priced") {
      entry.long {
        when (close > open and volume > 30_000) { buy(10, type: "limit", price: close * 0.998) }
        when (close > open) { buy(20, type: "stop", stop: close * 1.001, tif: "gtc") }
      }
      exit.long {
        when (close < open and volume > 30_000) {
          sell("all", type: "limit", price: close * 1.001, tif: "gtc")
        }
        when (close < open) {
          sell("all", type: "stop_limit", stop: close * 0.999, price: close * 0.99)
        }
      }
    }"""

    found = run(home, minutes(2), text)

    orders = found.orders
    kinds = orders.select("side", "type", "time_in_force").unique().sort("side", "type").rows()
    assert kinds == [
        ("buy", "limit", "day"),
        ("buy", "stop", "gtc"),
        ("sell", "limit", "gtc"),
        ("sell", "stop_limit", "day"),
    ]
    has = orders.select("type", pl.col("limit", "stop").is_not_null()).unique().sort("type").rows()
    assert has == [("limit", True, False), ("stop", False, True), ("stop_limit", True, True)]
    assert {"filled", "cancelled", "expired"} <= set(orders["status"])
    bought = orders.filter(pl.col("side") == "buy", pl.col("status") == "filled")
    assert bought.filter(pl.col("price") > pl.col("limit")).height == 0
    page = render_events(found)
    assert "limit gtc" in page
    assert "limit day" in page


def test_benchmarks_when_asked_for_then_the_page_compares_sessions_by_events(home: Path) -> None:
    """As a tear sheet does over bars; a benchmark that is not there says where it was sought."""
    minutes(1).write_parquet(home / "rows.parquet")
    days = ("2024-05-31", *map(str, SESSIONS))
    closes = zip(days, (2_600, 2_626, 2_600, 2_652), strict=True)
    index = home / "index.csv"
    index.write_text("session_date,close\n" + "".join(f"{d},{close}\n" for d, close in closes))
    text = TEXT.format(size='"20%"', risk="")
    request = BacktestRequest(text=text, settings=BacktestSettings(cash=CASH, interval="1m"))
    place = Place(home=home, at_ns=1, catalog=NATIVE, instruments=LISTING)
    wanted = (Benchmark("Index", file=index), read_benchmark("KOSPI"))

    found = study_events(request, place, home / "rows.parquet", FREE, benchmarks=wanted)

    beside, absent = event_document(found, request.settings)["benchmarks"]
    assert (beside["name"], beside["sessions"]) == ("Index", 3)
    assert beside["figures"]["benchmark_return"] == pytest.approx(0.02)
    excess = found.final_equity / CASH - 1 - 0.02
    assert beside["figures"]["excess_return"] == pytest.approx(excess)
    assert absent["absence"].startswith("the run read a file")
    page = render_events(found)
    assert "Index, 3 of 3 sessions" in page
    assert "KOSPI is absent" in page


def test_bar_of_few_shares_has_as_many_trades(home: Path) -> None:
    """The open comes first, the close second; volumes add up."""
    start = datetime.fromtimestamp(calendar_for("KRX").open_close_ns(SESSIONS[0])[0] / 1e9, UTC)
    one = {"symbol": "005930", "open": 100, "high": 103, "low": 99, "close": 101}
    bars = pl.DataFrame(
        [{**one, "timestamp": start + timedelta(minutes=n), "volume": n} for n in (1, 2, 3, 7)]
    )

    stream = stream_of_bars(bars, {"005930": "KRX:005930"}, "1m", "KRX", "kis")

    ticks = stream.entry(0, len(stream)).ticks
    by_minute: dict[int, list[tuple[int, int]]] = {}
    for tick in ticks:
        minute = (tick.ts_event_ns - int(start.timestamp()) * 10**9) // (60 * 10**9)
        by_minute.setdefault(minute, []).append((int(tick.price), int(tick.quantity)))
    assert by_minute == {
        1: [(100, 1)],
        2: [(100, 1), (101, 1)],
        3: [(100, 1), (103, 1), (101, 1)],
        7: [(100, 2), (100, 1), (99, 1), (103, 1), (101, 2)],
    }


@pytest.mark.parametrize(
    ("text", "changes", "error", "message"),
    [
        (TEXT.format(size="1", risk=""), {"interval": "1d"}, InputError, "too coarse"),
        (
            STOP_TEXT,
            {},
            StrategyError,
            "stops are held for the day or until cancelled; found fok",
        ),
        (
            TEXT.format(size="1", risk=""),
            {"venue": "UPBIT"},
            InputError,
            "judged for: KRX, BINANCE",
        ),
        (
            TEXT.format(size="1", risk=""),
            {"delistings": ("005930@2024-06-05",)},
            InputError,
            "accepted in a backtest over bars only",
        ),
        (
            TEXT.format(size="1", risk=""),
            {"rights": ("005930@2024-06-05=0.2:60000",)},
            InputError,
            "rights issues, dividends and delistings are accepted in a backtest over bars only",
        ),
    ],
)
def test_what_live_trading_does_not_do_is_refused(
    home: Path, text: str, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    """One line says what is accepted."""
    bars = minutes(1, 5)
    if "venue" in changes:
        bars = bars.with_columns(symbol=pl.lit("KRW-BTC")).unique("timestamp")
    with pytest.raises(error, match=message):
        run(home, bars, text, **changes)


def test_locked_holdout_is_refused_and_a_run_is_counted(home: Path) -> None:
    """An event backtest looks at data like any other."""
    place = Place(home=home, at_ns=1, catalog=NATIVE, instruments=LISTING)
    before = len(place.ledger.trials("Trial"))
    run(home, minutes(5), TEXT.format(size="2", risk=""))
    assert len(place.ledger.trials("Trial")) == before + 1

    asked = Locked(
        name="late",
        venue="KRX",
        from_day=SESSIONS[1],
        to_day=SESSIONS[2],
        by="tests",
        reason="to be refused",
    )
    place.holdouts.lock(asked, 1)
    try:
        with pytest.raises(HoldoutLockedError):
            run(home, minutes(5), TEXT.format(size="2", risk=""))
    finally:
        (home / "research" / "holdouts.jsonl").unlink()
