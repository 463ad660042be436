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

from jts_pipelines.backtest import doubts, driver
from jts_pipelines.backtest.bar_table import BarTable, as_floats, read_bars
from jts_pipelines.backtest.columns import Bars, Desk, Ints, Rules
from jts_pipelines.backtest.desk import empty_desk, make_desk
from jts_pipelines.backtest.frames import at_interval, day_of, frames_closed
from jts_pipelines.backtest.instruments import Instruments, read_instruments
from jts_pipelines.backtest.kernel_text import STEP_EXTRAS, portfolio_text, signals_text
from jts_pipelines.backtest.market import (
    Limits,
    cost_columns,
    ends_session,
    market_columns,
    price_limits,
)
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
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.plan import Plan
from jts_trading.kernels.loader import kernel_digest, load
from storage.errors import InputError

ENGINE_VERSION = "1"

Progress = Callable[[str], None]
"""Called with the name of each phase as it begins."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run before anything was compiled: columns and rules."""

    bars: BarTable
    interval: str
    closed: Ints
    limits: Limits
    days: Ints
    instruments: Instruments
    rules: Rules


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
    fired = np.zeros(prepared.bars.rows, np.int64)
    columns = _bars(prepared)
    state = np.zeros(plan.state_size)
    # Called over nothing first: numba compiles, or loads what it compiled before.
    signals.evaluate_rules(columns._replace(offsets=np.zeros(1, np.int64)), state, fired)
    portfolio.simulate(empty_desk())
    watch.begin("signals")
    signals.evaluate_rules(columns, state, fired)
    watch.begin("portfolio")
    desk = _desk(prepared, settings, fired)
    rows, count = portfolio.simulate(desk)
    fills = rows[:count]
    _require_exact(desk)
    require_conservation(desk, fills, settings.cash)
    watch.begin("report")
    parts = _Parts(plan, prepared, settings, desk, fills)
    return parts.result(watch)


def _require_exact(desk: Desk) -> None:
    if desk.account[driver.BEYOND]:
        raise InputError(
            f"a position was worth more than {driver.WORTH_MAX:,} won, which is past what is "
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
    plan.require_columns(("open", "high", "low", "close", "volume", *STEP_EXTRAS))
    rules = order_rules(plan, settings)
    calendar = calendar_for(settings.venue)

    def session_open(day: date) -> int:
        return calendar.open_close_ns(day)[0] // 1_000_000

    interval = plan.base_interval or settings.interval
    bars = at_interval(read_bars(frame, calendar), settings.interval, interval, session_open)
    instruments = read_instruments(listing, settings.unknown_market)
    is_last = ends_session(bars, interval, calendar)
    return Prepared(
        bars=bars,
        interval=interval,
        closed=frames_closed(bars, plan.timeframes, session_open),
        limits=price_limits(bars, instruments, default_table(), is_last),
        days=np.unique(bars.day),
        instruments=instruments,
        rules=rules,
    )


def load_kernels(plan: Plan, cache_dir: Path) -> tuple[ModuleType, ModuleType]:
    """Return the compiled modules of the pass over rules and of the portfolio."""
    return load(signals_text(plan.source, plan.needs), cache_dir), load(
        portfolio_text(), cache_dir
    )


def code_digest(plan: Plan) -> str:
    """Return what identifies the program of a run: strategy, drivers, numba, processor, rules."""
    parts = (
        ENGINE_VERSION,
        plan.digest,
        kernel_digest(signals_text(plan.source, plan.needs)),
        kernel_digest(portfolio_text()),
        default_table().digest,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _bars(prepared: Prepared) -> Bars:
    bars = prepared.bars
    return Bars(
        offsets=bars.offsets,
        open=as_floats(bars.open),
        high=as_floats(bars.high),
        low=as_floats(bars.low),
        close=as_floats(bars.close),
        volume=as_floats(bars.volume),
        is_traded=bars.is_traded,
        frames_closed=prepared.closed,
        session=bars.day,
    )


def _desk(prepared: Prepared, settings: BacktestSettings, fired: Ints) -> Desk:
    bars, days = prepared.bars, prepared.days
    session = np.searchsorted(days, bars.day).astype(np.int64)
    costs = cost_columns(
        bars.symbols,
        tuple(day_of(day) for day in days),
        instruments=prepared.instruments,
        settings=settings,
        table=default_table(),
        calendar=calendar_for(settings.venue),
    )
    return make_desk(
        market_columns(bars, prepared.limits, session, fired),
        prepared.rules,
        costs,
        cash=settings.cash,
        instruments=len(bars.symbols),
    )


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

    def result(self, watch: _Watch) -> BacktestResult:
        bars, plan, settings = self.prepared.bars, self.plan, self.settings
        fills = fill_table(self.fills, bars, plan, self.prepared.instruments)
        marks = self.desk.book[:, driver.MARK].tolist()
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
            data=self.prepared.bars.digest,
            code=code_digest(self.plan),
            params=hashlib.sha256(params.encode()).hexdigest(),
            config=self.settings.digest,
        )

    def _facts(self) -> Facts:
        bars, account = self.prepared.bars, self.desk.account
        fired, rules = self.desk.bars[:, driver.FIRED], self.prepared.rules
        return Facts(
            interval=self.prepared.interval,
            first_day=day_of(self.prepared.days[0]),
            last_day=day_of(self.prepared.days[-1]),
            sessions=len(self.prepared.days),
            instruments=len(bars.symbols),
            bars=bars.rows,
            traded_bars=int(bars.is_traded.sum()),
            entries_fired=int(((fired & rules.entries) != 0).sum()),
            exits_fired=int(((fired & rules.exits) != 0).sum()),
            dropped=int(account[driver.DROPPED]),
            reduced=int(account[driver.REDUCED]),
            cancelled=int(account[driver.CANCELLED]),
            blocked_by_loss=int(account[driver.BLOCKED_BY_LOSS]),
            blocked_by_risk=int(account[driver.BLOCKED_BY_RISK]),
            without_edge=int(account[driver.WITHOUT_EDGE]),
            waiting=int((self.desk.book[:, driver.SIDE] != 0).sum()),
            warmup=self._warmup(),
        )

    def _warmup(self) -> tuple[Warmup, ...]:
        bars, plan, starts = self.prepared.bars, self.plan, self.prepared.bars.offsets[:-1]
        longest = {
            plan.base_name: int(np.add.reduceat(bars.is_traded.astype(np.int64), starts).max())
        }
        for bit, frame in enumerate(plan.timeframes):
            closed = self.prepared.closed >> bit & 1
            longest[frame.name] = int(np.add.reduceat(closed, starts).max())
        return tuple(
            Warmup(frame, needed, longest[frame]) for frame, needed in plan.warmup_bars.items()
        )

    def _doubts(
        self, facts: Facts, fills: pl.DataFrame, trades: pl.DataFrame, closed: int
    ) -> tuple[str, ...]:
        prepared = self.prepared
        outside = doubts.rows_outside_limits(prepared.bars, prepared.limits)
        held = doubts.held_over(outside, self.desk, self.fills)
        return (
            *doubts.warmup_doubts(facts),
            *doubts.plan_doubts(self.plan, facts, self.settings.kelly_trades_min, closed),
            *doubts.trade_doubts(trades),
            *doubts.fill_doubts(fills, facts),
            *doubts.market_doubts(prepared.bars, prepared.limits, prepared.instruments, held),
        )
