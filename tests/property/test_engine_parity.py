"""Live and backtest decide alike: the same bars, fed to the engine as trades, give equal orders.

Signals are compared to the bit. Orders, fills and the money at the end agree as well where the
market lets both fill alike: every instrument trades in every minute, orders fill at the open of
the next bar, and bars of one minute close together.
"""

import importlib.util
import random
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import polars as pl
import pytest
from free_limits import FREE
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jts_pipelines.backtest import places
from jts_pipelines.backtest.engine import desk_of, load_kernels, pass_of, prepare
from jts_pipelines.backtest.event_run import run_events
from jts_pipelines.backtest.event_trades import stream_of_trades
from jts_pipelines.backtest.lanes import simulate
from jts_pipelines.backtest.loading import BacktestRequest
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.tick_bars import LINEAGE, bars_of_trades, checked_trades
from jts_pipelines.research.events import study_events
from jts_pipelines.research.study import Place
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import calendar_for
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.engine.state import EngineSettings
from jts_trading.indicators.catalog import NATIVE
from jts_trading.kernels.loader import load

SESSIONS = calendar_for("KRX").sessions(date(2024, 6, 3), date(2024, 6, 5))
SYMBOLS = ("000660", "005930")
CASH = 10_000_000
MINUTE_NS = 60_000_000_000
TEXT = """strategy("Trial") {{
  {frames}
  indicators {{ quick = SMA(period: 2) slow = SMA(period: 5) }}
  entry.long {{ when (quick crosses above slow) {{ buy(quantity: {size}) }} }}
  exit.long {{
    when (quick crosses below slow and {also}) {{ sell(quantity: {leave}) }}
    when (close < slow * 0.97) {{ sell(quantity: "all") }}
  }}
  risk_management {{ {risk} }}
}}
"""
RISKS = (
    "",
    'stop_loss = "1%"',
    'trailing_stop = "1.5%" max_position_size = "30%"',
    'take_profit = "1%" max_positions = 1',
    'cooldown = 3 daily_loss_limit = "0.5%"',
    'cooldown = "4m" stop_loss = "0.7%" take_profit = "0.9%"',
)
FRAMES = ('timeframes { base = "1m" coarse = "5m" } indicators { on coarse { top = high } }', "")


@pytest.fixture(scope="module")
def rigs() -> ModuleType:
    """The engine's rig."""
    name = "engine_rig"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "reference" / "engine_rig.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def minutes(seed: int, count: int, *, gaps: bool) -> pl.DataFrame:
    """Return minute bars of two instruments: the first or the last ones of every session."""
    chance = random.Random(seed)
    prices = {symbol: chance.choice((9_000, 71_000)) for symbol in SYMBOLS}
    rows = []
    for day in SESSIONS:
        open_ns, close_ns = calendar_for("KRX").open_close_ns(day)
        first_ns = close_ns - count * MINUTE_NS if seed % 2 else open_ns
        start = datetime.fromtimestamp(first_ns // 10**9, UTC)
        for step in range(count):
            for symbol in SYMBOLS:
                if gaps and chance.random() < 0.3:
                    continue
                first = prices[symbol]
                last = max(first + chance.randint(-first // 100, first // 100), 1_000)
                prices[symbol] = max(last + chance.randint(-first // 400, first // 400), 1_000)
                rows.append(
                    {
                        "symbol": symbol,
                        "timestamp": start + timedelta(minutes=step),
                        "open": first,
                        "high": max(first, last) + 3,
                        "low": min(first, last) - 3,
                        "close": last,
                        "volume": 1_000 * chance.randint(4, 99),
                    }
                )
    return pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def text_of(draw: random.Random) -> str:
    """Return one of many strategies."""
    frames = draw.choice(FRAMES)
    return TEXT.format(
        frames=frames,
        size=draw.choice(('"20%"', '"90%"', "7", '"3000000 KRW"', "calculate_kelly_criterion()")),
        also=draw.choice(("coarse.top > base.low",) if frames else ("volume > 8000", "close > 0")),
        leave=draw.choice(('"all"', '"50%"')),
        risk=draw.choice(RISKS),
    )


class Backtest:
    """What a backtest did: the mask of each bar, the fills, the cash and value at the end."""

    def __init__(self, text: str, frame: pl.DataFrame, kernels: Path) -> None:
        plan = compile_strategy(text)
        assumed = BacktestSettings(cash=CASH, interval="1m", kelly_trades_min=3)
        prepared = prepare(plan, frame, assumed, listing())
        signals, portfolio = load_kernels(plan, kernels, assumed)
        fired = pass_of(prepared, plan, signals).run_all()
        desk = desk_of(prepared, assumed, fired)
        rows = simulate(portfolio, desk)
        bars = prepared.bars
        instrument, stamp = bars.instrument, bars.stamp
        self.fired = {
            (bars.symbols[instrument[at]], int(stamp[at]) * 10**6): int(fired[at])
            for at in range(bars.rows)
            if fired[at]
        }
        self.fills = [
            (
                bars.symbols[instrument[row[places.FILL_ROW]]],
                int(stamp[row[places.FILL_ROW]]) * 10**6,
                int(row[places.FILL_SIDE]),
                int(row[places.FILL_QUANTITY]),
                int(row[places.FILL_PRICE]),
                int(row[places.FILL_REASON]),
            )
            for row in rows
        ]
        self.cash = int(desk.account[places.CASH])
        self.equity = self.cash + int(desk.account[places.VALUE])


def listing() -> pl.DataFrame:
    """Return both symbols as KOSPI shares."""
    return pl.DataFrame({"symbol": SYMBOLS, "market": ["KOSPI"] * 2})


def live(rigs: ModuleType, text: str, frame: pl.DataFrame, load_kernel: Any) -> Any:
    """Feed bars as trades: open, high, low, close; minutes close together by the clock."""
    spec = rigs.describe(
        text, instrument_ids=tuple(f"KRX:{s}" for s in SYMBOLS), allocation=Decimal(CASH)
    )
    sizes = EngineSettings().sizes
    kelly = (3, *sizes.kelly[1:])
    set_to = EngineSettings(sizes=type(sizes)(sizes.entry_ppm, kelly))
    rig = rigs.Rig(spec, settings=set_to, load=load_kernel)
    by_minute = frame.sort("timestamp", "symbol").group_by("timestamp", maintain_order=True)
    for (stamp,), bars in by_minute:
        start = int(stamp.timestamp()) * 10**9
        rig.clock(start)
        for second, name in enumerate(("open", "high", "low", "close")):
            for row in bars.iter_rows(named=True):
                quantity = row["volume"] // 4 + (row["volume"] % 4 if name == "open" else 0)
                at = start + second * 10**9
                rig.trade(rigs.Print(f"KRX:{row['symbol']}", at, str(row[name]), str(quantity)))
        rig.clock(start + MINUTE_NS + 10**9)
        if calendar_for("KRX").open_close_ns(stamp.date())[1] == start + MINUTE_NS:
            rig.clock(start + MINUTE_NS + 31 * 10**9)
    rig.clock(start + 10 * MINUTE_NS)
    return rig


def masks(rig: Any) -> dict[tuple[str, int], int]:
    """Return the mask of each decision of rules."""
    return {(d.instrument_id[4:], d.bar_start_ns): d.fired for d in rig.decisions if d.fired}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_signals_when_bars_have_holes_then_live_fires_what_a_backtest_fires(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """Every mask of every bar, over three sessions with a third of the minutes missing."""
    text = text_of(random.Random(seed))
    frame = minutes(seed, 25, gaps=True)

    rig = live(rigs, text, frame, lambda source: load(source, kernels))

    assert masks(rig) == Backtest(text, frame, kernels).fired


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
@example(seed=2573)  # two entries on the last bar of a session, cash for one
@example(seed=3876046561)
def test_orders_when_fills_agree_then_live_and_backtest_agree_to_the_won(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """Side, quantity, price and reason of every fill, and the money at the end."""
    require_same_orders(rigs, text_of(random.Random(seed)), minutes(seed, 30, gaps=False), kernels)


GUARDED = """strategy("Guarded") {
  rank by change(close, 2) / close
  entry.long {
    when (close > open and portfolio.positions < 1 and portfolio.cash > 5_000_000 KRW
          and minutes_since_open < 370) { buy(quantity: "30%") }
    when (since(close < open) >= 2 and portfolio.exposure < 50% and not auction) { buy(20) }
  }
  exit.long {
    when (close < open and position.profit < 0.2%) { close() }
    when (position.bars >= 6 or position.age > 9m or time > 15:28) { sell(quantity: "50%") }
    when (close < position.highest * 0.99 and position.value > 1_000_000 KRW) { close() }
    when (portfolio.day_profit < -0.2% and close < position.entry_price) { sell("all") }
    when (portfolio.equity < 9_990_000 KRW and position.quantity > 100) { close() }
  }
}"""


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_orders_when_rules_ask_for_the_account_then_live_and_backtest_agree(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """The guard gets the same facts in both, and entries come in the order of their rank."""
    require_same_orders(rigs, GUARDED, minutes(seed, 30, gaps=False), kernels)


# Exits and entries fire on the same bars; what the guard denies leaves the bar to the other.
PYRAMIDED = """strategy("Pyramided") {{
  rank by change(close, 2) / close
  entry.long {{
    when (close > open and position.entries < {first}) {{ buy(quantity: {size}) }}
    when (close > open and position.profit > 0.1% and position.bars >= 2) {{ buy("7%") }}
    when (close < open and position.highest > close * 1.002) {{ buy(11) }}
  }}
  exit.long {{
    when (close > open and position.profit > 0.4%) {{ sell(quantity: {leave}) }}
    when (close < open and position.profit < -0.5%) {{ sell("all") }}
    when (position.entries == 3 and close < position.entry_price) {{ sell(10) }}
  }}
  risk_management {{ pyramiding = {most} {risk} }}
}}"""


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_orders_when_positions_are_added_to_then_live_and_backtest_agree_to_the_won(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """Entries, parts that are sold, and levels from the average price."""
    draw = random.Random(seed)
    text = PYRAMIDED.format(
        first=draw.choice((1, 3)),
        size=draw.choice(('"9%"', '"40%"', "23", '"1000000 KRW"')),
        leave=draw.choice(('"4%"', '"all"', "37")),
        most=draw.choice((2, 3, 7)),
        risk=draw.choice((*RISKS, 'max_position_size = "25%" trailing_stop = "1%"')),
    )
    require_same_orders(rigs, text, minutes(seed, 30, gaps=False), kernels)


def test_entries_when_ranked_then_the_order_of_ids_does_not_decide(
    rigs: ModuleType, kernels: Path
) -> None:
    """Only one position is allowed: who ranks higher gets it."""
    frame = minutes(5, 30, gaps=False)
    orders = []
    for text in (GUARDED, GUARDED.replace("rank by change(close, 2) / close", "")):
        rig = live(rigs, text, frame, lambda source: load(source, kernels))
        orders.append([intent.instrument_id for intent in rig.intents])

    assert orders[0] != orders[1]


QUOTED = """strategy("Quoted") {
  entry.long { when (spread < 0.2% and spread < SMA(2, source: spread)) { buy(1) } }
  exit.long { when (spread > 0.3% and minutes_since_open > 1) { close() } }
}"""


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_signals_when_trades_carry_quotes_then_live_sees_the_spread_of_a_backtest(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """The quotes of a bar are those of its last trade; crossed and missing ones are none."""
    chance = random.Random(seed)
    open_ns = calendar_for("KRX").open_close_ns(SESSIONS[0])[0]
    rig = rigs.Rig(
        rigs.describe(QUOTED, instrument_ids=tuple(f"KRX:{s}" for s in SYMBOLS)),
        load=lambda source: load(source, kernels),
        fills=False,
    )
    rows = []
    for at in sorted(chance.sample(range(1_200), 150)):
        symbol, price = chance.choice(SYMBOLS), chance.randint(9_900, 10_100)
        bid = chance.choice((price, price - 10, None))
        ask = chance.choice((price + 10, price + 20, price - 30, None))
        at_ns = open_ns + at * 10**9
        quotes = (None if bid is None else str(bid), None if ask is None else str(ask))
        rig.trade(rigs.Print(f"KRX:{symbol}", at_ns, str(price), "3", *quotes))
        rows.append((symbol, at_ns, price, 3, bid, ask))
    rig.clock(open_ns + 1_300 * 10**9)
    names = ("symbol", "timestamp", "price", "quantity", "bid", "ask")
    trades = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    )

    found = Backtest(QUOTED, bars_of_trades(trades, "1m", "KRX").bars, kernels)

    assert masks(rig) == {key: fired for key, fired in found.fired.items() if fired}


PRICED = """strategy("Priced") {{
  entry.long {{
    when (close > open and volume > {least}) {{ buy(quantity: {size}, {entry}) }}
    when (close > open) {{ buy(quantity: "10%") }}
  }}
  exit.long {{
    when (close < open and close < high - {far} KRW) {{ sell(quantity: {leave}, {exit}) }}
    when (close < open and volume > 200) {{ close() }}
  }}
  risk_management {{ {risk} }}
}}
"""
# Limits that rest lie on odd ticks, minutes open and close on even ones; ioc and fok fill at once.
TICK = 10
ENTRIES = (
    'type: "limit", price: close - 30 KRW',
    'type: "limit", price: close - 10 KRW',
    'type: "limit", price: close + 90 KRW, tif: "ioc"',
    'type: "limit", price: close + 90 KRW, tif: "fok"',
    'tif: "ioc"',
    'type: "limit", price: close - 30 KRW, tif: "gtc"',
    'type: "stop", stop: close + 30 KRW',
    'type: "stop", stop: close + 50 KRW, tif: "gtc"',
    'type: "stop_limit", stop: close + 10 KRW, price: close + 50 KRW',
    'type: "stop_limit", stop: close + 30 KRW, price: close + 30 KRW, tif: "gtc"',
)
EXITS = (
    'type: "limit", price: close + 30 KRW',
    'type: "limit", price: close + 10 KRW',
    'type: "limit", price: close - 90 KRW, tif: "ioc"',
    'tif: "fok"',
    'type: "limit", price: close + 50 KRW, tif: "gtc"',
    'type: "stop", stop: close - 30 KRW',
    'type: "stop", stop: close - 50 KRW, tif: "gtc"',
    'type: "stop_limit", stop: close - 10 KRW, price: close - 30 KRW',
    'type: "stop_limit", stop: close - 30 KRW, price: close - 30 KRW, tif: "gtc"',
)


def walks(seed: int, count: int = 20) -> list[tuple[int, str, list[int]]]:
    """Return the prices of the last minutes of three sessions: start, symbol, a walk by ticks.

    Within a session a minute begins where the one before ended, so that a market by bars and one
    by trades can fill alike: whatever a bar reaches is traded there.
    """
    chance = random.Random(seed)
    prices = {symbol: chance.choice((9_000, 12_000)) for symbol in SYMBOLS}
    found = []
    for day in SESSIONS:
        first_ns = calendar_for("KRX").open_close_ns(day)[1] - count * MINUTE_NS
        for symbol in SYMBOLS:
            prices[symbol] += chance.randint(-4, 4) * 2 * TICK
        for step in range(count):
            for symbol in SYMBOLS:
                walk = [prices[symbol]]
                for _ in range(2 * chance.randint(1, 6)):
                    walk.append(walk[-1] + chance.choice((-TICK, TICK)))
                prices[symbol] = walk[-1]
                found.append((first_ns + step * MINUTE_NS, symbol, walk))
    return found


def bars_of(found: list[tuple[int, str, list[int]]]) -> pl.DataFrame:
    """Return walks as bars; each price trades twice, ten shares each time."""
    rows = [
        {
            "symbol": symbol,
            "timestamp": start // 10**6,
            "open": walk[0],
            "high": max(walk),
            "low": min(walk),
            "close": walk[-1],
            "volume": 20 * len(walk),
        }
        for start, symbol, walk in found
    ]
    return pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def walk_live(rigs: ModuleType, text: str, found: list[tuple[int, str, list[int]]]) -> Any:
    """Feed walks trade by trade; minutes close together by the clock, days end."""
    ids = tuple(f"KRX:{s}" for s in SYMBOLS)
    spec = rigs.describe(text, instrument_ids=ids, allocation=Decimal(CASH))
    rig = rigs.Rig(spec)
    by_minute: dict[int, list[tuple[str, list[int]]]] = {}
    for start, symbol, walk in found:
        by_minute.setdefault(start, []).append((symbol, walk))
    closes = {calendar_for("KRX").open_close_ns(day)[1] for day in SESSIONS}
    last_day = None
    for start, parts in by_minute.items():
        day = start // (86_400 * 10**9)
        if day != last_day:
            rig.end_session(start)
            last_day = day
        rig.clock(start)
        prints = [
            (start + (2 * at + again) * 10**9, symbol, price)
            for symbol, walk in parts
            for at, price in enumerate(walk)
            for again in (0, 1)
        ]
        for at_ns, symbol, price in sorted(prints):
            rig.trade(rigs.Print(f"KRX:{symbol}", at_ns, str(price), "10"))
        rig.clock(start + MINUTE_NS + 10**9)
        if start + MINUTE_NS in closes:
            rig.clock(start + MINUTE_NS + 31 * 10**9)
    return rig


SIZES = ('"20%"', '"45%"', "37", '"3000000 KRW"')
# Three entries in both instruments: what an order that is called back holds is not needed, see
# `docs/assumptions.md`.
THIRDS = ('"5%"', '"15%"', "37", '"1500000 KRW"')


def priced_text(draw: random.Random, sizes: tuple[str, ...] = SIZES) -> str:
    """Return one of many strategies with limit orders."""
    return PRICED.format(
        least=draw.choice((60, 100, 160)),
        size=draw.choice(sizes),
        entry=draw.choice(ENTRIES),
        far=draw.choice((10, 20)),
        leave=draw.choice(('"all"', '"50%"')),
        exit=draw.choice(EXITS),
        risk=draw.choice(("", 'stop_loss = "0.3%"', 'trailing_stop = "0.4%"', "cooldown = 2")),
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_orders_when_they_have_prices_then_live_and_backtest_agree_to_the_won(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """Limits that rest, fill, end with their session, or are called back: the same fills."""
    text, found = priced_text(random.Random(seed)), walks(seed)

    rig = walk_live(rigs, text, found)

    require_fills(rigs, rig, Backtest(text, bars_of(found), kernels))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_orders_when_priced_entries_add_then_live_and_backtest_agree_to_the_won(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """An order that is given again each session stays one entry, also where it fills in parts."""
    draw = random.Random(seed)
    text = priced_text(draw, THIRDS)
    text = text.replace("risk_management {", "risk_management { pyramiding = 3")
    found = walks(seed)

    rig = walk_live(rigs, text, found)

    require_fills(rigs, rig, Backtest(text, bars_of(found), kernels))


# Each text is compiled for live trading, so there are few; together they have every kind of order.
BY_EVENTS = (
    (ENTRIES[1], EXITS[1], 'stop_loss = "0.3%"'),
    (ENTRIES[5], EXITS[5], ""),
    (ENTRIES[6], EXITS[4], 'trailing_stop = "0.4%"'),
    (ENTRIES[9], EXITS[8], "cooldown = 2"),
    (ENTRIES[1], EXITS[5], 'pyramiding = 3 stop_loss = "0.4%"'),
)


@pytest.mark.parametrize(("entry", "leave", "risk"), BY_EVENTS)
def test_events_when_orders_have_prices_then_they_are_those_over_bars(
    entry: str, leave: str, risk: str, kernels: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same walks as a file of trades, with every check of risk."""
    terms = {"least": 60, "size": '"20%"', "far": 10, "leave": '"all"'}
    text = PRICED.format(**terms, entry=entry, exit=leave, risk=risk)
    count = sum(
        require_same_events(text, walks(seed), kernels, tmp_path_factory) for seed in (1, 2, 3, 4)
    )
    assert count > 30


def require_same_events(
    text: str,
    found: list[tuple[int, str, list[int]]],
    kernels: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> int:
    """Check that walks by events give the fills of a backtest over bars; return how many."""
    home = tmp_path_factory.mktemp("events")
    (home / "cache").mkdir()
    (home / "cache" / "kernels").symlink_to(kernels)
    trades_of(found).write_parquet(home / "trades.parquet")
    assumed = BacktestSettings(cash=CASH, interval="1m", kelly_trades_min=3)

    made = study_events(
        BacktestRequest(text=text, settings=assumed),
        Place(home=home, at_ns=1, catalog=NATIVE, instruments=listing()),
        home / "trades.parquet",
        FREE,
    )

    expected = Backtest(text, bars_of(found), kernels)
    shown = [
        (
            row["instrument"][4:],
            int(row["time"].timestamp()) * 10**9 // MINUTE_NS * MINUTE_NS,
            1 if row["side"] == "buy" else -1,
            row["quantity"],
            row["price"],
        )
        for row in made.fills.iter_rows(named=True)
    ]
    assert sorted(shown) == sorted(fill[:5] for fill in expected.fills)
    assert made.final_equity == expected.equity
    return len(shown)


def trades_of(found: list[tuple[int, str, list[int]]]) -> pl.DataFrame:
    """Return walks as trades of the end of their minute: no price is too old to order by."""
    rows = [
        {
            "symbol": symbol,
            "timestamp": start + MINUTE_NS - (2 * len(walk) - at) * 10**9,
            "price": price,
        }
        for start, symbol, walk in found
        for at, price in enumerate(each for each in walk for _ in (0, 1))
    ]
    frame = pl.DataFrame(rows).with_columns(quantity=10)
    return frame.with_columns(pl.col("timestamp").cast(pl.Datetime("ns", "UTC")))


SURGING = """strategy("Surging") {
  timeframes { minute = "1m" coarse = "5m" }
  indicators { slow = SMA(3) on coarse { top = high } }
  surge_detection {
    when (price_change(2m) > 0.3% and volume > avg_volume(2) and spread < 0.3%) { buy(7) }
    when (minute.close > coarse.top and close crosses above slow) { execute_immediately(3) }
  }
}"""


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_surges_when_by_events_then_they_fire_on_the_trades_that_live_fires_on(
    seed: int, rigs: ModuleType, kernels: Path
) -> None:
    """The same trades, one by one to the engine, and as a file to the event backtest."""
    chance = random.Random(seed)
    open_ns = calendar_for("KRX").open_close_ns(SESSIONS[0])[0]
    ids = {symbol: f"KRX:{symbol}" for symbol in SYMBOLS}
    rig = rigs.Rig(
        rigs.describe(SURGING, instrument_ids=tuple(ids.values()), allocation=Decimal(CASH)),
        load=lambda source: load(source, kernels),
        fills=False,
    )
    rows, prices = [], dict.fromkeys(SYMBOLS, 10_000)
    for at in sorted(chance.sample(range(1_500), 400)):
        symbol, quantity = chance.choice(SYMBOLS), chance.randint(1, 9)
        price = prices[symbol] = prices[symbol] + 10 * chance.randint(-2, 2)
        bid, ask, at_ns = price, price + chance.choice((10, 40)), open_ns + at * 10**9
        rig.clock(at_ns)
        each = rigs.Print(f"KRX:{symbol}", at_ns, str(price), str(quantity), str(bid), str(ask))
        rig.trade(each)
        rows.append((symbol, at_ns, price, quantity, bid, ask))
    names = ("symbol", "timestamp", "price", "quantity", "bid", "ask")
    trades = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    )

    found = run_events(
        SURGING,
        stream_of_trades(checked_trades(trades), ids, "KRX", "kis"),
        BacktestSettings(cash=CASH, interval="1m"),
        RiskLimits(order_value_max={"KRW": Decimal(10**9)}, orders_per_minute=10_000),
        listed=lambda _: rigs.KOSPI,
        cache_dir=kernels,
        catalog=NATIVE,
    )

    assert found.signals == len(rig.signals)
    fired = [decision.triggered_ns for decision in rig.decisions]
    assert [line.given_ns for line in found.orders[:1]] == fired[:1]
    assert {line.given_ns for line in found.orders} <= set(fired)


WARY = """strategy("Wary") {
  require quality within 2
  entry.long { when (close > 0) { buy(1) } }
  exit.long { when (not quality) { close() } }
}"""


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), tells=st.booleans())
def test_signals_when_trades_were_lost_then_live_doubts_the_bars_that_a_backtest_doubts(
    seed: int, tells: bool, rigs: ModuleType, kernels: Path
) -> None:
    """By the quantity of the day, or by another connection where the venue does not tell it."""
    chance = random.Random(seed)
    open_ns = calendar_for("KRX").open_close_ns(SESSIONS[0])[0]
    rig = rigs.Rig(
        rigs.describe(WARY, instrument_ids=tuple(f"KRX:{s}" for s in SYMBOLS)),
        load=lambda source: load(source, kernels),
        fills=False,
    )
    rows, reached, session = [], dict.fromkeys(SYMBOLS, 0), 1
    for number, at in enumerate(sorted(chance.sample(range(1_200), 150))):
        symbol, price = chance.choice(SYMBOLS), chance.randint(9_900, 10_100)
        session += chance.random() < 0.03
        reached[symbol] += 3 + (chance.randint(1, 9) if chance.random() < 0.1 else 0)
        at_ns, total = open_ns + at * 10**9, reached[symbol] if tells else 0
        each = rigs.Print(f"KRX:{symbol}", at_ns, str(price), "3", reached=str(total))
        rig.take(msgspec.structs.replace(rig.entry([each]), session=session))
        rows.append((symbol, at_ns, at_ns, price, 3, "kis-1", number, session, total))
    rig.clock(open_ns + 1_300 * 10**9)
    names = ("symbol", "timestamp", "received_at", "price", "quantity", *LINEAGE)
    trades = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp", "received_at").cast(pl.Datetime("ns", "UTC"))
    )
    bars = bars_of_trades(trades, "1m", "KRX").bars

    found = Backtest(WARY, bars, kernels)

    assert masks(rig) == {key: fired for key, fired in found.fired.items() if fired}
    assert set(bars["quality"]) <= {"ok", "missing_trades"}


def require_same_orders(rigs: ModuleType, text: str, frame: pl.DataFrame, kernels: Path) -> None:
    """Check that a backtest and the engine make the same fills and the same money."""
    rig = live(rigs, text, frame, lambda source: load(source, kernels))

    require_fills(rigs, rig, Backtest(text, frame, kernels))


def require_fills(rigs: ModuleType, rig: Any, expected: Backtest) -> None:
    """Check that the engine made the fills and the money of a backtest."""
    reasons = {s.signal_id: s.rule for s in rig.signals}
    by_order = {rigs.order_of(s, tries): reasons[s] for s in reasons for tries in range(4)}
    found = [
        (
            intent.instrument_id[4:],
            fill.ts_event_ns // MINUTE_NS * MINUTE_NS,
            1 if intent.side is OrderSide.BUY else -1,
            int(fill.quantity),
            int(fill.price),
            by_order[intent.order_id],
        )
        for intent, fill in rig.filled
    ]
    assert sorted(found) == sorted(expected.fills)
    assert int(rig.instance.account.cash) == expected.cash
    assert int(rig.instance.equity()) == expected.equity
