"""Many parameter sets of one strategy over one table of bars: the one place that runs them.

Bars are loaded once. A parameter set that the language or the engine refuses is an outcome with
its reason, not the end of the sweep; a defect of the engine is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from jts_pipelines.backtest.admitting import history_before
from jts_pipelines.backtest.columns import Floats
from jts_pipelines.backtest.loading import BacktestRequest, Loaded
from jts_pipelines.backtest.request import compiled, run_id, run_loaded
from jts_pipelines.backtest.result import BacktestResult, Metric
from jts_pipelines.backtest.returns import session_returns
from jts_pipelines.backtest.sets import Sets
from jts_pipelines.backtest.stage import Stages
from jts_pipelines.backtest.trial import Trial
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import read_strategy
from jts_trading.indicators.catalog import NATIVE, Catalog

Params = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one parameter set came to.

    Attributes:
        params: As they would be written.
        metrics: See `metrics.DEFINITIONS`; empty where the set was refused.
        sessions: Of the run.
        returns: One per session.
        run: Name of the run; empty where the set was refused.
        data_digest: Of the bars.
        instruments: How many there were.
        is_looking_ahead: The run failed its prefix check.
        refusal: Why there is no result.
    """

    params: Params
    metrics: Mapping[str, Metric]
    sessions: tuple[date, ...]
    returns: Floats
    run: str = ""
    data_digest: str = ""
    instruments: int = 0
    is_looking_ahead: bool = False
    refusal: str = ""

    @property
    def sharpe(self) -> float | None:
        """Of one session; None where it is not defined."""
        spread = float(self.returns.std(ddof=1)) if len(self.returns) > 1 else 0.0
        return float(self.returns.mean()) / spread if spread > 1e-14 else None

    @property
    def trades(self) -> int:
        """Closed trades."""
        return int(self.metrics.get("trades") or 0)


Runner = Callable[[Sequence[Params]], Iterator[Outcome]]
"""Runs parameter sets, in their order."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Everything that the runs of one sweep share.

    Attributes:
        request: What is run; its parameters hold where a set does not say otherwise.
        loaded: Its bars.
        cache_dir: Where compiled code is kept.
        instruments: See `engine.run_backtest`.
        catalog: The indicators that the text may call.
    """

    request: BacktestRequest
    loaded: Loaded
    cache_dir: Path
    instruments: pl.DataFrame | None = None
    catalog: Catalog = field(default=NATIVE)

    def run_all(self, sets: Sequence[Params]) -> Iterator[Outcome]:
        """Run parameter sets over the same columns, in their order.

        Raises:
            ConservationError: A result does not add up.
        """
        given = [{**self.request.params, **params} for params in sets]
        for params, found in zip(sets, self._sets.run(given), strict=True):
            if isinstance(found, Trial):
                yield outcome_of_trial(params, found)
            else:
                refusal = str(found).partition("\n")[0]
                yield Outcome(params, {}, (), np.empty(0), refusal=refusal)

    @cached_property
    def _sets(self) -> Sets:
        text = read_strategy(self.request.text, file=self.request.file, catalog=self.catalog)
        stages = Stages(self.loaded.bars, self.request.settings, self.instruments)
        return Sets(text, stages, cache_dir=self.cache_dir)

    def run_window(self, params: Params, first: date, last: date, cash: int) -> BacktestResult:
        """Run one parameter set that decides from one session to another; bars before warm it up.

        Args:
            params: Its values.
            first: The first session on which it decides.
            last: The last session of which it sees bars.
            cash: To begin with, in won.

        Raises:
            StrategyError, InputError: See `request.run_from_lake`.
        """
        end_ms = calendar_for(self.request.settings.venue).open_close_ns(last)[1] // 1_000_000
        seen = history_before(self.loaded.bars, end_ms, self.request.settings)
        settings = msgspec.structs.replace(self.request.settings, cash=cash)
        return run_loaded(
            compiled(self.request, self.catalog, params),
            Loaded(seen, ()),
            replace(self.request, settings=settings),
            cache_dir=self.cache_dir,
            instruments=self.instruments,
            decide_from=first,
        )


def outcome_of_trial(params: Params, trial: Trial) -> Outcome:
    """Return what a sweep keeps of a trial."""
    return Outcome(
        params,
        trial.metrics,
        trial.sessions,
        trial.returns,
        trial.digests.run,
        trial.digests.data,
        len(trial.prepared.bars.symbols),
        not trial.prefix.is_invariant,
    )


def outcome_of(params: Params, result: BacktestResult) -> Outcome:
    """Return what a sweep keeps of a result."""
    return Outcome(
        params,
        result.metrics,
        tuple(result.equity["session"].to_list()),
        session_returns(result.equity["equity"].to_numpy(), result.start_cash),
        run_id(result),
        result.digests.data,
        result.facts.instruments,
        not result.prefix.is_invariant,
    )
