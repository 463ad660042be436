"""The event backtest: the engine of live trading over past trades, with every check of risk.

The same `engine.step`, strategy program and `risk.review` that trader and executor run, one event
after another, on a clock that stands where the trades are. What it adds to the backtest over bars:
all account-level checks (R01 to R18, and the kill switch after the largest drawdown), orders that
leave only once a bar could be known, sessions that take no orders, and fills at the next real
trade. It takes microseconds for a trade where the backtest over bars takes nanoseconds.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import cast

from jts_pipelines.backtest.event_desk import EventDesk
from jts_pipelines.backtest.event_orders import OrderLine
from jts_pipelines.backtest.event_trades import BATCH, TradeStream
from jts_pipelines.backtest.settings import BacktestSettings
from jts_trading.domain.instruments import Venue
from jts_trading.domain.journal_events import (
    DecisionRecorded,
    IntentRecorded,
    JournalEvent,
    SignalRecorded,
)
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import TradeTick
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput
from jts_trading.dsl.compiler import compile_strategy, compile_ticks
from jts_trading.dsl.plan import Plan
from jts_trading.engine.events import ClockRead, Effect, JournalRead, TicksArrived
from jts_trading.engine.program import (
    GuardKernel,
    Kernel,
    Program,
    TickKernel,
    kernel_source,
    make_program,
    make_ticks,
    tick_source,
)
from jts_trading.engine.setup import Prepared, new_state
from jts_trading.engine.state import NEVER_NS, EngineSettings, EngineState
from jts_trading.engine.step import step
from jts_trading.engine.wishes import orders_called_back
from jts_trading.execution.fill_costs import Listed
from jts_trading.indicators.catalog import Catalog
from jts_trading.kernels.loader import load
from jts_trading.strategy.releases import release
from jts_trading.strategy.rules import SizeDefaults, read_rules
from storage.errors import InputError

VENUES = (Venue.KRX, Venue.BINANCE)
_INSTANCE, _ACCOUNT = "events", "events"
_DAY_NS = 86_400 * 10**9

Told = Callable[[int, int], None]
"""Told how many trades were taken in, and of how many."""


@dataclass(frozen=True, slots=True)
class Session:
    """What an account had after the last trade of a session."""

    day: date
    cash: Decimal
    positions: Decimal


@dataclass(slots=True)
class EventRun:
    """What came out.

    Attributes:
        orders: Every order with what became of it, in the order of time.
        sessions: In their order.
        signals: Rules that fired, entries and exits.
        bars: That closed.
        outcomes: Why decisions gave no order, by reason.
        trades: That were taken in.
        marks: Newest price by instrument.
        steps: Smallest quantity by instrument.
        is_latched: The largest drawdown was reached and entries ended.
    """

    spec: StrategyInput
    plan: Plan
    orders: list[OrderLine]
    sessions: list[Session] = field(default_factory=list)
    signals: int = 0
    bars: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    trades: int = 0
    marks: dict[str, Decimal] = field(default_factory=dict)
    steps: dict[str, Decimal] = field(default_factory=dict)
    is_latched: bool = False
    seconds: float = 0.0


def run_events(
    text: str,
    stream: TradeStream,
    settings: BacktestSettings,
    limits: RiskLimits,
    *,
    listed: Callable[[str], Listed],
    cache_dir: Path,
    catalog: Catalog,
    file: str = "<strategy>",
    params: dict[str, str] | None = None,
    on_trades: Told = lambda _done, _all: None,
) -> EventRun:
    """Run a strategy over trades as live trading would.

    Args:
        text: The strategy.
        stream: Trades in order of time.
        settings: Cash, sizes and venue; how orders fill is up to the trades.
        limits: Of the account.
        listed: Market and kind of an instrument.
        cache_dir: Where compiled code is kept.
        catalog: The indicators that the text may call.
        file: How errors name the text.
        params: Values that replace those of the text.
        on_trades: Told how far it is.

    Raises:
        StrategyError: The text is refused, or asks for what live trading does not do.
        InputError: The venue is not simulated, or there are no trades.
        RuleMissingError: No rule covers a day.
    """
    if settings.venue not in VENUES:
        raise InputError(f"venue is {settings.venue}; orders are judged for: {', '.join(VENUES)}")
    if settings.has_actions:
        raise InputError(
            "trades are run as they came: splits, rights issues, dividends and delistings are "
            "accepted in a backtest over bars only"
        )
    if settings.short_selling:
        raise InputError("a run by events trades as live does, which never sells short")
    if not len(stream):
        raise InputError("there are no trades in this period")
    began = time.perf_counter()
    plan = compile_strategy(text, file=file, params=params, catalog=catalog)
    spec = release(text, _wanted(text, stream, settings, params or {}), file=file, catalog=catalog)
    program = _program(plan, spec, settings, cache_dir, catalog)
    first_day = local_date(settings.venue, int(stream.at[0]))
    state = new_state(EngineSettings(), [Prepared(spec, program)], listed, first_day)
    account = state.instances[spec.instance].account
    shell = _Shell(state, EventDesk(spec, account, limits, listed))
    found = EventRun(spec, program.plan, shell.desk.lines)
    for done in shell.play(stream, found):
        on_trades(done, len(stream))
    found.trades, found.bars = len(stream), state.counts.bars
    found.marks, found.is_latched = dict(shell.desk.marks), shell.desk.is_latched
    found.steps = account.steps
    found.seconds = time.perf_counter() - began
    return found


def _wanted(
    text: str, stream: TradeStream, settings: BacktestSettings, params: dict[str, str]
) -> StrategyInput:
    return StrategyInput(
        instance=_INSTANCE,
        strategy_id="",
        release="",
        dsl_code=text,
        params=params,
        broker=stream.broker,
        account=_ACCOUNT,
        venue=settings.venue,
        interval=settings.interval,
        instrument_ids=stream.ids,
        allocation=Decimal(settings.cash),
        currency=settings.terms.currency,
    )


def _program(
    plan: Plan, spec: StrategyInput, settings: BacktestSettings, cache_dir: Path, catalog: Catalog
) -> Program:
    kelly = ("kelly_floor_percent", "kelly_fraction_percent", "kelly_cap_percent")
    floor, fraction, cap = map(settings.ppm, kelly)
    sizes = SizeDefaults(
        settings.ppm("entry_percent"), (settings.kelly_trades_min, floor, fraction, cap)
    )
    rules = read_rules(plan, sizes, settings.terms.currency)
    guard = cast("GuardKernel", load(plan.guard, cache_dir)) if plan.guard else None
    kernel = cast("Kernel", load(kernel_source(plan), cache_dir))
    judged = compile_ticks(spec.dsl_code, params=spec.params, catalog=catalog)
    ticks = None
    if judged is not None:
        ticks = make_ticks(judged, cast("TickKernel", load(tick_source(judged), cache_dir)))
    return make_program(plan, rules, kernel, guard=guard, ticks=ticks)


@dataclass(slots=True)
class _Shell:
    """Hands events to the engine, and what follows from them to the desk and back."""

    state: EngineState
    desk: EventDesk
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def play(self, stream: TradeStream, found: EventRun) -> Iterator[int]:
        """Take all trades in, in order; yields how many, now and then."""
        at, count, day, has_books = 0, len(stream), -1, stream.books is not None
        while at < count:
            now_ns = int(stream.at[at])
            is_new = now_ns // _DAY_NS != day
            if is_new:
                self._end_session(found, stream, at)
                day = now_ns // _DAY_NS
                yield at
            self._read_clock(now_ns, found)
            if is_new:
                # Only now has the last bar of the session before been judged.
                self._tell(self.desk.end_session(now_ns), now_ns, found)
            end = self._end_of_batch(stream, at)
            entry, last_ns = stream.entry(at, end), int(stream.at[end - 1])
            effects = step(self.state, TicksArrived(entry, f"entry-{at}"), last_ns)
            # Orders that this step gives meet later trades only.
            for place, tick in enumerate(entry.ticks, at):
                if isinstance(tick, TradeTick):
                    is_asked = has_books and self.desk.wants_book(tick.instrument_id)
                    book = stream.book(place) if is_asked else None
                    self._tell(self.desk.see(tick, tick.ts_recv_ns, book), last_ns, found)
            self._take(effects, last_ns, found)
            at = end
        last_ns = int(stream.at[-1])
        self._read_clock(last_ns + _DAY_NS, found)
        self._end_session(found, stream, count)

    def _end_of_batch(self, stream: TradeStream, at: int) -> int:
        """Return the end of the trades from which nothing follows but bars that grow.

        Trades come one by one while an order waits or a stop is held, from the end of the first
        open bar on, and where somebody looks at each of them.
        """
        state = self.state
        is_waited_for = self.desk.is_waited_for or state.waiting or state.held
        is_judged = state.watching or any(line.reads_doubt for line in state.lines)
        if is_waited_for or is_judged or state.next_due_ns == NEVER_NS:
            return at + 1
        until_ns = self.state.next_due_ns - self.state.settings.grace_ns
        end = at + 1
        while end < min(at + BATCH, len(stream)) and stream.at[end] < until_ns:
            end += 1
        return end

    def _read_clock(self, now_ns: int, found: EventRun) -> None:
        while self.state.next_due_ns <= now_ns:
            due_ns = self.state.next_due_ns
            self._take(step(self.state, ClockRead(due_ns), due_ns), due_ns, found)

    def _take(self, effects: Sequence[Effect], now_ns: int, found: EventRun) -> None:
        if effects:
            self.desk.follow(now_ns)
        for effect in effects:
            match effect.event:
                case IntentRecorded() as intent:
                    self._tell(self.desk.submit(intent, now_ns), now_ns, found)
                case SignalRecorded():
                    found.signals += 1
                case DecisionRecorded() as decision:
                    found.outcomes[decision.outcome] += 1
                case _:
                    pass
        if self.state.called_back:
            called = self.desk.cancel(orders_called_back(self.state))
            self._tell(called, now_ns, found)

    def _tell(self, events: Sequence[JournalEvent], now_ns: int, found: EventRun) -> None:
        """Let the engine read what the desk says, as the journal would tell it."""
        for event in events:
            read = JournalRead(((next(self._numbers), now_ns, event),))
            self._take(step(self.state, read, now_ns), now_ns, found)

    def _end_session(self, found: EventRun, stream: TradeStream, at: int) -> None:
        """Note what the account has after a session, before the first trade of the next one."""
        if at == 0:
            return
        account, marks = self.desk.account, dict(self.desk.marks)
        day = local_date(self.desk.spec.venue, int(stream.at[at - 1]))
        equity = account.equity(marks)
        found.sessions.append(Session(day, account.cash, equity - account.cash))
