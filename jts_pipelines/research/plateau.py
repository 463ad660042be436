"""Whether the best parameters stand on a plateau or on a needle.

Pure. Parameters that work keep working when they are changed a little. Neighbours of a trial are
those at most one step away on every axis of a grid; a trial that has none there, because points
were drawn, has the nearest ones instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jts_pipelines.backtest.columns import Floats

_NEEDLE_BELOW = 0.5


@dataclass(frozen=True, slots=True)
class Plateau:
    """How the neighbours of the best trial did.

    Attributes:
        neighbours: How many there are.
        mean_score: Their mean score.
        worst_score: Their lowest score.
        ratio: Mean score / the best one; None where the best one is not above zero.
        robust: Number of the trial whose neighbourhood, itself included, has the best mean.
        robust_mean: That mean.
    """

    neighbours: int
    mean_score: float
    worst_score: float
    ratio: float | None
    robust: int
    robust_mean: float

    @property
    def is_needle(self) -> bool:
        """Whether a small change of the parameters loses more than half of the score."""
        return self.ratio is not None and self.ratio < _NEEDLE_BELOW


def find_plateau(places: Sequence[Sequence[float]], scores: Floats) -> Plateau | None:
    """Compare the best trial with its neighbours.

    Args:
        places: By trial, the place of each parameter: its number on the axis (0, 1, 2 ...) of a
            grid.
        scores: By trial; the higher the better, NaN where there is none.

    Returns:
        None where the best trial has no neighbour with a score.
    """
    points = np.array(places, np.float64)
    known = np.flatnonzero(np.isfinite(scores))
    if points.ndim != 2 or points.shape[1] == 0 or len(known) < 2:
        return None
    points, own = points[known], scores[known]
    distance = np.abs(points[:, None, :] - points[None, :, :]).max(axis=2)
    near = distance <= 1.0
    is_lonely = near.sum(axis=1) < 2
    near[is_lonely] = _nearest(distance, 2 * points.shape[1] + 1)[is_lonely]
    means = (near * own).sum(axis=1) / near.sum(axis=1)
    best = int(own.argmax())
    around = near[best].copy()
    around[best] = False
    if not around.any():
        return None
    mean = float(own[around].mean())
    ratio = mean / float(own[best]) if own[best] > 0 else None
    robust = int(np.where(near.sum(axis=1) > 1, means, -np.inf).argmax())
    return Plateau(
        int(around.sum()),
        mean,
        float(own[around].min()),
        ratio,
        int(known[robust]),
        float(means[robust]),
    )


def _nearest(distance: Floats, count: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    limit = np.sort(distance, axis=1)[:, min(count, len(distance)) - 1]
    near: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = distance <= limit[:, None]
    return near
