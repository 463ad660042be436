"""A walk-forward over real runs: windows restart in cash with the equity of the one before."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from jts_pipelines.backtest.admitting import laid_out
from jts_pipelines.backtest.bar_layout import groups_of
from jts_pipelines.backtest.loading import BacktestRequest, Loaded
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.ingest.generated import daily_panel
from jts_pipelines.research.recording import About
from jts_pipelines.research.running import Bench
from jts_pipelines.research.scoring import Verdict, score_of_returns
from jts_pipelines.research.walk_forward import WalkPlan, WalkResult, walk

TEXT = """strategy("Plain") {
  params { slow = 2 in 2..10 step 1 }
  indicators { calm = SMA(period: slow) }
  entry.long { when (close > calm) { buy(quantity: "20%", type: "market") } }
  exit.long { when (close < calm) { sell(quantity: "all", type: "market") } }
}
"""
PANEL = daily_panel(seed=7, symbols=6, first=date(2023, 1, 2), last=date(2024, 6, 28))
PLAN = WalkPlan(
    about=About(
        family="Plain", text_digest="t", venue="KRX", interval="1d", source="walk_forward"
    ),
    train=120,
    test=60,
)
CASH = 100_000_000


def loaded_from(panel: pl.DataFrame) -> Loaded:
    """Return a panel as it is loaded for a run."""
    return Loaded(laid_out(groups_of(panel), BacktestSettings()), ())


@pytest.fixture(scope="module")
def bench(kernels: Path) -> Bench:
    """Bars of six symbols; compiled code is shared by the tests of a run."""
    return Bench(request=BacktestRequest(text=TEXT), loaded=loaded_from(PANEL), cache_dir=kernels)


@pytest.fixture(scope="module")
def walked(bench: Bench) -> WalkResult:
    """Two parameter sets, walked forward."""
    outcomes = list(bench.run_all([{"slow": "2"}, {"slow": "3"}]))
    return walk(PLAN, outcomes, bench.run_window, cash=CASH, per_year=252)


def test_walk_when_a_window_begins_then_it_has_the_money_of_the_one_before(
    walked: WalkResult,
) -> None:
    """A decision of the first test session fills on the next: it ends in cash."""
    money = CASH
    for step in walked.steps:
        first = walked.sessions[step.window.test_first]
        row = walked.equity.filter(pl.col("session") == first)
        assert (row["cash"].item(), row["positions"].item()) == (money, 0)
        assert step.result is not None
        money = step.result.final_equity
    assert walked.equity["equity"][-1] == money
    assert walked.equity["session"].to_list() == list(walked.sessions[PLAN.train :])


def test_walk_when_parameters_are_chosen_then_only_training_sessions_decide(
    walked: WalkResult,
) -> None:
    """The chosen set has the best Sharpe ratio of the sessions before, recomputed here."""
    for step in walked.steps:
        inside = slice(step.window.train_first, step.window.test_first)
        scores = [score_of_returns(o.returns[inside], "sharpe", 252) for o in walked.outcomes]
        assert step.params == walked.outcomes[int(np.argmax(scores))].params
        assert step.train_score == pytest.approx(max(scores))


def test_walk_when_later_bars_change_then_earlier_windows_do_not(bench: Bench) -> None:
    """What a window did does not depend on bars after its end."""
    end = PANEL["session_date"].unique().sort()[260]
    is_halted = (pl.col("session_date") > end) & (pl.col("symbol") != PANEL["symbol"][0])
    cut = PANEL.with_columns(
        pl.when(is_halted).then(0).otherwise(pl.col("volume")).alias("volume")
    )
    sets = [{"slow": "2"}, {"slow": "3"}]
    changed = Bench(request=bench.request, loaded=loaded_from(cut), cache_dir=bench.cache_dir)

    before = walk(PLAN, list(bench.run_all(sets)), bench.run_window, cash=CASH, per_year=252)
    after = walk(PLAN, list(changed.run_all(sets)), changed.run_window, cash=CASH, per_year=252)

    kept = pl.col("session") <= end
    assert before.equity.filter(kept).equals(after.equity.filter(kept))
    assert not before.equity.equals(after.equity)


@pytest.mark.parametrize(
    ("chance", "efficiency", "verdict"),
    [
        (0.99, 0.5, Verdict.CONVINCING),
        (0.95, None, Verdict.CONVINCING),
        # A stretch of luck at the end earns, but not what choosing promised.
        (0.97, 0.21, Verdict.OVERFIT),
        (0.94, 0.9, Verdict.LUCK),
        (None, 0.9, Verdict.UNKNOWN),
    ],
)
def test_verdict_when_the_tests_earn_then_it_asks_what_was_left_of_the_growth_inside(
    walked: WalkResult, chance: float | None, efficiency: float | None, verdict: Verdict
) -> None:
    """An edge outside, of which most went lost, is no reason to release."""
    metrics = {**walked.metrics, "probabilistic_sharpe": chance}

    found = replace(walked, metrics=metrics, efficiency=efficiency)

    assert found.verdict is verdict
    assert any("was left outside" in str(each) for each in found.findings) is (efficiency == 0.21)
