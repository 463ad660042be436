"""Indicator steps: batch, single steps and resumed agree bit for bit; values match judges."""

import importlib.util
import math
import sys
import warnings
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jts_trading.dsl.emit import function_text
from jts_trading.indicators.catalog import DEFINITIONS
from jts_trading.indicators.definition import Definition, ParameterKind
from jts_trading.kernels.loader import load


def load_reference() -> ModuleType:
    """Load the interpreter from its file."""
    path = Path(__file__).parents[1] / "reference" / "strategy_interpreter.py"
    spec = importlib.util.spec_from_file_location("strategy_interpreter_judge", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


reference = load_reference()
SETTINGS = {
    "SMA": {"period": 5},
    "EMA": {"period": 5},
    "RSI": {"period": 4},
    "MACD": {"fast": 3, "slow": 6, "signal": 4},
    "ATR": {"period": 4},
    "Bollinger": {"period": 5, "deviations": 2},
    "avg_volume": {"period": 5},
    "price_change": {"period": 3},
}
COLUMNS = ("open", "high", "low", "close", "volume")


def driver(definition: Definition, settings: dict[str, int]) -> str:
    """Return source that runs one indicator over columns, from and into a given state."""
    values = [
        repr(float(settings[p.name])) if p.kind is ParameterKind.NUMBER else str(settings[p.name])
        for p in definition.parameters
    ]
    inputs = [f"columns[{COLUMNS.index(name)}, i]" for name in definition.inputs]
    call = f"{definition.step.__name__}({', '.join(['state', '0', *values, *inputs])})"
    steps = [function_text(f) for f in dict.fromkeys((*definition.uses, definition.step))]
    single = len(definition.outputs) == 1
    store = f"out[i, 0] = {call}" if single else f"out[i, :] = np.array({call})"
    run = f"def run(state, columns, out):\n    for i in range(columns.shape[1]):\n        {store}"
    return "\n\n".join(["import math", *steps, run])


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModuleType]:
    """Compile every native indicator."""
    folder = tmp_path_factory.mktemp("steps")
    return {n: load(driver(d, SETTINGS[n]), folder) for n, d in DEFINITIONS.items()}


@pytest.fixture(scope="module")
def ta() -> ModuleType:
    """Import pandas-ta-classic, which reads a deprecated field of the clock on import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.Pandas4Warning)
        return importlib.import_module("pandas_ta_classic")


def compute(
    kernel: ModuleType, name: str, columns: NDArray[np.float64], cuts: list[int]
) -> NDArray[np.float64]:
    """Run an indicator in pieces; between pieces its state goes through bytes."""
    definition = DEFINITIONS[name]
    settings = {k: Fraction(v) for k, v in SETTINGS[name].items()}
    state = np.zeros(definition.state_size(settings))
    out = np.full((columns.shape[1], len(definition.outputs)), 7.0)
    edges = [0, *sorted(cuts), columns.shape[1]]
    for first, last in pairwise(edges):
        kernel.run(state, np.ascontiguousarray(columns[:, first:last]), out[first:last])
        state = np.frombuffer(state.tobytes()).copy()
    return out


def walk(seed: int, count: int, null_share: float = 0.0) -> NDArray[np.float64]:
    """Return whole-tick columns; a share of bars is null in every column."""
    rng = np.random.default_rng(seed)
    close = 50_000.0 + 50 * np.cumsum(rng.integers(-9, 10, count))
    opened = np.concatenate(([close[0]], close[:-1]))
    high = np.maximum(opened, close) + 50 * rng.integers(0, 4, count)
    low = np.minimum(opened, close) - 50 * rng.integers(0, 4, count)
    volume = rng.integers(1, 10_000, count).astype(float)
    columns = np.vstack([opened, high, low, close, volume])
    columns[:, rng.random(count) < null_share] = math.nan
    return columns


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(DEFINITIONS)),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.lists(st.integers(0, 60), max_size=4),
)
def test_indicator_when_cut_anywhere_then_bits_are_equal(
    kernels: dict[str, ModuleType], name: str, seed: int, nulls: float, cuts: list[int]
) -> None:
    """Batch, single steps and a resumed snapshot give the same bits, nulls included."""
    columns = walk(seed, 60, nulls)

    whole = compute(kernels[name], name, columns, [])
    resumed = compute(kernels[name], name, columns, cuts)
    single = compute(kernels[name], name, columns, list(range(1, 60)))

    assert whole.tobytes() == resumed.tobytes() == single.tobytes()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(DEFINITIONS)), st.integers(0, 2**32), st.sampled_from([0.1, 0.5]))
def test_indicator_when_bars_are_null_then_they_do_not_exist(
    kernels: dict[str, ModuleType], name: str, seed: int, nulls: float
) -> None:
    """A null bar yields null and leaves everything else as if it had not come."""
    columns = walk(seed, 60, nulls)
    known = ~np.isnan(columns[3])

    out = compute(kernels[name], name, columns, [])

    assert np.isnan(out[~known]).all()
    packed = compute(kernels[name], name, columns[:, known], [])
    assert out[known].tobytes() == packed.tobytes()


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_indicator_when_started_then_first_value_comes_at_its_warmup(
    kernels: dict[str, ModuleType], name: str
) -> None:
    """The stated warm-up is the bar on which every output is defined for the first time."""
    out = compute(kernels[name], name, walk(3, 60), [])
    warmup = DEFINITIONS[name].warmup({k: Fraction(v) for k, v in SETTINGS[name].items()})

    defined = ~np.isnan(out).any(axis=1)

    assert int(np.argmax(defined)) == warmup - 1
    assert defined[warmup - 1 :].all()


def values_of(name: str, out: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn sums into means."""
    divisors = [o.divisor for o in DEFINITIONS[name].outputs]
    return out / np.array([SETTINGS[name][d] if d else 1 for d in divisors])


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_indicator_when_compared_with_the_slow_reference_then_equal(
    kernels: dict[str, ModuleType], name: str, seed: int
) -> None:
    """The independent reference (fractions for means) gives the same values and nulls."""
    columns = walk(seed, 80)
    found = values_of(name, compute(kernels[name], name, columns, []))

    expected = np.array([slow(name, columns[:, : i + 1]) for i in range(80)], dtype=float)

    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def slow(  # noqa: PLR0911 - one return per indicator
    name: str, columns: NDArray[np.float64]
) -> list[float | None]:
    """Return the outputs on the last of some bars, by the reference."""
    given_settings = SETTINGS[name]
    closes = [Fraction(x) for x in columns[3]]
    if name == "ATR":
        bars = [dict(zip(COLUMNS, map(Fraction, bar), strict=True)) for bar in columns.T]
        return [reference.atr(bars, given_settings["period"])]
    if name == "MACD":
        fields = reference.macd(closes, **given_settings)
        return [fields["line"], fields["signal"], fields["histogram"]]
    n = given_settings["period"]
    if name == "Bollinger":
        mean = reference.sma(closes, n)
        if mean is None:
            return [None, None, None]
        width = 2 * math.sqrt(sum((c - mean) ** 2 for c in closes[-n:]) / n)
        return [float(mean) + width, float(mean), float(mean) - width]
    if name == "price_change":
        return [None if len(closes) <= n else float(closes[-1] / closes[-1 - n] - 1)]
    if name == "avg_volume":
        return [_float(reference.sma([Fraction(x) for x in columns[4, :-1]], n))]
    if name == "EMA":
        return [reference.ema(closes, n, 2 / (n + 1))]
    return [_float({"SMA": reference.sma, "RSI": reference.rsi}[name](closes, n))]


def _float(value: Fraction | float | None) -> float | None:
    return None if value is None else float(value)


def test_indicators_when_compared_with_pandas_ta_then_equal(
    kernels: dict[str, ModuleType], ta: ModuleType
) -> None:
    """pandas-ta-classic gives the same values and warm-up, but where its seed differs."""
    columns = walk(11, 400)
    frame = pd.DataFrame(columns.T, columns=list(COLUMNS))
    macd = ta.macd(frame["close"], fast=3, slow=6, signal=4, talib=False)
    bands = ta.bbands(frame["close"], length=5, std=2.0, talib=False)
    judged = {
        "SMA": ta.sma(frame["close"], length=5, talib=False).to_frame(),
        "EMA": ta.ema(frame["close"], length=5, talib=False).to_frame(),
        "MACD": macd[["MACD_3_6_4", "MACDs_3_6_4", "MACDh_3_6_4"]],
        "Bollinger": bands[["BBU_5_2.0", "BBM_5_2.0", "BBL_5_2.0"]],
        "avg_volume": ta.sma(frame["volume"], length=5, talib=False).shift(1).to_frame(),
        "price_change": frame["close"].pct_change(3).to_frame(),
    }
    for name, expected in judged.items():
        found = values_of(name, compute(kernels[name], name, columns, []))
        np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-9, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("name", ["RSI", "ATR"])
def test_wilder_indicators_when_seed_has_faded_then_pandas_ta_agrees(
    kernels: dict[str, ModuleType], ta: ModuleType, name: str
) -> None:
    """Its Wilder averages start at the first value, ours (as TA-Lib) at the first mean."""
    columns = walk(11, 400)
    frame = pd.DataFrame(columns.T, columns=list(COLUMNS))
    expected = (
        ta.rsi(frame["close"], length=4, talib=False)
        if name == "RSI"
        else ta.atr(frame["high"], frame["low"], frame["close"], length=4, talib=False)
    )

    found = compute(kernels[name], name, columns, [])[:, 0]

    np.testing.assert_allclose(found[150:], expected.to_numpy()[150:], rtol=1e-9)


def test_sma_when_given_the_numbers_of_the_task_then_101_102_103(
    kernels: dict[str, ModuleType], tmp_path: Path
) -> None:
    """C28: SMA([100,102,101,103,105], 3) = [101, 102, 103], compiled and by the reference."""
    closes = [100, 102, 101, 103, 105]
    kernel = load(driver(DEFINITIONS["SMA"], {"period": 3}), tmp_path)
    columns = np.array([closes] * 5, dtype=float)
    out = np.empty((5, 1))

    kernel.run(np.zeros(5), columns, out)

    assert [total / 3 for total in out[2:, 0]] == [101.0, 102.0, 103.0]
    assert np.isnan(out[:2]).all()
    slowly = [reference.sma([Fraction(c) for c in closes[: i + 1]], 3) for i in range(5)]
    assert slowly == [None, None, 101, 102, 103]


def test_sma_when_values_are_no_whole_numbers_then_rounding_does_not_pile_up(
    tmp_path: Path,
) -> None:
    """A million values with fractions leave no more error than one window has."""
    rng = np.random.default_rng(5)
    values = rng.random(200_000) * 1e6
    values[:1_000] *= 1e9
    columns = np.vstack([values] * 5)
    kernel = load(driver(DEFINITIONS["SMA"], {"period": 7}), tmp_path)
    out = np.empty((len(values), 1))

    kernel.run(np.zeros(9), columns, out)

    exact = float(sum(Fraction(v) for v in values[-7:]))
    assert out[-1, 0] == pytest.approx(exact, rel=1e-12)
