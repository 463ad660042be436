"""How figures are called, grouped and written for people."""

from jts_pipelines.backtest.result import Metric

LABELS = {
    "total_return": "Total return",
    "cagr": "Return a year (CAGR)",
    "volatility": "Volatility a year",
    "sharpe": "Sharpe ratio",
    "sortino": "Sortino ratio",
    "calmar": "Calmar ratio",
    "omega": "Omega ratio",
    "max_drawdown": "Largest drawdown",
    "max_drawdown_sessions": "Longest drawdown, sessions",
    "ulcer_index": "Ulcer index",
    "recovery_factor": "Recovery factor",
    "exposure": "Money invested, mean",
    "time_in_market": "Sessions with a position",
    "turnover": "Turnover a year",
    "best_session": "Best session",
    "worst_session": "Worst session",
    "positive_sessions": "Sessions with a gain",
    "skew": "Skewness",
    "kurtosis": "Excess kurtosis",
    "value_at_risk_95": "Value at risk, 95 %",
    "expected_shortfall_95": "Expected shortfall, 95 %",
    "trades": "Closed trades",
    "open_trades": "Open positions",
    "win_rate": "Winning trades",
    "profit_factor": "Profit factor",
    "expectancy": "Mean profit of a trade",
    "average_win": "Mean win",
    "average_loss": "Mean loss",
    "payoff_ratio": "Mean win / mean loss",
    "largest_win": "Largest win",
    "largest_loss": "Largest loss",
    "average_return": "Mean return of a trade",
    "average_days_held": "Mean days held",
    "longest_winning_run": "Longest run of wins",
    "longest_losing_run": "Longest run of losses",
    "commissions": "Commissions",
    "taxes": "Taxes",
    "cost_share": "Costs / value traded",
}
"""What people call each figure; `metrics.DEFINITIONS` says how it is computed."""

_PERCENT = frozenset(
    {
        "total_return",
        "cagr",
        "volatility",
        "max_drawdown",
        "ulcer_index",
        "exposure",
        "time_in_market",
        "best_session",
        "worst_session",
        "positive_sessions",
        "value_at_risk_95",
        "expected_shortfall_95",
        "win_rate",
        "average_return",
        "cost_share",
    }
)
_WON = frozenset(
    {
        "expectancy",
        "average_win",
        "average_loss",
        "largest_win",
        "largest_loss",
        "commissions",
        "taxes",
    }
)
GROUPS = {
    "Return and risk": (
        "total_return",
        "cagr",
        "volatility",
        "sharpe",
        "sortino",
        "calmar",
        "omega",
        "max_drawdown",
        "max_drawdown_sessions",
        "ulcer_index",
        "recovery_factor",
    ),
    "Sessions": (
        "best_session",
        "worst_session",
        "positive_sessions",
        "skew",
        "kurtosis",
        "value_at_risk_95",
        "expected_shortfall_95",
        "exposure",
        "time_in_market",
        "turnover",
    ),
    "Closed trades": (
        "trades",
        "open_trades",
        "win_rate",
        "profit_factor",
        "expectancy",
        "payoff_ratio",
        "average_return",
        "average_days_held",
    ),
    "Wins, losses, costs": (
        "average_win",
        "average_loss",
        "largest_win",
        "largest_loss",
        "longest_winning_run",
        "longest_losing_run",
        "commissions",
        "taxes",
        "cost_share",
    ),
}


def show(name: str, value: Metric) -> str:
    """Return a figure as people read it: percent, won or a plain number; a dash for None."""
    if value is None:
        return "–"
    if name in _PERCENT:
        return f"{100 * value:.2f} %"
    if name in _WON:
        return f"{value:,.0f} won"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
