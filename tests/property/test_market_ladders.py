"""What holds of every tick ladder, price and limit, whatever the numbers."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from jts_trading.domain.market.binance import (
    BinanceFilters,
    BinanceVerdict,
    admit_order,
    round_price,
    round_quantity,
)
from jts_trading.domain.market.costs import Side, cash_flow
from jts_trading.domain.market.ladder import (
    Ladder,
    ceil_decimal,
    decimal_of,
    floor_decimal,
    floor_units,
    is_decimal_on_grid,
    off_grid,
    parse_ladder,
)
from jts_trading.domain.market.loading import CRYPTO_SCALE, default_table
from jts_trading.domain.market.prices import (
    daily_limits,
    interruption_triggers,
    is_on_trade_grid,
    order_ladder,
)
from jts_trading.domain.market.upbit import limit_buy_lock, market_buy, sell_proceeds

RULES = default_table()
LADDERS = st.sampled_from(
    [
        parse_ladder(rule.value, 0 if rule.venue == "KRX" else CRYPTO_SCALE)
        for rule in RULES.all_of("tick")
    ]
)
PRICES = st.one_of(st.integers(1, 12_000), st.integers(1, 10**15))
DAYS = st.dates(date(2013, 7, 1), date(2027, 12, 31))
MARKETS = st.sampled_from(["KOSPI", "KOSDAQ", "KONEX"])
WON = st.integers(1, 3_000_000)


@given(LADDERS, PRICES)
def test_ladder_when_any_price_is_rounded_then_encloses_it_on_the_grid(ladder: Ladder, price: int):
    """Rounding encloses: floor <= price <= ceil, both on the grid, less than one tick apart."""
    low, high = ladder.floor(price), ladder.ceil(price)

    assert low <= price <= high
    assert high - low in (0, ladder.tick(price))
    assert ladder.is_on_grid(high)
    assert low == 0 or ladder.is_on_grid(low)
    assert (low == price) is ladder.is_on_grid(price)


@given(LADDERS, PRICES)
def test_ladder_when_stepping_up_and_down_then_returns(ladder: Ladder, price: int):
    """Neighbours are each other's neighbours: nothing lies between."""
    at = ladder.ceil(price)
    up = ladder.next_up(at)

    assert up > at
    assert ladder.next_down(up) == at
    assert off_grid(ladder, [at, up, *range(at + 1, min(up, at + 20))]) == list(
        range(2, 2 + min(up, at + 20) - at - 1)
    )


@given(LADDERS, PRICES, PRICES)
def test_ladder_when_prices_are_ordered_then_ticks_and_roundings_are_too(ladder, first, second):
    """Rounding keeps the order of prices."""
    low, high = sorted((first, second))

    assert ladder.tick(low) <= ladder.tick(high)
    assert ladder.floor(low) <= ladder.floor(high)
    assert ladder.ceil(low) <= ladder.ceil(high)


@given(LADDERS, st.decimals(Decimal("0.00000001"), 10**7, places=11, allow_nan=False))
def test_ladder_when_a_decimal_is_rounded_then_agrees_with_the_units(ladder, price):
    """The exact decimals and the integer units are one ladder."""
    low, high = floor_decimal(ladder, price), ceil_decimal(ladder, price)
    units, is_exact = floor_units(price, ladder.scale)

    assert low <= price <= high
    assert is_decimal_on_grid(ladder, price) is (low == price == high)
    assert (decimal_of(units, ladder.scale) == price) is is_exact


@given(DAYS, MARKETS, WON)
def test_limits_when_any_base_is_given_then_stay_inside_the_rate_and_on_the_grid(day, market, raw):
    """Limits are order prices, never wider than the rate, and enclose the base."""
    ladder = order_ladder(RULES, day, market=market, asset="COMMON")
    limits = daily_limits(RULES, day, raw, market=market, asset="COMMON")
    wide = 0 if limits.reference >= 10 * ladder.tick(limits.reference) else 1
    rate = Fraction("0.15") if market == "KONEX" or day < date(2015, 6, 15) else Fraction("0.3")

    assert limits.lower <= limits.reference <= limits.upper
    assert off_grid(ladder, [limits.lower, limits.reference, limits.upper]) == []
    assert 0 <= limits.reference - raw < ladder.tick(limits.reference)
    if not wide:
        assert limits.upper <= limits.reference * (1 + rate)
        assert limits.lower >= limits.reference * (1 - rate)
    # The next price up would break the rate or lies above the width floored by the base's tick.
    assert ladder.next_up(limits.upper) > limits.reference + (limits.reference - limits.lower)


@given(DAYS, MARKETS, WON)
def test_trade_grid_when_an_order_could_carry_a_price_then_a_bar_may_show_it(day, market, price):
    """The trade grid contains the order grid, and is the order grid before March 2025."""
    ladder = order_ladder(RULES, day, market=market, asset="COMMON")
    shown = is_on_trade_grid(RULES, day, price, market=market)

    assert shown or not ladder.is_on_grid(price)
    if day < date(2025, 3, 4):
        assert shown is ladder.is_on_grid(price)


@given(st.dates(date(2025, 3, 4), date(2027, 12, 31)), MARKETS, WON, st.integers(1, 50))
def test_trade_grid_when_two_orders_of_one_band_meet_in_the_middle_then_it_is_on_it(
    day, market, first, steps
):
    """A mid-price print between two orders of one band is never flagged."""
    ladder = order_ladder(RULES, day, market=market, asset="COMMON")
    bid = ladder.ceil(first)
    ask = bid + steps * ladder.tick(bid)
    assume(ladder.tick(bid) == ladder.tick(ask))

    assert is_on_trade_grid(RULES, day, (bid + ask) // 2, market=market)


@given(DAYS, MARKETS, st.integers(20, 3_000_000), st.sampled_from(["0.02", "0.03", "0.06", "0.1"]))
def test_interruption_when_triggered_then_the_price_before_would_not(day, market, raw, rate):
    """The trigger prices are the first at or beyond the rate."""
    ladder = order_ladder(RULES, day, market=market, asset="COMMON")
    reference = ladder.ceil(raw)
    found = interruption_triggers(ladder, reference, Decimal(rate))
    up, down = reference * (1 + Fraction(rate)), reference * (1 - Fraction(rate))

    assert ladder.next_down(found.up) < up <= found.up
    assert found.down <= down < ladder.next_up(found.down)


@given(
    st.dates(date(2010, 10, 4), date(2027, 12, 31)),
    st.sampled_from(["KOSPI", "KOSDAQ"]),
    WON,
    st.integers(1, 100_000),
    st.sampled_from(["0", "0.000140527", "0.0015"]),
)
def test_cash_flow_when_bought_and_sold_at_one_price_then_loses_exactly_the_costs(
    settle, market, price, quantity, rate
):
    """Cash is conserved: a round trip costs commissions and taxes, to the won."""
    facts = {"price": price, "quantity": quantity, "commission_rate": Decimal(rate)}
    scope = {"market": market, "asset": "COMMON"}
    bought = cash_flow(RULES, settle, side=Side.BUY, **facts, **scope)
    sold = cash_flow(RULES, settle + timedelta(days=0), side=Side.SELL, **facts, **scope)

    assert bought.net + sold.net == -(bought.commission + sold.commission + sold.tax.total)
    assert sold.tax.total <= sold.gross * Fraction("0.003")
    assert bought.tax.total == 0


@given(
    st.decimals("5000", "1000000000", places=0),
    st.decimals("0.0001", "200000000", places=4),
    st.sampled_from([Decimal("0.0005"), Decimal("0.0025")]),
)
def test_upbit_when_a_sum_is_spent_then_nothing_is_lost(funds, price, rate):
    """Lock = spent + fee + refund, and less than one step of volume is left over."""
    assume(price > 0)
    bought = market_buy(funds, price, rate)
    step = Fraction(1, 10**8)

    assert bought.spent + bought.fee + bought.refund == funds * (1 + rate)
    assert Fraction(bought.volume) * Fraction(price) <= Fraction(funds)
    assert (Fraction(bought.volume) + step) * Fraction(price) > Fraction(funds)
    assert bought.refund >= 0
    assert limit_buy_lock(price, bought.volume, rate) - sell_proceeds(
        bought.volume, price, rate
    ) == (2 * bought.spent * rate)


@given(
    st.decimals("0.0001", "100000", places=8),
    st.decimals("0.0001", "10000", places=8),
    st.sampled_from(["0.01", "0.5", "0"]),
    st.sampled_from(["0.00001", "1", "0"]),
    st.sampled_from([Side.BUY, Side.SELL]),
)
def test_binance_when_rounded_then_passes_its_filters(price, quantity, tick, step, side):
    """What was rounded is on the grid, no worse than asked for."""
    filters = BinanceFilters(Decimal(tick), Decimal(step), Decimal(0))
    at, amount = round_price(filters, price, side), round_quantity(filters, quantity)
    assume(at > 0)
    assume(amount > 0)

    assert admit_order(filters, at, amount) is BinanceVerdict.ACCEPT
    assert at <= price if side is Side.BUY else at >= price
    assert abs(at - price) < (filters.tick or 1)
    assert 0 <= quantity - amount < (filters.step or 1)
