"""Which points of a space are tried next: all of them, drawn ones, or where it looked promising.

Equal seeds give equal choices. A chooser is asked for points and told their scores, in turns,
until it has none left.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from jts_pipelines.research.space import Point, Space
from storage.errors import InputError

if TYPE_CHECKING:
    from optuna.trial import Trial as Suggestion

TRIALS_MAX = 100_000
_TPE_BATCH = 8
# TPE proposes points again that it likes: after so many repeats in a row it has none left.
_REPEATS_MAX = 64


class Method(StrEnum):
    """How a sweep chooses."""

    GRID = "grid"
    RANDOM = "random"
    TPE = "tpe"


class Chooser(Protocol):
    """Proposes points that were not tried."""

    def ask(self) -> list[Point]:
        """Return the next points, none when there are no more."""
        ...

    def tell(self, points: Sequence[Point], scores: Sequence[float]) -> None:
        """Learn the scores of points; the higher the better, NaN for none."""
        ...


def chooser_for(method: Method, space: Space, trials: int | None, seed: int) -> Chooser:
    """Return the chooser of a sweep.

    Args:
        method: How it chooses.
        space: From what.
        trials: How many at most; every point of a grid, and 100 otherwise, if None.
        seed: Of what is drawn.

    Raises:
        InputError: The number of trials is not accepted, or a grid has more points.
    """
    if trials is not None and not 1 <= trials <= TRIALS_MAX:
        raise InputError(f"trials is {trials}; accepted: 1 to {TRIALS_MAX:,}")
    if method is Method.GRID:
        limit = trials or TRIALS_MAX
        if space.size > limit:
            raise InputError(
                f"the grid has {space.size:,} points, more than {limit:,}; widen the steps, or "
                "draw some of them with --method random or tpe"
            )
        return _Listed([space.point(number) for number in range(space.size)])
    count = min(trials or 100, space.size)
    if method is Method.RANDOM:
        return _Listed([space.point(number) for number in _drawn(space.size, count, seed)])
    return _Tpe(space, count, seed)


def _drawn(size: int, count: int, seed: int) -> list[int]:
    """Return distinct numbers below a size, which may be too large for a list."""
    chance = np.random.default_rng(seed)
    if size <= TRIALS_MAX:
        return [int(number) for number in chance.permutation(size)[:count]]
    found: dict[int, None] = {}
    while len(found) < count:
        found[int(chance.integers(size))] = None
    return list(found)


class _Listed:
    """Points that were known beforehand."""

    def __init__(self, points: list[Point]) -> None:
        self._points = points

    def ask(self) -> list[Point]:
        points, self._points = self._points, []
        return points

    def tell(self, points: Sequence[Point], scores: Sequence[float]) -> None:
        """Nothing depends on scores."""


class _Tpe:
    """Optuna's tree of Parzen estimators over the numbers of the values."""

    def __init__(self, space: Space, count: int, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space, self._left = space, count
        self._study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        self._scores: dict[Point, float] = {}
        self._waiting: dict[Point, Suggestion] = {}

    def ask(self) -> list[Point]:
        repeats = 0
        while len(self._waiting) < min(_TPE_BATCH, self._left) and repeats < _REPEATS_MAX:
            suggestion = self._study.ask()
            point = tuple(
                suggestion.suggest_int(axis.name, 0, len(axis.values) - 1)
                for axis in self._space.axes
            )
            if point in self._scores or point in self._waiting:
                repeats += 1
                self._learn(suggestion, self._scores.get(point, math.nan))
            else:
                self._waiting[point] = suggestion
        self._left -= len(self._waiting)
        return list(self._waiting)

    def tell(self, points: Sequence[Point], scores: Sequence[float]) -> None:
        for point, score in zip(points, scores, strict=True):
            self._scores[point] = score
            self._learn(self._waiting.pop(point), score)

    def _learn(self, suggestion: "Suggestion", score: float) -> None:
        from optuna.trial import TrialState

        if math.isfinite(score):
            self._study.tell(suggestion, score)
        else:
            self._study.tell(suggestion, state=TrialState.FAIL)
