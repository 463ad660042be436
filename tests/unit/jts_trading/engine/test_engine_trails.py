"""Past prices: what an exhaustive search finds, with bounded memory, and anew after a restart."""

import math

from hypothesis import given
from hypothesis import strategies as st

from jts_trading.engine.trails import GRAINS, PriceTrail

SECOND = 10**9
STEPS = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 4)), max_size=60)


def searched(trades: list[tuple[int, int]], until_ns: int) -> float:
    """Return the price of the last trade at or before an instant."""
    known = [price for at, price in trades if at <= until_ns]
    return float(known[-1]) if known else math.nan


@given(STEPS, st.integers(0, 60))
def test_prices_before_when_asked_for_then_those_of_the_last_trade_then(
    steps: list[tuple[int, int]], cut: int
) -> None:
    """Over one minute and over five, through storing and loading at any place."""
    lags_ns = (60 * SECOND, 300 * SECOND)
    trail, trades, now = PriceTrail(lags_ns), list[tuple[int, int]](), 10**15
    for at, (seconds, price) in enumerate(steps):
        if at == cut:
            stored = trail.stored()
            trail = PriceTrail(lags_ns)
            trail.load(stored)
        now += seconds * SECOND
        found = trail.before(now)
        expected = [searched(trades, now - lag) for lag in lags_ns]
        assert str(found) == str(expected)
        trail.add(now, price)
        trades.append((now, price))


def test_changes_when_closer_than_a_grain_then_memory_is_bounded_and_found_ones_stay() -> None:
    """Ten thousand changes within a grain take two places; the older price is still found."""
    trail = PriceTrail((60 * SECOND,))
    grain_ns = 60 * SECOND // GRAINS
    trail.add(0, 7)
    for at in range(10_000):
        trail.before(SECOND + at % grain_ns)
        trail.add(SECOND + at * grain_ns // 10_000, 100 + at)

    assert len(trail.prices) == 2
    assert trail.before(61 * SECOND - 1) == [7.0]
    assert trail.before(61 * SECOND + grain_ns) == [10_099.0]


def test_changes_when_older_than_anybody_asks_then_dropped() -> None:
    """A change each second: about as many are kept as the time has seconds."""
    trail = PriceTrail((60 * SECOND,))
    for at in range(5_000):
        trail.before(at * SECOND)
        trail.add(at * SECOND, 1 + at % 2)

    assert len(trail.prices) < 60 + 1_024 + 2
    assert len(trail.stored()) <= 2 * 8 * 62
