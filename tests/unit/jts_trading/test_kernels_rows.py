"""The pass over rows is compiled without numba where its text allows that, and runs the same."""

from pathlib import Path

import numpy as np
import pytest

from jts_trading.kernels import rows
from jts_trading.kernels.rows import Rows

TEXT = """
import math
import numpy as np


def run_rows(prices, offsets, state, masks, first, last):
    for instrument in range(first, last):
        total = 0.0
        for row in range(offsets[instrument], offsets[instrument + 1]):
            bar = np.uint64(row)
            total += max(float(prices[bar, 3]) POWER - float(prices[bar, 0]), 0.5)
            masks[bar] = 1 if total > 4.0 else 0
        state[np.uint64(instrument)] = math.floor(total) + total
"""


def run(text: str, cache_dir: Path) -> tuple[list[int], list[float]]:
    """Return masks and state of the second and third of three instruments."""
    prices = np.arange(28, dtype=np.int32).reshape(7, 4)
    offsets, state = np.array([0, 2, 5, 7]), np.zeros(3)
    masks = np.zeros(7, np.uint8)
    Rows(text, cache_dir).run_rows(prices, offsets, state, masks, 1, 3)
    return masks.tolist(), state.tolist()


def test_plain_text_is_compiled_without_numba(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the instruments that are asked for are walked over."""
    monkeypatch.delattr(rows, "load")

    masks, state = run(TEXT.replace("POWER", "* 1.0"), tmp_path)

    assert masks == [0, 0, 0, 1, 1, 0, 1]
    assert state == [0.0, 18.0, 12.0]
    assert [path.suffix for path in tmp_path.iterdir()] == [".o"]


def test_text_that_says_more_is_compiled_by_numba_to_the_same(tmp_path: Path) -> None:
    """A power has no form in `native`; nothing else of the text tells."""
    found = run(TEXT.replace("POWER", "** 1"), tmp_path)

    assert found == ([0, 0, 0, 1, 1, 0, 1], [0.0, 18.0, 12.0])
    assert not list(tmp_path.glob("*.o"))
