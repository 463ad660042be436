"""Sizing: whole-number functions that a backtest compiles and live calls."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.market.costs import floor_share
from jts_trading.strategy.sizing import (
    MONEY_MAX,
    QUANTITY_ALL,
    QUANTITY_KELLY,
    QUANTITY_MONEY,
    QUANTITY_PERCENT,
    QUANTITY_SHARES,
    affordable_quantity,
    buying_cost,
    capped_quantity,
    commission_of,
    exit_quantity,
    kelly_entry_share,
    kelly_share,
    share_of,
    wanted_quantity,
)

MONEY = st.integers(0, MONEY_MAX)
PRICES = st.integers(1, 10_000_000)
FEES = st.tuples(st.integers(0, 5_000_000), st.sampled_from((1, 10)))
KIS = (140_527, 1)


@given(amount=st.integers(-MONEY_MAX, MONEY_MAX), ppm=st.integers(0, 100_000_000))
def test_share_of_any_amount_is_the_exact_floor_inside_64_bits(amount: int, ppm: int) -> None:
    """The staged products lose nothing and never leave what numba's integers can hold."""
    assert (amount * ppm) // 1_000_000 == share_of(amount, ppm)
    assert abs((amount // 1_000_000) * ppm) < 1 << 63


@given(gross=MONEY, rate=st.integers(0, 5_000_000))
def test_commission_of_any_trade_is_what_the_rule_table_says(gross: int, rate: int) -> None:
    """The compiled commission equals the one that paper and live compute with decimals."""
    assert floor_share(gross, Decimal(rate).scaleb(-9), 1) == commission_of(gross, (rate, 1))
    assert floor_share(gross, Decimal(rate).scaleb(-9), 10) == commission_of(gross, (rate, 10))


@given(
    quantity=st.integers(0, 2_000),
    price=PRICES,
    lot=st.sampled_from((1, 10)),
    cash=st.integers(-1_000, 20_000_000_000),
    fee=FEES,
)
def test_affordable_quantity_for_any_cash_is_the_largest_that_can_be_paid(
    quantity: int, price: int, lot: int, cash: int, fee: tuple[int, int]
) -> None:
    """It fits, and one lot more would be more than wanted or more than the cash."""
    found = affordable_quantity(quantity, price, lot, cash, fee)

    assert found % lot == 0
    assert found <= quantity
    assert found == 0 or buying_cost(found, price, fee) <= cash
    assert found + lot > quantity or buying_cost(found + lot, price, fee) > max(cash, 0)


@pytest.mark.parametrize(
    ("kind", "amount", "expected"),
    [
        (QUANTITY_PERCENT, 50_000, 70),  # 5 % of 100,000,000 / 71,000 = 70.4
        (QUANTITY_KELLY, 10_000, 14),
        (QUANTITY_SHARES, 7, 7),
        (QUANTITY_MONEY, 1_000_000, 14),
    ],
)
def test_wanted_quantity_of_each_kind_rounds_down(kind: int, amount: int, expected: int) -> None:
    """Percent and money are divided by the decision price and rounded down."""
    assert expected == wanted_quantity(kind, amount, 100_000_000, 71_000)


def test_wanted_quantity_without_equity_is_nothing() -> None:
    """An account that lost everything orders nothing."""
    assert wanted_quantity(QUANTITY_PERCENT, 50_000, -5, 71_000) == 0


def test_capped_quantity_above_the_largest_position_is_cut_to_whole_lots() -> None:
    """`max_position_size` is a share of the same equity, and what is left is whole lots."""
    assert capped_quantity(500, 10_000_000, 7_000, 200_000, 10, 0) == 280
    assert capped_quantity(503, 10_000_000, 7_000, 0, 10, 0) == 500


def test_capped_quantity_of_a_position_is_what_is_left_to_the_largest_one() -> None:
    """The cap is for all that is held; a position that has outgrown it gets nothing more."""
    assert capped_quantity(500, 10_000_000, 7_000, 200_000, 10, 200) == 80
    assert capped_quantity(500, 10_000_000, 7_000, 200_000, 10, 285) == 0
    assert capped_quantity(500, 10_000_000, 7_000, 200_000, 10, 400) == 0
    assert capped_quantity(500, 10_000_000, 7_000, 0, 10, 400) == 500


@pytest.mark.parametrize(
    ("kind", "wanted", "expected"),
    [
        (QUANTITY_ALL, 0, 123),
        (QUANTITY_KELLY, 0, 123),
        (QUANTITY_SHARES, 55, 50),
        (QUANTITY_SHARES, 500, 123),
        (QUANTITY_SHARES, 115, 110),
        (QUANTITY_PERCENT, 121, 123),
    ],
)
def test_exit_quantity_sells_whole_lots_and_leaves_no_odd_rest(
    kind: int, wanted: int, expected: int
) -> None:
    """Exits sell at most what is held; a rest smaller than a lot goes with them."""
    assert expected == exit_quantity(kind, wanted, 123, 10)


@given(
    wins=st.lists(st.integers(1, 10**9), min_size=1, max_size=30),
    losses=st.lists(st.integers(0, 10**9), max_size=30),
)
def test_kelly_share_of_any_trades_is_the_textbook_formula(
    wins: list[int], losses: list[int]
) -> None:
    """W - (1 - W) / (mean win / mean loss), in millionths, and nothing without an edge."""
    closed = len(wins) + len(losses)
    found = kelly_share(closed, len(wins), sum(wins), sum(losses))
    won = Fraction(len(wins), closed)
    ratio = None
    if losses and sum(losses):
        ratio = Fraction(sum(wins), len(wins)) / Fraction(sum(losses), len(losses))
    expected = won - (1 - won) / ratio if ratio else won

    if expected <= 0:
        assert found == 0
    else:
        assert 0 <= expected * 1_000_000 - found < 2


def test_kelly_share_of_sums_beyond_nine_trillion_stays_in_range() -> None:
    """Sums of profits grow without bound over years; the ratio is scaled before it could wrap."""
    assert kelly_share(10, 6, 60 * MONEY_MAX, 30 * MONEY_MAX) in (299_999, 300_000)


def test_kelly_entry_share_before_enough_trades_is_the_floor() -> None:
    """Until enough trades are closed the configured floor decides, whatever they made."""
    assert kelly_entry_share((19, 19, 1_000, 0), (20, 10_000, 500_000, 200_000)) == 10_000


def test_kelly_entry_share_after_enough_trades_is_a_capped_fraction() -> None:
    """Half of the full share, and never more than the cap."""
    settings = (20, 10_000, 500_000, 200_000)

    assert kelly_entry_share((20, 12, 1_200, 800), settings) == 99_999  # full 0.6 x (1 - 2/3)
    assert kelly_entry_share((20, 18, 1_200, 100), settings) == 200_000
    assert kelly_entry_share((20, 5, 500, 500), settings) == 0


def test_buying_cost_of_the_rule_table_vector_is_its_cash_flow() -> None:
    """Vector G01 of the rule table: 100 shares at 71,000 with the KIS commission."""
    assert buying_cost(100, 71_000, KIS) == 7_100_997
