"""Figures of a backtest against values computed by hand."""

import math
import statistics
from datetime import date, timedelta
from statistics import correlation

import polars as pl
import pytest

from jts_pipelines.backtest.metrics import DEFINITIONS, compute_metrics
from jts_pipelines.backtest.result import Metric

START = 1_000
PATH = [1_000, 1_100, 990, 990, 1_188]
POSITIONS = [0, 500, 500, 0, 594]


def equity(path: list[int], positions: list[int]) -> pl.DataFrame:
    """Return an equity path as the engine does."""
    peaks = [max([START, *path[: at + 1]]) for at in range(len(path))]
    return pl.DataFrame(
        {
            "session": [date(2024, 5, 1) + timedelta(days=at) for at in range(len(path))],
            "cash": [total - held for total, held in zip(path, positions, strict=True)],
            "positions": positions,
            "equity": path,
            "drawdown": [total / peak - 1 for total, peak in zip(path, peaks, strict=True)],
        }
    )


def trades(profits: list[int]) -> pl.DataFrame:
    """Return closed trades with these profits on 1,000 won each, and an open one."""
    count = len(profits)
    day = pl.date(2024, 5, 1)
    return pl.DataFrame(
        {
            "trade": range(1, count + 2),
            "profit": [*profits, 77],
            "invested": [1_000] * (count + 1),
            "days_held": [2] * count + [None],
            "status": ["closed"] * count + ["open"],
            "order": range(count + 1),
        }
    ).with_columns(
        (pl.col("profit") / 1_000).alias("return"),
        (day + pl.duration(days=pl.col("order"))).cast(pl.Datetime("ms", "UTC")).alias("left_at"),
        (day + pl.duration(days=pl.col("order") // 2))
        .cast(pl.Datetime("ms", "UTC"))
        .alias("entered_at"),
        (day + pl.duration(days=(pl.col("order") // 2) * 2)).alias("entry_session"),
        (day + pl.duration(days=(pl.col("order") // 2) * 2 + 1)).alias("exit_session"),
    )


FILLS = pl.DataFrame(
    {"gross": [500, 600], "commission": [1, 2], "tax": [0, 3], "reason": ["entry", "exit"]}
)


@pytest.fixture(scope="module")
def found() -> dict[str, Metric]:
    """The figures of the small run above."""
    return compute_metrics(
        equity(PATH, POSITIONS),
        trades([300, -100, -100, 500, 0]),
        FILLS,
        start_cash=START,
        sessions_per_year=5,
    )


# Session returns are 0, +10 %, -10 %, 0, +20 %.
RETURNS = [0.0, 0.1, -0.1, 0.0, 0.2]
MEAN = 0.04
SPREAD = math.sqrt(sum((r - MEAN) ** 2 for r in RETURNS) / 4)
FALL = math.sqrt(0.01 / 5)
POPULATION = math.sqrt(sum((r - MEAN) ** 2 for r in RETURNS) / 5)
SKEW = sum(((r - MEAN) / POPULATION) ** 3 for r in RETURNS) / 5
FOURTH = sum(((r - MEAN) / POPULATION) ** 4 for r in RETURNS) / 5
ERROR = math.sqrt((1 - SKEW * MEAN / SPREAD + (FOURTH - 1) / 4 * (MEAN / SPREAD) ** 2) / 4)
STABILITY = correlation([math.log(p / START) for p in PATH], range(5)) ** 2
AUTOCORRELATION = correlation(RETURNS[1:], RETURNS[:-1])
PROFIT_SPREAD = statistics.stdev([300, -100, -100, 500, 0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("total_return", 0.188),
        ("net_profit", 188),
        ("cagr", 0.188),  # five sessions are one year here
        ("volatility", SPREAD * math.sqrt(5)),
        ("sharpe", MEAN / SPREAD * math.sqrt(5)),
        ("downside_deviation", math.sqrt(0.01)),
        ("sharpe_error", ERROR * math.sqrt(5)),
        ("probabilistic_sharpe", (1 + math.erf(MEAN / SPREAD / ERROR / math.sqrt(2))) / 2),
        ("sortino", MEAN / FALL * math.sqrt(5)),
        ("calmar", 0.188 / 0.1),
        ("omega", 0.3 / 0.1),
        ("gain_to_pain", 0.2 / 0.1),
        ("tail_ratio", 0.18 / 0.08),
        ("stability", STABILITY),
        ("max_drawdown", -0.1),
        ("max_drawdown_sessions", 2),
        ("average_drawdown", -0.1),
        ("average_drawdown_sessions", 2.0),
        ("drawdowns", 1),
        ("last_drawdown", 0.0),
        ("pain_index", 0.2 / 5),
        ("ulcer_index", math.sqrt(2 * 0.01 / 5)),
        ("ulcer_performance", 0.188 / math.sqrt(2 * 0.01 / 5)),
        ("recovery_factor", 188 / 110),
        ("exposure", (500 / 1_100 + 500 / 990 + 0.5) / 5),
        ("time_in_market", 0.6),
        ("turnover", 1_100 / (sum(PATH) / 5)),
        ("mean_session", MEAN),
        ("geometric_mean_session", 1.188**0.2 - 1),
        ("median_session", 0.0),
        ("average_gain", 0.15),
        ("average_fall", -0.1),
        ("longest_gaining_run", 1),
        ("longest_falling_run", 1),
        ("best_month", 0.188),
        ("worst_month", 0.188),
        ("positive_months", 1.0),
        ("autocorrelation", AUTOCORRELATION),
        ("best_session", 0.2),
        ("worst_session", -0.1),
        ("positive_sessions", 0.4),
        ("skew", sum(((r - MEAN) / POPULATION) ** 3 for r in RETURNS) / 5),
        ("kurtosis", sum(((r - MEAN) / POPULATION) ** 4 for r in RETURNS) / 5 - 3),
        ("value_at_risk_95", -0.08),
        ("expected_shortfall_95", -0.1),
        ("trades", 5),
        ("open_trades", 1),
        ("trades_per_year", 5.0),
        ("most_positions", 2),
        ("kelly_share", 0.4 - 0.6 / 6),
        ("system_quality", 120 / PROFIT_SPREAD * math.sqrt(5)),
        ("largest_win_share", 500 / 800),
        ("median_return", 0.0),
        ("best_trade", 0.5),
        ("worst_trade", -0.1),
        ("average_days_won", 2.0),
        ("average_days_lost", 2.0),
        ("win_rate", 0.4),
        ("profit_factor", 4.0),
        ("expectancy", 120.0),
        ("average_win", 400.0),
        ("average_loss", -200 / 3),
        ("payoff_ratio", 6.0),
        ("largest_win", 500.0),
        ("largest_loss", -100.0),
        ("average_return", 0.12),
        ("average_days_held", 2.0),
        ("average_hours_held", 24 * (0 + 1 + 1 + 2 + 2) / 5),
        ("day_trades", 0.0),
        ("longest_winning_run", 1),
        ("longest_losing_run", 2),
        ("commissions", 3),
        ("taxes", 3),
        ("cost_share", 6 / 1_100),
    ],
)
def test_metric_of_a_small_run_is_the_value_computed_by_hand(
    name: str, expected: float, found: dict[str, Metric]
) -> None:
    """Every figure follows its definition."""
    assert found[name] == pytest.approx(expected, rel=1e-12)


def test_metrics_are_exactly_the_defined_ones(found: dict[str, Metric]) -> None:
    """No figure without a definition, no definition without a figure."""
    assert list(found) == list(DEFINITIONS)


def test_metrics_of_a_run_without_trades_leave_what_is_undefined_empty() -> None:
    """A ratio over nothing is None; it is not zero and not infinite."""
    found = compute_metrics(
        equity([1_000, 1_000, 1_000], [0, 0, 0]),
        trades([]).filter(pl.col("status") == "closed"),
        FILLS.clear(),
        start_cash=START,
        sessions_per_year=252,
    )

    undefined = ("sharpe", "sortino", "calmar", "omega", "profit_factor", "win_rate", "skew")
    assert [found[name] for name in undefined] == [None] * len(undefined)
    assert (found["total_return"], found["trades"], found["turnover"]) == (0.0, 0, 0.0)


def test_metrics_of_one_session_have_no_spread() -> None:
    """One return has no standard deviation."""
    found = compute_metrics(
        equity([1_010], [0]),
        trades([]).clear(),
        FILLS.clear(),
        start_cash=START,
        sessions_per_year=252,
    )

    assert (found["volatility"], found["sharpe"]) == (None, None)
    assert found["total_return"] == pytest.approx(0.01)
