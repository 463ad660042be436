"""Figures of a backtest, each with its definition.

Returns are those of session-end equity, the first one against the starting cash. Annual figures
use `sessions_per_year`; the riskless rate is zero. A figure that is not defined for a run is None,
never zero or infinite. Trade figures count closed trades, net of commission and tax. Money is in
the account's currency. The page `docs/metrics.md` is written from `DEFINITIONS`.
"""

import math

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.result import Metric
from jts_pipelines.backtest.returns import (
    longest_run,
    mean,
    plain,
    ratio,
    return_figures,
    session_returns,
    spread,
)
from jts_pipelines.backtest.summary import (
    EquityPath,
    Trades,
    Turnover,
    path_of_table,
    trades_of_table,
    turnover_of_table,
)

DEFINITIONS: dict[str, str] = {
    "total_return": "final equity / starting cash - 1",
    "net_profit": "final equity - starting cash in money",
    "cagr": "(final equity / starting cash) ^ (sessions per year / sessions) - 1",
    "volatility": "standard deviation of session returns (n - 1) x sqrt(sessions per year)",
    "downside_deviation": "root mean square of negative returns x sqrt(sessions per year)",
    "sharpe": "mean of session returns / their standard deviation x sqrt(sessions per year)",
    "sharpe_error": "standard error of sharpe: sqrt((1 - skew s + (kurtosis + 2) / 4 s^2) / "
    "(sessions - 1)) x sqrt(sessions per year), s the ratio of one session",
    "probabilistic_sharpe": "probability that the true Sharpe ratio is above zero: normal "
    "distribution at sharpe / sharpe_error",
    "sortino": "mean return / root mean square of negative returns x sqrt(sessions per year)",
    "calmar": "cagr / size of the largest drawdown",
    "omega": "sum of positive session returns / sum of negative ones, as a positive number",
    "gain_to_pain": "sum of all session returns / sum of negative ones, as a positive number",
    "tail_ratio": "size of the 95 % quantile of session returns / size of the 5 % quantile",
    "stability": "square of the correlation of cumulated log returns with time",
    "max_drawdown": "lowest equity / highest equity before it - 1",
    "max_drawdown_sessions": "longest run of sessions below an earlier highest equity",
    "average_drawdown": "mean over drawdowns of their lowest point",
    "average_drawdown_sessions": "sessions below an earlier highest equity / drawdowns",
    "drawdowns": "runs of sessions below an earlier highest equity",
    "last_drawdown": "drawdown after the last session",
    "pain_index": "mean size of the drawdown over all sessions",
    "ulcer_index": "root mean square of the drawdowns",
    "ulcer_performance": "cagr / ulcer_index",
    "recovery_factor": "net profit / largest fall of equity in money",
    "exposure": "mean over the ends of sessions of value of positions / equity; what is bought "
    "and sold within a session does not show",
    "time_in_market": "share of sessions that ended with a position",
    "turnover": "value of all fills / mean equity / years",
    "mean_session": "arithmetic mean of session returns",
    "geometric_mean_session": "(final equity / starting cash) ^ (1 / sessions) - 1",
    "median_session": "median of session returns",
    "best_session": "highest session return",
    "worst_session": "lowest session return",
    "positive_sessions": "share of sessions with a return above zero",
    "average_gain": "mean of session returns above zero",
    "average_fall": "mean of session returns below zero",
    "longest_gaining_run": "most sessions in a row with a return above zero",
    "longest_falling_run": "most sessions in a row with a return below zero",
    "best_month": "highest return of a calendar month, the first and last one as far as it goes",
    "worst_month": "lowest return of a calendar month",
    "positive_months": "share of calendar months with a return above zero",
    "skew": "third standardised moment of session returns (population)",
    "kurtosis": "fourth standardised moment of session returns (population), less 3",
    "autocorrelation": "correlation of session returns with those of the session before",
    "value_at_risk_95": "5 % quantile of session returns, linear between neighbours",
    "expected_shortfall_95": "mean of the session returns at or below value_at_risk_95",
    "trades": "closed trades",
    "open_trades": "positions held after the last bar",
    "trades_per_year": "closed trades / years",
    "most_positions": "most positions held at the end of a session",
    "win_rate": "closed trades with a profit above zero / closed trades",
    "profit_factor": "sum of profits / sum of losses",
    "expectancy": "mean profit of a closed trade in money",
    "average_win": "mean profit of winning trades in money",
    "average_loss": "mean profit of the other trades in money",
    "payoff_ratio": "average win / size of the average loss",
    "kelly_share": "win_rate - (1 - win_rate) / payoff_ratio",
    "system_quality": "mean profit of closed trades / its deviation (n - 1) x sqrt(trades)",
    "largest_win": "highest profit of a closed trade in money",
    "largest_loss": "lowest profit of a closed trade in money",
    "largest_win_share": "largest win / sum of profits",
    "average_return": "mean over closed trades of profit / money invested",
    "median_return": "median over closed trades of profit / money invested",
    "best_trade": "highest profit / money invested of a closed trade",
    "worst_trade": "lowest profit / money invested of a closed trade",
    "average_hours_held": "mean hours from the bar of the entry to that of the exit of closed "
    "trades, nights included",
    "day_trades": "closed trades that were left in the session of their entry / closed trades",
    "average_days_held": "mean calendar days from entry to exit of closed trades",
    "average_days_won": "the same of winning trades",
    "average_days_lost": "the same of the other trades",
    "longest_winning_run": "most winning trades in a row, in the order of exit",
    "longest_losing_run": "most other trades in a row, in the order of exit",
    "commissions": "sum of commissions in money",
    "taxes": "sum of transaction and rural taxes in money",
    "cost_share": "commissions and taxes / value of all fills",
    "dividends": "sum of dividends in money, less what was withheld of them",
    "rights": "sum of what rights to subscribe to new shares were sold for, in money",
    "borrow_fees": "sum of fees for shares that were sold short, in money",
}


def compute_metrics(
    equity: pl.DataFrame,
    trades: pl.DataFrame,
    fills: pl.DataFrame,
    *,
    start_cash: int,
    sessions_per_year: int,
) -> dict[str, Metric]:
    """Return every figure of `DEFINITIONS`, in that order, from the tables of a result.

    Args:
        equity: One row per session: session, positions, equity, drawdown.
        trades: One row per round trip, see `result.trade_table`.
        fills: One row per fill: gross, commission, tax; in the account's currency.
        start_cash: Likewise.
        sessions_per_year: For annual figures.
    """
    return compute_figures(
        path_of_table(equity),
        trades_of_table(trades),
        turnover_of_table(fills),
        start_cash=start_cash,
        sessions_per_year=sessions_per_year,
    )


def compute_figures(
    path: EquityPath,
    trades: Trades,
    turnover: Turnover,
    *,
    start_cash: int,
    sessions_per_year: int,
) -> dict[str, Metric]:
    """Return every figure of `DEFINITIONS`, in that order.

    Args:
        path: One row per session.
        trades: Of the run.
        turnover: One row per fill.
        start_cash: In the account's currency.
        sessions_per_year: For annual figures.
    """
    equity = path.equity.astype(np.float64)
    found = return_figures(session_returns(path.equity, start_cash), sessions_per_year)
    found["total_return"] = float(equity[-1]) / start_cash - 1.0
    found["net_profit"] = path.equity[-1].item() - start_cash
    found |= _path_figures(path, equity, start_cash)
    found |= _month_figures(path, start_cash)
    found |= _trade_figures(trades)
    found |= _size_figures(trades)
    found["most_positions"] = _most_positions(path.days, trades)
    found |= _cost_figures(turnover, equity, sessions_per_year)
    found["trades_per_year"] = ratio(found["trades"], len(equity) / sessions_per_year)
    found["calmar"] = ratio(found["cagr"], -(found["max_drawdown"] or 0.0))
    found["ulcer_performance"] = ratio(found["cagr"], found["ulcer_index"])
    return {name: plain(found[name]) for name in DEFINITIONS}


def _path_figures(path: EquityPath, equity: Floats, start_cash: int) -> dict[str, Metric]:
    drawdown, positions = np.minimum(path.drawdown, 0.0), path.positions
    peak = np.maximum.accumulate(np.maximum(equity, start_cash))
    is_below = drawdown < 0
    starts = np.flatnonzero(is_below & ~np.concatenate(([False], is_below[:-1])))
    lows = np.minimum.reduceat(drawdown, starts) if len(starts) else np.empty(0)
    return {
        "max_drawdown": float(drawdown.min()),
        "max_drawdown_sessions": longest_run(is_below),
        "average_drawdown": mean(lows),
        "average_drawdown_sessions": ratio(int(is_below.sum()), len(starts)),
        "drawdowns": len(starts),
        "last_drawdown": float(drawdown[-1]),
        "pain_index": -float(drawdown.mean()),
        "ulcer_index": math.sqrt(float(np.mean(drawdown**2))),
        "recovery_factor": ratio(float(equity[-1]) - start_cash, float((peak - equity).max())),
        "exposure": float(np.mean(positions / np.maximum(equity, 1.0))),
        "time_in_market": float((positions != 0).mean()),
    }


def _month_figures(path: EquityPath, start_cash: int) -> dict[str, Metric]:
    months = path.days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    ends = path.equity[np.flatnonzero(np.diff(months, append=months[-1] + 1))]
    returns = ends / np.concatenate((np.array([start_cash], ends.dtype), ends[:-1])) - 1
    return {
        "best_month": float(returns.max()),
        "worst_month": float(returns.min()),
        "positive_months": float((returns > 0).mean()),
    }


def _trade_figures(trades: Trades) -> dict[str, Metric]:
    profit = trades.profit
    wins, losses = profit[profit > 0], profit[profit <= 0]
    won, lost = float(wins.sum()), -float(losses.sum())
    win_rate = ratio(len(wins), len(profit))
    payoff = ratio(mean(wins), -(mean(losses) or 0.0))
    kelly = None if win_rate is None or not payoff else win_rate - (1 - win_rate) / payoff
    quality = ratio(mean(profit), spread(profit))
    return {
        "trades": len(profit),
        "open_trades": len(trades.entered) - len(profit),
        "win_rate": win_rate,
        "profit_factor": ratio(won, lost),
        "expectancy": mean(profit),
        "average_win": mean(wins),
        "average_loss": mean(losses),
        "payoff_ratio": payoff,
        "kelly_share": kelly,
        "system_quality": None if quality is None else quality * math.sqrt(len(profit)),
        "largest_win": float(profit.max()) if len(profit) else None,
        "largest_loss": float(profit.min()) if len(profit) else None,
        "largest_win_share": ratio(float(wins.max()), won) if len(wins) else None,
        "longest_winning_run": longest_run(profit > 0),
        "longest_losing_run": longest_run(profit <= 0),
    }


def _size_figures(trades: Trades) -> dict[str, Metric]:
    returns, days, is_won = trades.returns, trades.days_held, trades.profit > 0
    return {
        "average_return": mean(returns),
        "median_return": float(np.median(returns)) if len(returns) else None,
        "best_trade": float(returns.max()) if len(returns) else None,
        "worst_trade": float(returns.min()) if len(returns) else None,
        "average_hours_held": mean(trades.hours_held),
        "day_trades": ratio(int((days == 0).sum()), len(days)),
        "average_days_held": mean(days),
        "average_days_won": mean(days[is_won]),
        "average_days_lost": mean(days[~is_won]),
    }


def _most_positions(days: Ints, trades: Trades) -> int:
    held = np.zeros(len(days) + 1, np.int64)
    np.add.at(held, np.searchsorted(days, trades.entered), 1)
    np.add.at(held, np.searchsorted(days, trades.left), -1)
    return int(held.cumsum().max())


def _cost_figures(turnover: Turnover, equity: Floats, per_year: int) -> dict[str, Metric]:
    traded = float(turnover.gross.sum())
    commissions, taxes = _sum(turnover.commission), _sum(turnover.tax)
    years = len(equity) / per_year
    return {
        "turnover": ratio(traded / years, float(equity.mean())),
        "commissions": commissions,
        "taxes": taxes,
        "cost_share": ratio(commissions + taxes, traded),
        "dividends": _sum(turnover.dividend),
        "rights": _sum(turnover.rights),
        "borrow_fees": _sum(turnover.borrow_fee),
    }


def _sum(amounts: pl.Series) -> int | float:
    """Return a sum: a whole number of whole amounts."""
    found = float(amounts.sum())
    return int(found) if amounts.dtype.is_integer() else found
