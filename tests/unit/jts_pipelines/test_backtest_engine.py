"""A whole backtest on markets small enough to compute by hand."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jts_pipelines.backtest import places
from jts_pipelines.backtest.columns import Desk
from jts_pipelines.backtest.conservation import ConservationError, require_conservation
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import (
    BacktestResult,
)
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy
from storage.errors import InputError

CALENDAR = calendar_for("KRX")
DAYS = CALENDAR.sessions(date(2024, 5, 2), date(2024, 7, 31))

RISE = """strategy("Rise") {
  entry.long { when (close > close[1]) { buy(quantity: "50%", type: "market") } }
  exit.long { when (close < close[1]) { sell(quantity: "all", type: "market") } }
  RISK
}
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled code, shared by the tests of a run."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"


def bar(
    day: date, prices: tuple[int, int, int, int], volume: int = 1_000_000
) -> dict[str, object]:
    """Return one daily bar of open, high, low, close; zeros are a halt."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=9)
    names = ("open", "high", "low", "close")
    values = dict(zip(names, prices, strict=True))
    return {"symbol": "005930", "timestamp": start, "trade_date": day, "volume": volume} | values


def flat(day: date, price: int) -> dict[str, object]:
    """Return a bar that opens, stands and closes near one price."""
    return bar(day, (price, price + 1, price - 1, price))


def halt(day: date, price: int) -> dict[str, object]:
    """Return a halted session."""
    return bar(day, (0, 0, 0, price), 0) | {"status": "halted"}


def frame(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Return bars as a table."""
    table = pl.DataFrame([{"status": "traded"} | row for row in rows])
    return table.with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def run(
    rows: list[dict[str, object]],
    kernels: Path,
    *,
    risk: str = "",
    text: str = RISE,
    settings: BacktestSettings | None = None,
) -> BacktestResult:
    """Run the strategy of this file over bars."""
    plan = compile_strategy(text.replace("RISK", risk))
    return run_backtest(
        plan, frame(rows), settings or BacktestSettings(cash=10_000_000), cache_dir=kernels
    )


def steps(*closes: int) -> list[dict[str, object]]:
    """Return bars on the first sessions, each near one price."""
    return [flat(day, close) for day, close in zip(DAYS, closes, strict=False)]


def fills_of(result: BacktestResult) -> list[tuple[object, ...]]:
    """Return day, side, quantity and price of each fill."""
    return result.fills.select("session", "side", "quantity", "price").rows()


def test_market_order_decided_on_a_close_fills_at_the_next_open(kernels: Path) -> None:
    """The decision is made on the close of one bar and filled at the open of the next."""
    rows = [
        flat(DAYS[0], 10_000),
        flat(DAYS[1], 10_100),
        bar(DAYS[2], (10_250, 10_300, 10_000, 10_200)),
    ]

    result = run(rows, kernels)

    # Half of 10,000,000 divided by 10,100, the price of the decision, not by that of the fill.
    assert fills_of(result) == [(DAYS[2], "buy", 495, 10_250)]
    assert result.fills["decided_at"][0] == rows[1]["timestamp"]
    assert result.fills["commission"].to_list() == [495 * 10_250 * 140_527 // 10**9]


def test_market_order_over_halted_and_absent_sessions_waits_for_a_trade(kernels: Path) -> None:
    """A halted session is never a fill; the order fills at the first open that can trade."""
    rows = [
        *steps(10_000, 10_100),
        halt(DAYS[2], 10_100),
        halt(DAYS[3], 10_100),
        flat(DAYS[6], 9_900),
    ]

    result = run(rows, kernels)

    assert fills_of(result) == [(DAYS[6], "buy", 495, 9_900)]


def test_market_buy_at_a_locked_upper_limit_waits_until_it_opens(kernels: Path) -> None:
    """Nobody sells on a bar that stood at its upper limit from open to close."""
    up = bar(DAYS[2], (13_130, 13_130, 13_130, 13_130))
    rows = [*steps(10_000, 10_100), up, flat(DAYS[3], 13_000)]

    result = run(rows, kernels)

    assert fills_of(result)[0][0] == DAYS[3]


def test_market_buy_after_a_rise_while_it_waited_is_cut_to_the_cash(kernels: Path) -> None:
    """Cash was reserved at one day's upper limit; after two locked days it may not be enough."""
    text = RISE.replace("50%", "100%")
    locked = [bar(DAYS[n], (p, p, p, p)) for n, p in ((2, 13_130), (3, 17_060), (4, 22_150))]

    result = run([*steps(10_000, 10_100), *locked, flat(DAYS[5], 22_100)], kernels, text=text)

    (day, _side, quantity, price) = fills_of(result)[0]
    assert (day, quantity) == (DAYS[5], 452)  # 761 were reserved at 13,130 each
    assert result.equity["cash"][-1] == 10_000_000 - 452 * price - result.fills["commission"][0]
    assert result.facts.reduced == 2


def test_market_buy_reserves_cash_at_the_upper_limit(kernels: Path) -> None:
    """All of the equity cannot be spent: KRX holds cash for the worst price of a market buy."""
    result = run(steps(10_000, 10_100, 10_100), kernels, text=RISE.replace("50%", "100%"))

    assert fills_of(result)[0][2] == 761  # 10,000,000 / (13,130 and commission)


def test_unadjusted_split_while_held_is_a_loss_that_the_result_doubts(kernels: Path) -> None:
    """Prices are raw: the jump is reported, and the exit waits for a price inside the limits."""
    rows = steps(10_000, 10_100, 10_100, 1_010, 1_000, 990)

    result = run(rows, kernels)

    assert [row[0] for row in fills_of(result)] == [DAYS[2], DAYS[4]]
    assert any(
        "not adjusted: KRX:005930 2024-05-08" in caution.text for caution in result.cautions
    )


def test_sale_money_of_one_bar_pays_purchases_of_the_same_bar(kernels: Path) -> None:
    """Sales fill first, and their money is usable at once, two days before it settles."""
    text = RISE.replace("50%", "100%")
    other = [
        row | {"symbol": "000660"}
        for row in (flat(DAYS[0], 100), flat(DAYS[1], 100), flat(DAYS[2], 100), flat(DAYS[3], 101))
    ]
    rows = [
        *steps(10_000, 10_100, 10_000, 10_000, 10_000),
        *other,
        flat(DAYS[4], 101) | {"symbol": "000660"},
    ]

    result = run(rows, kernels, text=text)

    sides = result.fills.select("session", "instrument", "side").rows()
    assert (DAYS[3], "KRX:005930", "sell") in sides
    assert (DAYS[4], "KRX:000660", "buy") in sides
    bought = result.fills.filter(pl.col("instrument") == "KRX:000660")
    assert bought["quantity"][0] * 101 > 7_000_000


@pytest.mark.parametrize(
    ("risk", "closes", "reason", "left"),
    [
        ('stop_loss = "3%"', (100_00, 101_00, 101_00, 101_00, 97_00, 97_00), "stop_loss", 5),
        ('take_profit = "5%"', (100_00, 101_00, 101_00, 107_00, 107_00), "take_profit", 4),
        (
            'trailing_stop = "3%"',
            (100_00, 101_00, 101_00, 120_00, 116_00, 116_00),
            "trailing_stop",
            5,
        ),
    ],
)
def test_risk_block_leaves_at_the_next_open_and_says_why(
    risk: str, closes: tuple[int, ...], reason: str, left: int, kernels: Path
) -> None:
    """Stops are judged on closes, fill at the next open, and are named as the reason."""
    text = RISE.replace("close < close[1]", "close < 0")

    result = run(steps(*closes), kernels, text=text, risk=f"risk_management {{ {risk} }}")

    sold = result.fills.filter(pl.col("side") == "sell")
    assert (sold["reason"][0], sold["session"][0]) == (reason, DAYS[left])


def test_risk_block_max_position_size_caps_an_entry(kernels: Path) -> None:
    """The cap is a share of the same equity at entry."""
    risk = 'risk_management { max_position_size = "20%" }'

    result = run(steps(10_000, 10_100, 10_100), kernels, risk=risk)

    assert fills_of(result)[0][2] == 198


def test_risk_block_daily_loss_limit_refuses_entries_of_that_day(kernels: Path) -> None:
    """A day that lost its share takes no new position; the next day may."""
    text = """strategy("Two") {
      entry.long { when (close > 0) { buy(quantity: "40%") } }
      exit.long { when (close < 0) { sell(quantity: "all") } }
      risk_management { daily_loss_limit = "1%" }
    }"""
    other = [
        row | {"symbol": "000660"}
        for row in (flat(DAYS[2], 500), flat(DAYS[3], 500), flat(DAYS[4], 500))
    ]

    result = run([*steps(10_000, 10_000, 9_000, 9_000, 9_000), *other], kernels, text=text)

    assert result.facts.blocked_by_loss == 1
    bought = result.fills.filter(pl.col("instrument") == "KRX:000660")
    assert bought["session"].to_list() == [DAYS[4]]


def test_risk_block_cooldown_rests_after_an_exit(kernels: Path) -> None:
    """After leaving, the instrument takes no entry for as many bars as the text says."""
    closes = (100, 101, 100, 101, 102, 103, 104, 105)

    free = run(steps(*closes), kernels)
    rested = run(steps(*closes), kernels, risk="risk_management { cooldown = 3 }")

    assert free.fills["session"].to_list() == [DAYS[2], DAYS[3], DAYS[4]]
    assert rested.fills["session"].to_list() == [DAYS[2], DAYS[3], DAYS[7]]
    assert rested.facts.blocked_by_risk == 3


def test_rules_of_one_bar_act_in_the_order_of_the_text(kernels: Path) -> None:
    """Of two entries that fire together the first one gives the size."""
    text = RISE.replace(
        "  RISK", "  entry.long { when (close > close[1]) { buy(quantity: 7) } }\n"
    ).replace('buy(quantity: "50%", type: "market")', "buy(quantity: 3)")

    result = run(steps(100, 101, 101), kernels, text=text)

    assert fills_of(result)[0][2] == 3


def test_orders_without_a_quantity_take_the_configured_size_and_all(kernels: Path) -> None:
    """An entry takes `entry_percent` of equity, an exit the whole position."""
    text = RISE.replace('quantity: "50%", type: "market"', "").replace(
        'quantity: "all", type: "market"', ""
    )
    settings = BacktestSettings(cash=10_000_000, entry_percent="10")

    result = run(steps(100, 100, 101, 101, 100, 100), kernels, text=text, settings=settings)

    assert [(row[1], row[2]) for row in fills_of(result)] == [("buy", 9_900), ("sell", 9_900)]


def test_end_of_the_bars_closes_nothing_and_counts_what_waits(kernels: Path) -> None:
    """A position stays open at its last close; an order without a next bar is counted."""
    result = run(steps(10_000, 10_100, 10_200, 10_100), kernels)

    assert result.trades.select("status", "profit").row(0) == (
        "open",
        495 * (10_100 - 10_200) - result.fills["commission"][0],
    )
    assert result.facts.waiting == 1
    assert "1 positions are still open" in " ".join(map(str, result.cautions))


def test_daily_frame_decides_on_the_first_hour_after_the_day_closed(kernels: Path) -> None:
    """A day that is not over is invisible; the next session's first hour sees it."""
    text = """strategy("Frames") {
      timeframes { daily = "1d" hourly = "1h" }
      entry.long { when (daily.close > 10000 and hourly.close > 0) { buy(quantity: 1) } }
    }"""
    rows = [
        flat(day, price) | {"timestamp": datetime(day.year, day.month, day.day, hour, tzinfo=UTC)}
        for day, price in zip(DAYS, (9_900, 10_100, 9_900), strict=False)
        for hour in range(6)
    ]
    settings = BacktestSettings(cash=10_000_000, interval="1h")

    result = run(rows, kernels, text=text, settings=settings)

    # The second day closed above; its close is known to the first hour of the third session.
    assert result.fills["decided_at"].to_list() == [rows[12]["timestamp"]]
    assert result.fills["time"].to_list() == [rows[13]["timestamp"]]


def test_exit_rule_while_an_entry_waits_cancels_it(kernels: Path) -> None:
    """An entry that a locked bar kept waiting is taken back when the strategy wants out."""
    text = RISE.replace("close < close[1]", "close > 13000")
    text = text.replace("close > close[1]", "close > close[1] and close < 13000")
    up = bar(DAYS[2], (13_130, 13_130, 13_130, 13_130))

    result = run([*steps(10_000, 10_100), up, flat(DAYS[3], 12_000)], kernels, text=text)

    assert result.facts.cancelled == 1
    assert result.fills.height == 0


def test_short_rules_are_left_out_and_the_result_says_so(kernels: Path) -> None:
    """Short-selling is off; nothing is quietly turned into something else."""
    text = """strategy("Short") {
      entry.short { when (close < close[1]) { sell(quantity: "5%") } }
      exit.short { when (close > close[1]) { buy(quantity: "all") } }
    }"""

    result = run(steps(100, 99, 98, 99), kernels, text=text)

    assert result.fills.height == 0
    said = "short-selling is off: 2 rules were left out (--short-selling obeys them)"
    assert said in map(str, result.cautions)


def test_spread_of_bars_with_quotes_is_that_of_their_end(kernels: Path) -> None:
    """(ask - bid) / mid: wide, crossed and missing quotes hold entries back."""
    text = RISE.replace("close > close[1]", "spread <= 2%")
    quotes = [(99, 101), (99, 102), (101, 99), (None, None), (100, 100), (0, 1)]
    rows = [
        row | {"bid": bid, "ask": ask}
        for row, (bid, ask) in zip(steps(100, 100, 100, 100, 100, 100), quotes, strict=True)
    ]

    result = run(rows, kernels, text=text)

    assert result.facts.entries_fired == 2
    assert any("3 of 6 bars have no quotes" in str(caution) for caution in result.cautions)


def test_universe_of_the_text_decides_which_instruments_are_entered(kernels: Path) -> None:
    """Symbols that the universe leaves out have no bars; without any, the run says so."""
    only = RISE.replace("entry.long {", 'universe { symbols = "005930" } entry.long {', 1)
    none = only.replace("005930", "999999")
    rows = steps(100, 101, 102) + [r | {"symbol": "000660"} for r in steps(100, 101, 102)]
    rows = [r | {"symbol": r["symbol"] if r["symbol"] == "000660" else "005930"} for r in rows]

    assert set(run(rows, kernels, text=only).fills["instrument"]) == {"KRX:005930"}
    with pytest.raises(
        InputError, match="accepts none of 2 instruments; it asks for symbols 9999"
    ):
        run(rows, kernels, text=none)


def test_doubtful_bars_when_quality_is_required_then_hold_entries_back(kernels: Path) -> None:
    """The bar that the lake marks, and those whose window holds it, fire no entry."""
    text = RISE.replace("entry.long {", "require quality within 2 entry.long {", 1)
    rows = steps(100, 101, 102, 103, 104, 105)
    marked = [r | {"quality": "price_jump" if at == 2 else "ok"} for at, r in enumerate(rows)]

    clean, held = run(rows, kernels, text=text), run(marked, kernels, text=text)

    assert clean.facts.entries_fired - held.facts.entries_fired == 2


def test_strategy_that_reads_quotes_never_fires_over_bars(kernels: Path) -> None:
    """Bars without bid and ask have no spread: nothing fires, and the result says why."""
    text = RISE.replace("close > close[1]", "spread < 0.5%")

    result = run(steps(100, 101), kernels, text=text)

    assert result.fills.height == 0
    assert any("no quotes" in str(caution) for caution in result.cautions)


def test_history_shorter_than_the_warm_up_is_said_plainly(kernels: Path) -> None:
    """No trade because nothing could be decided is another thing than no trade."""
    text = RISE.replace("close > close[1]", "SMA(period: 50) > close")

    result = run(steps(*range(100, 120)), kernels, text=text)

    assert result.closed_trades == 0
    assert result.cautions[0].text == (
        "nothing could be decided: frame base needs 50 closed bars before its conditions are "
        "defined, the longest history here has 20"
    )


def test_backtest_in_another_process_gives_the_same_digests_and_result(
    kernels: Path, tmp_path: Path
) -> None:
    """The same bars, text and settings give the same result, whoever computes it."""
    rows = steps(*[10_000 + 37 * (n * n % 23) for n in range(50)])
    file = tmp_path / "bars.parquet"
    frame(rows).write_parquet(file)
    program = """
import sys
from pathlib import Path
import polars as pl
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.compiler import compile_strategy
r = run_backtest(compile_strategy(sys.argv[3]), pl.read_parquet(sys.argv[1]),
                 BacktestSettings(cash=10_000_000), cache_dir=Path(sys.argv[2]))
sys.stdout.write(repr((r.digests, r.final_equity, dict(r.metrics))) + r.fills.write_csv())
"""
    text = RISE.replace("RISK", "")
    here = run(rows, kernels)

    found = subprocess.run(
        [sys.executable, "-c", program, str(file), str(kernels), text],
        capture_output=True,
        text=True,
        check=True,
    )

    assert here.fills.height > 10
    expected = repr((here.digests, here.final_equity, dict(here.metrics))) + here.fills.write_csv()
    assert found.stdout == expected


def test_data_digest_changes_with_any_value_that_a_run_reads(kernels: Path) -> None:
    """One share more in one bar is other data."""
    rows = steps(100, 101, 102)
    changed = [*rows[:2], rows[2] | {"volume": 1_000_001}]

    assert run(rows, kernels).digests.data != run(changed, kernels).digests.data
    assert run(rows, kernels).digests == run(list(reversed(rows)), kernels).digests


def test_data_digest_changes_with_whatever_else_changes_a_result(kernels: Path) -> None:
    """Market of a listing, doubtful bars and quotes: other results never have equal digests."""
    rows = steps(100, 101, 102, 99)
    clean = RISE.replace("entry.long {", "require quality entry.long {", 1)
    near = RISE.replace("close > close[1]", "spread < 2%")
    marked = [r | {"quality": "price_jump" if at == 1 else "ok"} for at, r in enumerate(rows)]
    narrow, wide = ([r | {"bid": 99, "ask": ask} for r in rows] for ask in (100, 104))
    listings = [
        pl.DataFrame({"symbol": "005930", "market": market}) for market in ("KOSPI", "KOSDAQ")
    ]
    plan = compile_strategy(RISE.replace("RISK", ""))

    listed = [
        run_backtest(plan, frame(rows), BacktestSettings(), cache_dir=kernels, instruments=listing)
        for listing in listings
    ]
    pairs = [
        listed,
        [run(bars, kernels, text=clean) for bars in (rows, marked)],
        [run(bars, kernels, text=near) for bars in (narrow, wide)],
    ]

    for first, second in pairs:
        assert first.digests.data != second.digests.data
        assert first.digests.run != second.digests.run
    # What the text does not look at changes neither a result nor a digest.
    assert run(wide, kernels).digests == run(rows, kernels).digests


def test_position_worth_more_than_is_exact_is_refused(kernels: Path) -> None:
    """A jump of the prices past what 64 bits count ends the run with a reason, not a number."""
    rows = [*steps(10, 11, 11), flat(DAYS[3], 90_000_000_000)]

    with pytest.raises(InputError, match="a position was worth more than 9,007,199,254,740,992"):
        run(rows, kernels)


def test_conservation_of_money_that_vanished_is_noticed() -> None:
    """The check that every run passes does fail when a won is missing."""
    fill = np.zeros((1, places.FILL_COLUMNS), np.int64)
    fill[0, places.FILL_SIDE], fill[0, places.FILL_QUANTITY] = places.BUY, 10
    fill[0, places.FILL_PRICE], fill[0, places.FILL_COMMISSION] = 100, 1
    account = np.zeros(places.ACCOUNT_COLUMNS, np.int64)
    account[places.CASH], account[places.VALUE] = 10_000 - 1_001, 1_100
    book = np.zeros((1, places.BOOK_COLUMNS), np.int64)
    book[0, places.QUANTITY], book[0, places.MARK], book[0, places.UNIT] = 10, 110, 1
    book[0, places.DIRECTION], rules = 1, np.zeros(places.RULE_COLUMNS, np.int64)
    nothing = np.zeros((1, places.FILL_COLUMNS), np.int64)
    desk = Desk(*[nothing] * len(Desk._fields))
    desk = desk._replace(account=account, book=book, rules=rules)

    require_conservation(desk, fill, 10_000)
    account[places.CASH] += 1

    with pytest.raises(ConservationError, match="cash is 9000, start and fills make 8999"):
        require_conservation(desk, fill, 10_000)


def test_real_panel_survives_halts_splits_and_stocks_without_limits(
    test_data: Path, kernels: Path
) -> None:
    """The daily KRX panel: every row is read, every won accounted for, doubts are named."""
    text = """strategy("SMA_Crossover") {
      indicators { sma20 = SMA(period: 20) sma50 = SMA(period: 50) }
      entry.long { when (sma20 crosses above sma50) { buy(quantity: "5%", type: "market") } }
      exit.long { when (sma20 crosses below sma50) { sell(quantity: "all", type: "market") } }
    }"""
    bars = pl.read_parquet(test_data / "krx" / "krx_1d_2023-12_2025-06.parquet")
    listing = pl.read_parquet(test_data / "krx" / "krx_instruments_2026-08-21.parquet")

    result = run_backtest(
        compile_strategy(text), bars, BacktestSettings(), cache_dir=kernels, instruments=listing
    )

    facts = result.facts
    assert (facts.bars, facts.instruments, facts.sessions) == (489_945, 1_367, 370)
    assert facts.traded_bars == 489_945 - 14_662
    assert result.closed_trades > 100
    flows = result.fills.select(
        pl.when(pl.col("side") == "buy").then(-1).otherwise(1)
        * pl.col("quantity")
        * pl.col("price")
        - pl.col("commission")
        - pl.col("tax")
    ).sum()
    assert 100_000_000 + flows.item() == result.equity["cash"][-1]
    assert any("KRX:001465 2024-04-17" in caution.text for caution in result.cautions)
    traded = bars.filter(pl.col("volume") > 0).select(
        pl.concat_str(pl.lit("KRX:"), "symbol").alias("instrument"),
        pl.col("session_date").alias("session"),
        pl.col("open").cast(pl.Int64).alias("price"),
    )
    assert result.fills.join(traded, on=traded.columns, how="anti").height == 0


def test_second_listing_on_minutes_of_27_sessions_says_that_it_never_warmed_up(
    test_data: Path, kernels: Path
) -> None:
    """Fifty daily bars cannot be had from 27 sessions: no trade, and the reason first."""
    text = """strategy("MultiTimeframe_Momentum") {
      timeframes { daily = "1d" hourly = "1h" }
      indicators {
        on daily { trend = SMA(period: 50) momentum = MACD(fast: 12, slow: 26, signal: 9) }
        on hourly { rsi = RSI(period: 14) }
      }
      entry.long {
        when (daily.close > daily.trend AND daily.momentum.histogram > 0 AND
              hourly.rsi between [40, 60]) { buy(quantity: calculate_kelly_criterion()) }
      }
      risk_management { max_position_size = "20%" trailing_stop = "3%" daily_loss_limit = "5%" }
    }"""
    bars = pl.read_parquet(test_data / "krx" / "krx_1m_creon_005930_2018-01_2018-02.parquet")

    result = run_backtest(
        compile_strategy(text), bars, BacktestSettings(interval="1m"), cache_dir=kernels
    )

    assert (result.facts.interval, result.facts.sessions) == ("1h", 27)
    assert result.facts.bars == 26 * 7 + 3  # the first session begins at 13:48
    assert result.fills.height == 0
    assert "frame daily needs 50 closed bars" in result.cautions[0].text
    assert result.cautions[0].text.endswith("has 26")
