"""The probability that choosing the best of many trials overfits: CSCV.

Pure. Sessions are cut into an even number of blocks; for every way to choose half of them, the
trial with the best Sharpe ratio inside is ranked outside. The probability of overfitting is the
share of ways in which it ends in the lower half there. Source: Bailey, Borwein, Lopez de Prado and
Zhu, "The Probability of Backtest Overfitting" (2015).
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from jts_pipelines.backtest.columns import Floats

BLOCKS = 16
_SESSIONS_PER_BLOCK = 2
_WAYS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What a combinatorially symmetric cross-validation found.

    Attributes:
        probability: Share of ways in which the best inside is in the lower half outside.
        loss_probability: Share of ways in which the best inside loses money outside.
        ways: How many there were.
        blocks: Into how many blocks the sessions were cut.
        logits: log(rank / (1 - rank)) of the best inside, outside; one per way.
    """

    probability: float
    loss_probability: float
    ways: int
    blocks: int
    logits: Floats


def find_overfitting(returns: Floats, blocks: int = BLOCKS) -> Overfitting | None:
    """Cross-validate the choice of the best trial.

    Args:
        returns: [session, trial]; sessions that do not fill the last block are left out at the
            beginning.
        blocks: An even number; halved until each block has two sessions.

    Returns:
        None of fewer than two trials or eight sessions.
    """
    sessions, trials = returns.shape
    while blocks > 4 and sessions < blocks * _SESSIONS_PER_BLOCK:
        blocks = max(4, blocks // 4 * 2)
    if trials < 2 or sessions < blocks * _SESSIONS_PER_BLOCK:
        return None
    length = sessions // blocks
    cut = returns[sessions - length * blocks :].reshape(blocks, length, trials)
    sums, squares = cut.sum(axis=1), (cut**2).sum(axis=1)
    ways = np.array(list(combinations(range(blocks), blocks // 2)))
    logits, lost = [], 0
    for at in range(0, len(ways), _WAYS_AT_ONCE):
        chosen = np.zeros((len(ways[at : at + _WAYS_AT_ONCE]), blocks))
        np.put_along_axis(chosen, ways[at : at + _WAYS_AT_ONCE], 1.0, axis=1)
        count = length * blocks // 2
        inside = _sharpe(chosen @ sums, chosen @ squares, count)
        outside = _sharpe((1.0 - chosen) @ sums, (1.0 - chosen) @ squares, count)
        best = inside.argmax(axis=1)[:, None]
        own = np.take_along_axis(outside, best, axis=1)
        # Trials that tie share the mean of their ranks, from 1 for the worst.
        rank = (outside < own).sum(axis=1) + ((outside == own).sum(axis=1) + 1) / 2
        share = rank / (trials + 1)
        logits.append(np.log(share / (1.0 - share)))
        lost += int((np.take_along_axis((1.0 - chosen) @ sums, best, axis=1) < 0).sum())
    found = np.concatenate(logits)
    return Overfitting(float((found <= 0).mean()), lost / len(found), len(found), blocks, found)


def _sharpe(total: Floats, squares: Floats, count: int) -> Floats:
    mean = total / count
    variance = (squares - count * mean**2) / (count - 1)
    # What never traded varies by nothing but rounding: its ratio is 0.
    is_varying = variance > 1e-18
    spread = np.sqrt(np.where(is_varying, variance, 1.0))
    found: Floats = np.where(is_varying, mean / spread, 0.0)
    return found
