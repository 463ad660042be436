"""How figures are called, grouped and written for people."""

import re

from jts_pipelines.backtest.result import Metric

LABELS = {
    "total_return": "Total return",
    "net_profit": "Net profit",
    "cagr": "Return a year (CAGR)",
    "volatility": "Volatility a year",
    "downside_deviation": "Downside deviation a year",
    "sharpe": "Sharpe ratio",
    "sharpe_error": "Standard error of the Sharpe ratio",
    "probabilistic_sharpe": "Chance that the Sharpe ratio is above 0",
    "sortino": "Sortino ratio",
    "calmar": "Calmar ratio",
    "omega": "Omega ratio",
    "gain_to_pain": "Gain to pain ratio",
    "tail_ratio": "Tail ratio",
    "stability": "Stability (R² of log equity)",
    "max_drawdown": "Largest drawdown",
    "max_drawdown_sessions": "Longest drawdown, sessions",
    "average_drawdown": "Mean drawdown",
    "average_drawdown_sessions": "Mean drawdown, sessions",
    "drawdowns": "Drawdowns",
    "last_drawdown": "Drawdown at the end",
    "pain_index": "Pain index",
    "ulcer_index": "Ulcer index",
    "ulcer_performance": "CAGR / ulcer index",
    "recovery_factor": "Recovery factor",
    "exposure": "Money invested at session ends",
    "time_in_market": "Sessions with a position",
    "turnover": "Turnover a year",
    "mean_session": "Mean session",
    "geometric_mean_session": "Geometric mean session",
    "median_session": "Median session",
    "best_session": "Best session",
    "worst_session": "Worst session",
    "positive_sessions": "Sessions with a gain",
    "average_gain": "Mean gain of a session",
    "average_fall": "Mean fall of a session",
    "longest_gaining_run": "Longest run of gains",
    "longest_falling_run": "Longest run of falls",
    "best_month": "Best month",
    "worst_month": "Worst month",
    "positive_months": "Months with a gain",
    "skew": "Skewness",
    "kurtosis": "Excess kurtosis",
    "autocorrelation": "Autocorrelation, one session",
    "value_at_risk_95": "Value at risk, 95 %",
    "expected_shortfall_95": "Expected shortfall, 95 %",
    "trades": "Closed trades",
    "open_trades": "Open positions",
    "trades_per_year": "Closed trades a year",
    "most_positions": "Most positions at once",
    "win_rate": "Winning trades",
    "profit_factor": "Profit factor",
    "expectancy": "Mean profit of a trade",
    "average_win": "Mean win",
    "average_loss": "Mean loss",
    "payoff_ratio": "Mean win / mean loss",
    "kelly_share": "Kelly share",
    "system_quality": "System quality number",
    "largest_win": "Largest win",
    "largest_loss": "Largest loss",
    "largest_win_share": "Largest win / all wins",
    "average_return": "Mean return of a trade",
    "median_return": "Median return of a trade",
    "best_trade": "Best trade",
    "worst_trade": "Worst trade",
    "average_hours_held": "Mean hours held",
    "day_trades": "Trades within a session",
    "average_days_held": "Mean days held",
    "average_days_won": "Mean days held, wins",
    "average_days_lost": "Mean days held, losses",
    "longest_winning_run": "Longest run of wins",
    "longest_losing_run": "Longest run of losses",
    "commissions": "Commissions",
    "taxes": "Taxes",
    "cost_share": "Costs / value traded",
    "dividends": "Dividends after tax",
    "rights": "Subscription rights sold",
    "borrow_fees": "Fees for borrowed shares",
}
"""What people call each figure; `metrics.DEFINITIONS` says how it is computed."""

BENCHMARK_LABELS = {
    "benchmark_return": "Its return",
    "excess_return": "Return above it",
    "benchmark_volatility": "Its volatility a year",
    "benchmark_sharpe": "Its Sharpe ratio",
    "benchmark_max_drawdown": "Its largest drawdown",
    "alpha": "Alpha a year",
    "beta": "Beta",
    "correlation": "Correlation",
    "tracking_error": "Tracking error a year",
    "information_ratio": "Information ratio",
    "up_capture": "Up capture",
    "down_capture": "Down capture",
}
"""The same for `benchmark.BENCHMARK_DEFINITIONS`."""

_PERCENT = frozenset(
    {
        "total_return",
        "cagr",
        "volatility",
        "downside_deviation",
        "probabilistic_sharpe",
        "max_drawdown",
        "average_drawdown",
        "last_drawdown",
        "pain_index",
        "ulcer_index",
        "exposure",
        "time_in_market",
        "mean_session",
        "geometric_mean_session",
        "median_session",
        "best_session",
        "worst_session",
        "positive_sessions",
        "average_gain",
        "average_fall",
        "best_month",
        "worst_month",
        "positive_months",
        "value_at_risk_95",
        "expected_shortfall_95",
        "win_rate",
        "day_trades",
        "kelly_share",
        "largest_win_share",
        "average_return",
        "median_return",
        "best_trade",
        "worst_trade",
        "cost_share",
        "benchmark_return",
        "excess_return",
        "benchmark_volatility",
        "benchmark_max_drawdown",
        "alpha",
        "tracking_error",
    }
)
_MONEY = frozenset(
    {
        "net_profit",
        "expectancy",
        "average_win",
        "average_loss",
        "largest_win",
        "largest_loss",
        "commissions",
        "taxes",
        "dividends",
        "rights",
        "borrow_fees",
    }
)
GROUPS = {
    "Return and risk": (
        "total_return",
        "net_profit",
        "cagr",
        "volatility",
        "downside_deviation",
        "sharpe",
        "sharpe_error",
        "probabilistic_sharpe",
        "sortino",
        "calmar",
        "omega",
        "gain_to_pain",
        "tail_ratio",
        "stability",
    ),
    "Drawdowns": (
        "max_drawdown",
        "max_drawdown_sessions",
        "average_drawdown",
        "average_drawdown_sessions",
        "drawdowns",
        "last_drawdown",
        "pain_index",
        "ulcer_index",
        "ulcer_performance",
        "recovery_factor",
    ),
    "Sessions and months": (
        "mean_session",
        "geometric_mean_session",
        "median_session",
        "best_session",
        "worst_session",
        "positive_sessions",
        "average_gain",
        "average_fall",
        "longest_gaining_run",
        "longest_falling_run",
        "best_month",
        "worst_month",
        "positive_months",
        "skew",
        "kurtosis",
        "autocorrelation",
        "value_at_risk_95",
        "expected_shortfall_95",
    ),
    "Closed trades": (
        "trades",
        "open_trades",
        "trades_per_year",
        "win_rate",
        "profit_factor",
        "expectancy",
        "payoff_ratio",
        "kelly_share",
        "system_quality",
        "average_return",
        "median_return",
        "best_trade",
        "worst_trade",
        "average_hours_held",
        "day_trades",
        "average_days_held",
        "average_days_won",
        "average_days_lost",
    ),
    "Wins and losses": (
        "average_win",
        "average_loss",
        "largest_win",
        "largest_loss",
        "largest_win_share",
        "longest_winning_run",
        "longest_losing_run",
    ),
    "Positions and costs": (
        "exposure",
        "time_in_market",
        "most_positions",
        "turnover",
        "commissions",
        "taxes",
        "cost_share",
        "dividends",
        "rights",
        "borrow_fees",
    ),
}


def unit_of(name: str) -> str:
    """Return in what a figure is shown: percent, money or a plain number."""
    return "%" if name in _PERCENT else "money" if name in _MONEY else "number"


# Whole parts of numbers; what stands behind a point is left as it is, and words with digits too.
_LARGE = re.compile(r"(?<![\w.,:-])\d{4,}(?![\w:-])")


def show(name: str, value: Metric, currency: str = "KRW") -> str:
    """Return a figure as people read it: percent, money or a plain number; a dash for None."""
    if value is None:
        return "–"
    if name in _PERCENT:
        return f"{_unsigned_zero(f'{100 * value:.2f}')} %"
    if name in _MONEY:
        return f"{amount(value, currency)} {currency_word(currency)}"
    return f"{value:,}" if isinstance(value, int) else _unsigned_zero(f"{value:,.2f}")


def _unsigned_zero(text: str) -> str:
    """Return a number as text without the sign of a rounded nothing."""
    return text.removeprefix("-") if not text.strip("-0.") else text


def amount(value: float, currency: str, *, is_signed: bool = False) -> str:
    """Return money without its currency: whole won, cents of all others."""
    sign = "+" if is_signed else ""
    return f"{value:{sign},.0f}" if currency == "KRW" else f"{value:{sign},.2f}"


def currency_word(currency: str) -> str:
    """Return what people call a currency."""
    return "won" if currency == "KRW" else currency


def counted(count: int, noun: str) -> str:
    """Return a number of things, such as `1 order` or `2,000 orders`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def grouped(text: str) -> str:
    """Return a sentence whose large numbers can be read: commas between thousands."""
    return _LARGE.sub(lambda found: f"{int(found.group()):,}", text)
