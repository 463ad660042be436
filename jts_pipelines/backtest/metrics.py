"""Figures of a backtest, each with its definition.

Returns are those of session-end equity, the first one against the starting cash. Annual figures
use `sessions_per_year`. A figure that is not defined for a run is None, never zero or infinite.
Trade figures count closed trades, net of commission and tax.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Floats
from jts_pipelines.backtest.result import Metric

DEFINITIONS: dict[str, str] = {
    "total_return": "final equity / starting cash - 1",
    "cagr": "(final equity / starting cash) ^ (sessions per year / sessions) - 1",
    "volatility": "standard deviation of session returns (n - 1) x sqrt(sessions per year)",
    "sharpe": "mean of session returns / their standard deviation x sqrt(sessions per year)",
    "sortino": "mean return / root mean square of negative returns x sqrt(sessions per year)",
    "calmar": "cagr / size of the largest drawdown",
    "omega": "sum of positive session returns / sum of negative ones, as a positive number",
    "max_drawdown": "lowest equity / highest equity before it - 1",
    "max_drawdown_sessions": "longest run of sessions below an earlier highest equity",
    "ulcer_index": "root mean square of the drawdowns",
    "recovery_factor": "net profit / largest fall of equity in won",
    "exposure": "mean over sessions of value of positions / equity",
    "time_in_market": "share of sessions that ended with a position",
    "turnover": "value of all fills / mean equity / years",
    "best_session": "highest session return",
    "worst_session": "lowest session return",
    "positive_sessions": "share of sessions with a return above zero",
    "skew": "third standardised moment of session returns (population)",
    "kurtosis": "fourth standardised moment of session returns (population), less 3",
    "value_at_risk_95": "5 % quantile of session returns, linear between neighbours",
    "expected_shortfall_95": "mean of the session returns at or below value_at_risk_95",
    "trades": "closed trades",
    "open_trades": "positions held after the last bar",
    "win_rate": "closed trades with a profit above zero / closed trades",
    "profit_factor": "sum of profits / sum of losses",
    "expectancy": "mean profit of a closed trade in won",
    "average_win": "mean profit of winning trades in won",
    "average_loss": "mean profit of the other trades in won",
    "payoff_ratio": "average win / size of the average loss",
    "largest_win": "highest profit of a closed trade in won",
    "largest_loss": "lowest profit of a closed trade in won",
    "average_return": "mean over closed trades of profit / money invested",
    "average_days_held": "mean calendar days from entry to exit of closed trades",
    "longest_winning_run": "most winning trades in a row, in the order of exit",
    "longest_losing_run": "most other trades in a row, in the order of exit",
    "commissions": "sum of commissions in won",
    "taxes": "sum of transaction and rural taxes in won",
    "cost_share": "commissions and taxes / value of all fills",
}


def compute_metrics(
    equity: pl.DataFrame,
    trades: pl.DataFrame,
    fills: pl.DataFrame,
    *,
    start_cash: int,
    sessions_per_year: int,
) -> dict[str, Metric]:
    """Return every figure of `DEFINITIONS`, in that order."""
    path = equity["equity"].to_numpy().astype(np.float64)
    before = np.concatenate(([float(start_cash)], path[:-1]))
    returns = path / before - 1.0
    found = _return_figures(path, returns, start_cash, sessions_per_year)
    found |= _path_figures(equity, path, start_cash)
    found |= _trade_figures(trades)
    found |= _cost_figures(fills, path, sessions_per_year)
    found["calmar"] = _ratio(found["cagr"], -(found["max_drawdown"] or 0.0))
    return {name: _plain(found[name]) for name in DEFINITIONS}


def _return_figures(
    path: Floats, returns: Floats, start_cash: int, per_year: int
) -> dict[str, Metric]:
    growth = float(path[-1]) / start_cash
    mean, spread = float(returns.mean()), _spread(returns)
    fall = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    scale = math.sqrt(per_year)
    tail = float(np.quantile(returns, 0.05))
    return {
        "total_return": growth - 1.0,
        "cagr": growth ** (per_year / len(path)) - 1.0 if growth > 0 else -1.0,
        "volatility": None if spread is None else spread * scale,
        "sharpe": _ratio(mean * scale, spread),
        "sortino": _ratio(mean * scale, fall),
        "omega": _ratio(float(returns[returns > 0].sum()), -float(returns[returns < 0].sum())),
        "best_session": float(returns.max()),
        "worst_session": float(returns.min()),
        "positive_sessions": float((returns > 0).mean()),
        "skew": _moment(returns, 3),
        "kurtosis": None if (fourth := _moment(returns, 4)) is None else fourth - 3.0,
        "value_at_risk_95": tail,
        "expected_shortfall_95": float(returns[returns <= tail].mean()),
    }


def _path_figures(equity: pl.DataFrame, path: Floats, start_cash: int) -> dict[str, Metric]:
    drawdown = equity["drawdown"].to_numpy()
    peak = np.maximum.accumulate(np.maximum(path, start_cash))
    positions = equity["positions"].to_numpy()
    return {
        "max_drawdown": min(0.0, float(drawdown.min())),
        "max_drawdown_sessions": _longest_run((drawdown < 0).tolist()),
        "ulcer_index": math.sqrt(float(np.mean(drawdown**2))),
        "recovery_factor": _ratio(float(path[-1]) - start_cash, float((peak - path).max())),
        "exposure": float(np.mean(positions / np.maximum(path, 1.0))),
        "time_in_market": float((positions > 0).mean()),
    }


def _trade_figures(trades: pl.DataFrame) -> dict[str, Metric]:
    closed = trades.filter(pl.col("status") == "closed").sort("left_at", "trade")
    profit = closed["profit"].to_numpy().astype(np.float64)
    wins, losses = profit[profit > 0], profit[profit <= 0]
    won, lost = float(wins.sum()), -float(losses.sum())
    return {
        "trades": closed.height,
        "open_trades": trades.height - closed.height,
        "win_rate": _ratio(len(wins), len(profit)),
        "profit_factor": _ratio(won, lost),
        "expectancy": _mean(profit),
        "average_win": _mean(wins),
        "average_loss": _mean(losses),
        "payoff_ratio": _ratio(_mean(wins), -(_mean(losses) or 0.0)),
        "largest_win": float(profit.max()) if len(profit) else None,
        "largest_loss": float(profit.min()) if len(profit) else None,
        "average_return": _mean(closed["return"].to_numpy()),
        "average_days_held": _mean(closed["days_held"].to_numpy().astype(np.float64)),
        "longest_winning_run": _longest_run((profit > 0).tolist()),
        "longest_losing_run": _longest_run((profit <= 0).tolist()),
    }


def _cost_figures(fills: pl.DataFrame, path: Floats, per_year: int) -> dict[str, Metric]:
    traded = int((fills["quantity"] * fills["price"]).sum())
    commissions, taxes = int(fills["commission"].sum()), int(fills["tax"].sum())
    years = len(path) / per_year
    return {
        "turnover": _ratio(traded / years, float(path.mean())),
        "commissions": commissions,
        "taxes": taxes,
        "cost_share": _ratio(commissions + taxes, traded),
    }


def _spread(returns: Floats) -> float | None:
    return float(returns.std(ddof=1)) if len(returns) > 1 else None


def _moment(returns: Floats, order: int) -> float | None:
    spread = float(returns.std())
    if spread == 0.0:
        return None
    return float(np.mean(((returns - returns.mean()) / spread) ** order))


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _ratio(above: float | None, below: float | None) -> float | None:
    if above is None or below is None or below <= 0.0:
        return None
    return above / below


def _longest_run(flags: Sequence[bool]) -> int:
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def _plain(value: Metric) -> Metric:
    return value if value is None or math.isfinite(value) else None
