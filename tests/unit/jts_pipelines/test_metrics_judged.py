"""Figures of session returns against empyrical-reloaded, over generated runs."""

import math
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import empyrical
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jts_pipelines.backtest.benchmark import BENCHMARK_DEFINITIONS, comparison_figures
from jts_pipelines.backtest.metrics import DEFINITIONS
from jts_pipelines.backtest.returns import return_figures

YEAR = 252
DOCS = Path(__file__).resolve().parents[3] / "docs"

Judge = Callable[[pd.Series], float]

JUDGES: dict[str, Judge] = {
    "total_return": empyrical.cum_returns_final,
    "cagr": empyrical.annual_return,
    "volatility": empyrical.annual_volatility,
    "downside_deviation": empyrical.downside_risk,
    "sharpe": empyrical.sharpe_ratio,
    "sortino": empyrical.sortino_ratio,
    "omega": empyrical.omega_ratio,
    "tail_ratio": empyrical.tail_ratio,
    "stability": empyrical.stability_of_timeseries,
    "value_at_risk_95": empyrical.value_at_risk,
    "expected_shortfall_95": empyrical.conditional_value_at_risk,
    "skew": stats.skew,
    "kurtosis": stats.kurtosis,
    "geometric_mean_session": lambda r: stats.gmean(1 + r) - 1,
}
# How our figure follows from that of the judge; docs/metric_differences.toml gives the reasons.
PAIRED: dict[str, Callable[[pd.Series, pd.Series], float]] = {
    "beta": empyrical.beta,
    "alpha": lambda r, b: ((1 + empyrical.alpha(r, b)) ** (1 / YEAR) - 1) * YEAR,
    "information_ratio": lambda r, b: empyrical.excess_sharpe(r, b) * math.sqrt(YEAR),
    "up_capture": empyrical.up_capture,
    "down_capture": empyrical.down_capture,
    "benchmark_max_drawdown": lambda _, b: empyrical.max_drawdown(b),
    "correlation": lambda r, b: stats.pearsonr(r, b).statistic,
    "tracking_error": lambda r, b: empyrical.annual_volatility(r - b),
}


def series(seed: int, count: int) -> pd.Series:
    """Return session returns with fat tails and some quiet days, as those of a strategy."""
    chance = np.random.default_rng(seed)
    found = chance.standard_t(4, count) * 0.008 + 0.0004
    found[chance.random(count) < 0.2] = 0.0
    return pd.Series(found, index=pd.date_range("2020-01-02", periods=count, freq="B"))


@pytest.mark.parametrize("name", list(JUDGES))
@pytest.mark.parametrize(("seed", "count"), [(1, 40), (2, 252), (3, 2_000)])
def test_figure_of_returns_is_that_of_the_judge(name: str, seed: int, count: int) -> None:
    """Equal to 1e-9 relative."""
    returns = series(seed, count)

    found = return_figures(returns.to_numpy(), YEAR)[name]

    assert found == pytest.approx(float(JUDGES[name](returns)), rel=1e-9)


@pytest.mark.parametrize("name", list(PAIRED))
@pytest.mark.parametrize(("seed", "count"), [(4, 40), (5, 252), (6, 2_000)])
def test_figure_against_a_benchmark_follows_from_that_of_the_judge(
    name: str, seed: int, count: int
) -> None:
    """Equal to 1e-9 relative through the stated relation."""
    theirs = series(seed, count)
    ours = 0.6 * theirs + series(seed + 100, count)

    found = comparison_figures(ours.to_numpy(), theirs.to_numpy(), YEAR)[name]

    assert found == pytest.approx(float(PAIRED[name](ours, theirs)), rel=1e-9)


def test_probabilistic_sharpe_is_that_of_the_published_formula() -> None:
    """Bailey and Lopez de Prado (2012): the ratio over its standard error is normal."""
    returns = series(7, 500).to_numpy()
    sharpe = returns.mean() / returns.std(ddof=1)
    spread = 1 - stats.skew(returns) * sharpe + (stats.kurtosis(returns) + 2) / 4 * sharpe**2

    found = return_figures(returns, YEAR)["probabilistic_sharpe"]

    assert found == pytest.approx(stats.norm.cdf(sharpe * math.sqrt(499 / spread)), rel=1e-9)


def test_differences_page_when_read_then_each_difference_is_of_a_figure_with_a_reason() -> None:
    """A known difference names a figure, its judge, the relation and why."""
    differences = tomllib.loads((DOCS / "metric_differences.toml").read_text(encoding="utf-8"))

    assert set(differences) <= set(DEFINITIONS) | set(BENCHMARK_DEFINITIONS)
    for found in differences.values():
        assert set(found) == {"judge", "relation", "reason"}
        assert hasattr(empyrical, found["judge"])


def test_metrics_page_when_compared_with_the_definitions_then_it_is_up_to_date() -> None:
    """docs/metrics.md says what the program says."""
    ended = subprocess.run(
        [sys.executable, str(DOCS / "generate_metrics.py"), "--check"], check=False
    )

    assert ended.returncode == 0, "run docs/generate_metrics.py"
    assert len(DEFINITIONS) >= 40
