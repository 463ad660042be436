"""Values of indicators: TA-Lib, pandas-ta-classic and slow formulas are the judges."""

import importlib
import importlib.util
import sys
import tomllib
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from jts_trading.indicators.catalog import FAMILIES, NATIVE
from jts_trading.indicators.definition import Definition

REFERENCE = Path(__file__).parents[1] / "reference"
DOCS = Path(__file__).parents[2] / "docs"


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
judges = load_reference("indicator_judges")
formulas = load_reference("indicator_formulas")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all workers of a test run keep the kernels of indicators."""
    mine = tmp_path_factory.getbasetemp()
    return (mine.parent if mine.name.startswith("popen-") else mine) / "indicator-kernels"


@pytest.fixture(scope="module")
def pandas_ta() -> ModuleType:
    """Import pandas-ta-classic, which reads a deprecated field of the clock on import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.Pandas4Warning)
        return importlib.import_module("pandas_ta_classic")


def require_agreement(folder: Path, judge: object, library: ModuleType) -> None:
    """Ask a library and compare on 600 bars: values at 1e-9, and the bar of the first one."""
    columns = cases.walk(11, 600)
    if judge.is_untied:
        columns[:4] += np.arange(600) / 1024
    names = cases.COLUMNS[:5]
    minutes = pd.to_timedelta(np.arange(600) % 13, unit="min")
    index = pd.to_datetime(columns[5], unit="D") + pd.Timedelta(hours=9) + minutes
    market = judges.Market(pd.DataFrame(columns[:5].T, columns=list(names), index=index))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = judge.ask(library, market)
    expected = np.column_stack([np.asarray(a, dtype=float) for a in answer])
    kernel = cases.kernel_of(judge.indicator, folder)
    out = cases.compute(kernel, judge.indicator, judge.settings, columns)
    found = cases.values_of(judge.indicator, judge.settings, out) * judge.scale
    if judge.outputs is not None:
        found = found[:, list(judge.outputs)]
    assert found.shape == expected.shape
    first = judge.fades
    if not first:
        first = int(np.argmax(~np.isnan(found).any(axis=1)))
        assert first == int(np.argmax(~np.isnan(expected).any(axis=1))), "warm-up"
    assert not np.isnan(found[first:]).any()
    size = np.nanmax(np.abs(expected[first:]), axis=0)
    for k in range(found.shape[1]):
        np.testing.assert_allclose(
            found[first:, k], expected[first:, k], rtol=1e-9, atol=1e-11 * size[k]
        )


@pytest.mark.parametrize("judge", judges.TALIB, ids=lambda j: f"{j.indicator}-{j.settings}")
def test_indicator_when_compared_with_ta_lib_then_equal(folder: Path, judge: object) -> None:
    """TA-Lib gives the same values from the same bar on."""
    require_agreement(folder, judge, importlib.import_module("talib"))


@pytest.mark.parametrize("judge", judges.PANDAS_TA, ids=lambda j: f"{j.indicator}-{j.settings}")
def test_indicator_when_compared_with_pandas_ta_then_equal(
    folder: Path, pandas_ta: ModuleType, judge: object
) -> None:
    """pandas-ta-classic gives the same values from the same bar on."""
    require_agreement(folder, judge, pandas_ta)


@pytest.mark.parametrize("name", sorted(formulas.FORMULAS))
@pytest.mark.parametrize("seed", [1, 2])
def test_indicator_when_compared_with_the_slow_formula_then_equal(
    folder: Path, name: str, seed: int
) -> None:
    """A formula that looks at all bars up to each one gives the same values and nulls."""
    small = cases.SETTINGS[name]
    columns = cases.walk(seed, 70)
    out = cases.compute(cases.kernel_of(name, folder), name, small, columns)
    found = cases.values_of(name, small, out)
    formula = formulas.FORMULAS[name]

    bars = [dict(zip(cases.COLUMNS, map(float, bar), strict=True)) for bar in columns.T]
    numbers = {
        key: float(value) if isinstance(value, str) else value for key, value in small.items()
    }
    expected = [formula(bars[: i + 1], *numbers.values()) for i in range(len(bars))]

    table = np.array([v if isinstance(v, tuple) else (v,) for v in expected], dtype=float)
    np.testing.assert_allclose(found, table, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("definition", FAMILIES["Candle patterns"], ids=lambda d: d.name)
def test_pattern_when_compared_with_ta_lib_then_equal_on_every_bar(
    folder: Path, definition: Definition
) -> None:
    """The same bars show the pattern, with the same sign and weight and the same warm-up."""
    talib = importlib.import_module("talib")
    small = cases.SETTINGS[definition.name]
    columns = cases.candles(7, 60_000)

    found = cases.compute(
        cases.kernel_of(definition.name, folder), definition.name, small, columns
    )

    (alias,) = definition.aliases
    expected = getattr(talib, alias)(*columns[:4], **{k: float(v) for k, v in small.items()})
    lookback = importlib.import_module("talib.abstract").Function(alias).lookback
    assert np.isnan(found[:lookback, 0]).all()
    np.testing.assert_array_equal(found[lookback:, 0], expected[lookback:].astype(float))
    assert len(np.unique(expected)) > 1, "the pattern never occurs"


def test_catalog_when_judged_then_every_indicator_has_a_judge() -> None:
    """Each native indicator is compared with a library or with a slow formula."""
    judged = {j.indicator for j in (*judges.TALIB, *judges.PANDAS_TA)} | set(formulas.FORMULAS)
    judged |= {definition.name for definition in FAMILIES["Candle patterns"]}

    assert set(NATIVE.definitions) - judged == set()


def test_judges_when_they_differ_then_the_page_says_why() -> None:
    """Whatever is compared after a while only, or scaled, is listed as a known difference."""
    listed = tomllib.loads((DOCS / "indicator_differences.toml").read_text(encoding="utf-8"))
    named = {(d["judge"], d["indicator"]) for d in listed["difference"]}

    for judge, rows in (("TA-Lib", judges.TALIB), ("pandas-ta-classic", judges.PANDAS_TA)):
        differing = {(judge, j.indicator) for j in rows if j.fades or j.scale != 1.0}
        assert differing - named == set()
    assert all(d["differs"] and d["reason"] for d in listed["difference"])
