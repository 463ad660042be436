"""Runs one strategy over bars: columns in, compiled passes, tables out.

`run_backtest` reads no clock, file or environment; it keeps compiled code in `cache_dir`. The same
plan, bars and settings give the same result and the same digests, in any process.
"""

import hashlib
import inspect
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

from jts_pipelines.backtest import places
from jts_pipelines.backtest.admitting import Admission, admission_of, history_of
from jts_pipelines.backtest.columns import Bars, Bits, Desk, Ints
from jts_pipelines.backtest.conservation import require_conservation
from jts_pipelines.backtest.corporate import corporate_rows, steady_columns
from jts_pipelines.backtest.delistings import delisting_rows, without_delisted
from jts_pipelines.backtest.desk import make_desk
from jts_pipelines.backtest.digests import code_digest
from jts_pipelines.backtest.extras import clock_of, step_extras
from jts_pipelines.backtest.frames import at_interval, frames_closed
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.kernel_text import Portfolio, portfolio_sources
from jts_pipelines.backtest.lanes import are_apart, simulate
from jts_pipelines.backtest.market import (
    cost_columns,
    ends_session,
    price_rules,
    session_terms,
    short_bans,
)
from jts_pipelines.backtest.orders import is_modelled, order_rules
from jts_pipelines.backtest.prefix import Decided, check_prefix
from jts_pipelines.backtest.reporting import Finished, Prepared, data_digest
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.signals import RulePass
from jts_pipelines.backtest.venues import VenueTerms, each_unit
from jts_pipelines.backtest.watch import Progress, Watch
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl import folding, inline, lowering, reach, running, shapes
from jts_trading.dsl.lowering import lower_plan
from jts_trading.dsl.plan import Plan
from jts_trading.kernels.native import native_digest
from jts_trading.kernels.rows import Rows, rows_of
from jts_trading.strategy.frames import interval_seconds
from storage.errors import InputError

ENGINE_VERSION = "6"
Kernels = tuple[Rows, Portfolio]
"""The compiled pass over rules, and the compiled portfolio."""

_EPOCH = date(1970, 1, 1)
# Of a fill: everything but the rows, which depend on how many bars there are.
_COMPARED = (
    *(places.FILL_SIDE, places.FILL_QUANTITY, places.FILL_PRICE, places.FILL_COMMISSION),
    *(places.FILL_STT, places.FILL_RST, places.FILL_REASON, places.FILL_TRADE),
)


def run_backtest(
    plan: Plan,
    bars: pl.DataFrame | History,
    settings: BacktestSettings,
    *,
    cache_dir: Path,
    instruments: pl.DataFrame | None = None,
    decide_from: date | None = None,
    on_phase: Progress = lambda _: None,
) -> BacktestResult:
    """Run a strategy over bars of one interval and one shared cash account.

    Args:
        plan: A compiled strategy.
        bars: Rows (see `bar_rows`; halted ones belong to it), or what was laid out already.
        settings: Assumptions of the run.
        cache_dir: Where compiled code is kept.
        instruments: A listing with symbol and market, and name and asset where known; defaults
            apply to instruments that it lacks, and a warning says so.
        decide_from: First session on which rules are obeyed; bars before it only warm up.
        on_phase: Told the phases prepare, compile, signals, portfolio, prefix, report.

    Raises:
        InputError: Bars, settings or orders that cannot be used.
        StrategyError: The strategy reads a column that bars do not have.
        RuleMissingError: The rule table does not cover a market and day.
        ConservationError: The result does not add up.
    """
    watch = Watch(on_phase)
    watch.begin("prepare")
    history = visible_bars(plan, bars, settings, instruments)
    prepared = prepare(plan, history, settings, instruments)
    watch.begin("compile")
    signals, portfolio = load_kernels(plan, cache_dir, settings)
    compile_for(prepared, plan, signals, portfolio)
    job = Job(plan, history, settings, instruments, decide_from)
    return run_prepared(job, prepared, (signals, portfolio), watch)


@dataclass(frozen=True, slots=True)
class Job:
    """What is run: see `run_backtest`."""

    plan: Plan
    bars: History
    settings: BacktestSettings
    instruments: pl.DataFrame | None = None
    decide_from: date | None = None

    def pass_over(self, prepared: Prepared, signals: Rows) -> RulePass:
        """Return the pass over rules, which are obeyed from a session on."""
        obeyed_from = 0
        if self.decide_from is not None:
            day = (self.decide_from - _EPOCH).days
            obeyed_from = int(np.searchsorted(prepared.bars.days, day))
        return pass_of(prepared, self.plan, signals, obeyed_from)

    def decide(self, frame: pl.DataFrame, kernels: Kernels) -> Decided:
        """Return what is decided on other bars."""
        cut = prepare(self.plan, frame, self.settings, self.instruments, is_whole=False)
        rules = self.pass_over(cut, kernels[0])
        desk = desk_of(cut, self.settings, rules.masks)
        if not are_apart(desk):
            rules.run_all()
        return decided(cut, rules.masks, simulate(kernels[1], desk, rules.run))


def run_prepared(
    job: Job,
    prepared: Prepared,
    kernels: Kernels,
    watch: Watch,
) -> BacktestResult:
    """Run a job over columns that are laid out, with kernels that are compiled.

    Args:
        job: What is run.
        prepared: Its columns.
        kernels: See `load_kernels`.
        watch: Begun.

    Raises:
        InputError, ConservationError: See `run_backtest`.
    """
    settings = job.settings
    watch.begin("signals")
    rules = job.pass_over(prepared, kernels[0])
    fired, desk = rules.masks, desk_of(prepared, settings, rules.masks)
    if not are_apart(desk):
        rules.run_all()
    # Where instruments are apart, both passes go over each of them in turn.
    watch.begin("portfolio")
    fills = simulate(kernels[1], desk, rules.run)
    require_exact(desk, settings.terms)
    require_conservation(desk, fills, settings.start_money)
    watch.begin("prefix")
    prefix = check_prefix(
        lambda frame: job.decide(frame, kernels),
        job.bars,
        lambda: decided(prepared, fired, fills),
        prepared.digest,
    )
    watch.begin("report")
    outside = _outside(kernels[1], desk)
    digests = code_digest(job.plan), engine_digest()
    return Finished(
        job.plan, prepared, settings, desk, fills, fired, outside, digests, prefix
    ).result(job.bars, watch)


def decided(prepared: Prepared, fired: Bits, fills: Ints) -> Decided:
    """Return what a run decided, by instant and symbol."""
    bars = prepared.bars
    rows = np.flatnonzero(fired[: bars.rows])
    symbols = pl.Series(bars.symbols, dtype=pl.String)
    owner = np.searchsorted(bars.offsets, rows, side="right") - 1
    masks = pl.DataFrame(
        {
            "stamp": bars.times[bars.moment_of(rows, owner)],
            "symbol": symbols.gather(owner),
            "mask": fired[rows].astype(np.int64),
        }
    )
    instrument = fills[:, places.FILL_INSTRUMENT]
    columns = {
        "stamp": bars.times[bars.instant_of(fills[:, places.FILL_ROW], instrument)],
        "symbol": symbols.gather(instrument),
        "decided": bars.times[bars.instant_of(fills[:, places.FILL_DECIDED], instrument)],
        **{str(place): fills[:, place] for place in _COMPARED},
    }
    return Decided(
        masks.sort("stamp", "symbol"),
        pl.DataFrame(columns).sort("stamp", "symbol", maintain_order=True),
        interval_seconds(prepared.interval) * 1000,
    )


def require_exact(desk: Desk, terms: VenueTerms) -> None:
    """Refuse a run in which something was worth more than is counted exactly.

    Raises:
        InputError: It was.
    """
    if desk.account[places.BEYOND]:
        most = places.WORTH_MAX // terms.money_scale
        raise InputError(
            f"a position was worth more than {most:,} {terms.currency}, which is past what is "
            "counted exactly; look for a jump in the prices of the bars"
        )


def visible_bars(
    plan: Plan,
    bars: pl.DataFrame | History,
    settings: BacktestSettings,
    listing: pl.DataFrame | None = None,
) -> History:
    """Return the bars that a strategy may trade, laid out.

    Raises:
        InputError: The rows cannot be used, or all are outside its universe.
    """
    return history_of(bars, admission_of(plan, settings, listing), settings)


def prepare(
    plan: Plan,
    bars: pl.DataFrame | History,
    settings: BacktestSettings,
    listing: pl.DataFrame | None = None,
    *,
    is_whole: bool = True,
) -> Prepared:
    """Check bars and orders and lay them out as columns.

    They are whole if no later bars were cut off, see `delistings`.

    Raises:
        InputError, StrategyError, RuleMissingError: See `run_backtest`.
    """
    rules = order_rules(plan, settings)
    calendar = calendar_for(settings.venue)

    def session_open(day: date) -> int:
        return calendar.open_close_ns(day)[0] // 1_000_000

    interval = plan.base_interval or settings.interval
    instruments = read_instruments(listing, settings.unknown_market, settings.venue)
    history = history_of(bars, Admission(plan.universe, instruments), settings)
    every = at_interval(history.table, settings.interval, interval, session_open)
    traded, days = without_delisted(every, settings.delistings), np.unique(every.days)
    clock = clock_of(settings.venue, session_open)
    extras = step_extras(plan, traded, history, interval_seconds(interval) * 1000, clock)
    return Prepared(
        bars=traded,
        rows=every.rows,
        interval=interval,
        closed=frames_closed(traded, plan.timeframes, session_open),
        days=days,
        instruments=instruments,
        rules=rules,
        splits=corporate_rows(traded, settings),
        delistings=delisting_rows(traded, settings, days, is_whole=is_whole),
        digest=data_digest(every, extras, instruments),
        extras=extras,
    )


def load_kernels(plan: Plan, cache_dir: Path, settings: BacktestSettings) -> Kernels:
    """Return the compiled modules of the pass over rules and of the portfolio."""
    signals = rows_of(lower_plan(plan), cache_dir)
    return signals, load_portfolio(plan, cache_dir, settings)


def load_portfolio(plan: Plan, cache_dir: Path, settings: BacktestSettings) -> Portfolio:
    """Return the compiled portfolio that a plan and its assumptions need."""
    return _portfolio(
        plan.guard,
        is_ranked=plan.rank is not None,
        is_modelled=is_modelled(plan, settings),
        is_limited=settings.limits is not None,
        cache_dir=cache_dir,
    )


# The same one for all runs of a process; as many as there are passes over rules (`rows_of`).
_portfolio = lru_cache(maxsize=256)(Portfolio)


@cache
def engine_digest() -> str:
    """Return what identifies the engine: batch form, portfolio, compilers, processor, rules."""
    batch_form = map(inspect.getsource, (lowering, running, inline, folding, reach, shapes))
    parts = (
        ENGINE_VERSION,
        native_digest("\0".join((portfolio_sources(), *batch_form))),
        version("numba"),
        default_table().digest,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def compile_for(prepared: Prepared, plan: Plan, signals: Rows, portfolio: Portfolio) -> None:
    """Compile both passes, or load what was compiled before."""
    pass_of(prepared, plan, signals).run(0, 0)
    portfolio.load(prepared.bars.prices.dtype.name)


def pass_of(prepared: Prepared, plan: Plan, signals: Rows, obeyed_from: int = 0) -> RulePass:
    """Return the pass over the rules of a plan, see `RulePass`."""
    return RulePass(
        signals,
        step_columns(prepared),
        state_size=plan.state_size,
        rules=len(plan.rules),
        extras=prepared.extras.columns,
        obeyed_from=obeyed_from,
    )


def step_columns(prepared: Prepared) -> Bars:
    """Return what a strategy step sees."""
    bars = prepared.bars
    prices, volume = steady_columns(bars, prepared.splits)
    return Bars(
        offsets=bars.offsets,
        prices=prices,
        volume=volume,
        frames_closed=prepared.closed,
        moments=bars.moments,
        shift=bars.shift,
        sessions=bars.days,
        scales=np.array(each_unit(bars.units, lambda u: u.price_scale)),
    )


def desk_of(prepared: Prepared, settings: BacktestSettings, fired: Bits) -> Desk:
    """Return the desk of a run at its start.

    Raises:
        RuleMissingError, InputError: See `run_backtest`.
    """
    bars, days = prepared.bars, prepared.days
    table, calendar = default_table(), calendar_for(settings.venue)
    costs = cost_columns(
        bars.symbols,
        days,
        units=bars.units,
        instruments=prepared.instruments,
        settings=settings,
        table=table,
        calendar=calendar,
    )
    starts = np.searchsorted(bars.days, days)
    ladders, epochs = price_rules(bars, prepared.instruments, table, days)
    return make_desk(
        bars,
        days,
        ends_session(bars.times, starts, days, prepared.interval, calendar),
        ladders,
        epochs,
        prepared.rules,
        costs,
        fired,
        cash=settings.start_money,
        terms=settings.terms,
        values=prepared.extras.values,
        terms_of_days=session_terms(days, calendar),
        splits=prepared.splits,
        delistings=prepared.delistings,
        bans=short_bans(days, settings.venue, table) if prepared.rules.shorts else None,
    )


def _outside(portfolio: Portfolio, desk: Desk) -> Ints:
    """Return (row, instrument) of the bars that opened outside the limits of their session."""
    rows = np.empty((0, 2), np.int64)
    while len(rows) < (count := portfolio.find_outside(desk, rows)):
        rows = np.empty((count, 2), np.int64)
    return rows
