"""From a run that has ended to its result: tables, figures, digests and cautions."""

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl

from jts_pipelines.backtest import doubts, places
from jts_pipelines.backtest.bar_table import BarTable, digest_of
from jts_pipelines.backtest.books import order_table, position_table
from jts_pipelines.backtest.cautions import Caution, is_mild
from jts_pipelines.backtest.columns import Bits, Desk, Ints, Rules
from jts_pipelines.backtest.digests import Digests, params_digest
from jts_pipelines.backtest.extras import StepExtras
from jts_pipelines.backtest.frames import day_of
from jts_pipelines.backtest.history import History
from jts_pipelines.backtest.instruments import Instruments
from jts_pipelines.backtest.metrics import compute_metrics
from jts_pipelines.backtest.money import Money
from jts_pipelines.backtest.result import (
    BacktestResult,
    Facts,
    PrefixCheck,
    Warmup,
    equity_table,
    fill_table,
    price_path,
    trade_table,
)
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.backtest.watch import Watch
from jts_trading.dsl.grammar import Measure
from jts_trading.dsl.normal import value_text
from jts_trading.dsl.plan import Plan

_DENIED = {
    "R01": places.DENIED_VALUE,
    "R04": places.DENIED_EXPOSURE,
    "R06": places.DENIED_LOSS,
    "R07": places.DENIED_DRAWDOWN,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run before anything was compiled: columns and rules.

    Attributes:
        bars: Bars of the base interval in which something traded.
        rows: How many bars of it there are, with those in which nothing traded.
        days: The sessions of the run.
        digest: See `data_digest`.
        splits: See `corporate.corporate_rows`.
        delistings: See `delistings.delisting_rows`.
        extras: What the pass over rules takes beside the bars, see `step_extras`.
    """

    bars: BarTable
    rows: int
    interval: str
    closed: Bits
    days: Ints
    instruments: Instruments
    rules: Rules
    digest: str
    extras: StepExtras
    splits: Ints
    delistings: Ints


def data_digest(bars: BarTable, extras: StepExtras, instruments: Instruments) -> str:
    """Return the SHA-256 of all data that a result depends on.

    Args:
        bars: All of them, those in which nothing traded too.
        extras: Spreads, clock and doubts, where the plan asks for them.
        instruments: Their market and kind decide taxes, ticks and limits.
    """
    listed = "\x1f".join(
        f"{symbol} {found.market} {found.asset}"
        for symbol, found in ((symbol, instruments.find(symbol)) for symbol in bars.symbols)
    )
    beside = (column for column in extras.columns if column is not extras.values)
    parts = (bytes.fromhex(bars.digest), listed.encode(), *map(digest_of, beside))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def digests_of(
    plan: Plan, prepared: Prepared, settings: BacktestSettings, programs: tuple[str, str]
) -> Digests:
    """Return what identifies a run.

    Args:
        plan: Of the strategy.
        prepared: Its bars.
        settings: Assumptions.
        programs: Digests of the strategy and of the engine.
    """
    return Digests(
        data=prepared.digest,
        code=programs[0],
        params=params_digest(plan),
        config=settings.digest,
        engine=programs[1],
    )


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished run on its way to a result.

    Attributes:
        outside: (row, instrument) of bars that opened outside the limits of their session.
        programs: Digests of the strategy and of the engine.
    """

    plan: Plan
    prepared: Prepared
    settings: BacktestSettings
    desk: Desk
    fills: Ints
    fired: Bits
    outside: Ints
    programs: tuple[str, str]
    prefix: PrefixCheck

    def result(self, history: History, watch: Watch) -> BacktestResult:
        """Return tables, figures and cautions.

        Args:
            history: The bars that the run could see.
            watch: Stopped here.
        """
        bars, plan, settings = self.prepared.bars, self.plan, self.settings
        instruments, book = self.prepared.instruments, self.desk.book
        ids = list(map(instruments.id_of, bars.symbols))
        money = Money(settings.terms, dict(zip(ids, bars.units, strict=True)))
        counted = fill_table(self.fills, book, bars, plan, instruments)
        worth = (book[:, places.MARK] * book[:, places.UNIT]).tolist()
        fills = money.fills(counted)
        trades = money.trades(trade_table(counted, dict(zip(ids, worth, strict=True))))
        equity = money.equity(equity_table(self.desk, self.prepared.days, settings.start_money))
        facts = self._facts(history)
        return BacktestResult(
            strategy=plan.name,
            text=plan.normalised,
            config=msgspec.to_builtins(settings) | {"sessions_per_year": settings.year},
            params={
                p.name: value_text(Measure(p.measure), p.value, p.currency) for p in plan.params
            },
            start_cash=settings.cash,
            fills=fills,
            trades=trades,
            orders=money.orders(order_table(counted, book, bars, plan, instruments)),
            positions=money.positions(
                position_table(self.fills, book, bars, self.prepared.days, instruments)
            ),
            equity=equity,
            price_path=price_path(fills, bars, instruments),
            metrics=compute_metrics(
                equity,
                trades,
                fills,
                start_cash=settings.cash,
                sessions_per_year=settings.year,
            ),
            cautions=self._cautions(history, facts, fills, trades),
            prefix=self.prefix,
            facts=facts,
            digests=digests_of(plan, self.prepared, settings, self.programs),
            seconds=(spent := watch.stop()).seconds,
            peak_mb=spent.peak_mb,
        )

    def _facts(self, history: History) -> Facts:
        bars, account = self.prepared.bars, self.desk.account
        fired, rules = self.fired, self.prepared.rules
        return Facts(
            interval=self.prepared.interval,
            first_day=day_of(self.prepared.days[0]),
            last_day=day_of(self.prepared.days[-1]),
            sessions=len(self.prepared.days),
            instruments=len(bars.symbols),
            rows=history.table.rows,
            bars=self.prepared.rows,
            traded_bars=bars.rows,
            entries_fired=int(((fired & rules.entries) != 0).sum()),
            exits_fired=int(((fired & rules.exits) != 0).sum()),
            dropped=int(account[places.DROPPED]),
            reduced=int(account[places.REDUCED]),
            cancelled=int(account[places.CANCELLED]),
            expired=int(account[places.EXPIRED]),
            blocked_by_loss=int(account[places.BLOCKED_BY_LOSS]),
            blocked_by_risk=int(account[places.BLOCKED_BY_RISK]),
            without_edge=int(account[places.WITHOUT_EDGE]),
            waiting=int((self.desk.book[:, places.SIDE] != 0).sum()),
            denied={
                check: int(account[place]) for check, place in _DENIED.items() if account[place]
            },
            warmup=self._warmup(),
            banned=int(account[places.BANNED]),
        )

    def _short_doubts(self, facts: Facts, fills: pl.DataFrame) -> list[Caution]:
        if not self.settings.short_selling:
            return doubts.left_out_doubts(self.plan)
        sessions = self.desk.sessions
        gained = sessions[:, places.SESSION_CASH] + sessions[:, places.SESSION_VALUE]
        lowest = self.settings.start_money + int(gained.min(initial=0))
        return doubts.short_doubts(facts, fills, is_below_zero=lowest < 0)

    def _warmup(self) -> tuple[Warmup, ...]:
        offsets, plan = self.prepared.bars.offsets, self.plan
        longest = {plan.base_name: int(np.diff(offsets).max())}
        for bit, frame in enumerate(plan.timeframes):
            before = np.concatenate(([0], np.cumsum(self.prepared.closed >> bit & 1)))
            longest[frame.name] = int(np.diff(before[offsets]).max())
        return tuple(
            Warmup(frame, needed, longest[frame]) for frame, needed in plan.warmup_bars.items()
        )

    def _cautions(
        self, history: History, facts: Facts, fills: pl.DataFrame, trades: pl.DataFrame
    ) -> tuple[Caution, ...]:
        prepared, bars, book = self.prepared, self.prepared.bars, self.desk.book
        closed = trades.filter(pl.col("status") == "closed").height
        held = doubts.held_over(self.outside, self.fills)
        found = (
            *doubts.prefix_doubts(self.prefix),
            *doubts.warmup_doubts(facts),
            *doubts.plan_doubts(self.plan, facts, self.settings.kelly_trades_min, closed),
            *self._short_doubts(facts, fills),
            *doubts.quote_doubts(prepared.extras.spreads),
            *doubts.trade_doubts(trades),
            *doubts.fill_doubts(fills, facts),
            *doubts.stale_doubts(self.fills, book, bars, prepared.days),
            *doubts.taint_doubts(fills, history.doubtful, prepared.interval),
            *doubts.market_doubts(bars, prepared.instruments, self.outside, held),
        )
        return tuple(sorted(found, key=is_mild))
