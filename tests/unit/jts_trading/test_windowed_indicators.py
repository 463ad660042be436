"""Indicators of pandas-ta-classic by name: one bounded window, the same bits on every road."""

import importlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Bars
from jts_pipelines.backtest.signals import RulePass
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.lowering import lower_step
from jts_trading.dsl.plan import Plan
from jts_trading.engine.program import kernel_source
from jts_trading.indicators.catalog import NATIVE, UnusableIndicatorError
from jts_trading.indicators.definition import Unit
from jts_trading.kernels.loader import load
from jts_trading.kernels.own_indicators import load_catalog
from jts_trading.kernels.rows import rows_of
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


@dataclass(frozen=True)
class Given:
    """Whole-tick bars of one instrument: [bar, open high low close], and which of them traded."""

    prices: NDArray[np.int64]
    volume: NDArray[np.int64]
    is_traded: NDArray[np.bool_]

    def bar(self, row: int) -> tuple[float, ...]:
        """Return what a step takes of a bar."""
        return (*map(float, self.prices[row]), float(self.volume[row]))

    def traded(self) -> Bars:
        """Return what a backtest hands to the compiled pass: the bars that traded."""
        count = int(self.is_traded.sum())
        return Bars(
            offsets=np.array([0, count]),
            prices=self.prices[self.is_traded],
            volume=self.volume[self.is_traded],
            frames_closed=np.zeros(0, np.uint8),
            moments=np.arange(count, dtype=np.int32),
            shift=np.zeros(1, np.int64),
            sessions=np.zeros(count, np.int64),
            scales=np.ones(1),
        )


def bars(count: int) -> Given:
    """Return bars of which a tenth is not traded."""
    rng = np.random.default_rng(3)
    close = 2_000 + np.cumsum(rng.integers(-9, 10, count))
    opened = close + rng.integers(-4, 5, count)
    high, low = np.maximum(opened, close) + 2, np.minimum(opened, close) - 2
    return Given(
        prices=np.stack((opened, high, low, close), axis=1),
        volume=rng.integers(1, 100, count),
        is_traded=rng.random(count) > 0.1,
    )


def warmed_up(plan: Plan, given: Given, folder: Path) -> list[int]:
    """Return the masks of the traded bars as the trader's warm-up has them."""
    kernel = load(kernel_source(plan), folder)
    kept = np.array([given.bar(row) for row in np.flatnonzero(given.is_traded)])
    nothing, masks = np.zeros(len(kept), np.int64), np.zeros(len(kept), np.int64)
    state = np.zeros(plan.state_size)
    kernel.init_state(state, 1.0)
    kernel.advance_bars(state, kept, nothing, nothing, masks)
    found: list[int] = masks.tolist()
    return found


def test_name_of_the_library_when_called_then_asked_over_the_last_bars(
    tmp_path: Path, library: ModuleType
) -> None:
    """Backtest, live steps and a restart from a snapshot see the library's value of the window."""
    plan = strategy("close > PWMA(5, window: 12)")
    given = bars(60)
    batch = rows_of(lower_step(plan.source), tmp_path)
    fired = RulePass(batch, given.traded(), state_size=plan.state_size, rules=1).run_all()

    kernel = load(plan.source, tmp_path)
    row = np.zeros(plan.state_size)
    kernel.init_state(row)
    live, expected, seen = [], [], []
    for i in np.flatnonzero(given.is_traded):
        row = np.frombuffer(row.tobytes()).copy()
        live.append(kernel.step(row, *given.bar(i), 0))
        seen.append(float(given.prices[i, 3]))
        mean = library.pwma(pd.Series(seen[-12:]), 5).iloc[-1] if len(seen) >= 12 else math.nan
        expected.append(int(seen[-1] > mean))
    assert fired[: len(seen)].tolist() == live == expected
    assert 10 < sum(expected) < 50
    assert plan.warmup_bars == {"base": 12}
    assert warmed_up(plan, given, tmp_path) == live


def test_outputs_when_prices_are_in_ticks_then_the_library_sees_currency(
    tmp_path: Path, library: ModuleType
) -> None:
    """Outputs that are prices come back in price units, others as they are."""
    plan = strategy("a.aber_zg > close", "indicators { a = ABERRATION(window: 40) }")
    kernel = load(plan.source, tmp_path)
    given = bars(60)
    row = np.zeros(plan.state_size)
    kernel.init_state(row, SCALE)

    found = [kernel.step(row, *given.bar(i), 0) for i in range(60)]

    expected = [0] * 39
    for i in range(39, 60):
        columns = given.prices[i - 39 : i + 1, 1:].T
        window = [pd.Series(column.astype(float)) / SCALE for column in columns]
        middle = library.aberration(*window).iloc[-1, 0] * SCALE
        expected.append(int(middle > given.prices[i, 3]))
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
