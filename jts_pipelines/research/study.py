"""One question to past data, whoever asks it: the command line, Dagster, or the bus.

A study refuses locked hold-outs before anything is run, counts every trial, and compares with
benchmarks. Loading needs the tiers or a file; afterwards nothing but the home is touched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from jts_pipelines.backtest.admitting import admission_of
from jts_pipelines.backtest.benchmark import Benchmark
from jts_pipelines.backtest.benchmark_loading import BenchmarkBars, compared, load_benchmarks
from jts_pipelines.backtest.holding import bars_of_holding
from jts_pipelines.backtest.loading import (
    BacktestRequest,
    BarLake,
    bars_from_file,
    bars_from_lake,
)
from jts_pipelines.backtest.request import compiled, run_loaded
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.research import holdouts, trials
from jts_pipelines.research.choosing import Method, chooser_for
from jts_pipelines.research.recording import About, about_plan, note_backtest, written_down
from jts_pipelines.research.running import Bench, outcome_of
from jts_pipelines.research.scoring import weigh
from jts_pipelines.research.space import Space, require_inside, space_of
from jts_pipelines.research.sweep import OnTrial, SweepPlan, SweepResult, run_sweep
from jts_pipelines.research.walk_forward import WalkPlan, WalkResult, walk
from jts_trading.dsl.plan import Plan
from jts_trading.indicators.catalog import Catalog

KERNELS = Path("cache/kernels")
"""Where an instance keeps compiled code, below its root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a study happens.

    Attributes:
        home: Root of the instance.
        at_ns: Instance time, UTC ns.
        catalog: The indicators that texts may call.
        instruments: A listing, see `engine.run_backtest`.
        asked_by: Who asks, where that is known.
    """

    home: Path
    at_ns: int
    catalog: Catalog
    instruments: pl.DataFrame | None
    asked_by: str = ""

    @property
    def ledger(self) -> trials.TrialLedger:
        """Of the instance."""
        return trials.TrialLedger(self.home / trials.FILE)

    @property
    def holdouts(self) -> holdouts.Holdouts:
        """Of the instance."""
        return holdouts.Holdouts(self.home / holdouts.FILE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A compiled strategy and the bars that it may see.

    Attributes:
        plan: Compiled.
        bench: Runs parameter sets over the bars.
        opened: Hold-outs that the bars reach into; all of them are open.
        benchmarks: Bars to compare with.
    """

    place: Place
    plan: Plan
    bench: Bench
    opened: tuple[str, ...]
    benchmarks: tuple[BenchmarkBars, ...]

    def backtest(self, on_phase: Callable[[str], None] = lambda _: None) -> BacktestResult:
        """Run the strategy once, count it, and compare it with the benchmarks.

        Raises:
            InputError: The bars cannot be used.
            StorageError: The ledger is damaged or cannot be written.
        """
        request = self.bench.request
        result = run_loaded(
            self.plan,
            self.bench.loaded,
            request,
            cache_dir=self.bench.cache_dir,
            instruments=self.place.instruments,
            on_phase=on_phase,
        )
        known = note_backtest(self.place.ledger, result, self._about("backtest"), self.place.at_ns)
        outcome = outcome_of(result.params, result)
        weighed = weigh(outcome, [outcome], known)
        deflated = weighed.deflated
        return replace(
            result,
            comparisons=tuple(
                compared(bars, result.equity, result.start_cash, self.bench.request.settings)
                for bars in self.benchmarks
            ),
            trials=weighed.trials,
            deflated_sharpe=None if deflated is None else deflated.probability,
        )

    def sweep(
        self,
        *,
        method: Method,
        trials: int | None,
        objective: str,
        seed: int,
        ranges: Mapping[str, str],
        on_trial: OnTrial = lambda _done, _most: None,
    ) -> SweepResult:
        """Try many parameter sets; see `sweep.run_sweep`.

        Raises:
            InputError: The sweep cannot be carried out, or no parameter set has a score.
            StorageError: The ledger is damaged or cannot be written.
        """
        plan = SweepPlan(
            about=self._about("sweep"),
            space=self._space(ranges),
            method=method,
            trials=trials,
            objective=objective,
            seed=seed,
            sessions_per_year=self.bench.request.settings.year,
        )
        return run_sweep(
            plan, self.bench.run_all, self.place.ledger, self.place.at_ns, on_trial=on_trial
        )

    def walk_forward(
        self,
        *,
        train: int,
        test: int,
        is_anchored: bool,
        objective: str,
        trials: int | None,
        seed: int,
        ranges: Mapping[str, str],
        on_trial: OnTrial = lambda _done, _most: None,
    ) -> WalkResult:
        """Choose on past sessions and test on the next ones; see `walk_forward.walk`.

        Args:
            train: Sessions on which parameters are chosen.
            test: Sessions for which they are used.
            is_anchored: Training begins at the first session always.
            objective: One of `scoring.RETURN_OBJECTIVES`.
            trials: Parameter sets at most; drawn where the grid has more.
            seed: Of what is drawn.
            ranges: As of a sweep.
            on_trial: Told the progress: parameter sets, then windows.

        Raises:
            InputError: It cannot be carried out.
            StorageError: The ledger is damaged or cannot be written.
        """
        about = self._about("walk_forward")
        plan = WalkPlan(
            about=about, train=train, test=test, is_anchored=is_anchored, objective=objective
        )
        space = self._space(ranges)
        is_whole = space.size <= (trials or space.size)
        method = Method.GRID if is_whole else Method.RANDOM
        points = chooser_for(method, space, trials, seed).ask()
        outcomes = []
        found = self.bench.run_all([space.params(point) for point in points])
        for outcome in written_down(found, about, self.place.ledger, self.place.at_ns):
            outcomes.append(outcome)
            on_trial(len(outcomes), len(points))
        settings = self.bench.request.settings
        return walk(
            plan,
            outcomes,
            self.bench.run_window,
            cash=settings.cash,
            per_year=settings.year,
            on_window=on_trial,
        )

    def _space(self, ranges: Mapping[str, str]) -> Space:
        space = space_of(self.plan, ranges, fixed=tuple(self.bench.request.params))
        require_inside(self.plan, space)
        return space

    def _about(self, source: str) -> About:
        settings = self.bench.request.settings
        about = about_plan(
            self.plan,
            venue=settings.venue,
            interval=settings.interval,
            source=source,
            tried_by=self.place.asked_by,
        )
        return replace(about, holdouts=self.opened)


def load_study(
    request: BacktestRequest,
    place: Place,
    source: BarLake | Path,
    *,
    benchmarks: Sequence[Benchmark] = (),
) -> Study:
    """Compile a request, load its bars and refuse locked hold-outs.

    Args:
        request: What is asked.
        place: Where.
        source: All tiers, or a file of bars.
        benchmarks: What to compare with.

    Raises:
        StrategyError: The text is refused.
        HoldoutLockedError: The bars reach into a locked hold-out.
        InputError: There are no bars, or they cannot be used.
        StorageError: A tier is not there, or a file is damaged.
    """
    plan = compiled(request, place.catalog)
    lake = None if isinstance(source, Path) else source
    admission = admission_of(plan, request.settings, place.instruments)
    if isinstance(source, Path):
        loaded = bars_from_file(source, request, admission)
    else:
        loaded = bars_from_lake(source, request, admission)
    first, last = loaded.bars.period
    opened = place.holdouts.require_open(request.settings.venue, first, last)
    bench = Bench(
        request=request,
        loaded=loaded,
        cache_dir=place.home / KERNELS,
        instruments=place.instruments,
        catalog=place.catalog,
    )
    return Study(
        place=place,
        plan=plan,
        bench=bench,
        opened=opened,
        benchmarks=load_benchmarks(
            benchmarks, lake, first, last, partial(bars_of_holding, loaded.bars, request.settings)
        ),
    )
