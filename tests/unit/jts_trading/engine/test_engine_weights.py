"""What positions are worth is the sum of quantities times prices, exact whatever its length."""

from decimal import Decimal, localcontext

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.engine.weights import Weights

ROWS = 3
WEIGHTS = (
    st.integers(-50, 50).map(Decimal)
    | st.integers(-(10**21), 10**21).map(Decimal)
    | st.decimals(-(10**12), 10**12, places=8)
)


@given(
    st.lists(st.tuples(st.integers(0, ROWS - 1), WEIGHTS), max_size=12),
    st.lists(st.just(0) | st.integers(1, 10**12), min_size=ROWS, max_size=ROWS),
)
def test_value_when_weights_change_then_it_is_the_sum_of_products(
    changes: list[tuple[int, Decimal]], marks: list[int]
) -> None:
    """Of the newest weight of each row, whatever decimals they have."""
    weights, newest = Weights(ROWS), dict.fromkeys(range(ROWS), Decimal(0))
    table = np.zeros((ROWS, 2), np.int64)
    table[:, 1] = marks
    with localcontext(prec=100):
        for row, weight in changes:
            weights.put(row, weight)
            newest[row] = weight
        held = [row for row, weight in newest.items() if weight]

        assert weights.value(table[:, 1]) == sum(newest[row] * marks[row] for row in held)
    assert [row for row in range(ROWS) if row in weights] == held
    assert weights.count_marked(table[:, 1]) == sum(marks[row] > 0 for row in held)


def test_value_when_products_leave_64_bits_then_nothing_is_cut() -> None:
    """Each fits, their sum does not; then a product does not; then a weight does not."""
    weights, marks = Weights(2), np.array([2**20, 2**20])
    for weight in (2**42, 2**50, 2**66):
        weights.put(0, Decimal(weight))
        weights.put(1, Decimal(weight))
        assert weights.value(marks) == 2 * weight * 2**20


def test_value_when_positions_are_gone_then_it_has_no_decimals_left() -> None:
    """An amount is written with the decimals of what is held now."""
    weights, marks = Weights(2), np.array([3, 5])
    weights.put(0, Decimal("1.25"))
    weights.put(1, Decimal(7))
    assert str(weights.value(marks)) == "38.75"
    weights.put(0, Decimal(0))
    assert str(weights.value(marks)) == "35"
