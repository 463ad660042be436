"""What a result says of itself: books that add up, cautions with codes, no look at later bars."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from jts_pipelines.backtest import engine, prefix
from jts_pipelines.backtest.cautions import MEANING, Code
from jts_pipelines.backtest.doubts import trade_doubts
from jts_pipelines.backtest.engine import run_backtest, step_columns
from jts_pipelines.backtest.reporting import Prepared
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.signals import RulePass
from jts_pipelines.ingest.generated import daily_panel
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.plan import Plan

TEXT = """strategy("Plain") {
  params { slow = 2 in 2..10 step 1 }
  indicators { calm = SMA(period: slow) }
  entry.long { when (close > calm) { buy(quantity: "20%", type: "market") } }
  exit.long { when (close < calm) { sell(quantity: "all", type: "market") } }
}
"""
PANEL = daily_panel(seed=7, symbols=6, first=date(2023, 1, 2), last=date(2024, 6, 28))
DOCS = Path(__file__).resolve().parents[3] / "docs"


def run(bars: pl.DataFrame, kernels: Path, **changes: object) -> BacktestResult:
    """Run the strategy of this file."""
    settings = BacktestSettings(**{"cash": 100_000_000, **changes})
    return run_backtest(compile_strategy(TEXT), bars, settings, cache_dir=kernels)


def daily(closes: list[int], volume: int = 1_000_000, gap: range = range(0)) -> pl.DataFrame:
    """Return daily bars of one symbol; the sessions of the gap are halted."""
    days = calendar_for("KRX").sessions(date(2024, 5, 2), date(2024, 12, 20))[: len(closes)]
    rows = [
        {
            "symbol": "005930",
            "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=9),
            "trade_date": day,
            **dict.fromkeys(("open", "high", "low"), 0 if at in gap else close),
            "close": close,
            "volume": 0 if at in gap else volume,
            "quality": "ok",
        }
        for at, (day, close) in enumerate(zip(days, closes, strict=True))
    ]
    return pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def codes(result: BacktestResult) -> set[Code]:
    """Return the codes of what is to be doubted."""
    return {caution.code for caution in result.cautions}


def test_books_of_a_run_when_added_up_then_they_are_the_equity_path(kernels: Path) -> None:
    """The values of positions of a session are its column of positions, to the won."""
    result = run(PANEL, kernels)

    values = result.positions.group_by("session").agg(pl.col("value").sum())
    joined = result.equity.join(values, on="session", how="left")
    assert result.positions.height > 100
    assert joined["value"].fill_null(0).to_list() == joined["positions"].to_list()


def test_orders_of_a_run_when_counted_then_each_fill_has_one_and_waiting_ones_stay(
    kernels: Path,
) -> None:
    """An order that no bar filled is there, as waiting."""
    result = run(PANEL, kernels)

    waiting = result.orders.filter(pl.col("status") == "waiting")
    assert result.orders.height == result.fills.height + result.facts.waiting
    assert waiting.height == result.facts.waiting
    assert result.orders["decided_at"].is_sorted()
    assert (result.orders["filled_at"] > result.orders["decided_at"]).all()


def test_decide_from_when_given_then_earlier_bars_only_warm_up(kernels: Path) -> None:
    """Nothing is decided before, and what fires later is the same."""
    start = date(2024, 1, 2)
    settings = BacktestSettings(cash=100_000_000)
    plan = compile_strategy(TEXT)

    result = run_backtest(plan, PANEL, settings, cache_dir=kernels, decide_from=start)

    assert result.orders.height > 0
    decided = result.orders["decided_at"].dt.convert_time_zone("Asia/Seoul").dt.date()
    assert decided.min() >= start


def test_prefix_check_when_rules_only_look_back_then_it_is_passed_by_default(
    kernels: Path,
) -> None:
    """Two cuts over all instruments of a small run."""
    result = run(PANEL, kernels)

    assert result.prefix.is_invariant
    assert len(result.prefix.cuts) == 2
    assert (result.prefix.bars, result.prefix.instruments) == (PANEL.height, 6)
    assert Code.LOOK_AHEAD not in codes(result)


def test_prefix_check_when_there_are_many_bars_then_some_instruments_stand_for_all(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice is the same each time."""
    monkeypatch.setattr(prefix, "ROWS_MAX", 900)

    first, second = run(PANEL, kernels).prefix, run(PANEL, kernels).prefix
    mixed = run(PANEL.sort("timestamp", "symbol"), kernels).prefix

    assert first == second
    assert mixed.is_invariant
    assert 0 < mixed.bars <= 900
    assert first.is_invariant
    assert 0 < first.instruments < 6
    assert first.bars <= 900


@pytest.mark.parametrize("rows_max", [150_000, 900, 100])
def test_prefix_check_when_a_rule_knows_the_next_bar_then_it_is_named(
    kernels: Path, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    """A look-ahead of one bar: the last bar before each cut is decided differently."""

    class Peeking(RulePass):
        def run(self, first: int, end: int) -> None:
            """Fire nothing but what is there already."""

    def peek(prepared: Prepared, plan: Plan, signals: ModuleType, _from: int = 0) -> RulePass:
        rules = Peeking(signals, step_columns(prepared), state_size=plan.state_size, rules=2)
        closes, offsets = prepared.bars.close.astype(np.int64), prepared.bars.offsets
        is_up = np.zeros(len(closes), np.bool_)
        # The last row, which has no next one, buys on the mean of all bars: later ones count.
        is_up[:-1] = closes[1:] > closes[:-1].mean()
        is_up[offsets[1:][offsets[1:] > 0] - 1] = False
        rules.masks[: len(closes)] = np.where(is_up, 1, 2)
        return rules

    monkeypatch.setattr(engine, "pass_of", peek)
    monkeypatch.setattr(prefix, "ROWS_MAX", rows_max)

    result = run(PANEL, kernels)

    assert not result.prefix.is_invariant
    assert re.search(r"a rule fired differs when bars end before .* KST", result.prefix.difference)
    assert result.cautions[0].code is Code.LOOK_AHEAD
    assert not result.is_trustworthy


def test_cautions_when_a_position_outlives_its_market_then_fills_and_marks_are_stale(
    kernels: Path,
) -> None:
    """A halt of six sessions between decision and fill, and one at the end while held."""
    closes = [1_000, 1_010, 1_020, 1_010, 1_010, 1_010, 1_010, 1_010, 1_010, 1_010, 1_010, 1_020]
    halted = daily([*closes, *[1_020] * 6], gap=range(4, 10))
    ended = halted.with_columns(
        pl.when(pl.col("trade_date") > halted["trade_date"][12]).then(0).otherwise("volume")
        .alias("volume")
    )  # fmt: skip

    assert Code.STALE_FILLS in codes(run(halted, kernels))
    assert Code.STALE_MARKS not in codes(run(halted, kernels))
    assert Code.STALE_MARKS in codes(run(ended, kernels))


def test_cautions_when_fills_are_above_volume_or_on_doubtful_bars_then_both_are_named(
    kernels: Path,
) -> None:
    """The lake's own doubt reaches the result."""
    bars = daily([1_000, 1_010, 1_020, 1_030, 1_020, 1_010], volume=100)
    doubtful = bars.with_columns(
        pl.when(pl.col("close") == 1_020).then(pl.lit("price_jump")).otherwise("quality")
        .alias("quality")
    )  # fmt: skip

    found = run(doubtful, kernels)

    assert {Code.ABOVE_VOLUME, Code.TAINTED_BARS, Code.FEW_TRADES} <= codes(found)
    assert Code.TAINTED_BARS not in codes(run(bars, kernels))
    assert not found.is_trustworthy


@pytest.mark.parametrize(
    ("profits", "is_one"),
    [
        ([900, -10, -10, -10], True),  # a lottery ticket: nothing else ever won
        ([900, 100, 50, -10], True),
        ([100, 100, -10], False),
        ([900], False),  # that these are few is said already
        ([-10, -20], False),
    ],
)
def test_cautions_when_one_trade_made_the_profits_then_it_is_named(
    profits: list[int], *, is_one: bool
) -> None:
    """More than half of all that was won, by one trade among several."""
    trades = pl.DataFrame(
        {
            "status": "closed",
            "instrument": f"KRX:{at}",
            "profit": profit,
            "commission": 1,
            "tax": 1,
        }
        for at, profit in enumerate(profits)
    )

    found = {str(c.code): str(c) for c in trade_doubts(trades)}

    assert ("one_trade" in found) is is_one
    assert not is_one or "KRX:0" in found["one_trade"]


def test_cautions_when_a_size_is_below_one_share_then_not_only_cash_is_blamed(
    kernels: Path,
) -> None:
    """A share of 2.5 million won is not to be had for an order of two millions."""
    bars = daily([2_500_000, 2_510_000, 2_520_000, 2_530_000])
    text = """strategy("Dear") {
      entry.long { when (close > close[1]) { buy(quantity: 2_000_000 KRW) } }
    }"""
    plan = compile_strategy(text)

    found = run_backtest(plan, bars, BacktestSettings(), cache_dir=kernels)

    said = [str(c) for c in found.cautions if c.code is Code.CASH_SHORT]
    end = "3 dropped: size or cash did not do for one lot"
    assert said == [f"0 orders were made smaller because cash was short, {end}"]


def test_cautions_when_parameters_are_many_for_the_trades_then_it_says_so(kernels: Path) -> None:
    """One parameter needs ten closed trades."""
    few = run(daily([1_000, 1_010, 1_020, 1_010, 1_010, 1_010]), kernels)

    assert Code.MANY_PARAMETERS in codes(few)
    assert Code.MANY_PARAMETERS not in codes(run(PANEL, kernels))


def test_digests_when_one_thing_changes_then_exactly_its_digest_does(kernels: Path) -> None:
    """Data, parameters and settings each have their own; the result has one too."""
    plain = run(PANEL, kernels)
    other_cash = run(PANEL, kernels, cash=50_000_000)
    other_bars = run(PANEL.filter(pl.col("symbol") != PANEL["symbol"][0]), kernels)
    plan = compile_strategy(TEXT, params={"slow": "3"})
    other_slow = run_backtest(plan, PANEL, BacktestSettings(cash=100_000_000), cache_dir=kernels)

    def changed(other: BacktestResult) -> set[str]:
        names = ("data", "code", "params", "config", "engine")
        return {n for n in names if getattr(plain.digests, n) != getattr(other.digests, n)}

    assert changed(other_cash) == {"config"}
    assert changed(other_bars) == {"data"}
    assert changed(other_slow) == {"params", "code"}
    assert len({r.digest for r in (plain, other_cash, other_bars, other_slow)}) == 4
    assert run(PANEL, kernels).digest == plain.digest


def test_codes_when_listed_then_the_page_has_each_with_its_meaning() -> None:
    """The list is closed: what a program may meet stands in docs/research.md."""
    whole = (DOCS / "research.md").read_text(encoding="utf-8")
    page = whole.split("## Warnings")[1].split("\n## ")[0]

    assert set(MEANING) == set(Code)
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", page, flags=re.MULTILINE))
    assert {code: rows.get(code) for code in Code} == {code: MEANING[code] for code in Code}
