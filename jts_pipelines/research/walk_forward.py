"""A walk-forward: parameters chosen on past sessions, money made on the ones that follow.

Theory of operation. Every parameter set runs once over all sessions; because no decision knows
later bars (the prefix check of every run sees to that), its returns up to a day are those that
somebody would have had on that day. In each window the set with the best score over the training
sessions is chosen and then really run: bars before the test sessions warm it up, it decides from
the first of them on, begins with the equity that the window before ended with, and ends with its
positions valued at their last close. Closing them, and opening them again, costs nothing here.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl

from jts_pipelines.backtest.columns import Floats
from jts_pipelines.backtest.metrics import compute_metrics
from jts_pipelines.backtest.result import BacktestResult, Metric
from jts_pipelines.research.findings import Finding, FindingCode
from jts_pipelines.research.recording import About, doubts_of_trials
from jts_pipelines.research.running import Outcome, Params
from jts_pipelines.research.scoring import RETURN_OBJECTIVES, Verdict, best_of, score_of_returns
from jts_pipelines.research.significance import CONVINCING
from storage.errors import InputError

WINDOWS_MAX = 1_000
_SESSIONS_MIN = 5
_WEAK_BELOW = 0.5

RunWindow = Callable[[Params, date, date, int], BacktestResult]
"""Runs parameters from a session to another, with some starting cash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkPlan:
    """How a walk-forward goes.

    Attributes:
        about: Strategy and data.
        train: Sessions on which parameters are chosen; the fewest, if anchored.
        test: Sessions for which they are used.
        is_anchored: Training begins at the first session always; else it has `train` sessions.
        objective: One of `RETURN_OBJECTIVES`.
    """

    about: About
    train: int
    test: int
    is_anchored: bool = False
    objective: str = "sharpe"

    def __post_init__(self) -> None:
        """Check lengths and objective.

        Raises:
            InputError: One is not accepted.
        """
        for name in ("train", "test"):
            if getattr(self, name) < _SESSIONS_MIN:
                found = getattr(self, name)
                raise InputError(
                    f"{name} is {found} sessions; accepted: {_SESSIONS_MIN} and above"
                )
        if self.objective not in RETURN_OBJECTIVES:
            accepted = ", ".join(RETURN_OBJECTIVES)
            raise InputError(f"objective is {self.objective!r}; accepted: {accepted}")


@dataclass(frozen=True, slots=True)
class Window:
    """Numbers of sessions: training from `train_first`, testing from `test_first` to `end`."""

    train_first: int
    test_first: int
    end: int


@dataclass(frozen=True, slots=True)
class Step:
    """One window as it went.

    Attributes:
        window: Which sessions.
        params: Chosen on the training sessions; None where no set had a score there.
        train_score: Of the chosen set over the training sessions.
        test_score: Of the real run over the test sessions; NaN where it has none.
        rank: Share of all sets that did worse on the test sessions than the chosen one.
        trades: Closed in the test sessions.
        result: The real run; None where nothing was chosen.
    """

    window: Window
    params: Params | None
    train_score: float
    test_score: float
    rank: float
    trades: int
    result: BacktestResult | None


@dataclass(frozen=True, slots=True)
class WalkResult:
    """A finished walk-forward.

    Attributes:
        sessions: Of the whole run; windows number them.
        outcomes: Of every parameter set over all sessions.
        equity: One row per test session: session, cash, positions, equity, drawdown.
        metrics: Of the test sessions together.
        efficiency: Annual growth on test sessions / mean annual growth of the chosen sets on
            training sessions; None where that is not above zero.
    """

    plan: WalkPlan
    sessions: tuple[date, ...]
    outcomes: tuple[Outcome, ...]
    steps: tuple[Step, ...]
    start_cash: int
    equity: pl.DataFrame
    trades: pl.DataFrame
    metrics: dict[str, Metric]
    efficiency: float | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is to be doubted."""
        return (*_doubts_of_tests(self), *doubts_of_trials(self.outcomes, self.plan.about))

    @property
    def verdict(self) -> Verdict:
        """Whether the test sessions earn beyond doubt, and about as the choice promised."""
        chance = self.metrics["probabilistic_sharpe"]
        if chance is None:
            return Verdict.UNKNOWN
        if chance < CONVINCING:
            return Verdict.LUCK
        return Verdict.OVERFIT if self.is_weak_outside else Verdict.CONVINCING

    @property
    def is_weak_outside(self) -> bool:
        """Whether less than half of the growth that choosing promised was left outside."""
        return self.efficiency is not None and self.efficiency < _WEAK_BELOW

    @property
    def name(self) -> str:
        """Short name: equal runs and windows, equal name."""
        plan = self.plan
        head = (plan.objective, str(plan.train), str(plan.test), str(plan.is_anchored))
        runs = "\0".join((*head, *(o.run or o.refusal for o in self.outcomes)))
        return hashlib.sha256(runs.encode()).hexdigest()[:12]


def windows_of(sessions: int, plan: WalkPlan) -> list[Window]:
    """Return the windows of a number of sessions; the last one may be shorter.

    Raises:
        InputError: There is not even one, or there are too many.
    """
    starts = range(plan.train, sessions - _SESSIONS_MIN + 1, plan.test)
    if not starts or len(starts) > WINDOWS_MAX:
        raise InputError(
            f"{sessions:,} sessions make {len(starts):,} windows of {plan.train} and {plan.test}; "
            f"accepted: 1 to {WINDOWS_MAX:,}"
        )
    return [
        Window(0 if plan.is_anchored else at - plan.train, at, min(at + plan.test, sessions))
        for at in starts
    ]


def walk(
    plan: WalkPlan,
    outcomes: Sequence[Outcome],
    run_window: RunWindow,
    *,
    cash: int,
    per_year: int,
    on_window: Callable[[int, int], None] = lambda _done, _most: None,
) -> WalkResult:
    """Choose and test, window by window.

    Args:
        plan: How.
        outcomes: Of every parameter set, over all sessions.
        run_window: Runs what was chosen.
        cash: To begin with, in won.
        per_year: Sessions per year.
        on_window: Told the progress.

    Raises:
        InputError: No set has a result, or the sessions make no window.
    """
    known = [outcome for outcome in outcomes if outcome.run]
    if not known:
        raise InputError(f"every parameter set was refused, the first: {outcomes[0].refusal}")
    sessions = known[0].sessions
    windows = windows_of(len(sessions), plan)
    course = _Course(plan, known, run_window, per_year)
    steps: list[Step] = []
    money = cash
    for number, window in enumerate(windows, start=1):
        step = course.step(window, money)
        steps.append(step)
        money = money if step.result is None else int(step.result.final_equity)
        on_window(number, len(windows))
        if money <= 0:
            break
    equity = _stitched(steps, sessions, cash)
    trades, fills = _joined(steps)
    metrics = compute_metrics(equity, trades, fills, start_cash=cash, sessions_per_year=per_year)
    return WalkResult(
        plan=plan,
        sessions=sessions,
        outcomes=tuple(outcomes),
        steps=tuple(steps),
        start_cash=cash,
        equity=equity,
        trades=trades,
        metrics=metrics,
        efficiency=_efficiency(steps, known, metrics["cagr"], per_year),
    )


@dataclass(frozen=True, slots=True)
class _Course:
    """What all windows share."""

    plan: WalkPlan
    known: Sequence[Outcome]
    run_window: RunWindow
    per_year: int

    def step(self, window: Window, cash: int) -> Step:
        inside = self._scores(window.train_first, window.test_first)
        chosen = best_of(inside)
        if chosen is None:
            return Step(window, None, math.nan, math.nan, math.nan, 0, None)
        params, sessions = self.known[chosen].params, self.known[chosen].sessions
        first, last = sessions[window.test_first], sessions[window.end - 1]
        result = self.run_window(params, first, last, cash)
        tested = result.equity.filter(pl.col("session") >= first)["equity"].to_numpy()
        path = np.concatenate(([float(cash)], tested.astype(np.float64)))
        return Step(
            window,
            params,
            float(inside[chosen]),
            score_of_returns(path[1:] / path[:-1] - 1.0, self.plan.objective, self.per_year),
            self._rank(chosen, window),
            result.closed_trades,
            result,
        )

    def _scores(self, first: int, end: int) -> Floats:
        objective, per_year = self.plan.objective, self.per_year
        return np.array(
            [score_of_returns(o.returns[first:end], objective, per_year) for o in self.known]
        )

    def _rank(self, chosen: int, window: Window) -> float:
        outside = self._scores(window.test_first, window.end)
        others = outside[np.isfinite(outside)]
        if not np.isfinite(outside[chosen]):
            return math.nan
        return float((others < outside[chosen]).sum() / max(len(others) - 1, 1))


def _stitched(steps: Sequence[Step], sessions: Sequence[date], cash: int) -> pl.DataFrame:
    """Return the equity path of the test sessions; idle windows keep their cash."""
    parts, money = [], cash
    for step in steps:
        days = sessions[step.window.test_first : step.window.end]
        if step.result is None:
            parts.append(pl.DataFrame({"session": days, "cash": money, "positions": 0}))
            continue
        tested = step.result.equity.filter(pl.col("session") >= days[0])
        parts.append(tested.select("session", "cash", "positions"))
        money = int(step.result.final_equity)
    path = pl.concat(parts, how="vertical_relaxed").with_columns(
        equity=pl.col("cash") + pl.col("positions")
    )
    peak = pl.max_horizontal(pl.col("equity").cum_max(), pl.lit(cash))
    return path.with_columns(drawdown=pl.col("equity") / peak - 1.0)


def _joined(steps: Sequence[Step]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return trades and fills of all windows; trades are numbered on."""
    trades, fills, count = [], [], 0
    for step in steps:
        if step.result is not None:
            shift = (pl.col("trade") + count).alias("trade")
            trades.append(step.result.trades.with_columns(shift))
            fills.append(step.result.fills.with_columns(shift))
            count += step.result.trades.height
    if not trades:
        raise InputError("in no window did a parameter set have a score on its training sessions")
    return pl.concat(trades), pl.concat(fills)


def _efficiency(
    steps: Sequence[Step], known: Sequence[Outcome], outside: Metric, per_year: int
) -> float | None:
    of_params = {tuple(outcome.params.items()): outcome for outcome in known}
    inside = []
    for step in steps:
        if step.params is not None:
            returns = of_params[tuple(step.params.items())].returns
            trained = returns[step.window.train_first : step.window.test_first]
            inside.append(score_of_returns(trained, "cagr", per_year))
    mean = float(np.mean(inside))
    return None if outside is None or mean <= 0 else outside / mean


def _doubts_of_tests(result: WalkResult) -> list[Finding]:
    found = []
    chance = result.metrics["probabilistic_sharpe"]
    if chance is not None and chance < CONVINCING:
        text = f"the chance that the Sharpe ratio outside is above zero is {chance:.0%}"
        found.append(Finding(FindingCode.LUCK, text))
    if result.is_weak_outside:
        text = f"{result.efficiency:.0%} of the annual growth inside was left outside"
        found.append(Finding(FindingCode.WEAK_OUTSIDE, text))
    chosen = [step.params for step in result.steps if step.params is not None]
    changes = sum(one != other for one, other in pairwise(chosen))
    if len(chosen) > 2 and changes * 2 > len(chosen) - 1:
        text = f"the chosen parameters changed {changes} times in {len(chosen)} windows"
        found.append(Finding(FindingCode.UNSTABLE, text))
    return found
