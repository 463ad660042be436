"""Runs one strategy over bars: columns in, compiled passes, tables out.

`run_backtest` reads no clock, file or environment; it keeps compiled code in `cache_dir`. The same
plan, bars and settings give the same result and the same digests, in any process.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import polars as pl

from jts_pipelines.backtest import doubts, places
from jts_pipelines.backtest.bar_table import BarTable, read_bars, traded_rows
from jts_pipelines.backtest.columns import Bars, Bits, Desk, Ints, Rules
from jts_pipelines.backtest.desk import empty_desk, make_desk
from jts_pipelines.backtest.frames import at_interval, day_of, frames_closed
from jts_pipelines.backtest.instruments import Instruments, read_instruments
from jts_pipelines.backtest.kernel_text import portfolio_text
from jts_pipelines.backtest.market import cost_columns, ends_session, price_rules
from jts_pipelines.backtest.metrics import compute_metrics
from jts_pipelines.backtest.orders import order_rules
from jts_pipelines.backtest.result import (
    BacktestResult,
    Digests,
    Facts,
    Warmup,
    equity_table,
    fill_table,
    price_path,
    require_conservation,
    trade_table,
)
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.signals import fire_rules
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.lowering import lower_step
from jts_trading.dsl.plan import Plan
from jts_trading.kernels.loader import kernel_digest, load
from storage.errors import InputError

ENGINE_VERSION = "2"

Progress = Callable[[str], None]
"""Called with the name of each phase as it begins."""


_STEP_COLUMNS = ("open", "high", "low", "close", "volume", "session")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run before anything was compiled: columns and rules.

    Attributes:
        bars: Bars of the base interval in which something traded.
        rows: How many bars of it there are, with those in which nothing traded.
        days: The sessions of the run.
        digest: Of everything that was read.
    """

    bars: BarTable
    rows: int
    interval: str
    closed: Bits
    days: Ints
    instruments: Instruments
    rules: Rules
    digest: str


def run_backtest(
    plan: Plan,
    bars: pl.DataFrame,
    settings: BacktestSettings,
    *,
    cache_dir: Path,
    instruments: pl.DataFrame | None = None,
    on_phase: Progress = lambda _: None,
) -> BacktestResult:
    """Run a strategy over bars of one interval and one shared cash account.

    Args:
        plan: A compiled strategy.
        bars: See `bar_table`; halted rows belong to it.
        settings: Assumptions of the run.
        cache_dir: Where compiled code is kept.
        instruments: A listing with symbol and market, and name and asset where known; defaults
            apply to instruments that it lacks, and a warning says so.
        on_phase: Told the phases prepare, compile, signals, portfolio, report.

    Raises:
        InputError: Bars, settings or orders that cannot be used.
        StrategyError: The strategy reads a column that bars do not have.
        RuleMissingError: The rule table does not cover a market and day.
        ConservationError: The result does not add up.
    """
    watch = _Watch(on_phase)
    watch.begin("prepare")
    prepared = prepare(plan, bars, settings, instruments)
    watch.begin("compile")
    signals, portfolio = load_kernels(plan, cache_dir)
    compile_for(prepared, plan, signals, portfolio)
    watch.begin("signals")
    fired = fire(prepared, plan, signals)
    watch.begin("portfolio")
    desk = desk_of(prepared, settings, fired)
    fills = simulate(portfolio, desk)
    _require_exact(desk)
    require_conservation(desk, fills, settings.cash)
    watch.begin("report")
    outside = _outside(portfolio, desk)
    parts = _Parts(plan, prepared, settings, desk, fills, fired, outside)
    return parts.result(watch)


def _require_exact(desk: Desk) -> None:
    if desk.account[places.BEYOND]:
        raise InputError(
            f"a position was worth more than {places.WORTH_MAX:,} won, which is past what is "
            "counted exactly; look for a jump in the prices of the bars"
        )


def prepare(
    plan: Plan,
    frame: pl.DataFrame,
    settings: BacktestSettings,
    listing: pl.DataFrame | None = None,
) -> Prepared:
    """Check bars and orders and lay them out as columns.

    Raises:
        InputError, StrategyError, RuleMissingError: See `run_backtest`.
    """
    plan.require_columns(_STEP_COLUMNS)
    rules = order_rules(plan, settings)
    calendar = calendar_for(settings.venue)

    def session_open(day: date) -> int:
        return calendar.open_close_ns(day)[0] // 1_000_000

    interval = plan.base_interval or settings.interval
    every = at_interval(read_bars(frame, calendar), settings.interval, interval, session_open)
    bars = traded_rows(every)
    return Prepared(
        bars=bars,
        rows=every.rows,
        interval=interval,
        closed=frames_closed(bars, plan.timeframes, session_open),
        days=np.unique(every.days),
        instruments=read_instruments(listing, settings.unknown_market),
        rules=rules,
        digest=every.digest,
    )


def load_kernels(plan: Plan, cache_dir: Path) -> tuple[ModuleType, ModuleType]:
    """Return the compiled modules of the pass over rules and of the portfolio."""
    return (
        load(lower_step(plan.source), cache_dir, allocates=False),
        load(portfolio_text(), cache_dir, allocates=False),
    )


def code_digest(plan: Plan) -> str:
    """Return what identifies the program of a run: strategy, drivers, numba, processor, rules."""
    parts = (
        ENGINE_VERSION,
        plan.digest,
        kernel_digest(lower_step(plan.source), allocates=False),
        kernel_digest(portfolio_text(), allocates=False),
        default_table().digest,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def compile_for(
    prepared: Prepared, plan: Plan, signals: ModuleType, portfolio: ModuleType
) -> None:
    """Let numba compile both passes, or load what it compiled before, by calling over nothing."""
    bars = step_columns(prepared)
    fire_rules(
        signals,
        bars._replace(offsets=np.zeros(1, np.int64)),
        state_size=plan.state_size,
        rules=len(plan.rules),
    )
    simulate(portfolio, empty_desk(bars.prices.dtype))


def fire(prepared: Prepared, plan: Plan, signals: ModuleType) -> Bits:
    """Return the mask of the rules that fire on each bar."""
    return fire_rules(
        signals, step_columns(prepared), state_size=plan.state_size, rules=len(plan.rules)
    )


def step_columns(prepared: Prepared) -> Bars:
    """Return what a strategy step sees."""
    bars = prepared.bars
    return Bars(
        offsets=bars.offsets,
        prices=bars.prices,
        volume=bars.volume,
        frames_closed=prepared.closed,
        moments=bars.moments,
        shift=bars.shift,
        sessions=bars.days,
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
        tuple(day_of(day) for day in days),
        instruments=prepared.instruments,
        settings=settings,
        table=table,
        calendar=calendar,
    )
    ladders, epochs = price_rules(bars, prepared.instruments, table, days)
    return make_desk(
        bars,
        days,
        ends_session(bars.times, bars.days, prepared.interval, calendar),
        ladders,
        epochs,
        prepared.rules,
        costs,
        fired,
        cash=settings.cash,
    )


def simulate(portfolio: ModuleType, desk: Desk) -> Ints:
    """Run a portfolio to its end; return its fills, see `places`, in the order of time."""
    fills = np.empty((1024 + 2 * len(desk.book), places.FILL_COLUMNS), np.int64)
    while portfolio.simulate(desk, fills):
        fills = np.concatenate((fills, np.empty_like(fills)))
    return fills[: desk.account[places.FILLS]]


def _outside(portfolio: ModuleType, desk: Desk) -> Ints:
    """Return (row, instrument) of the bars that opened outside the limits of their session."""
    rows = np.empty((0, 2), np.int64)
    while len(rows) < (count := portfolio.find_outside(desk, rows)):
        rows = np.empty((count, 2), np.int64)
    return rows


class _Watch:
    """Seconds by phase."""

    def __init__(self, on_phase: Progress) -> None:
        self._on_phase = on_phase
        self._name = ""
        self._since = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def begin(self, name: str) -> None:
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = now - self._since
        self._name, self._since = name, now
        self._on_phase(name)

    def stop(self) -> Mapping[str, float]:
        self.begin("done")
        rounded = {name: round(spent, 6) for name, spent in self.seconds.items()}
        return rounded | {"total": round(sum(self.seconds.values()), 6)}


@dataclass(frozen=True, slots=True)
class _Parts:
    """A finished run on its way to a result."""

    plan: Plan
    prepared: Prepared
    settings: BacktestSettings
    desk: Desk
    fills: Ints
    fired: Bits
    outside: Ints

    def result(self, watch: _Watch) -> BacktestResult:
        bars, plan, settings = self.prepared.bars, self.plan, self.settings
        fills = fill_table(self.fills, bars, plan, self.prepared.instruments)
        marks = self.desk.book[:, places.MARK].tolist()
        named = {f"KRX:{s}": mark for s, mark in zip(bars.symbols, marks, strict=True)}
        trades = trade_table(fills, named)
        equity = equity_table(self.desk, self.prepared.days, settings.cash)
        facts = self._facts()
        closed = trades.filter(pl.col("status") == "closed").height
        return BacktestResult(
            strategy=plan.name,
            text=plan.normalised,
            config=msgspec.to_builtins(settings),
            params={p.name: str(p.value) for p in plan.params},
            start_cash=settings.cash,
            fills=fills,
            trades=trades,
            equity=equity,
            price_path=price_path(fills, bars),
            metrics=compute_metrics(
                equity,
                trades,
                fills,
                start_cash=settings.cash,
                sessions_per_year=settings.sessions_per_year,
            ),
            warnings=self._doubts(facts, fills, trades, closed),
            facts=facts,
            digests=self._digests(),
            seconds=watch.stop(),
        )

    def _digests(self) -> Digests:
        params = json.dumps({p.name: str(p.value) for p in self.plan.params}, sort_keys=True)
        return Digests(
            data=self.prepared.digest,
            code=code_digest(self.plan),
            params=hashlib.sha256(params.encode()).hexdigest(),
            config=self.settings.digest,
        )

    def _facts(self) -> Facts:
        bars, account = self.prepared.bars, self.desk.account
        fired, rules = self.fired, self.prepared.rules
        return Facts(
            interval=self.prepared.interval,
            first_day=day_of(self.prepared.days[0]),
            last_day=day_of(self.prepared.days[-1]),
            sessions=len(self.prepared.days),
            instruments=len(bars.symbols),
            bars=self.prepared.rows,
            traded_bars=bars.rows,
            entries_fired=int(((fired & rules.entries) != 0).sum()),
            exits_fired=int(((fired & rules.exits) != 0).sum()),
            dropped=int(account[places.DROPPED]),
            reduced=int(account[places.REDUCED]),
            cancelled=int(account[places.CANCELLED]),
            blocked_by_loss=int(account[places.BLOCKED_BY_LOSS]),
            blocked_by_risk=int(account[places.BLOCKED_BY_RISK]),
            without_edge=int(account[places.WITHOUT_EDGE]),
            waiting=int((self.desk.book[:, places.SIDE] != 0).sum()),
            warmup=self._warmup(),
        )

    def _warmup(self) -> tuple[Warmup, ...]:
        offsets, plan = self.prepared.bars.offsets, self.plan
        longest = {plan.base_name: int(np.diff(offsets).max())}
        for bit, frame in enumerate(plan.timeframes):
            before = np.concatenate(([0], np.cumsum(self.prepared.closed >> bit & 1)))
            longest[frame.name] = int(np.diff(before[offsets]).max())
        return tuple(
            Warmup(frame, needed, longest[frame]) for frame, needed in plan.warmup_bars.items()
        )

    def _doubts(
        self, facts: Facts, fills: pl.DataFrame, trades: pl.DataFrame, closed: int
    ) -> tuple[str, ...]:
        prepared = self.prepared
        held = doubts.held_over(self.outside, self.fills)
        return (
            *doubts.warmup_doubts(facts),
            *doubts.plan_doubts(self.plan, facts, self.settings.kelly_trades_min, closed),
            *doubts.trade_doubts(trades),
            *doubts.fill_doubts(fills, facts),
            *doubts.market_doubts(prepared.bars, prepared.instruments, self.outside, held),
        )
