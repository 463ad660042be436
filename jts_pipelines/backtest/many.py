"""Many parameter sets of one strategy over one table of bars: laid out once, compiled once.

Bars are checked and laid out for the first plan and shared by all that see them in the same way;
plans whose programs differ in numbers only share compiled code (`lifting`). What comes out of each
is, to the bit, what a backtest of its own gives, without the prefix check: that is made once for
the trials that share a program.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl

from jts_pipelines.backtest.engine import (
    Job,
    compile_for,
    load_kernels,
    load_portfolio,
    prepare,
    run_prepared,
    visible_bars,
)
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.orders import order_rules
from jts_pipelines.backtest.reporting import Prepared, Watch
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.lifting import Lifted, lift
from jts_trading.dsl.lowering import ROWS_FUNCTION, lower_plan
from jts_trading.dsl.plan import Plan
from jts_trading.kernels.loader import load
from storage.errors import InputError


def run_many(
    plans: Sequence[Plan],
    bars: pl.DataFrame | History,
    settings: BacktestSettings,
    *,
    cache_dir: Path,
    instruments: pl.DataFrame | None = None,
) -> Iterator[BacktestResult | InputError]:
    """Run plans of one strategy, one after another; a plan that is refused yields why.

    Args:
        plans: Of one text with other parameters.
        bars: See `engine.run_backtest`.
        settings: Assumptions of all runs.
        cache_dir: Where compiled code is kept.
        instruments: See `engine.run_backtest`.

    Raises:
        ConservationError: A result does not add up.
    """
    shared = _Shared(bars, settings, cache_dir, instruments)
    lifted: dict[int, Lifted] = {}
    programs = [lower_plan(plan) for plan in plans]
    simple = [at for at, program in enumerate(programs) if _is_simple(program)]
    if len(simple) > 1:
        lifted = dict(zip(simple, lift([programs[at] for at in simple]), strict=True))
    for at, plan in enumerate(plans):
        try:
            yield shared.run(plan, programs[at], lifted.get(at))
        except InputError as error:
            yield error


def _is_simple(program: str) -> bool:
    """Return whether a batch form is one function over bars and nothing else."""
    return program.count("def ") == 1 and "objmode" not in program


def _bound(module: ModuleType, lifted: Lifted) -> ModuleType:
    """Return a compiled group with the numbers of one member in place."""
    entry = getattr(module, ROWS_FUNCTION)
    numbers = np.array(lifted.whole, np.int64), np.array(lifted.real, np.float64)
    found = ModuleType(f"{module.__name__}_bound")

    def run_rows(*arguments: object) -> None:
        entry(*arguments, *numbers)

    setattr(found, ROWS_FUNCTION, run_rows)
    return found


class _Shared:
    """What the runs share: columns by how they are seen, compiled programs by their text."""

    def __init__(
        self,
        bars: pl.DataFrame | History,
        settings: BacktestSettings,
        cache_dir: Path,
        instruments: pl.DataFrame | None,
    ) -> None:
        self._bars: pl.DataFrame | History = bars
        self._settings = settings
        self._cache_dir, self._instruments = cache_dir, instruments
        self._prepared: dict[object, Prepared] = {}
        self._checked: set[str] = set()

    def run(self, plan: Plan, program: str, lifted: Lifted | None) -> BacktestResult:
        watch = Watch(lambda _: None)
        watch.begin("prepare")
        self._bars = history = visible_bars(plan, self._bars, self._settings, self._instruments)
        prepared = self._columns(plan)
        watch.begin("compile")
        signals, portfolio = self._kernels(plan, prepared, lifted)
        is_first = lifted is None or lifted.text not in self._checked
        if lifted is not None:
            self._checked.add(lifted.text)
        job = Job(plan, history, self._settings, self._instruments, program=program)
        return run_prepared(job, prepared, (signals, portfolio), watch, is_checked=is_first)

    def _columns(self, plan: Plan) -> Prepared:
        if plan.guard or plan.rank is not None:
            return prepare(plan, self._bars, self._settings, self._instruments)
        seen = plan.base_interval, plan.timeframes, plan.universe, plan.needs
        if seen not in self._prepared:
            self._prepared[seen] = prepare(plan, self._bars, self._settings, self._instruments)
        return replace(self._prepared[seen], rules=order_rules(plan, self._settings))

    def _kernels(
        self, plan: Plan, prepared: Prepared, lifted: Lifted | None
    ) -> tuple[ModuleType, ModuleType]:
        if lifted is None:
            kernels = load_kernels(plan, self._cache_dir, self._settings)
        else:
            signals = _bound(load(lifted.text, self._cache_dir, allocates=False), lifted)
            kernels = signals, load_portfolio(plan, self._cache_dir, self._settings)
        compile_for(prepared, plan, *kernels)
        return kernels
