"""A sweep: many parameter sets over one slice of data, and what the best of them is worth.

Every trial is written into the ledger before anything is said about the best one, and the best
one is judged by all trials that were ever made with this strategy on these data.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jts_pipelines.backtest.columns import Floats
from jts_pipelines.research.choosing import Method, chooser_for
from jts_pipelines.research.findings import Finding, FindingCode
from jts_pipelines.research.overfitting import Overfitting, find_overfitting
from jts_pipelines.research.plateau import Plateau, find_plateau
from jts_pipelines.research.recording import About, doubts_of_trials, written_down
from jts_pipelines.research.running import Outcome, Runner
from jts_pipelines.research.scoring import (
    OBJECTIVES,
    Significance,
    Verdict,
    best_of,
    score_of,
    weigh,
)
from jts_pipelines.research.space import Point, Space
from jts_pipelines.research.trials import Slice, TrialLedger
from storage.errors import InputError

OnTrial = Callable[[int, int], None]
"""Told how many trials are done, and how many there will be at most."""

_OVERFIT_FROM = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """What a sweep tries.

    Attributes:
        about: Strategy and data.
        space: Parameters and their values.
        method: How points are chosen.
        trials: How many at most; None for all of a grid, and 100 otherwise.
        objective: One of `OBJECTIVES`.
        seed: Of what is drawn.
        sessions_per_year: For annual figures.
    """

    about: About
    space: Space
    method: Method = Method.GRID
    trials: int | None = None
    objective: str = "sharpe"
    seed: int = 1
    sessions_per_year: int = 252

    def __post_init__(self) -> None:
        """Check the objective.

        Raises:
            InputError: It is none.
        """
        if self.objective not in OBJECTIVES:
            accepted = ", ".join(OBJECTIVES)
            raise InputError(f"objective is {self.objective!r}; accepted: {accepted}")


@dataclass(frozen=True, slots=True)
class SweepResult:
    """A finished sweep.

    Attributes:
        points: Place of each trial in the space.
        outcomes: Of each trial, in the order in which they were tried.
        scores: Of each trial; NaN where it has none.
        best: Number of the trial with the highest score.
        overfitting: None of fewer than two trials that traded, or few sessions.
        plateau: None where the best trial has no neighbours.
    """

    plan: SweepPlan
    points: tuple[Point, ...]
    outcomes: tuple[Outcome, ...]
    scores: Floats
    best: int
    significance: Significance
    overfitting: Overfitting | None
    plateau: Plateau | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is to be doubted."""
        return (*_doubts_of_best(self), *doubts_of_trials(self.outcomes, self.plan.about))

    @property
    def best_outcome(self) -> Outcome:
        """The trial with the highest score."""
        return self.outcomes[self.best]

    @property
    def verdict(self) -> Verdict:
        """What the evidence says about the best trial."""
        if self.significance.deflated is None:
            return Verdict.UNKNOWN
        doubted = {finding.code for finding in self.findings}
        if doubted & {FindingCode.LUCK, FindingCode.LOOK_AHEAD}:
            return Verdict.LUCK
        return Verdict.OVERFIT if FindingCode.OVERFIT in doubted else Verdict.CONVINCING

    @property
    def name(self) -> str:
        """Short name: equal trials and objective, equal name."""
        runs = "\0".join((self.plan.objective, *(o.run or o.refusal for o in self.outcomes)))
        return hashlib.sha256(runs.encode()).hexdigest()[:12]


def run_sweep(
    plan: SweepPlan,
    runner: Runner,
    ledger: TrialLedger,
    at_ns: int,
    *,
    on_trial: OnTrial = lambda _done, _most: None,
) -> SweepResult:
    """Try points of the space, write every trial down, and judge the best one.

    Args:
        plan: What is tried.
        runner: Runs parameter sets.
        ledger: Of the instance.
        at_ns: Instance time, UTC ns.
        on_trial: Told the progress.

    Raises:
        InputError: The plan cannot be carried out, or no parameter set has a score.
        StorageError: The ledger is damaged or cannot be written.
    """
    chooser = chooser_for(plan.method, plan.space, plan.trials, plan.seed)
    most = min(plan.trials or plan.space.size, plan.space.size)
    points: list[Point] = []
    outcomes: list[Outcome] = []
    while asked := chooser.ask():
        first = len(outcomes)
        found = runner([plan.space.params(point) for point in asked])
        for outcome in written_down(found, plan.about, ledger, at_ns):
            outcomes.append(outcome)
            on_trial(len(outcomes), most)
        chooser.tell(asked, [score_of(outcome, plan.objective) for outcome in outcomes[first:]])
        points += asked
    return judge(plan, points, outcomes, ledger)


def judge(
    plan: SweepPlan, points: list[Point], outcomes: list[Outcome], ledger: TrialLedger
) -> SweepResult:
    """Judge the trials of a sweep, which are in the ledger already.

    Raises:
        InputError: No parameter set has a score.
        StorageError: The chain of the ledger is broken.
    """
    scores = np.array([score_of(outcome, plan.objective) for outcome in outcomes])
    best = best_of(scores)
    if best is None:
        refusal = next((o.refusal for o in outcomes if o.refusal), "none has enough trades")
        raise InputError(f"none of {len(outcomes)} parameter sets has {plan.objective}: {refusal}")
    chosen = outcomes[best]
    seen = Slice(plan.about.venue, chosen.sessions[0], chosen.sessions[-1])
    significance = weigh(chosen, outcomes, ledger.trials(plan.about.family, seen))
    overfitting = find_overfitting(returns_of(outcomes))
    plateau = find_plateau(points, scores)
    return SweepResult(
        plan=plan,
        points=tuple(points),
        outcomes=tuple(outcomes),
        scores=scores,
        best=best,
        significance=significance,
        overfitting=overfitting,
        plateau=plateau,
    )


def returns_of(outcomes: list[Outcome]) -> Floats:
    """Return session returns, [session, trial], of the trials that were not refused."""
    kept = [outcome.returns for outcome in outcomes if outcome.run]
    return np.stack(kept, axis=1) if kept else np.empty((0, 0))


def _doubts_of_best(result: SweepResult) -> list[Finding]:
    found = []
    deflated, overfitting, plateau = (
        result.significance.deflated,
        result.overfitting,
        result.plateau,
    )
    if deflated is not None and not deflated.is_convincing:
        text = (
            f"the best of {deflated.trials:,} trials is indistinguishable from luck: deflated "
            f"Sharpe ratio {deflated.probability:.3f}"
        )
        found.append(Finding(FindingCode.LUCK, text))
    if overfitting is not None and overfitting.probability >= _OVERFIT_FROM:
        text = f"the probability that choosing the best overfits is {overfitting.probability:.0%}"
        found.append(Finding(FindingCode.OVERFIT, text))
    if plateau is not None and plateau.is_needle:
        text = f"{plateau.neighbours} neighbours of the best trial score {plateau.ratio:.0%} of it"
        found.append(Finding(FindingCode.NEEDLE, text))
    edges = result.plan.space.is_at_edge(result.points[result.best])
    if edges:
        text = f"the best value of {', '.join(edges)} lies at the end of its range"
        found.append(Finding(FindingCode.AT_EDGE, text))
    return found
