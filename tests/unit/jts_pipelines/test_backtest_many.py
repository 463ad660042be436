"""Many parameter sets over one table: what each gives is, to the bit, a backtest of its own."""

import os
from datetime import date
from pathlib import Path

import pytest

from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.many import run_many
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.ingest.generated import daily_panel
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.lifting import lift
from jts_trading.dsl.lowering import lower_plan
from storage.errors import InputError

MIXED = """strategy("Mixed") {
  params {
    length = 14 in 5..30 step 1
    floor = 35 in 20..45 step 5
    stretch = 1.5 in 0.5..3 step 0.5
  }
  timeframes { daily = "1d" weekly = "1w" }
  indicators {
    on weekly { trend = SMA(period: length) }
    on daily { rsi = RSI(period: length) range = ATR(period: length) }
  }
  entry.long {
    when (daily.rsi < floor or daily.close > weekly.trend) { buy(quantity: "20%", type: "market") }
  }
  exit.long {
    when (daily.close < highest(daily.close, length) - stretch * daily.range) {
      sell(quantity: "all", type: "market")
    }
  }
}
"""
SETS = [
    {"length": "7", "floor": "30", "stretch": "2.5"},
    {"length": "14", "floor": "40", "stretch": "1"},
    {"length": "21", "floor": "30", "stretch": "1.5"},
]
PANEL = daily_panel(seed=7, symbols=6, first=date(2022, 1, 3), last=date(2024, 6, 28))


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled code, shared by the tests of a run."""
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "kernels"


def test_many_sets_when_run_together_then_each_is_its_own_backtest(kernels: Path) -> None:
    """Fills, equity, digests and figures are equal, to the bit; one program serves all."""
    plans = [compile_strategy(MIXED, params=params) for params in SETS]

    found = list(run_many(plans, PANEL, BacktestSettings(), cache_dir=kernels))

    assert len({lifted.text for lifted in lift([lower_plan(plan) for plan in plans])}) == 1
    for at in (0, 2):
        alone = run_backtest(plans[at], PANEL, BacktestSettings(), cache_dir=kernels)
        together = found[at]
        assert isinstance(together, BacktestResult)
        assert alone.fills.height > 50
        assert together.digest == alone.digest
        assert together.digests == alone.digests
        assert together.metrics == alone.metrics
    checked = [len(one.prefix.cuts) for one in found if isinstance(one, BacktestResult)]
    assert checked == [2, 0, 0]


def test_many_sets_when_one_cannot_run_then_the_others_do(kernels: Path) -> None:
    """A plan whose bars are too coarse is refused with its reason."""
    hourly = MIXED.replace('daily = "1d"', 'daily = "1h"')
    plans = [compile_strategy(MIXED, params=SETS[0]), compile_strategy(hourly, params=SETS[0])]

    good, bad = run_many(plans, PANEL, BacktestSettings(), cache_dir=kernels)

    assert isinstance(good, BacktestResult)
    assert isinstance(bad, InputError)
    assert "decides on 1h bars" in str(bad)


def source_of(period: int, factor: float, power: int = 2) -> str:
    """Return a small program with numbers of three kinds."""
    return (
        f"def run_rows(state, out):\n    s{period} = state[{period}]\n"
        f"    out[0] = s{period} * {factor} + 3 ** {power} + True\n"
    )


def test_lift_when_programs_differ_in_numbers_then_they_share_a_text() -> None:
    """Names of slots and flags do not count; a written power stays where it is."""
    first, second, other = lift([source_of(4, 0.5), source_of(9, 1.5), source_of(4, 0.5, 3)])

    assert first.text == second.text != other.text
    assert (first.whole, first.real) == ((4,), (0.5,))
    assert (second.whole, second.real) == ((9,), (1.5,))
    for lifted, expected in ((first, 40.0 * 0.5 + 10), (second, 90.0 * 1.5 + 10)):
        scope: dict[str, object] = {}
        exec(lifted.text, scope)  # noqa: S102 - the text of this test
        out = [0.0]
        scope["run_rows"]([10.0 * n for n in range(10)], out, lifted.whole, lifted.real)
        assert out == [expected]


def test_lift_when_programs_differ_otherwise_then_they_stay_apart() -> None:
    """Another operation is another program."""
    plus, minus = lift([source_of(4, 0.5), source_of(4, 0.5).replace("* 0.5", "- 0.5")])

    assert plus.text != minus.text
    assert plus.whole == plus.real == ()


def test_columns_when_shared_then_a_panel_is_read_once(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Laying bars out is not repeated for every set."""
    from jts_pipelines.backtest import many

    seen = []

    def counted(*arguments: object) -> object:
        seen.append(arguments)
        return prepare(*arguments)

    prepare = many.prepare
    monkeypatch.setattr(many, "prepare", counted)
    plans = [compile_strategy(MIXED, params=params) for params in SETS]

    results = list(run_many(plans, PANEL.head(4_000), BacktestSettings(), cache_dir=kernels))

    assert len(results) == 3
    assert len(seen) == 1
