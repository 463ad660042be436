"""Indicators of pandas-ta-classic by name: one bounded window, the same bits on every road."""

import importlib
import math
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from jts_pipelines.backtest.columns import Bars
from jts_pipelines.backtest.kernel_text import signals_text
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.plan import Plan
from jts_trading.engine.program import kernel_source
from jts_trading.indicators.catalog import NATIVE, UnusableIndicatorError
from jts_trading.indicators.definition import Unit
from jts_trading.kernels.loader import load
from jts_trading.kernels.own_indicators import load_catalog
from jts_trading.kernels.windowed import library_definition, library_names, question_of

CATALOG = load_catalog(None)
SCALE = 10.0


@pytest.fixture(scope="module")
def library() -> ModuleType:
    """Import pandas-ta-classic, which reads a deprecated field of the clock on import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.Pandas4Warning)
        return importlib.import_module("pandas_ta_classic")


def strategy(condition: str, before: str = "") -> Plan:
    """Compile a strategy of one rule."""
    text = f'strategy("T") {{ {before} entry.long {{ when ({condition}) {{ buy("5%") }} }} }}'
    return compile_strategy(text, catalog=CATALOG)


def bars(count: int) -> Bars:
    """Return whole-tick bars of one instrument; a tenth is not traded."""
    rng = np.random.default_rng(3)
    close = 2_000.0 + np.cumsum(rng.integers(-9, 10, count))
    opened = close + rng.integers(-4, 5, count)
    return Bars(
        offsets=np.array([0, count]),
        open=opened,
        high=np.maximum(opened, close) + 2.0,
        low=np.minimum(opened, close) - 2.0,
        close=close,
        volume=rng.integers(1, 100, count).astype(float),
        is_traded=rng.random(count) > 0.1,
        frames_closed=np.zeros(count, np.int64),
        session=np.zeros(count, np.int64),
    )


def warmed_up(plan: Plan, given: Bars, folder: Path) -> list[int]:
    """Return the masks of the traded bars as the trader's warm-up has them."""
    kernel = load(kernel_source(plan), folder)
    columns = np.stack((given.open, given.high, given.low, given.close, given.volume), axis=1)
    bars = columns[given.is_traded]
    nothing, masks = np.zeros(len(bars), np.int64), np.zeros(len(bars), np.int64)
    state = np.zeros(plan.state_size)
    kernel.init_state(state, 1.0)
    kernel.advance_bars(state, bars, nothing, nothing, masks)
    found: list[int] = masks.tolist()
    return found


def test_name_of_the_library_when_called_then_asked_over_the_last_bars(
    tmp_path: Path, library: ModuleType
) -> None:
    """Backtest, live steps and a restart from a snapshot see the library's value of the window."""
    plan = strategy("close > PWMA(5, window: 12)")
    given = bars(60)
    fired = np.zeros(60, np.int64)
    kernel = load(signals_text(plan.source, plan.needs), tmp_path)

    kernel.evaluate_rules(given, np.zeros(plan.state_size), fired)

    row = np.zeros(plan.state_size)
    kernel.init_state(row)
    live, expected, seen = [], [], []
    for i in range(60):
        if not given.is_traded[i]:
            live.append(0)
            expected.append(0)
            continue
        row = np.frombuffer(row.tobytes()).copy()
        bar = (given.open[i], given.high[i], given.low[i], given.close[i], given.volume[i])
        live.append(kernel.step(row, *bar, 0))
        seen.append(given.close[i])
        mean = library.pwma(pd.Series(seen[-12:]), 5).iloc[-1] if len(seen) >= 12 else math.nan
        expected.append(int(given.close[i] > mean))
    assert fired.tolist() == live == expected
    assert 10 < sum(expected) < 50
    assert plan.warmup_bars == {"base": 12}
    seen_live = [mask for mask, t in zip(live, given.is_traded, strict=True) if t]
    assert warmed_up(plan, given, tmp_path) == seen_live


def test_outputs_when_prices_are_in_ticks_then_the_library_sees_currency(
    tmp_path: Path, library: ModuleType
) -> None:
    """Outputs that are prices come back in price units, others as they are."""
    plan = strategy("a.aber_zg > close", "indicators { a = ABERRATION(window: 40) }")
    kernel = load(plan.source, tmp_path)
    given = bars(60)
    row = np.zeros(plan.state_size)
    kernel.init_state(row, SCALE)

    found = [
        kernel.step(row, given.open[i], given.high[i], given.low[i], given.close[i], 1.0, 0)
        for i in range(60)
    ]

    expected = [0] * 39
    for i in range(39, 60):
        columns = (given.high, given.low, given.close)
        window = [pd.Series(column[i - 39 : i + 1]) / SCALE for column in columns]
        middle = library.aberration(*window).iloc[-1, 0] * SCALE
        expected.append(int(middle > given.close[i]))
    assert found == expected
    assert 0 < sum(found) < 21


def test_units_when_prices_grow_then_prices_are_told_from_numbers() -> None:
    """An output that grows with the prices is a price: it may be compared with one."""
    units = {
        name: {output.unit for output in definition.outputs}
        for name in ("jma", "entropy", "pwma")
        if (definition := library_definition(name)) is not None
    }

    assert units == {"jma": {Unit.INPUT}, "entropy": {Unit.NUMBER}, "pwma": {Unit.INPUT}}
    assert strategy("JMA(7) > close").warmup_bars == {"base": 250}


def test_names_when_both_have_one_then_the_native_one_is_meant() -> None:
    """The library only stands behind the native indicators."""
    assert {"rsi", "qqe", "jma"} <= library_names()
    assert CATALOG.find("rsi") is NATIVE.find("RSI")
    assert CATALOG.find("no_such_name") is None
    assert (
        strategy("close > SMA(5)").digest
        == compile_strategy(
            'strategy("T") { entry.long { when (close > SMA(5)) { buy("5%") } } }'
        ).digest
    )


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("QQEE(14) > 1", 'unknown indicator "QQEE"'),
        ("PWMA(5, window: 5000) > close", "accepted: 2 to 2000"),
        ("MAVP(3) > 1", "which is no column of bars"),
        ("QQE(14) > 1", "QQE has several outputs"),
    ],
)
def test_name_of_the_library_when_it_cannot_be_used_then_refused_with_its_place(
    condition: str, message: str
) -> None:
    """What the library cannot answer over a window is an error of the text."""
    with pytest.raises(StrategyError) as caught:
        strategy(condition)

    assert message in str(caught.value)


def test_library_when_its_functions_are_looked_at_then_most_read_columns_and_numbers() -> None:
    """Whatever reads columns and numbers can be asked; the rest says why it cannot."""
    usable, refused = [], {}
    for name in sorted(library_names()):
        try:
            usable.append(question_of(name))
        except UnusableIndicatorError as error:
            refused[name] = str(error)

    assert len(usable) > 220
    assert len(refused) < 20
    assert all("pandas-ta-classic" in reason for reason in refused.values())
