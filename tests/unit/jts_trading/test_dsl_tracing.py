"""The traced step: decisions and state of the step, and every value inside a condition."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jts_trading.dsl.compiler import compile_strategy, trace_strategy
from jts_trading.dsl.tracing import evaluate

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "strategies").glob("*.jts"))
TEXT = """strategy("Traced") {
  timeframes { base = "1m" coarse = "5m" }
  params { limit = 70 in 50..90 step 10 }
  indicators {
    quick = SMA(period: 2)
    slow = SMA(period: 4)
    bands = BBANDS(period: 4)
    on coarse { top = high }
  }
  entry.long {
    when (quick crosses above slow and not (close > coarse.top * 2) or close[1] == limit * 1000) {
      buy(quantity: "5%")
      buy(quantity: 1)
    }
  }
  exit.long { when (close between [bands.lower, bands.upper] and base.volume > 5) { sell() } }
}
"""


def functions(source: str) -> dict[str, Any]:
    """Return what a generated source defines, not compiled."""
    namespace: dict[str, Any] = {}
    exec(compile(source, "<kernel>", "exec"), namespace)  # noqa: S102 - our own generated text
    return namespace


def bars(seed: int, count: int, extras: tuple[str, ...]) -> list[tuple[float, ...]]:
    """Return arguments of `step` for random bars of a made-up market."""
    chance = random.Random(seed)
    found, price = [], 71_000
    for at in range(count):
        first, price = price, price + chance.randint(-300, 300)
        high, low = max(first, price) + chance.randint(0, 9), min(first, price) - 3
        closed = int(at % 5 == 0)
        more = [{"spread": 0.001, "session": at // 30}[name] for name in extras]
        found.append((first, high, low, price, chance.randint(1, 9), closed, *more))
    return [tuple(float(x) for x in bar[:5]) + bar[5:] for bar in found]


@pytest.mark.parametrize("text", [TEXT, *(path.read_text() for path in EXAMPLES)])
def test_traced_step_when_run_beside_the_step_then_mask_and_state_are_the_same(text: str) -> None:
    """Bit for bit, bar after bar; the step's own text does not know of it."""
    plan, trace = compile_strategy(text), trace_strategy(text)
    step, traced = functions(plan.source), functions(trace.source)
    mine, theirs = np.zeros(plan.state_size), np.zeros(plan.state_size)
    step["init_state"](mine)
    step["init_state"](theirs)
    extras = tuple(name for name in ("spread", "session") if name in plan.needs)
    for bar in bars(7, 300, extras):
        values = np.full(trace.size, math.nan)

        assert traced["trace"](theirs, *bar, values) == step["step"](mine, *bar)
        assert theirs.tobytes() == mine.tobytes()
        for rule, tree in zip(plan.rules, trace.rules, strict=True):
            assert tree.text == rule.condition
    assert "values" not in plan.source
    assert plan.source == compile_strategy(text).source


def test_tree_when_evaluated_then_it_has_the_values_of_every_part() -> None:
    """Prices in currency, means exact, constants as written, the crossing's bar before."""
    plan, trace = compile_strategy(TEXT), trace_strategy(TEXT)
    traced = functions(trace.source)
    row = np.zeros(plan.state_size)
    traced["init_state"](row, 100.0)
    closes = [7_100_000, 7_090_000, 7_080_000, 7_070_000, 7_060_000, 7_120_000]
    for at, close in enumerate(closes):
        values = np.full(trace.size, math.nan)
        fired = traced["trace"](
            row, float(close), close + 1.0, close - 1.0, float(close), 3.0, int(at == 5), values
        )
    assert fired == 3
    found, other, leave = evaluate(trace, values.tolist(), 100.0)

    assert [rule["rule"] for rule in (found, other, leave)] == [0, 1, 2]
    assert evaluate(trace, values.tolist(), 100.0, (2, 0)) == [leave, found]
    either = found["children"]
    assert found["value"] is True
    assert other == {**found, "rule": 1}
    both = either[0]["children"]
    crossing = both[0]
    assert (crossing["text"], crossing["value"]) == ("quick crosses above slow", True)
    assert crossing["before"] is False
    assert crossing["children"] == [
        {"text": "quick", "value": 70_900.0},
        {"text": "slow", "value": 70_825.0},
    ]
    assert both[1]["text"] == "not (close > coarse.top * 2)"
    above = both[1]["children"][0]
    assert above["children"][0] == {"text": "close", "value": 71_200.0}
    assert above["children"][1]["value"] == 2 * 71_000.01
    equal = either[1]
    assert equal["value"] is False
    assert equal["children"] == [
        {"text": "close[1]", "value": 70_600.0},
        {
            "text": "limit * 1000",
            "value": 70_000.0,
        },
    ]
    assert leave["value"] is False
    assert leave["children"][1] == {
        "text": "base.volume > 5",
        "value": False,
        "children": [{"text": "base.volume", "value": 3.0}, {"text": "5", "value": 5.0}],
    }


def test_tree_when_nothing_is_defined_yet_then_values_are_null() -> None:
    """Before the warm-up is over a condition is neither true nor false."""
    plan, trace = compile_strategy(TEXT), trace_strategy(TEXT)
    traced = functions(trace.source)
    row, values = np.zeros(plan.state_size), np.full(trace.size, math.nan)
    traced["init_state"](row)
    traced["trace"](row, 1.0, 1.0, 1.0, 1.0, 1.0, 0, values)

    found = evaluate(trace, values.tolist(), 1.0)[0]
    crossing = found["children"][0]["children"][0]
    assert (found["value"], crossing["value"], crossing["before"]) == (None, None, None)
    assert crossing["children"][0] == {"text": "quick", "value": None}
