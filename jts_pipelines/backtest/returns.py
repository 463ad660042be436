"""Figures of a series of session returns, and the small sums that all figures share.

Pure: numbers in, numbers out. What each figure means stands in `metrics.DEFINITIONS`.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Flags, Floats

Figure = float | int | None
# Below this a spread is what rounding leaves of equal returns.
_NO_SPREAD = 1e-14


def session_returns(equity: NDArray[np.generic], start_cash: int) -> Floats:
    """Return the return of each session, the first one against the starting cash.

    Args:
        equity: At the end of each session, in the currency of the cash.
        start_cash: Before the first one.
    """
    path = equity.astype(np.float64)
    before = np.concatenate(([float(start_cash)], path[:-1]))
    found: Floats = path / before - 1.0
    return found


def return_figures(returns: Floats, per_year: int) -> dict[str, Figure]:
    """Return the figures that need nothing but session returns.

    Args:
        returns: At least one, in the order of time.
        per_year: Sessions per year.
    """
    growth, scale = float(np.prod(1.0 + returns)), math.sqrt(per_year)
    average, deviation = float(returns.mean()), spread(returns)
    fall = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    gained, lost = returns[returns > 0], returns[returns < 0]
    tail = float(np.quantile(returns, 0.05))
    return {
        "total_return": growth - 1.0,
        "cagr": compounded(growth, per_year / len(returns)),
        "volatility": None if deviation is None else deviation * scale,
        "downside_deviation": fall * scale,
        "sharpe": ratio(average * scale, deviation),
        "sortino": ratio(average * scale, fall),
        "omega": ratio(float(gained.sum()), -float(lost.sum())),
        "gain_to_pain": ratio(float(returns.sum()), -float(lost.sum())),
        "tail_ratio": ratio(abs(float(np.quantile(returns, 0.95))), abs(tail)),
        "stability": _stability(returns),
        "mean_session": average,
        "geometric_mean_session": compounded(growth, 1 / len(returns)),
        "median_session": float(np.median(returns)),
        "best_session": float(returns.max()),
        "worst_session": float(returns.min()),
        "positive_sessions": float((returns > 0).mean()),
        "average_gain": mean(gained),
        "average_fall": mean(lost),
        "longest_gaining_run": longest_run(returns > 0),
        "longest_falling_run": longest_run(returns < 0),
        "autocorrelation": correlation(returns[1:], returns[:-1]),
        "value_at_risk_95": tail,
        "expected_shortfall_95": float(returns[returns <= tail].mean()),
        **_shape_figures(returns, per_year),
    }


def _shape_figures(returns: Floats, per_year: int) -> dict[str, Figure]:
    skew, fourth = moment(returns, 3), moment(returns, 4)
    error = sharpe_error(returns)
    chance = None
    if error is not None:
        chance = NormalDist().cdf(float(returns.mean() / returns.std(ddof=1)) / error)
    return {
        "skew": skew,
        "kurtosis": None if fourth is None else fourth - 3.0,
        "sharpe_error": None if error is None else error * math.sqrt(per_year),
        "probabilistic_sharpe": chance,
    }


def sharpe_error(returns: Floats) -> float | None:
    """Return the standard error of the Sharpe ratio of one session (Mertens 2002).

    Returns that are not normal are allowed for by their skewness and kurtosis; None where the
    ratio is not defined.
    """
    deviation = spread(returns)
    skew, fourth = moment(returns, 3), moment(returns, 4)
    if not deviation or skew is None or fourth is None:
        return None
    sharpe = float(returns.mean()) / deviation
    variance = (1.0 - skew * sharpe + (fourth - 1.0) / 4.0 * sharpe**2) / (len(returns) - 1)
    return math.sqrt(variance) if variance > 0 else None


def compounded(growth: float, power: float) -> float:
    """Return growth to a power, less one; a total loss stays one."""
    return float(growth**power - 1.0) if growth > 0 else -1.0


def spread(values: Floats) -> float | None:
    """Return the standard deviation (n - 1), 0 of equal values; None of fewer than two."""
    if len(values) < 2:
        return None
    found = float(values.std(ddof=1))
    return 0.0 if found < _NO_SPREAD else found


def moment(values: Floats, order: int) -> float | None:
    """Return a standardised moment of a population; None where all values are equal."""
    deviation = float(values.std())
    if deviation < _NO_SPREAD:
        return None
    return float(np.mean(((values - values.mean()) / deviation) ** order))


def correlation(left: Floats, right: Floats) -> float | None:
    """Return the correlation of two series; None where one of them does not vary."""
    if len(left) < 2 or left.std() < _NO_SPREAD or right.std() < _NO_SPREAD:
        return None
    return float(np.corrcoef(left, right)[0, 1])


def mean(values: Floats) -> float | None:
    """Return the mean; None of no values."""
    return float(values.mean()) if len(values) else None


def ratio(above: float | None, below: float | None) -> float | None:
    """Return a quotient; None where one part is missing or the divisor is not above zero."""
    if above is None or below is None or below <= 0.0:
        return None
    return above / below


def longest_run(flags: Flags) -> int:
    """Return how many flags in a row are set at most."""
    turns = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False]))))
    return int((turns[1::2] - turns[::2]).max(initial=0))


def plain(value: Figure) -> Figure:
    """Return a figure, or None for one that is no finite number."""
    return value if value is None or math.isfinite(value) else None


def _stability(returns: Floats) -> float | None:
    if (returns <= -1.0).any():
        return None
    path = np.cumsum(np.log1p(returns))
    found = correlation(path, np.arange(len(path), dtype=np.float64))
    return None if found is None else found**2
