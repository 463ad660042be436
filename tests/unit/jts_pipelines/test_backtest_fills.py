"""Fill models on markets small enough to compute by hand."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings, read_assumptions
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy
from storage.errors import InputError

DAYS = calendar_for("KRX").sessions(date(2025, 2, 3), date(2025, 2, 28))
Row = tuple[int, int, int, int, int]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled code, shared by the tests of a run."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"


def frame(rows: list[Row], stamps: list[datetime]) -> pl.DataFrame:
    """Return bars of (open, high, low, close, volume)."""
    names = ("open", "high", "low", "close", "volume")
    table = pl.DataFrame([dict(zip(names, row, strict=True)) for row in rows])
    return table.with_columns(
        pl.Series("timestamp", stamps).cast(pl.Datetime("ms", "UTC")), symbol=pl.lit("005930")
    )


def run(
    rows: list[Row],
    kernels: Path,
    *,
    entry: str = "",
    leave: str = "",
    risk: str = "",
    stamps: list[datetime] | None = None,
    interval: str = "1d",
    **assumed: Any,
) -> BacktestResult:
    """Run a strategy that buys 100 after a rise and sells after a fall."""
    text = f"""strategy("Fills") {{
      entry.long {{ when (close > close[1]) {{ buy(quantity: 100{entry}) }} }}
      exit.long {{ when (close < close[1]) {{ sell(quantity: "all"{leave}) }} }}
      {"risk_management { " + risk + " }" if risk else ""}
    }}"""
    midnights = [datetime(d.year, d.month, d.day, tzinfo=UTC) - timedelta(hours=9) for d in DAYS]
    settings = BacktestSettings(**{"cash": 10_000_000, "interval": interval, **assumed})
    bars = frame(rows, stamps or midnights[: len(rows)])
    return run_backtest(compile_strategy(text), bars, settings, cache_dir=kernels)


def dealt(result: BacktestResult) -> list[tuple[Any, ...]]:
    """Return side, quantity and price of each fill."""
    return result.fills.select("side", "quantity", "price").rows()


RISE: list[Row] = [(10_000, 10_050, 9_950, 10_000, 900), (10_000, 10_150, 9_950, 10_100, 900)]


def test_market_order_at_the_close_fills_at_the_next_close(kernels: Path) -> None:
    """Never at the close that decided it."""
    rows = [*RISE, (10_150, 10_300, 10_100, 10_200, 900)]

    assert dealt(run(rows, kernels, fill="close")) == [("buy", 100, 10_200)]


def test_auction_models_wait_for_the_first_open_and_the_last_close(kernels: Path) -> None:
    """Minutes inside the day fill neither; a daily bar is both auctions."""
    opens = [datetime(d.year, d.month, d.day, 0, 0, tzinfo=UTC) for d in DAYS[:2]]
    minutes = [0, 1, 2, 389]
    stamps = [opens[0] + timedelta(minutes=m) for m in minutes] + [opens[1]]
    rows = [
        *RISE,
        (10_110, 10_120, 10_100, 10_110, 900),
        (10_120, 10_140, 10_100, 10_130, 900),
        (10_200, 10_220, 10_180, 10_190, 900),
    ]

    first = run(rows, kernels, stamps=stamps, interval="1m", fill="opening_auction")
    last = run(rows, kernels, stamps=stamps, interval="1m", fill="closing_auction")

    assert dealt(first) == [("buy", 100, 10_200)]
    assert dealt(last)[0] == ("buy", 100, 10_130)


def test_limit_buy_fills_at_a_better_open_or_once_traded_through(kernels: Path) -> None:
    """A touch is not enough; the order ends with its session."""
    terms = ', type: "limit", price: 10000'

    better = run([*RISE, (9_950, 10_000, 9_900, 9_980, 900)], kernels, entry=terms)
    through = run([*RISE, (10_100, 10_150, 9_990, 10_120, 900)], kernels, entry=terms)
    touched = run([*RISE, (10_100, 10_150, 10_000, 10_090, 900)], kernels, entry=terms)

    assert dealt(better) == [("buy", 100, 9_950)]
    assert dealt(through) == [("buy", 100, 10_000)]
    assert dealt(touched) == []


def test_limit_order_ends_with_its_session_and_good_till_cancelled_waits(kernels: Path) -> None:
    """A day order is gone on the day after."""
    rows = [
        *RISE,
        (10_100, 10_150, 10_050, 10_100, 900),
        (10_050, 10_100, 9_900, 10_100, 900),
    ]
    terms = ', type: "limit", price: 10000'

    day = run(rows, kernels, entry=terms)
    waits = run(rows, kernels, entry=terms + ', tif: "gtc"')

    assert (dealt(day), day.facts.expired) == ([], 1)
    assert (dealt(waits), waits.facts.expired) == ([("buy", 100, 10_000)], 0)


def test_stop_buy_fills_once_touched_and_slips(kernels: Path) -> None:
    """At its price, or at an open beyond it; ticks of slippage go against it."""
    terms = ', type: "stop", stop: 10200'

    touched = run([*RISE, (10_100, 10_200, 10_050, 10_150, 900)], kernels, entry=terms)
    beyond = run(
        [*RISE, (10_250, 10_300, 10_200, 10_250, 900)], kernels, entry=terms, slippage_ticks=2
    )

    assert dealt(touched) == [("buy", 100, 10_200)]
    assert dealt(beyond) == [("buy", 100, 10_270)]


def test_slippage_in_hundredths_of_a_percent_is_rounded_up_to_the_tick(kernels: Path) -> None:
    """5 of them on 10,110 are 5.055 won: the next tick of 10 above is 10,120."""
    rows = [*RISE, (10_110, 10_150, 10_100, 10_120, 900)]

    assert dealt(run(rows, kernels, slippage_bps="5")) == [("buy", 100, 10_120)]


def test_impact_grows_with_the_root_of_the_share_of_the_volume(kernels: Path) -> None:
    """100 of 400 shares move the price by half of 100 hundredths, or by a quarter."""
    rows = [*RISE, (10_000, 10_150, 9_900, 10_120, 400)]

    root = run(rows, kernels, impact_bps="100")
    linear = run(rows, kernels, impact_bps="100", impact_shape="linear")

    assert dealt(root) == [("buy", 100, 10_050)]
    assert dealt(linear) == [("buy", 100, 10_030)]  # 25 won, rounded up to the tick


def test_volume_fills_in_parts_and_the_entry_is_their_average(kernels: Path) -> None:
    """A tenth of each bar's volume; one trade, whose stop is measured from what was paid."""
    rows = [
        *RISE,
        (10_100, 10_150, 10_050, 10_110, 600),
        (10_200, 10_250, 10_150, 10_210, 600),
        (10_200, 10_250, 10_150, 10_220, 600),
    ]

    result = run(rows, kernels, volume_percent="10")

    assert dealt(result) == [("buy", 60, 10_100), ("buy", 40, 10_200)]
    assert result.trades["quantity"].to_list() == [100]
    assert result.trades["invested"].to_list() == [60 * 10_100 + 40 * 10_200]


def test_orders_for_one_bar_take_what_it_has_or_all_or_nothing(kernels: Path) -> None:
    """60 of 100 can be had: `ioc` takes them and ends, `fok` takes none, or all of a thick bar."""
    thin = [*RISE, (10_100, 10_150, 10_050, 10_100, 600), (10_100, 10_150, 10_050, 10_100, 900)]
    thick = [*RISE, (10_100, 10_150, 10_050, 10_100, 1_000)]
    limit = ', type: "limit", price: 10300, tif: '

    some = run(thin, kernels, entry=limit + '"ioc"', volume_percent="10")
    none = run(thin, kernels, entry=limit + '"fok"', volume_percent="10")
    whole = run(thick, kernels, entry=limit + '"fok"', volume_percent="10")

    assert dealt(some) == [("buy", 60, 10_100)]
    assert (dealt(none), none.facts.expired) == ([], 1)
    assert (dealt(whole), whole.facts.expired) == ([("buy", 100, 10_100)], 0)


def test_risk_block_inside_bars_takes_the_stop_before_the_target(kernels: Path) -> None:
    """A bar that reaches both loses; judged on closes it would have done neither."""
    rows = [
        *RISE,
        (10_100, 10_150, 10_050, 10_110, 900),
        (10_100, 10_700, 9_500, 10_120, 900),
    ]
    risk = 'stop_loss = "5%"\ntake_profit = "5%"'

    inside = run(rows, kernels, risk=risk, exits_inside=True)
    closes = run(rows, kernels, risk=risk)

    # 5 % below 10,100 is 9,595, off the grid: it fills at the tick below.
    assert dealt(inside) == [("buy", 100, 10_100), ("sell", 100, 9_590)]
    assert inside.fills["reason"][1] == "stop_loss"
    assert dealt(closes) == [("buy", 100, 10_100)]


def test_target_inside_bars_when_more_is_bought_late_then_it_waits_for_the_next_bar(
    kernels: Path,
) -> None:
    """What filled after the open does not sell at a high that may have come before it."""
    rows = [
        *RISE,
        (10_100, 10_150, 10_050, 10_150, 900),
        # A limit at 10,140 fills on the way down, the target of 10,120 and 3 % is in the high.
        (10_400, 10_500, 10_130, 10_170, 900),
        (10_600, 10_650, 10_550, 10_600, 900),
    ]
    entry = ', type: "limit", price: close - 10 KRW'
    risk = 'take_profit = "3%"\npyramiding = 2'

    found = run(rows, kernels, entry=entry, risk=risk, exits_inside=True)

    assert dealt(found) == [("buy", 100, 10_090), ("buy", 100, 10_140), ("sell", 200, 10_600)]


RISES: list[Row] = [
    *RISE,
    (10_100, 10_250, 10_050, 10_200, 900),
    (10_300, 10_450, 10_250, 10_400, 900),
    (10_600, 10_650, 10_450, 10_500, 900),
    (10_500, 10_550, 10_150, 10_200, 900),
    (10_200, 10_250, 10_150, 10_200, 900),
]


@pytest.mark.parametrize(("number", "entries"), [(1, 1), (2, 2), (3, 3), (9, 4)])
def test_position_that_pyramids_has_at_most_so_many_entries_in_one_trade(
    kernels: Path, number: int, entries: int
) -> None:
    """Each rise buys again until the count is reached; the fall sells all of it."""
    found = run(RISES, kernels, risk=f"pyramiding = {number}")

    prices = (10_100, 10_300, 10_600, 10_500)[:entries]
    bought = [("buy", 100, price) for price in prices]
    assert dealt(found) == [*bought, ("sell", 100 * entries, 10_200)]
    assert found.trades.height == 1
    assert found.trades["invested"].to_list() == [sum(100 * price for price in prices)]


def test_levels_of_a_position_that_pyramids_are_from_its_average_price(kernels: Path) -> None:
    """Bought at 10,100 and 10,300: a close of 10,098 is 1 % below, 10,099 is not."""
    for close, count in ((10_099, 2), (10_098, 3)):
        rows = [
            *RISES[:4],
            (10_400, 10_450, 10_050, close, 900),
            (10_000, 10_050, 9_950, 10_000, 9),
        ]
        text = 'stop_loss = "1%"\npyramiding = 2'
        found = run(rows, kernels, risk=text, leave=', type: "limit", price: close * 2')

        assert len(dealt(found)) == count
    assert dealt(found)[-1] == ("sell", 200, 10_000)
    assert found.fills["reason"][-1] == "stop_loss"


def test_largest_position_leaves_an_entry_what_is_left_to_it(kernels: Path) -> None:
    """A cap of 15 % of ten million is 144 shares at 10,400: 100 are held."""
    found = run(RISES[:5], kernels, risk='pyramiding = 3\nmax_position_size = "15%"')

    equity = 10_000_000 + 100 * (10_200 - 10_100) - 141
    left = equity * 15 // 100 // 10_200 - 100
    assert dealt(found)[:2] == [("buy", 100, 10_100), ("buy", left, 10_300)]


def test_position_of_the_largest_size_refuses_entries_without_talk_of_cash(kernels: Path) -> None:
    """A cap that leaves nothing is the risk block at work: no order is short of cash."""
    found = run(RISES[:6], kernels, risk='pyramiding = 9\nmax_position_size = "10%"')

    assert [side for side, *_ in dealt(found)] == ["buy"]
    assert (found.facts.blocked_by_risk, found.facts.dropped) == (3, 0)


def test_place_and_rest_of_a_position_do_not_hold_its_own_entries_back(kernels: Path) -> None:
    """`max_positions` counts instruments; `cooldown` is about entries after an exit."""
    risk = "pyramiding = 3\nmax_positions = 1\ncooldown = 5"

    assert [side for side, *_ in dealt(run(RISES, kernels, risk=risk))] == ["buy"] * 3 + ["sell"]


def test_sale_money_waits_two_sessions_where_that_is_assumed(kernels: Path) -> None:
    """Sold on the fourth day for a purchase of the sixth: until then there is no cash for it."""
    rows: list[Row] = [
        *RISE,
        (10_000, 10_150, 9_950, 10_000, 900),
        (10_000, 10_150, 9_950, 10_100, 900),
        (10_000, 10_150, 9_950, 10_200, 900),
        (10_000, 10_150, 9_950, 10_300, 900),
        (10_000, 10_150, 9_950, 10_400, 900),
    ]

    at_once = run(rows, kernels, cash=1_400_000)
    later = run(rows, kernels, cash=1_400_000, waits_settlement=True)

    days = [DAYS[2], DAYS[3], DAYS[4], DAYS[6]]
    assert at_once.fills["session"].to_list() == days[:3]
    assert at_once.fills["quantity"].to_list() == [100, 100, 100]
    # What did not wait pays for 30 at once; an order takes what cash there is.
    assert later.fills["session"].to_list() == days[:3]
    assert later.fills["quantity"].to_list() == [100, 100, 30]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fill=next_close", "fill is 'next_close'; accepted: next_open, close"),
        ("fills=close", "accepted: NAME=VALUE with one of fill"),
        ("slippage_ticks=-1", "accepted: a whole number"),
        ("exits_inside=maybe", "accepted: yes or no"),
        ("slippage_bps=0.001", "accepted: at most two decimals"),
        ("impact_shape=cubic", "accepted: root, linear"),
    ],
)
def test_assumption_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    """The message says what would be accepted."""
    with pytest.raises(InputError, match=message):
        BacktestSettings(**read_assumptions([text]))


def test_assumptions_are_read_by_their_kind() -> None:
    """Words become flags and numbers."""
    read = read_assumptions(["fill=close", "slippage_ticks=2", "exits_inside=yes"])

    assert read == {"fill": "close", "slippage_ticks": 2, "exits_inside": True}


def test_stop_limit_that_was_reached_waits_at_its_limit_although_nothing_filled(
    kernels: Path,
) -> None:
    """The bar that reached the stop had no volume to give; the next one is below the stop."""
    terms = ', type: "stop_limit", stop: 10150, price: 10200, time_in_force: "gtc"'
    rows = [*RISE, (10_100, 10_160, 10_090, 10_100, 50), (10_120, 10_130, 10_110, 10_110, 900)]

    result = run(rows, kernels, entry=terms, volume_percent="1")

    assert dealt(result) == [("buy", 9, 10_120)]


LATE = 1 << 17
"""Instants before those on which the run of many bars is looked at."""


def many_minutes(days: list[date]) -> pl.DataFrame:
    """Return minutes of two instruments that walk along."""
    stamps = [
        (calendar_for("KRX").open_close_ns(day)[0] // 1_000_000) + 60_000 * minute
        for day in days
        for minute in range(390)
    ]
    frames = []
    for symbol, seed in (("000660", 1), ("005930", 2)):
        chance = np.random.default_rng(seed)
        steps = np.cumsum(chance.integers(-3, 4, len(stamps)))
        close = 60_000 + 100 * np.abs((steps + 100) % 400 - 200)
        opened = close + 100 * chance.integers(-2, 3, len(stamps))
        prices = {
            "open": opened,
            "high": np.maximum(opened, close) + 100 * chance.integers(0, 3, len(stamps)),
            "low": np.minimum(opened, close) - 100 * chance.integers(0, 3, len(stamps)),
            "close": close,
        }
        frames.append(
            pl.DataFrame(
                {"timestamp": stamps, **prices, "volume": chance.integers(1, 90, len(stamps))}
            ).select(pl.lit(symbol).alias("symbol"), pl.all())
        )
    return pl.concat(frames).with_columns(
        pl.col("timestamp").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    )


def test_models_past_many_instants_fill_as_if_there_were_none_before(kernels: Path) -> None:
    """Numbers of instants and phases of a bar do not get into each other's way."""
    days = calendar_for("KRX").sessions(date(2021, 1, 4), date(2022, 12, 29))
    first = LATE // 390 + 1
    days = days[: first + 12]
    bars = many_minutes(days)
    plan = compile_strategy(
        """strategy("Late") {
          entry.long { when (close - open > 150) {
            buy(quantity: 40, type: "limit", price: close - 100, time_in_force: "gtc") } }
          exit.long { when (open - close > 150) { sell(quantity: "all") } }
          risk_management { stop_loss = "0.5%" take_profit = "0.6%" trailing_stop = "0.7%" }
        }"""
    )
    settings = BacktestSettings(
        cash=9_000_000,
        interval="1m",
        volume_percent="20",
        slippage_ticks=1,
        exits_inside=True,
        waits_settlement=True,
    )

    def trade(bars: pl.DataFrame) -> BacktestResult:
        # From the second session on: the first one of fewer bars has no base price.
        return run_backtest(plan, bars, settings, cache_dir=kernels, decide_from=days[first + 1])

    late = pl.col("timestamp") >= datetime(*days[first].timetuple()[:3], tzinfo=UTC)
    whole, alone = trade(bars), trade(bars.filter(late))

    assert bars["timestamp"].n_unique() > LATE
    assert alone.fills.height > 100
    assert whole.fills.equals(alone.fills)
    assert whole.orders.equals(alone.orders)
    assert whole.final_equity == alone.final_equity
