"""Figures of a series of session returns, and the small sums that all figures share.

Pure: numbers in, numbers out. What each figure means stands in `metrics.DEFINITIONS`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
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


def return_figures(
    returns: Floats, per_year: int, names: Iterable[str] | None = None
) -> dict[str, Figure]:
    """Return the figures that need nothing but session returns.

    Args:
        returns: At least one, in the order of time.
        per_year: Sessions per year.
        names: Which of them; all if None.
    """
    course = _Course(returns, per_year)
    wanted = RETURN_FIGURES if names is None else names
    return {name: RETURN_FIGURES[name](course) for name in wanted}


class _Course:
    """Session returns, and what several figures are made of, computed once and when asked for."""

    def __init__(self, returns: Floats, per_year: int) -> None:
        self.returns, self.per_year = returns, per_year
        self.scale = math.sqrt(per_year)

    @cached_property
    def growth(self) -> float:
        return float(np.prod(1.0 + self.returns))

    @cached_property
    def average(self) -> float:
        return float(self.returns.mean())

    @cached_property
    def deviation(self) -> float | None:
        return spread(self.returns)

    @cached_property
    def fall(self) -> float:
        return math.sqrt(float(np.mean(np.minimum(self.returns, 0.0) ** 2)))

    @cached_property
    def gained(self) -> Floats:
        return self.returns[self.returns > 0]

    @cached_property
    def lost(self) -> Floats:
        return self.returns[self.returns < 0]

    @cached_property
    def tail(self) -> float:
        return float(np.quantile(self.returns, 0.05))

    @cached_property
    def skew(self) -> float | None:
        return moment(self.returns, 3)

    @cached_property
    def fourth(self) -> float | None:
        return moment(self.returns, 4)

    @cached_property
    def error(self) -> float | None:
        """Standard error of the Sharpe ratio of one session (Mertens 2002).

        Returns that are not normal are allowed for by their skewness and kurtosis; None where the
        ratio is not defined.
        """
        if not self.deviation or self.skew is None or self.fourth is None:
            return None
        sharpe = self.average / self.deviation
        variance = 1.0 - self.skew * sharpe + (self.fourth - 1.0) / 4.0 * sharpe**2
        variance /= len(self.returns) - 1
        return math.sqrt(variance) if variance > 0 else None

    @property
    def chance(self) -> float | None:
        """Probability that the true Sharpe ratio is above zero."""
        if self.error is None or self.deviation is None:
            return None
        return NormalDist().cdf(self.average / self.deviation / self.error)


RETURN_FIGURES: Mapping[str, Callable[[_Course], Figure]] = {
    "total_return": lambda c: c.growth - 1.0,
    "cagr": lambda c: compounded(c.growth, c.per_year / len(c.returns)),
    "volatility": lambda c: None if c.deviation is None else c.deviation * c.scale,
    "downside_deviation": lambda c: c.fall * c.scale,
    "sharpe": lambda c: ratio(c.average * c.scale, c.deviation),
    "sortino": lambda c: ratio(c.average * c.scale, c.fall),
    "omega": lambda c: ratio(float(c.gained.sum()), -float(c.lost.sum())),
    "gain_to_pain": lambda c: ratio(float(c.returns.sum()), -float(c.lost.sum())),
    "tail_ratio": lambda c: ratio(abs(float(np.quantile(c.returns, 0.95))), abs(c.tail)),
    "stability": lambda c: _stability(c.returns),
    "mean_session": lambda c: c.average,
    "geometric_mean_session": lambda c: compounded(c.growth, 1 / len(c.returns)),
    "median_session": lambda c: float(np.median(c.returns)),
    "best_session": lambda c: float(c.returns.max()),
    "worst_session": lambda c: float(c.returns.min()),
    "positive_sessions": lambda c: float((c.returns > 0).mean()),
    "average_gain": lambda c: mean(c.gained),
    "average_fall": lambda c: mean(c.lost),
    "longest_gaining_run": lambda c: longest_run(c.returns > 0),
    "longest_falling_run": lambda c: longest_run(c.returns < 0),
    "autocorrelation": lambda c: correlation(c.returns[1:], c.returns[:-1]),
    "value_at_risk_95": lambda c: c.tail,
    "expected_shortfall_95": lambda c: float(c.returns[c.returns <= c.tail].mean()),
    "skew": lambda c: c.skew,
    "kurtosis": lambda c: None if c.fourth is None else c.fourth - 3.0,
    "sharpe_error": lambda c: None if c.error is None else c.error * c.scale,
    "probabilistic_sharpe": lambda c: c.chance,
}
"""Figures by name; `metrics.DEFINITIONS` says what each means."""


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
