"""What parameter sets that see bars in the same way share: columns, and a desk at its start."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from jts_pipelines.backtest import places
from jts_pipelines.backtest.columns import Bars, Bits, Desk, Floats, Ints, Rules
from jts_pipelines.backtest.desk import empty_masks, pack_rules
from jts_pipelines.backtest.engine import desk_of, prepare, step_columns, visible_bars
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.kernel_text import Portfolio
from jts_pipelines.backtest.reporting import Prepared
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.facts import FACTS_SIZE
from jts_trading.dsl.plan import Plan
from jts_trading.dsl.shapes import SeriesKey
from jts_trading.kernels.rows import Rows
from storage.errors import InputError

Refusal = StrategyError | InputError
"""Why something cannot be run."""
Numbers = tuple[tuple[int, ...], tuple[float, ...]]
"""What a shape takes: whole numbers and others, see `dsl.shapes`."""


@dataclass(frozen=True, slots=True)
class Series:
    """Indicators that sets have in common.

    Attributes:
        first: The first column of each.
        columns: [column, row].
    """

    first: dict[SeriesKey, int]
    columns: Floats

    @classmethod
    def of(cls, keys: Iterable[SeriesKey], rows: int) -> "Series":
        """Return room for each of some series, to be filled in."""
        first: dict[SeriesKey, int] = {}
        count = 0
        for key in keys:
            if key not in first:
                first[key] = count
                count += key[3]
        return cls(first, np.empty((count, rows)))


@dataclass(frozen=True, slots=True)
class Stage:
    """Bars as some sets see them.

    Attributes:
        history: The bars.
        prepared: Those in which something traded, as columns.
        seen: What a step sees of them.
        desk: At its start, for any of the sets.
        sessions: Of the run.
    """

    history: History
    prepared: Prepared
    settings: BacktestSettings
    seen: Bars
    desk: Desk
    sessions: tuple[date, ...]

    @classmethod
    def of(
        cls, plan: Plan, history: History, prepared: Prepared, settings: BacktestSettings
    ) -> "Stage":
        """Return the stage of bars that were laid out for a plan.

        Raises:
            RuleMissingError, InputError: See `engine.run_backtest`.
        """
        masks = empty_masks(prepared.bars.rows, len(plan.rules))
        desk = desk_of(prepared, settings, masks)
        sessions = tuple(map(day_of, prepared.days.tolist()))
        return cls(history, prepared, settings, step_columns(prepared), desk, sessions)

    @property
    def rows(self) -> int:
        """How many bars there are."""
        return self.prepared.bars.rows

    def fire(
        self, module: Rows, plan: Plan, series: Series, numbers: Numbers
    ) -> tuple[Bits, Floats]:
        """Return the masks of a set, and the values that its step leaves, [row, place]."""
        masks = empty_masks(self.rows, len(plan.rules))
        values = np.zeros((self.rows, plan.values))
        self._pass(module, plan.state_size, masks, series, numbers, values)
        return masks, values

    def fill_series(self, module: Rows, state_size: int, series: Series, numbers: Numbers) -> None:
        """Compute one of the series."""
        self._pass(module, state_size, empty_masks(self.rows, 1), series, numbers, None)

    def compile_for(self, module: Rows, plan: Plan, numbers: Numbers) -> None:
        """Compile a shape, or load what was compiled before, by calling over nothing."""
        masks, nothing = empty_masks(0, len(plan.rules)), Series.of((), 0)
        values = np.zeros((0, plan.values))
        self._pass(module, plan.state_size, masks, nothing, numbers, values, instruments=0)

    def compile_series(self, module: Rows, numbers: Numbers) -> None:
        """Do the same for what computes series."""
        nothing = Series.of((), 0)
        self._pass(module, 1, empty_masks(0, 1), nothing, numbers, None, instruments=0)

    def compile_portfolio(self, portfolio: Portfolio) -> None:
        """Do the same for a portfolio."""
        portfolio.compiled(self.desk.prices.dtype.name)

    def desk_for(self, rules: Rules, masks: Bits, values: Floats) -> Desk:
        """Return a desk of its own for a set.

        Args:
            rules: Its orders and risk block.
            masks: Of its rules.
            values: What its step left.
        """
        shared, constants = self.desk, rules.guard_constants
        unit = int(shared.rules[places.COMMISSION_UNIT])
        packed, sizes = pack_rules(rules, unit, is_packed=bool(shared.rules[places.IS_PACKED]))
        facts = np.empty((len(shared.facts), FACTS_SIZE + len(constants)))
        facts[:, :FACTS_SIZE], facts[:, FACTS_SIZE:] = shared.facts[:, :FACTS_SIZE], constants
        return shared._replace(
            fired=masks.view(np.int64),
            rules=packed,
            sizes=sizes,
            account=shared.account.copy(),
            book=shared.book.copy(),
            sessions=shared.sessions.copy(),
            agenda=shared.agenda.copy(),
            held=shared.held.copy(),
            facts=facts,
            values=values,
        )

    def _pass(  # noqa: PLR0917 - what a batch form takes
        self,
        module: Rows,
        state_size: int,
        masks: Bits,
        series: Series,
        numbers: Numbers,
        values: Floats | None,
        instruments: int | None = None,
    ) -> None:
        """Call a batch form; indicators alone (no `values`) read no columns beside the bars."""
        seen, last = self.seen, len(self.prepared.bars.symbols)
        extras: tuple[object, ...] = ()
        if values is not None:
            extras = self.prepared.extras.columns
            # What the step leaves comes last; every set has its own.
            extras = (*extras[:-1], values) if self.prepared.extras.values.shape[1] else extras
        module.run_rows(
            *(seen.prices, seen.volume, seen.frames_closed, seen.moments, seen.shift),
            *(seen.sessions, seen.offsets, seen.scales, np.zeros(state_size), masks),
            *(0, last if instruments is None else instruments, *extras, series.columns),
            np.array(numbers[0], np.int64),
            np.array(numbers[1], np.float64),
        )


class Stages:
    """Bars as the plans of one text see them, each way laid out once.

    Args:
        bars: See `engine.run_backtest`.
        settings: Assumptions of all runs.
        instruments: See `engine.run_backtest`.
    """

    def __init__(
        self,
        bars: pl.DataFrame | History,
        settings: BacktestSettings,
        instruments: pl.DataFrame | None = None,
    ) -> None:
        self.settings = settings
        self._bars, self._instruments = bars, instruments
        self._found: dict[object, Stage | Refusal] = {}

    def of(self, plan: Plan) -> Stage:
        """Return the bars as a plan sees them.

        Raises:
            RuleMissingError, InputError, StrategyError: See `engine.run_backtest`.
        """
        seen = plan.base_interval, plan.timeframes, plan.universe, plan.needs, plan.values
        if seen not in self._found:
            try:
                self._found[seen] = self.lay_out(plan, self._bars)
            except (StrategyError, InputError) as error:
                self._found[seen] = error
        found = self._found[seen]
        if not isinstance(found, Stage):
            raise found
        return found

    def lay_out(self, plan: Plan, bars: pl.DataFrame | History, *, is_whole: bool = True) -> Stage:
        """Return other bars as a plan sees them; whole if no later ones were cut off.

        Raises:
            RuleMissingError, InputError, StrategyError: See `engine.run_backtest`.
        """
        history = visible_bars(plan, bars, self.settings, self._instruments)
        prepared = prepare(plan, history, self.settings, self._instruments, is_whole=is_whole)
        return Stage.of(plan, history, prepared, self.settings)


def worth_of(desk: Desk) -> tuple[Ints, Ints]:
    """Return, by instrument, the unit of the account, and what a quantity is worth at the end."""
    unit = desk.book[:, places.UNIT].copy()
    return unit, desk.book[:, places.MARK] * unit
