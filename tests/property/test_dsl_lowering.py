"""The batch form of a plan computes the bits of its step: masks, and the state that is left."""

import ast
import importlib.util
import random
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.grammar import CLOCK_COLUMNS
from jts_trading.dsl.lowering import lower_plan, row_extras
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.running import running_sums
from jts_trading.indicators.catalog import NATIVE
from jts_trading.indicators.definition import ParameterKind, setting_text
from jts_trading.kernels.loader import load

FOLDER = Path(__file__).parents[1]


def load_file(path: Path) -> ModuleType:
    """Load a module of the tests from its file."""
    name = f"{path.stem}_for_lowering"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


cases = load_file(FOLDER / "reference" / "indicator_cases.py")
generated = load_file(FOLDER / "property" / "test_dsl_reference.py")


class Rows:
    """Bars of three instruments, one of which has none: whole prices, a few frames closed."""

    def __init__(self, seed: int, count: int) -> None:
        chance = random.Random(seed)
        price, bars = chance.choice((20, 900, 71_000)), []
        for _ in range(count):
            opened, price = (
                price,
                max(1, price + chance.randint(-price // 30 - 2, price // 30 + 2)),
            )
            reach = chance.choice((0, 0, 1, 5))
            bars.append(
                (opened, max(opened, price) + reach, max(min(opened, price) - reach, 1), price)
            )
        self.prices = np.array(bars, np.int32)
        self.volume = np.array([chance.choice((1, 7, 5_000)) for _ in range(count)], np.int32)
        self.closed = np.array([chance.choice((0, 0, 1, 3)) for _ in range(count)], np.uint8)
        self.sessions = np.sort(np.array([chance.randint(19_800, 19_830) for _ in range(count)]))
        self.clock = np.array(
            [
                [chance.randint(0, 390), chance.randint(32_400, 56_000), i % 7 == 0]
                for i in range(count)
            ]
        )
        self.spreads = np.array([chance.choice((0.01, 0.002, np.nan)) for _ in range(count)])
        cut = chance.randint(1, count - 1)
        self.offsets = np.array([0, cut, cut, count], np.int64)

    def step_by_step(self, plan: Plan, module: Any) -> tuple[NDArray[Any], ...]:
        """Return masks, values for drivers, and the state of the last instrument, of `step`."""
        values = np.zeros((len(self.volume), plan.values))
        exported = slice(plan.values_slot, plan.values_slot + plan.values)
        masks, state = np.zeros(len(self.volume), np.int64), np.zeros(plan.state_size)
        for first, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            module.init_state(state)
            for row in range(first, end):
                extra = (float(self.spreads[row]),) if "spread" in plan.needs else ()
                extra += (int(self.sessions[row]),) if "session" in plan.needs else ()
                masks[row] = module.step(
                    state,
                    *(float(price) for price in self.prices[row]),
                    float(self.volume[row]),
                    int(self.closed[row]),
                    *extra,
                    *self._clock_of(plan, row),
                )
                values[row] = state[exported]
        return masks, values, state

    def _clock_of(self, plan: Plan, row: int) -> tuple[int, ...]:
        places = [at for at, name in enumerate(CLOCK_COLUMNS) if name in plan.needs]
        return tuple(int(self.clock[row, at]) for at in places)

    def at_once(self, plan: Plan, module: Any) -> tuple[NDArray[Any], ...]:
        """Return the same of `run_rows`."""
        values = np.zeros((len(self.volume), plan.values))
        extras = {"spreads": self.spreads, "clock": self.clock, "values": values}
        masks, state = np.zeros(len(self.volume), np.int64), np.zeros(plan.state_size)
        module.run_rows(
            self.prices,
            self.volume,
            self.closed,
            np.arange(len(self.volume), dtype=np.int32),
            np.zeros(3, np.int64),
            self.sessions,
            self.offsets,
            np.ones(3),
            state,
            masks,
            0,
            3,
            *(extras[name] for name in row_extras(plan)),
        )
        return masks, values, state


def plain(source: str) -> ModuleType:
    """Return the functions of a source without compiling them; dividing by zero as numpy."""
    module = ModuleType("plain")
    vars(module)["float"] = np.float64
    exec(compile(source, "<source>", "exec"), vars(module))  # noqa: S102 - our own generated text
    return module


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModuleType]:
    """Compile a source with numba."""
    folder = tmp_path_factory.mktemp("kernels")
    return lambda source: load(source, folder, allocates=False)


def agree(text: str, rows: Rows, build: Callable[[str], Any] = plain) -> int:
    """Check a strategy over rows and return how many bars fired."""
    plan = compile_strategy(text)
    with np.errstate(all="ignore"):
        masks, *stepped = rows.step_by_step(plan, plain(plan.source))
        found, *at_once = rows.at_once(plan, build(lower_plan(plan)))

    assert found.tobytes() == masks.tobytes()
    assert [each.tobytes() for each in at_once] == [each.tobytes() for each in stepped]
    return int((masks != 0).sum())


SUMS = """
strategy("Sums") {{
  indicators {{
    a = SMA({first}, period: {short})
    b = SMA(period: {long})
    c = SUM({second}, period: 3)
  }}
  entry.long {{
    when (a crosses above b) {{ buy(1) }}
    when (c > 3 * close or a <= high[2]) {{ buy(1) }}
    when (a == b or b >= low) {{ buy(1) }}
  }}
  exit.long {{ when (a crosses below b) {{ sell(quantity: "all") }} }}
}}
"""
PRICES = st.sampled_from(("open", "high", "low", "close"))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(2, 90),
    first=PRICES,
    second=st.sampled_from(("open", "close", "close - open", "SMA(period: 2)")),
    short=st.integers(1, 6),
    long=st.integers(2, 30),
)
def test_sums_that_run_over_the_bars_are_those_of_the_step(  # noqa: PLR0917 - what is drawn
    seed: int, count: int, first: str, second: str, short: int, long: int
) -> None:
    """Masks and the state that is left, where instruments are longer or shorter than a sum."""
    text = SUMS.format(first=first, second=second, short=short, long=long)

    agree(text, Rows(seed, count), whole)


def whole(source: str) -> ModuleType:
    """Return the functions of a text; its form for narrow whole prices as `run_rows`."""
    module = plain(source)
    vars(module)["run_rows"] = vars(module)["run_whole_rows"]
    return module


def test_sums_when_a_function_of_the_source_has_their_name_only_then_stay_in_the_state() -> None:
    """What a sum means is read, not guessed."""
    source = compile_strategy(SUMS.format(first="close", second="close", short=2, long=3)).source
    other = source.replace("place += 1", "place += 2", 1)

    assert sorted(each.period for each in running_sums(functions_of(source))) == [2, 3, 3]
    assert running_sums(functions_of(other)) == []


def functions_of(source: str) -> dict[str, ast.FunctionDef]:
    """Return the functions of a source by name."""
    return {n.name: n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}


def text_of(name: str, source: str = "") -> str:
    """Return a strategy that compares every output of an indicator with others."""
    definition, small = NATIVE.definitions[name], cases.SETTINGS[name]
    kinds = {p.name: p.kind for p in definition.parameters}
    arguments = [f"{key}: {written(kinds[key], value)}" for key, value in small.items()]
    if source and definition.source_names:
        arguments.append(f"{definition.source_names[0]}: {source}")
    outputs = [o.name for o in definition.outputs]
    dotted = [f"it.{output}" for output in outputs] if len(outputs) > 1 else ["it"]
    whens = [f"when ({o} >= {o}[2] or {o} crosses below {o}[1]) {{ buy(1) }}" for o in dotted]
    call = f"it = {name}({', '.join(arguments)})"
    return (
        f'strategy("Generated") {{ indicators {{ {call} }} entry.long {{ {" ".join(whens)} }} }}'
    )


def written(kind: ParameterKind, value: Any) -> str:
    """Return a setting as a text has it."""
    text = setting_text(kind, Fraction(str(value)))
    return f'"{text}"' if kind is ParameterKind.DATE else text


@pytest.mark.parametrize("name", sorted(NATIVE.definitions))
@pytest.mark.parametrize("source", ["", "EMA(period: 3)"], ids=["bars", "series"])
def test_indicator_when_lowered_then_masks_and_state_are_those_of_its_step(
    name: str, source: str
) -> None:
    """Every indicator, over bars and over a series that is null at first."""
    agree(text_of(name, source), Rows(len(name), 70))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(generated.texts(), st.integers(0, 2**32))
def test_generated_strategies_when_lowered_then_masks_and_state_are_those_of_the_step(
    drawn: tuple[str, dict[str, int]], seed: int
) -> None:
    """Names, histories, crossings and coarser frames, whatever the order of blocks."""
    agree(drawn[0], Rows(seed, 80))


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(generated.texts(), st.integers(0, 2**32))
def test_generated_strategies_when_lowered_and_compiled_then_bits_are_equal(
    compiled: Callable[[str], ModuleType], drawn: tuple[str, dict[str, int]], seed: int
) -> None:
    """The machine code of the batch form against the plain step."""
    agree(drawn[0], Rows(seed, 200), compiled)


@pytest.mark.parametrize(
    "name", ["MACD", "RSI", "Bollinger", "ATR", "LaguerreRSI", "SchaffTrendCycle"]
)
def test_indicator_when_lowered_and_compiled_then_bits_are_equal(
    compiled: Callable[[str], ModuleType], name: str
) -> None:
    """Averages, windows with squares, loops, a function that stays a call."""
    assert agree(text_of(name), Rows(5, 400), compiled) > 0


def test_prices_of_orders_when_lowered_then_are_those_of_the_step() -> None:
    """A slot that a step only writes keeps its fractions, and null where nothing fired."""
    text = (
        'strategy("T") { entry.long { when (close > close[1]) '
        '{ buy("5%", type: "limit", price: close * 0.9955) } } '
        "exit.long { when (close < close[3]) "
        '{ sell("all", type: "stop", stop: SMA(3) / 7) } } }'
    )

    assert agree(text, Rows(3, 90)) > 0


WORDS = """strategy("Words") {
  indicators { calm = SMA(4) waits = since(close > calm) }
  entry.long {
    when (waits >= 2 and rank(close, 5) > 40% and change(high, 2) > 0
          and portfolio.cash > 5 * close) { buy(1, type: "limit", price: low - ATR(3)) }
    when (minutes_since_open > 100 and not auction or time > 12:00 and close > session.open) {
      buy(2, type: "stop", stop: highest(high, 3))
    }
  }
  surge_detection {
    when (close > high[1] and spread < 0.5% and not auction) { execute_immediately({ size: 3 }) }
  }
  exit.long {
    when (position.profit > 1% and close < calm or session.previous_close > position.highest) {
      sell("all", type: "limit", price: position.entry_price * 1.1)
    }
  }
}"""


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_words_of_the_language_when_walked_at_once_then_bits_of_the_step(seed: int) -> None:
    """Clock, session, since, rank, order prices and what the guard reads."""
    agree(WORDS, Rows(seed, 80))


def test_words_of_the_language_when_compiled_then_bits_of_the_step(
    compiled: Callable[[str], ModuleType],
) -> None:
    """The machine code as well."""
    assert agree(WORDS, Rows(7, 200), compiled) > 0
