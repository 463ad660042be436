"""Everything that the engine remembers, in two halves, and its digest.

Theory of operation. The market half (bars in the making, rows of strategy state) is worked out
from ticks alone: who runs the same ticks over the same warm-up has the same bits. The account half
(money, orders, stops, what is wanted) also depends on decisions and on the journal. The halves are
kept apart so that a shell can write the small one with every decision and the large one now and
then, and make up for the difference from ticks.

Only `engine.step` and the functions that it calls change a state; programs, units and indexes are
not part of it and are attached again when it is loaded.
"""

import hashlib
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
import numpy as np

from jts_trading.domain.orders import OrderSide
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.engine.bars import BarBuilder, Cause
from jts_trading.engine.program import Floats, Program
from jts_trading.execution.fill_costs import Listed
from jts_trading.portfolio.instance_account import InstanceAccount
from jts_trading.strategy.rules import SizeDefaults
from jts_trading.strategy.units import Units

NEVER_NS = 1 << 62
BuilderKey = tuple[str, str, str]
"""Instrument id, venue, interval."""
NO_REASON = -1


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine is set to; times in instance ns.

    Attributes:
        grace_ns: How long after its end a bar waits for trades that are on their way.
        decision_age_ns: A decision that is made later than this after its bar could be known
            orders no entry, and an exit only when data are fresh again.
        intent_valid_ns: How long after it was made an intent may still be sent.
        retry_ns: How long an exit that did not fill waits before it is ordered again; doubled
            with each try, up to a hundred times.
        collar: Share above the close at which a market buy reserves cash where the venue has no
            price limits.
        sizes: What strategy texts leave open.
    """

    grace_ns: int = 1_000_000_000
    decision_age_ns: int = 5_000_000_000
    intent_valid_ns: int = 5_000_000_000
    retry_ns: int = 10_000_000_000
    collar: Decimal = Decimal("0.03")
    sizes: SizeDefaults = SizeDefaults()


class FeedPlace(msgspec.Struct, kw_only=True):
    """How far a feed has been read.

    Attributes:
        last_tick: Number of the newest tick that was taken in; -1 before the first.
        missing: Ticks that were passed over because their numbers jumped.
        repeated: Ticks that came again and were left out.
    """

    last_tick: int = -1
    missing: int = 0
    repeated: int = 0


class Counts(msgspec.Struct, kw_only=True):
    """What happened since the state began."""

    ticks: int = 0
    bars: int = 0
    late_ticks: int = 0
    outside_ticks: int = 0
    refused_ticks: int = 0
    signals: int = 0
    decisions: int = 0
    intents: int = 0


class SymbolRow(msgspec.Struct, kw_only=True):
    """Market half of one instance in one instrument.

    Attributes:
        values: The strategy's state, float64 little-endian, while it is stored.
        day: Session of the newest bar; -1 before the first.
        stamp_ms: Its label.
        open_ms: Open of its session.
        bars: Bars that the strategy has seen, the warm-up included.
    """

    values: bytes = b""
    day: int = -1
    stamp_ms: int = 0
    open_ms: int = 0
    bars: int = 0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An order that was decided and cannot be given yet.

    Attributes:
        reason: Rule, or reason of the risk block.
        price: Decision price in ticks.
        previous_close: Base price of the session that the order is for, in ticks; 0 for the next
            session, whose base is the decision price.
        cause: What the decision came from.
        triggered_ns: When the trade arrived that led to it; 0 for the clock.
        not_before_ns: When it may be given at the earliest.
        tries: Orders that were given for it already.
        lots: Smallest quantities that were decided on; 0: the order is sized when it is given.
        held_back: Money units that a buy keeps from others until then.
    """

    side: OrderSide
    reason: int
    decision_id: str
    signal_id: str
    price: int
    previous_close: int
    cause: Cause
    triggered_ns: int = 0
    not_before_ns: int = 0
    tries: int = 0
    lots: int = 0
    held_back: int = 0


class SymbolBook(msgspec.Struct, kw_only=True):
    """Account half of one instance in one instrument; prices in ticks.

    Attributes:
        mark: Close of the newest bar, or the price of a later fill; 0 before either.
        peak: Highest close since entry; 0 while flat.
        entered_ns: Time of the fill that opened the position.
        bars_held: Bars since the position was opened, the one of the fill included.
        held_from_ms: Label of the first of them; -1 while flat.
        bars_since: Bars since the position was left.
        left_ms: Label of the bar in which it was left; -1 for never.
        given: The order that works was given for this.
    """

    mark: int = 0
    peak: int = 0
    entered_ns: int = 0
    bars_held: int = 0
    held_from_ms: int = -1
    bars_since: int = 0
    left_ms: int = -1
    wanted: Wanted | None = None
    given: Wanted | None = None


@dataclass(slots=True)
class Instance:
    """One strategy instance.

    Attributes:
        decides_from_ns: Bars that could be known before are history: they are not judged.
        rows: Strategy state by instrument, float64.
        before: Room for the state before the newest bar.
    """

    spec: StrategyInput
    program: Program
    units: dict[str, Units]
    listings: dict[str, Listed]
    account: InstanceAccount
    decides_from_ns: int = 0
    symbols: dict[str, SymbolRow] = field(default_factory=dict)
    rows: dict[str, Floats] = field(default_factory=dict)
    books: dict[str, SymbolBook] = field(default_factory=dict)
    day: int = -1
    day_start: Decimal = Decimal(0)
    before: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def interval(self) -> str:
        """The interval that it is judged on."""
        return self.program.plan.base_interval or self.spec.interval

    def equity(self) -> Decimal:
        """Return cash and positions at their newest prices, at cost where there is none."""
        books, units = self.books, self.units
        marks = {
            name: units[name].price(books[name].mark)
            for name in self.account.holdings
            if name in books and books[name].mark
        }
        return self.account.equity(marks)

    def free_cash(self, besides: str = "") -> Decimal:
        """Return the cash that neither an order nor a wanted one holds back.

        Args:
            besides: The instrument whose own wanted order does not count.
        """
        wanted = [
            self.units[name].amount(book.wanted.held_back)
            for name, book in self.books.items()
            if book.wanted is not None and book.wanted.held_back and name != besides
        ]
        return self.account.cash - self.account.reserved - sum(wanted, Decimal(0))


@dataclass(slots=True)
class Desk:
    """What is known of one instrument at one venue while the engine runs.

    Attributes:
        ticks_of: Prices in ticks, 0 for one between two ticks; see `engine.adding`.
        lots_of: Quantities in the smallest of the venue.
        readers: Instances that are judged on each builder's bars.
    """

    instrument_id: str
    venue: str
    units: Units
    ticks_of: dict[Decimal, int]
    lots_of: dict[Decimal, int]
    quantity_scale: int
    builders: list[BarBuilder] = field(default_factory=list)
    readers: list[list[Instance]] = field(default_factory=list)
    last_event_ns: int = 0


@dataclass(slots=True)
class EngineState:
    """The engine between two events.

    Attributes:
        journal_seq: Newest event of the journal that was folded in.
        next_due_ns: When the clock has to close the next bar.
        is_past: What is taken in now was decided on before.
        newest_ns: Arrival of the newest tick.
        desks: By instrument and venue.
        waiting: Instances and instruments with an order that is wanted and may be given.
        blocked: Those whose wanted order has to wait until another one has ended.
    """

    settings: EngineSettings
    inputs_version: int = 0
    journal_seq: int = 0
    instances: dict[str, Instance] = field(default_factory=dict)
    builders: dict[BuilderKey, BarBuilder] = field(default_factory=dict)
    feeds: dict[str, FeedPlace] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    next_due_ns: int = NEVER_NS
    is_past: bool = False
    newest_ns: int = 0
    desks: dict[tuple[str, str], Desk] = field(default_factory=dict)
    waiting: set[tuple[str, str]] = field(default_factory=set)
    blocked: set[tuple[str, str]] = field(default_factory=set)

    def unblock(self, instance: Instance, instrument_id: str) -> None:
        """Let what is wanted in an instrument be tried again: its order has ended."""
        key = (instance.spec.instance, instrument_id)
        if key in self.blocked:
            self.blocked.discard(key)
            self.waiting.add(key)


class MarketHalf(msgspec.Struct, kw_only=True):
    """The market half as it is stored.

    Attributes:
        releases: By instance.
        last_events: Instrument, venue, and time of its newest trade.
        newest_ns: Arrival of the newest tick.
        rows: By instance and instrument.
    """

    version: int = 1
    releases: dict[str, str]
    builders: list[BarBuilder]
    last_events: list[tuple[str, str, int]]
    newest_ns: int
    rows: dict[str, dict[str, SymbolRow]]
    feeds: dict[str, FeedPlace]
    counts: Counts


class InstanceHalf(msgspec.Struct, kw_only=True):
    """The account half of one instance as it is stored."""

    release: str
    account: InstanceAccount
    books: dict[str, SymbolBook]
    day: int
    day_start: Decimal
    decides_from_ns: int


class AccountHalf(msgspec.Struct, kw_only=True):
    """The account half as it is stored."""

    version: int = 1
    inputs_version: int
    journal_seq: int
    instances: dict[str, InstanceHalf]


def market_half(state: EngineState) -> MarketHalf:
    """Return what the market half of a state is now; encode it before the next step."""
    rows = {
        name: {
            symbol: msgspec.structs.replace(row, values=_bytes_of(instance.rows[symbol]))
            for symbol, row in sorted(instance.symbols.items())
        }
        for name, instance in sorted(state.instances.items())
    }
    return MarketHalf(
        releases={name: state.instances[name].spec.release for name in rows},
        builders=[state.builders[key] for key in sorted(state.builders)],
        last_events=[(*key, state.desks[key].last_event_ns) for key in sorted(state.desks)],
        newest_ns=state.newest_ns,
        rows=rows,
        feeds=dict(sorted(state.feeds.items())),
        counts=state.counts,
    )


def account_half(state: EngineState) -> AccountHalf:
    """Return what the account half of a state is now; encode it before the next step."""
    return AccountHalf(
        inputs_version=state.inputs_version,
        journal_seq=state.journal_seq,
        instances={
            name: InstanceHalf(
                release=instance.spec.release,
                account=instance.account,
                books=dict(sorted(instance.books.items())),
                day=instance.day,
                day_start=instance.day_start,
                decides_from_ns=instance.decides_from_ns,
            )
            for name, instance in sorted(state.instances.items())
        },
    )


def market_digest(state: EngineState) -> str:
    """Return the digest of bars in the making and strategy rows, to the bit; counts are left out.

    Two engines that read the same ticks over the same warm-up have the same one.
    """
    half = market_half(state)
    bars = [
        (builder.instrument_id, builder.venue, builder.interval, builder.close_day)
        + (builder.last_close, builder.previous_close, builder.trades)
        + (_open_bar(builder) if builder.trades else ())
        for builder in half.builders
    ]
    return _digest((bars, half.rows))


def state_digest(state: EngineState) -> str:
    """Return the digest of both halves; counts are left out."""
    market = msgspec.structs.replace(market_half(state), counts=Counts())
    return _digest((market, account_half(state)))


def _open_bar(builder: BarBuilder) -> tuple[int, ...]:
    prices = (builder.open, builder.high, builder.low, builder.close)
    return (builder.start_ns, *prices, builder.volume, builder.last.tick)


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(value)).hexdigest()


def _bytes_of(row: Floats) -> bytes:
    return row.astype("<f8", copy=False).tobytes()


def row_of(values: bytes) -> Floats:
    """Return a stored strategy row as numbers that can be changed."""
    return np.frombuffer(values, "<f8").astype(np.float64)
