"""How much of a good Sharpe ratio is luck: the deflated ratio and its parts.

Pure. Ratios are those of one session, not annual ones; sessions are counted, not years. Sources:
Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and "The Deflated Sharpe
Ratio" (2014).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, variance

EULER_GAMMA = 0.5772156649015329
CONVINCING = 0.95
"""A deflated Sharpe ratio below this is not told apart from luck."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Deflated:
    """What is left of the best Sharpe ratio of many trials.

    Attributes:
        trials: How many were counted, earlier ones of the same family included.
        sharpe: The best ratio of one session.
        expected_max: What the best of that many trials without any skill is expected to reach.
        probability: That the true ratio is above `expected_max`: the deflated Sharpe ratio.
    """

    trials: int
    sharpe: float
    expected_max: float
    probability: float

    @property
    def is_convincing(self) -> bool:
        """Whether luck among the trials is an unlikely reason for the best one."""
        return self.probability >= CONVINCING


def probabilistic_sharpe(
    sharpe: float, threshold: float, *, sessions: int, skew: float, kurtosis: float
) -> float:
    """Return the probability that the true Sharpe ratio is above a threshold.

    Args:
        sharpe: Observed, of one session.
        threshold: Of one session.
        sessions: Returns observed, at least 2.
        skew: Of the returns.
        kurtosis: Of the returns, not less 3.
    """
    spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if spread <= 0.0 or sessions < 2:
        return 0.0
    return _NORMAL.cdf((sharpe - threshold) * math.sqrt((sessions - 1) / spread))


def expected_max_sharpe(trials: int, sharpe_variance: float) -> float:
    """Return the highest ratio that independent trials without skill are expected to reach.

    Args:
        trials: At least 1; a single one is expected to reach nothing.
        sharpe_variance: Of the ratios of the trials.
    """
    if trials < 2 or sharpe_variance <= 0.0:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(sharpe_variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflate(
    sharpe: float,
    others: Sequence[float],
    *,
    trials: int,
    sessions: int,
    skew: float,
    kurtosis: float,
) -> Deflated:
    """Deflate the best Sharpe ratio of many trials.

    Args:
        sharpe: The best one, of one session.
        others: The ratios of all trials that are known, the best one included.
        trials: How many there were, at least as many as `others`.
        sessions: Returns behind the best one.
        skew: Of its returns.
        kurtosis: Of its returns, not less 3.
    """
    scatter = variance(others) if len(others) > 1 else 0.0
    threshold = expected_max_sharpe(max(trials, len(others)), scatter)
    chance = probabilistic_sharpe(
        sharpe, threshold, sessions=sessions, skew=skew, kurtosis=kurtosis
    )
    return Deflated(max(trials, len(others)), sharpe, threshold, chance)
