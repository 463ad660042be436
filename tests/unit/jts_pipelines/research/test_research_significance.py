"""Luck among many trials: published values, slow independent implementations, pure noise."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jts_pipelines.research.overfitting import find_overfitting
from jts_pipelines.research.plateau import find_plateau
from jts_pipelines.research.significance import (
    deflate,
    expected_max_sharpe,
    probabilistic_sharpe,
)

# Bailey and Lopez de Prado (2014), the numerical example: five years of daily returns, an annual
# Sharpe ratio of 2.5, skewness -3, kurtosis 10, variance of annual ratios 1/2, 250 days a year.
SHARPE, VARIANCE, SESSIONS = 2.5 / math.sqrt(250), 0.5 / 250, 1_250


def test_expected_max_sharpe_of_the_published_example_is_the_published_value() -> None:
    """100 trials: 0.1132 a day."""
    assert expected_max_sharpe(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(("trials", "published"), [(100, 0.9004), (46, 0.9505)])
def test_deflated_sharpe_of_the_published_example_is_the_published_value(
    trials: int, published: float
) -> None:
    """0.9004 after 100 trials; 0.9505 had it been 46."""
    threshold = expected_max_sharpe(trials, VARIANCE)

    found = probabilistic_sharpe(SHARPE, threshold, sessions=SESSIONS, skew=-3.0, kurtosis=10.0)

    assert found == pytest.approx(published, abs=5e-5)


def test_expected_max_sharpe_is_what_the_best_of_many_noises_reaches() -> None:
    """Simulated: the mean of the largest of 200 normal ratios."""
    chance = np.random.default_rng(11)
    best = chance.normal(0, 0.05, (4_000, 200)).max(axis=1)

    assert expected_max_sharpe(200, 0.05**2) == pytest.approx(best.mean(), rel=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_best_of_many_noise_strategies_is_told_to_be_luck(seed: int) -> None:
    """After 1,000 trials of nothing the best one looks great and is not convincing."""
    returns = np.random.default_rng(seed).normal(0, 0.01, (500, 1_000))
    sharpes = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    best = returns[:, sharpes.argmax()]

    found = deflate(
        float(sharpes.max()),
        sharpes.tolist(),
        trials=1_000,
        sessions=500,
        skew=float(stats.skew(best)),
        kurtosis=float(stats.kurtosis(best, fisher=False)),
    )

    assert found.sharpe * math.sqrt(252) > 1.5
    assert not found.is_convincing


def test_one_trial_with_skill_is_convincing() -> None:
    """A single trial is not deflated."""
    found = deflate(0.12, [0.12], trials=1, sessions=1_000, skew=0.0, kurtosis=3.0)

    assert found.expected_max == 0.0
    assert found.is_convincing


def slow_logits(returns: np.ndarray, blocks: int) -> list[float]:
    """Return the logits of CSCV, way by way, with scipy's ranks."""
    length = len(returns) // blocks
    parts = np.array_split(returns[len(returns) - length * blocks :], blocks)
    found = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[at] for at in chosen])
        outside = np.concatenate([parts[at] for at in range(blocks) if at not in chosen])
        best = (inside.mean(axis=0) / inside.std(axis=0, ddof=1)).argmax()
        ranks = stats.rankdata(outside.mean(axis=0) / outside.std(axis=0, ddof=1))
        share = ranks[best] / (returns.shape[1] + 1)
        found.append(math.log(share / (1 - share)))
    return found


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    trials=st.integers(2, 12),
    sessions=st.integers(16, 90),
    blocks=st.sampled_from([4, 6, 8]),
)
def test_overfitting_is_that_of_the_slow_implementation(
    seed: int, trials: int, sessions: int, blocks: int
) -> None:
    """Every logit, in the order of the ways."""
    returns = np.random.default_rng(seed).normal(0.0002, 0.01, (sessions, trials))

    found = find_overfitting(returns, blocks)

    assert found is not None
    expected = slow_logits(returns, found.blocks)
    assert found.logits.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found.probability == pytest.approx(np.mean(np.array(expected) <= 0))


def test_overfitting_of_noise_is_a_coin_toss_and_of_skill_is_none() -> None:
    """Means over seeds; one trial that is really better is the best outside too."""
    chance = np.random.default_rng(5)
    noises = [find_overfitting(chance.normal(0, 0.01, (256, 30))) for _ in range(12)]
    skilled = chance.normal(0, 0.01, (256, 30))
    skilled[:, 7] += 0.004

    assert np.mean([n.probability for n in noises if n]) == pytest.approx(0.5, abs=0.15)
    found = find_overfitting(skilled)
    assert found is not None
    assert found.probability < 0.01
    assert found.ways == math.comb(16, 8)


def test_overfitting_of_trials_that_never_traded_is_even() -> None:
    """All tie: each stands in the middle, which counts as the lower half."""
    found = find_overfitting(np.zeros((64, 5)))

    assert found is not None
    assert set(found.logits.tolist()) == {0.0}


@pytest.mark.parametrize("shape", [(7, 5), (300, 1), (0, 3)])
def test_overfitting_of_too_little_is_nothing(shape: tuple[int, int]) -> None:
    """Fewer than two trials or eight sessions say nothing."""
    assert find_overfitting(np.zeros(shape)) is None


def test_plateau_of_a_hill_is_wide_and_of_a_needle_is_not() -> None:
    """Two axes of seven steps."""
    places = [(x, y) for x in range(7) for y in range(7)]
    hill = np.array([2.0 - 0.1 * ((x - 3) ** 2 + (y - 3) ** 2) for x, y in places])
    needle = np.where([place == (1, 5) for place in places], 3.0, 0.2)

    wide, narrow = find_plateau(places, hill), find_plateau(places, needle)

    assert wide is not None
    assert wide.neighbours == 8
    assert wide.mean_score == pytest.approx(2.0 - 0.1 * (4 * 1 + 4 * 2) / 8)
    assert (wide.is_needle, places[wide.robust]) == (False, (3, 3))
    assert narrow is not None
    assert (narrow.is_needle, narrow.ratio) == (True, pytest.approx(0.2 / 3))


def test_plateau_of_drawn_trials_looks_at_the_nearest() -> None:
    """Trials far apart on the grid still have neighbours; one without a score has no say."""
    places = [(0, 0), (10, 10), (12, 9), (50, 80), (90, 3)]
    scores = np.array([1.0, 2.0, 1.8, 0.1, np.nan])

    found = find_plateau(places, scores)

    assert found is not None
    assert found.neighbours >= 2
    assert found.worst_score == pytest.approx(0.1)


def test_plateau_of_one_trial_is_nothing() -> None:
    """There is no neighbour."""
    assert find_plateau([(0,)], np.array([1.0])) is None
