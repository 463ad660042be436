"""Indicator steps: batch, single steps and resumed agree bit for bit, with gaps and nulls."""

import importlib.util
import math
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.indicators.catalog import NATIVE
from jts_trading.indicators.definition import ParameterKind

Kernel = Callable[..., None]
NAMES = sorted(NATIVE.definitions)
REFERENCE = Path(__file__).parents[1] / "reference"


def load_reference(name: str) -> ModuleType:
    """Load a module of the reference folder from its file."""
    loaded = sys.modules.get(f"{name}_of_tests")
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(f"{name}_of_tests", REFERENCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cases = load_reference("indicator_cases")


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each native indicator in turn: all tests of one run together, so it is compiled once."""
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def kernel(name: str, folder: Path) -> Kernel:
    """The indicator, compiled."""
    found: Kernel = cases.kernel_of(name, folder)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all workers of a test run keep the kernels of indicators."""
    mine = tmp_path_factory.getbasetemp()
    return (mine.parent if mine.name.startswith("popen-") else mine) / "indicator-kernels"


def test_indicator_when_cut_anywhere_then_bits_are_equal(name: str, kernel: Kernel) -> None:
    """Batch, single steps and a resumed snapshot give the same bits, nulls included.

    Nothing outside the slots of the indicator is read or written.
    """
    small = cases.SETTINGS[name]

    @settings(max_examples=15, deadline=None, database=None)
    @given(
        st.integers(0, 2**32),
        st.sampled_from([0.0, 0.1, 0.5]),
        st.lists(st.integers(0, 60), max_size=4),
    )
    def check(seed: int, nulls: float, cuts: list[int]) -> None:
        columns = cases.walk(seed, 60, null_share=nulls)

        whole = cases.compute(kernel, name, small, columns)
        resumed = cases.compute(kernel, name, small, columns, cuts=cuts, guard=1e300)
        single = cases.compute(kernel, name, small, columns, cuts=list(range(1, 60)), guard=-3.0)

        assert whole.tobytes() == resumed.tobytes() == single.tobytes()

    check()


def test_indicator_when_bars_are_null_then_they_do_not_exist(name: str, kernel: Kernel) -> None:
    """A null bar yields null and leaves everything else as if it had not come."""
    small = cases.SETTINGS[name]
    for seed, nulls in enumerate([0.1, 0.3, 0.5, 0.9] * 3):
        columns = cases.walk(seed, 120, null_share=nulls)
        known = ~np.isnan(columns[3])

        out = cases.compute(kernel, name, small, columns)

        assert np.isnan(out[~known]).all()
        packed = cases.compute(kernel, name, small, columns[:, known])
        assert out[known].tobytes() == packed.tobytes()


def test_indicator_when_one_input_is_null_then_the_bar_does_not_exist(
    name: str, kernel: Kernel
) -> None:
    """Any one null input makes the bar a null one."""
    definition, small = NATIVE.definitions[name], cases.SETTINGS[name]
    columns = cases.walk(5, 80)
    inputs = [cases.COLUMNS.index(i) for i in definition.inputs]
    for place in (p for p in inputs if p < 5):
        holed = columns.copy()
        holed[place, 10:70:7] = math.nan
        known = ~np.isnan(holed[place])

        out = cases.compute(kernel, name, small, holed)

        assert np.isnan(out[~known]).all()
        packed = cases.compute(kernel, name, small, columns[:, known])
        assert out[known].tobytes() == packed.tobytes()


def test_indicator_when_started_then_first_value_comes_at_its_warmup(
    name: str, kernel: Kernel
) -> None:
    """The stated warm-up is the bar on which every output is defined for the first time."""
    definition, small = NATIVE.definitions[name], cases.SETTINGS[name]
    out = cases.compute(kernel, name, small, cases.walk(3, 60))
    warmup = definition.warmup(cases.fractions(small))

    defined = ~np.isnan(out).any(axis=1)

    first = int(np.argmax(defined))
    if definition.waits_for:
        assert first >= warmup - 1
    else:
        assert first == warmup - 1
    assert defined[first:].all()


def test_indicator_when_given_its_smallest_settings_then_stays_in_its_slots(
    name: str, kernel: Kernel
) -> None:
    """The lower ends of all ranges, and the defaults, work and keep within their slots."""
    definition = NATIVE.definitions[name]
    lowest = {
        p.name: float(p.low) if p.kind is ParameterKind.NUMBER else int(p.low)
        for p in definition.parameters
    }
    for chosen in (lowest, cases.settings_of(definition, **dict.fromkeys(_required(name), 7))):
        if definition.constraint(cases.fractions(chosen)):
            continue
        columns = cases.walk(9, 300, null_share=0.05)

        ways = [
            cases.compute(kernel, name, chosen, columns, guard=guard).tobytes()
            for guard in (1e300, -3.0)
        ]

        assert ways[0] == ways[1]


def _required(name: str) -> list[str]:
    return [p.name for p in NATIVE.definitions[name].parameters if p.default is None]


def test_functions_when_pasted_together_then_each_name_means_one() -> None:
    """A compiled strategy holds the text of its steps: two of one name could not both be there."""
    text = cases.kernels_text()

    assert text.count("\ndef ") == len(set(re.findall(r"^def (\w+)", text, re.MULTILINE)))


def test_catalog_when_compared_with_the_settings_of_the_tests_then_complete() -> None:
    """Every indicator is tested, and its settings name its parameters."""
    named = {name: [p.name for p in d.parameters] for name, d in NATIVE.definitions.items()}

    assert {name: list(s) for name, s in cases.SETTINGS.items()} == named


def test_sma_when_given_the_numbers_of_the_task_then_101_102_103(folder: Path) -> None:
    """C28: SMA([100,102,101,103,105], 3) = [101, 102, 103], compiled and by the reference."""
    closes = [100, 102, 101, 103, 105]
    kernel = cases.kernel_of("SMA", folder)
    columns = np.array([closes] * 5, dtype=float)

    out = cases.compute(kernel, "SMA", {"period": 3}, columns)

    assert [total / 3 for total in out[2:, 0]] == [101.0, 102.0, 103.0]
    assert np.isnan(out[:2]).all()
    slowly = load_reference("strategy_interpreter").sma
    found = [slowly([Fraction(c) for c in closes[: i + 1]], 3) for i in range(5)]
    assert found == [None, None, 101, 102, 103]


@pytest.mark.parametrize("summed", ["SMA", "WMA", "LSMA"])
def test_sums_when_values_are_no_whole_numbers_then_rounding_does_not_pile_up(
    folder: Path, summed: str
) -> None:
    """Two hundred thousand values with fractions leave no more error than one window has."""
    rng = np.random.default_rng(5)
    values = rng.random(200_000) * 1e6
    values[:1_000] *= 1e9
    small = {"period": 7}
    kernel = cases.kernel_of(summed, folder)

    found = cases.compute(kernel, summed, small, np.vstack([values] * 5))[-1, 0]

    total = sum(Fraction(v) for v in values[-7:])
    weighted = sum((k + 1) * Fraction(v) for k, v in enumerate(values[-7:]))
    exact = {"SMA": total, "WMA": weighted, "LSMA": 6 * weighted - 16 * total}[summed]
    assert found == pytest.approx(float(exact), rel=1e-12)
