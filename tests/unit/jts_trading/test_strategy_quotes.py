"""The spread: the same bits from whole numbers one by one and from columns."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.strategy.quotes import spread_of, spreads_of

TICKS = st.integers(0, 2**40)


@given(st.lists(st.tuples(TICKS, TICKS), min_size=1, max_size=20))
def test_spreads_when_looked_up_as_columns_then_as_one_by_one(quotes: list) -> None:
    """Unknown and crossed quotes included."""
    bids, asks = np.array(quotes, float).T

    found = spreads_of(bids, asks).tolist()

    assert str(found) == str([spread_of(bid, ask) for bid, ask in quotes])


def test_spread_when_known_then_the_distance_over_the_middle() -> None:
    """Two ticks at a hundred are two percent; a locked book has none, a crossed one is unknown."""
    assert spread_of(99, 101) == 0.02
    assert spread_of(100, 100) == 0.0
    assert math.isnan(spread_of(101, 99))
    assert math.isnan(spread_of(0, 101))
