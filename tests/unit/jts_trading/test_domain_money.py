"""Promises of exact money: nothing is lost, and nothing crosses by accident."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.money import (
    Base,
    Money,
    Quote,
    Rounding,
    currency_unit,
    exact_from_float,
    float_from_exact,
    krw,
    quantise,
    quantise_quantity,
)

AMOUNTS = st.decimals(-(10**12), 10**12, allow_nan=False, places=8)
STEPS = st.sampled_from([Decimal(t) for t in ("1", "5", "0.5", "0.01", "0.00000001", "1000")])


@given(AMOUNTS, STEPS, st.sampled_from(list(Rounding)))
def test_quantise_when_any_value_is_given_then_lands_on_the_nearest_allowed_step(
    value, step, rounding
):
    """The result is a whole number of steps, less than one step away, on the right side."""
    result = quantise(value, step, rounding)
    gap = Fraction(result) - Fraction(value)

    assert Fraction(result) % Fraction(step) == 0
    assert abs(gap) < step
    if rounding is Rounding.DOWN:
        assert gap <= 0
    elif rounding is Rounding.UP:
        assert gap >= 0
    else:
        assert abs(gap) * 2 <= step


@given(st.integers(-(2**53), 2**53), STEPS)
def test_crossing_when_there_and_back_then_returns_the_same(units, step):
    """A value on the grid survives float64 as long as its steps fit into 53 bits."""
    value = quantise(Decimal(units % 10**15), Decimal(1), Rounding.DOWN) * step

    assert exact_from_float(float_from_exact(value), step) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_crossing_when_not_finite_then_is_refused(value: float):
    """NaN and infinity never become money."""
    with pytest.raises(ValueError, match="not a finite number"):
        exact_from_float(value, Decimal(1))
    with pytest.raises(ValueError, match="not a finite number"):
        float_from_exact(Decimal(value))


def test_quantise_when_a_tie_is_near_then_takes_the_even_step():
    """Ties go to the even step, so that sums do not drift."""
    halves = [
        quantise(Decimal(text), Decimal(1), Rounding.NEAREST) for text in ("0.5", "1.5", "2.5")
    ]

    assert halves == [0, 2, 2]


@pytest.mark.parametrize("step", [Decimal(0), Decimal(-1)])
def test_quantise_when_the_step_is_not_above_zero_then_is_refused(step: Decimal):
    """There are no steps of nothing."""
    with pytest.raises(ValueError, match="not above 0"):
        quantise(Decimal(1), step, Rounding.DOWN)


def test_quantity_when_rounded_then_is_never_more():
    """An order is never larger than asked for."""
    assert quantise_quantity(Decimal(19), Decimal(10)) == 10
    assert quantise_quantity(Decimal("0.0012399"), Decimal("0.00001")) == Decimal("0.00123")
    with pytest.raises(ValueError, match="negative"):
        quantise_quantity(Decimal(-1), Decimal(1))


def test_money_when_currencies_differ_then_is_a_type_error():
    """KRW and USDT are converted, never added."""
    with pytest.raises(TypeError, match="convert it first"):
        krw(1) + Money(Decimal(1), "USDT")
    with pytest.raises(TypeError, match="convert it first"):
        krw(1) - Money(Decimal(1), "USDT")


@given(st.integers(-(10**18), 10**18), st.integers(-(10**18), 10**18))
def test_money_when_added_and_taken_away_then_is_exact(first, second):
    """Cash is conserved to the won."""
    assert krw(first) + krw(second) - krw(second) == krw(first)
    assert -krw(first) + krw(first) == krw(0)


@pytest.mark.parametrize(
    ("amount", "currency"), [("0.5", "KRW"), ("0.000000001", "BTC"), ("NaN", "KRW")]
)
def test_money_when_nobody_can_pay_it_then_is_refused(amount: str, currency: str):
    """Won are whole, coins have 8 places, nothing is NaN."""
    with pytest.raises(ValueError, match=r"multiple of|not a finite"):
        Money(Decimal(amount), currency)


def test_quantities_when_not_above_zero_then_are_refused():
    """A quantity of nothing is no order; base and quote are different things."""
    for amount in (Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(ValueError, match="not above 0"):
            Base(amount)
        with pytest.raises(ValueError, match="not above 0"):
            Quote(amount, "KRW")
    assert Base(Decimal(1)) != Quote(Decimal(1), "KRW")
    assert currency_unit("KRW") == 1
