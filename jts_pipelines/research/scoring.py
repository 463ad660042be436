"""What a trial is judged by, and what is to be doubted about the best of many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from jts_pipelines.backtest.columns import Floats
from jts_pipelines.backtest.returns import moment, return_figures
from jts_pipelines.research.running import Outcome
from jts_pipelines.research.significance import Deflated, deflate
from jts_pipelines.research.trials import Trial

RETURN_OBJECTIVES = ("sharpe", "sortino", "cagr", "total_return", "omega", "gain_to_pain")
"""Figures that a part of the sessions has too, as a walk-forward needs."""

OBJECTIVES = (
    *RETURN_OBJECTIVES,
    *("calmar", "ulcer_performance", "probabilistic_sharpe", "profit_factor", "expectancy"),
    *("system_quality", "average_return"),
)
"""Figures by which the best trial may be chosen: the higher the better."""


class Verdict(StrEnum):
    """What the evidence says about the best trial."""

    CONVINCING = "convincing"
    OVERFIT = "an edge, but the choice overfits"
    LUCK = "indistinguishable from luck"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Significance:
    """The best trial in the light of all trials.

    Attributes:
        deflated: None where its Sharpe ratio is not defined.
        trials: Distinct trials of the family over these data, earlier ones included.
        earlier: How many of them were tried before.
    """

    deflated: Deflated | None
    trials: int
    earlier: int


def score_of(outcome: Outcome, objective: str) -> float:
    """Return the score of an outcome; NaN where it has none."""
    found = outcome.metrics.get(objective)
    return math.nan if found is None else float(found)


def score_of_returns(returns: Floats, objective: str, per_year: int) -> float:
    """Return a figure of `RETURN_OBJECTIVES` over some sessions; NaN where it is not defined."""
    if len(returns) < 2:
        return math.nan
    found = return_figures(returns, per_year, (objective,))[objective]
    return math.nan if found is None else float(found)


def best_of(scores: Floats) -> int | None:
    """Return the number of the highest score, the first of equals; None of no scores."""
    if not np.isfinite(scores).any():
        return None
    return int(np.where(np.isfinite(scores), scores, -np.inf).argmax())


def weigh(best: Outcome, own: Sequence[Outcome], known: Sequence[Trial]) -> Significance:
    """Deflate the best outcome by every trial that was ever made on its data.

    Args:
        best: One of `own`.
        own: The trials of this sweep.
        known: Trials of the ledger with the same family and overlapping data.
    """
    runs = {outcome.run for outcome in own if outcome.run}
    earlier = [trial for trial in known if trial.run not in runs]
    count = len(runs) + len(earlier)
    sharpe, skew = best.sharpe, moment(best.returns, 3)
    fourth = moment(best.returns, 4)
    if sharpe is None or skew is None or fourth is None:
        return Significance(None, count, len(earlier))
    distinct = {outcome.run: outcome.sharpe for outcome in own if outcome.run}
    others = [*distinct.values(), *(trial.sharpe for trial in earlier)]
    deflated = deflate(
        sharpe,
        [other for other in others if other is not None],
        trials=count,
        sessions=len(best.returns),
        skew=skew,
        kurtosis=fourth,
    )
    return Significance(deflated, count, len(earlier))
