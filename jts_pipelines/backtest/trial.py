"""What one parameter set of many came to: figures and digests, without the tables of a result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from jts_pipelines.backtest.columns import Floats, Ints
from jts_pipelines.backtest.digests import Digests
from jts_pipelines.backtest.metrics import compute_figures
from jts_pipelines.backtest.reporting import Prepared, digests_of
from jts_pipelines.backtest.result import Metric, PrefixCheck
from jts_pipelines.backtest.returns import session_returns
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.summary import (
    EquityPath,
    path_of_sessions,
    trades_of_fills,
    turnover_of_fills,
)
from jts_trading.dsl.plan import Plan


@dataclass(frozen=True)
class Trial:
    """One parameter set that was run; what is asked for is computed then.

    Attributes:
        plan: Of the set.
        prepared: What it ran over.
        settings: Assumptions of the run.
        sessions: Of the run.
        fills: See `places`, in the order of time.
        cash, value: At the end of each session, in units of the account.
        unit: By instrument: units of the account in one smallest quantity at a price of one step.
        marks: By instrument: what one smallest quantity is worth at the last close.
        programs: Digests of the strategy and of the engine.
        check: Looks for look-ahead, once for all sets that share a program.
    """

    plan: Plan
    prepared: Prepared
    settings: BacktestSettings
    sessions: tuple[date, ...]
    fills: Ints
    cash: Ints
    value: Ints
    unit: Ints
    marks: Ints
    programs: tuple[str, str]
    check: Callable[[], PrefixCheck]

    @property
    def equity(self) -> Ints:
        """Cash and positions at the end of each session, in units of the account."""
        return self.cash + self.value

    @cached_property
    def path(self) -> EquityPath:
        """One row per session, in the currency of the account."""
        scale, cash = self.settings.terms.money_scale, self.settings.start_money
        return path_of_sessions(self.prepared.days, self.equity, self.value, cash, scale)

    @property
    def returns(self) -> Floats:
        """One per session."""
        return session_returns(self.path.equity, self.settings.cash)

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        """Every figure of `metrics.DEFINITIONS`."""
        terms, bars = self.settings.terms, self.prepared.bars
        return compute_figures(
            self.path,
            trades_of_fills(self.fills, self.unit, self.marks, bars, terms),
            turnover_of_fills(self.fills, self.unit, terms),
            start_cash=self.settings.cash,
            sessions_per_year=self.settings.year,
        )

    @cached_property
    def digests(self) -> Digests:
        """What identifies the run: those of a backtest of its own."""
        return digests_of(self.plan, self.prepared, self.settings, self.programs)

    @property
    def prefix(self) -> PrefixCheck:
        """Whether a set of the same program decides otherwise when later bars are cut off."""
        return self.check()
