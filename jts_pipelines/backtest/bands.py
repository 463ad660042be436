"""Daily price limits, ticks and lots of an instrument, from a packed row of price rules.

Read as text and compiled, see `driver`; plain whole-number Python, so tests call it as it is. The
rule table's own functions (`domain.market.prices`) say the same in their own words, and a property
test holds both together.
"""

from jts_pipelines.backtest.columns import Ints
from jts_pipelines.backtest.places import LOTS, PAIRS, RATE_ABOVE, RATE_BELOW, STEPS


def value_from(rules: Ints, first: int, count: int, price: int) -> int:
    """Return the value of the last of `count` pairs whose price is not above this one."""
    found: int = rules[first + 1]
    for pair in range(first + 2, first + 2 * count, 2):
        if price < rules[pair]:
            break
        found = rules[pair + 1]
    return found


def tick_of(rules: Ints, price: int) -> int:
    """Return the tick at a price."""
    return value_from(rules, PAIRS, rules[STEPS], price)


def lot_of(rules: Ints, price: int) -> int:
    """Return the smallest tradable quantity at a base price."""
    return value_from(rules, PAIRS + 2 * rules[STEPS], rules[LOTS], price)


def band_of(rules: Ints, close: int) -> tuple[int, int]:
    """Return lower and upper limit of the session after one that closed here, in won."""
    tick = tick_of(rules, close)
    base = -(-close // tick) * tick
    tick = tick_of(rules, base)
    width = base * rules[RATE_ABOVE] // rules[RATE_BELOW] // tick * tick
    if width == 0:
        width = tick
    upper = base + width
    return max(base - width, rules[PAIRS + 1]), upper - upper % tick_of(rules, upper)
