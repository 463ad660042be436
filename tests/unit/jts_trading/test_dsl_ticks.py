"""The step over a bar in the making means what a close there would mean, and leaves no trace."""

import math
import random
from typing import Any

import numpy as np
import pytest

from jts_trading.dsl.compiler import compile_strategy, compile_ticks
from jts_trading.dsl.explain import explain
from jts_trading.dsl.grammar import EXTRA_COLUMNS

CONDITIONS = (
    "close > SMA(5) and volume > avg_volume(3) * 2",
    "SMA(2) crosses above SMA(5) or close[2] < close * 0.99",
    "MACD(3, 6, 2).histogram > 0 and not (RSI(4) > 60)",
    "session.high > session.previous_close and minutes_since_open > 3",
    "spread < 0.5% and quality",
    "price_change(3) > 0.2% and since(close < open) >= 1",
    "highest(high, 4) == high and rank(volume, 5) > 50%",
    "coarse.top < minute.close and minute.close crosses above coarse.top",
)
FRAMES = """timeframes { minute = "1m" coarse = "5m" }
  indicators { on coarse { top = SMA(2, source: high) } }"""


def space_of(source: str) -> dict[str, Any]:
    """Run generated source as plain Python."""
    space: dict[str, Any] = {}
    exec(source, space)  # noqa: S102 - the generator's own output, under test
    return space


def text_of(condition: str, block: str) -> str:
    """Return a strategy of one entry that is judged at closes, or on trades."""
    frames = FRAMES if "coarse" in condition else ""
    return f'strategy("T") {{ {frames} {block} {{ when ({condition}) {{ buy(1) }} }} }}'


@pytest.mark.parametrize("condition", CONDITIONS)
def test_judge_when_given_a_bar_then_says_what_its_close_would_say(condition: str) -> None:
    """On copies of the state of a walk of bars, with bars that end otherwise than the walk."""
    plan = compile_strategy(text_of(condition, "entry.long"))
    ticks = compile_ticks(text_of(condition, "surge_detection"))
    assert ticks is not None
    step, judge = space_of(plan.source), space_of(ticks.source)
    chance, state, price, seen = random.Random(3), np.zeros(plan.state_size), 10_000, set[int]()
    step["init_state"](state, 1.0)
    for minute in range(120):
        for running in (True, True, False):
            last = price + 10 * chance.randint(-9, 9)
            high, low = max(price, last) + 10, min(price, last) - 10
            bar = (price, high, low, last, chance.randint(1, 99), int(minute % 5 == 0))
            known = {
                "spread": chance.choice((0.001, 0.01, math.nan)),
                "session": minute // 60,
                "minutes_since_open": minute % 60,
                "doubt": chance.choice((0, 0, 1)),
            }
            asked = [known[name] for name in EXTRA_COLUMNS if name in plan.needs]
            expected = step["step"](state.copy() if running else state, *bar, *asked)
            if running:
                copy = state.copy()
                further = [known[name] for name in ticks.needs]
                assert judge["judge"](copy, *bar, *further, np.zeros(0)) == expected
                seen.add(expected)
        price = last
    assert seen == {0, 1}


def test_change_over_a_duration_when_judged_on_trades_then_of_the_price_that_is_given() -> None:
    """Several durations have their places; a change over bars stays one of bars."""
    ticks = compile_ticks(
        """strategy("T") {
          params { back = 10m }
          timeframes { minute = "1m" }
          indicators { quick = price_change(5m) }
          surge_detection {
            when (quick > 1% and price_change(back) > 2% and price_change(2) < 100%) { buy(1) }
          }
          entry.long { when (quick > 50%) { buy(1) } }
        }"""
    )

    assert ticks is not None
    assert ticks.lags_ns == (300 * 10**9, 600 * 10**9)
    assert (ticks.bits, ticks.needs) == ((0,), ())
    space, plan_size = space_of(ticks.source), 64
    state = np.zeros(plan_size)
    for _ in range(2):
        space["judge"](state, 1.0, 1.0, 100.0, 100.0, 1.0, 0, np.full(2, np.nan))
    for before, holds in (((98.0, 97.0), 1), ((98.0, 99.0), 0), ((math.nan, 97.0), 0)):
        bar = (100.0, 100.0, 100.0, 100.0, 1.0, 0)
        assert space["judge"](state.copy(), *bar, np.array(before)) == holds


def test_ticks_when_no_rule_is_judged_on_them_then_none() -> None:
    """Strategies of bars alone cost nothing."""
    assert compile_ticks(text_of("close > 1", "entry.long")) is None


def test_plan_when_explained_then_says_which_rules_are_judged_on_trades() -> None:
    """`jts strategy explain` shows it for each rule."""
    text = """strategy("T") {
      surge_detection { when (close > 1) { buy(1) } }
      exit.long { when (close < 1) { close() } }
    }"""

    rules = explain(compile_strategy(text))["rules"]

    assert [rule["on_trades"] for rule in rules] == [True, False]
