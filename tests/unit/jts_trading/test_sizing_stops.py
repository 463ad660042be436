"""The risk block: conditions on whole numbers, true exactly at their limits."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.strategy.stops import (
    is_daily_loss_reached,
    is_profit_taken,
    is_stop_loss_hit,
    is_trailing_stop_hit,
)

PRICES = st.integers(1, 10_000_000)
SHARES = st.integers(1, 999_999)


@given(close=PRICES, reference=PRICES, ppm=SHARES)
def test_stops_at_any_price_agree_with_exact_fractions(
    close: int, reference: int, ppm: int
) -> None:
    """No rounding decides whether a stop is hit."""
    share = Fraction(ppm, 1_000_000)

    assert (close <= reference * (1 - share)) == is_trailing_stop_hit(close, reference, ppm)
    assert (close <= reference * (1 - share)) == is_stop_loss_hit(close, reference, ppm)
    assert (close >= reference * (1 + share)) == is_profit_taken(close, reference, ppm)


@given(
    equity=st.integers(0, 9_000_000_000_000), start=st.integers(1, 9_000_000_000_000), ppm=SHARES
)
def test_daily_loss_at_any_equity_agrees_with_exact_fractions(
    equity: int, start: int, ppm: int
) -> None:
    """The day is lost when the loss is the share of the first equity, or more."""
    is_lost = start - equity >= start * Fraction(ppm, 1_000_000)

    assert is_lost == is_daily_loss_reached(equity, start, ppm)


@pytest.mark.parametrize("condition", [is_trailing_stop_hit, is_stop_loss_hit, is_profit_taken])
def test_stops_that_the_text_does_not_set_are_never_hit(
    condition: Callable[[int, int, int], bool],
) -> None:
    """A share of zero means that there is no such limit."""
    assert not condition(1, 1_000_000, 0)
    assert not condition(1_000_000, 1, 0)
    assert not is_daily_loss_reached(0, 1_000_000, 0)
