"""Everything that the engine remembers, in two halves.

Theory of operation. The market half (bars in the making, rows of strategy state) is worked out
from ticks alone: who runs the same ticks over the same warm-up has the same bits. The account half
(money, orders, stops, what is wanted) also depends on decisions and on the journal. The halves are
kept apart so that a shell can write the small one with every decision and the large one now and
then, and make up for the difference from ticks.

Only `engine.step` and the functions that it calls change a state; programs, units and indexes are
not part of it and are attached again when it is loaded.
"""

from dataclasses import dataclass, field
from decimal import Decimal

import msgspec
import numpy as np

from jts_trading.domain.ticks import TradeTick
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.engine import columns
from jts_trading.engine.bars import BarBuilder
from jts_trading.engine.columns import (
    Floats,
    Ints,
    Number,
    Row,
    SymbolRow,
    new_books,
    new_seen,
)
from jts_trading.engine.levels import levels_of
from jts_trading.engine.lines import Line
from jts_trading.engine.program import Program
from jts_trading.engine.succession import Succession
from jts_trading.engine.tallies import Counts, FeedPlace
from jts_trading.engine.terms import Terms
from jts_trading.engine.wanted import Wanted
from jts_trading.engine.watching import Watch
from jts_trading.engine.weights import Weights
from jts_trading.execution.fill_costs import Listed
from jts_trading.portfolio.instance_account import InstanceAccount
from jts_trading.strategy.rules import SizeDefaults
from jts_trading.strategy.units import Units

NEVER_NS = 1 << 62
BuilderKey = tuple[str, str, str]
"""Instrument id, venue, interval."""
_ZERO = Decimal(0)


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


class SymbolBook(Row):
    """Account half of one instance in one instrument; prices in ticks.

    Attributes:
        mark: Close of the newest bar, or the price of a later fill; 0 before either.
        peak: Highest close since entry; 0 while flat.
        entered_ns: Time of the fill that opened the position.
        bars_held: Bars since the position was opened, the one of the fill included.
        held_from_ms: Label of the first of them; -1 while flat.
        bars_since: Bars since the position was left.
        left_ms: Label of the bar in which it was left; -1 for never.
        entries: Of the position: orders that bought some of it, see `entries_made`.
        is_held: 1 while something is held that could be sold.
        loss_level: Highest close at which the stop loss is hit, see `engine.levels`.
        profit_level: Lowest close at which the profit is taken.
        wanted: An order that was decided and cannot be given yet.
        given: The order that works was given for this.
        called_back: Id of the order that is to be cancelled; empty for none.
    """

    __slots__ = ("called_back", "given", "wanted")
    mark = Number(columns.MARK)
    peak = Number(columns.PEAK)
    entered_ns = Number(columns.ENTERED_NS)
    bars_held = Number(columns.BARS_HELD)
    held_from_ms = Number(columns.HELD_FROM_MS)
    bars_since = Number(columns.BARS_SINCE)
    left_ms = Number(columns.LEFT_MS)
    entries = Number(columns.ENTRIES)
    is_held = Number(columns.IS_HELD)
    loss_level = Number(columns.LOSS_LEVEL)
    profit_level = Number(columns.PROFIT_LEVEL)

    def __init__(self, numbers: Ints) -> None:
        super().__init__(numbers)
        self.wanted: Wanted | None = None
        self.given: Wanted | None = None
        self.called_back = ""

    @property
    def entries_made(self) -> int:
        """Entries of the position; one that came without an order counts as one."""
        return max(self.entries, self.is_held)

    def take(self, book: "SymbolBook") -> None:
        """Take the numbers of another one over, but nothing that it waits for."""
        self.numbers[:] = book.numbers
        self.called_back = book.called_back


@dataclass(slots=True)
class Instance:
    """One strategy instance.

    Instruments have their row in `states`, `seen` and `numbers` in the order of their ids.

    Attributes:
        decides_from_ns: Bars that could be known before are history: they are not judged.
        places: Row of each instrument.
        weights: By how much one tick of each instrument that is held moves the equity.
        states: Strategy state, [instrument, slot].
        seen: Market half beside it, see `engine.columns`.
        numbers: Account half, likewise.
        rows: The state of each instrument; shares its memory with `states`.
        symbols: Its market half; shares its memory with `seen`.
        books: Its account half; shares its memory with `numbers`.
        terms: Session and trading terms of each instrument, as they were looked up last.
        before: Room for the states before the newest bars.
        watch: What its rules on trades look at; None where there are none.
        wishes: The instruments in which an order is wanted: see `engine.wishes`.
    """

    spec: StrategyInput
    program: Program
    units: dict[str, Units]
    listings: dict[str, Listed]
    account: InstanceAccount
    decides_from_ns: int = 0
    day: int = -1
    day_start: Decimal = Decimal(0)
    places: dict[str, int] = field(init=False)
    weights: Weights = field(init=False)
    states: Floats = field(init=False)
    seen: Ints = field(init=False)
    numbers: Ints = field(init=False)
    rows: dict[str, Floats] = field(init=False)
    symbols: dict[str, SymbolRow] = field(init=False)
    books: dict[str, SymbolBook] = field(init=False)
    terms: dict[str, tuple[int, Terms]] = field(default_factory=dict)
    before: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    watch: Watch | None = field(init=False, default=None)
    wishes: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Lay its instruments out; none has seen anything."""
        names = sorted(set(self.spec.instrument_ids))
        self.places = {name: place for place, name in enumerate(names)}
        self.states = np.zeros((len(names), self.program.plan.state_size))
        self.seen, self.numbers = new_seen(len(names)), new_books(len(names))
        self.weights = Weights(len(names))
        self.rows = {name: self.states[place] for name, place in self.places.items()}
        self.symbols = {name: SymbolRow(self.seen[at]) for name, at in self.places.items()}
        self.books = {name: SymbolBook(self.numbers[at]) for name, at in self.places.items()}
        for name, row in self.rows.items():
            self.program.init_state(row, self.units[name].price_scale)
        if self.program.ticks is not None:
            self.watch = Watch(self.program, self.program.ticks, self.spec.venue, self.seen)

    @property
    def interval(self) -> str:
        """The interval that it is judged on."""
        return self.program.plan.base_interval or self.spec.interval

    def equity(self) -> Decimal:
        """Return cash and positions at their newest prices, at cost where there is none."""
        marks, holdings = self.numbers[:, columns.MARK], self.account.holdings
        value = self.weights.value(marks)
        if self.weights.count_marked(marks) < len(holdings):
            rows = ((self.places.get(name, -1), held) for name, held in holdings.items())
            costs = [h.cost for row, h in rows if row not in self.weights or not marks[row]]
            value += sum(costs, _ZERO)
        return self.account.cash + value

    def free_cash(self, besides: str = "") -> Decimal:
        """Return the cash that neither an order nor a wanted one holds back.

        Args:
            besides: The instrument whose own wanted order does not count.
        """
        wanted = [
            self.units[name].amount(order.held_back)
            for name, order in self.wanted()
            if order.held_back and name != besides
        ]
        return self.account.cash - self.account.reserved - sum(wanted, _ZERO)

    def wanted(self) -> list[tuple[str, Wanted]]:
        """Return the orders that are wanted, by instrument."""
        found = ((name, self.books[name].wanted) for name in sorted(self.wishes))
        return [(name, wanted) for name, wanted in found if wanted is not None]

    def look_at_holding(self, instrument_id: str) -> None:
        """Take over from the account whether an instrument is held, and where it is left."""
        book, quantity = self.books[instrument_id], self.account.holding(instrument_id).quantity
        step = self.units[instrument_id].price_step
        self.weights.put(self.places[instrument_id], quantity * step)
        held = not self.account.is_flat(instrument_id)
        book.is_held = int(held)
        book.loss_level, book.profit_level = (
            levels_of(
                self.account.holding(instrument_id),
                step,
                self.program.rules,
            )
            if held
            else (columns.NO_LOSS, columns.NO_PROFIT)
        )


@dataclass(slots=True, eq=False)
class Desk:
    """What is known of one instrument at one venue while the engine runs.

    Attributes:
        ticks_of: Prices in ticks, 0 for one between two ticks; see `engine.adding`.
        lots_of: Quantities in the smallest of the venue.
        builders: Its bars in the making.
        lines: For each of them, the line that it is in, and its place there.
        reads_quotes: A strategy asks for the spread.
        succession: Of its trades; None where nobody asks for the quality of bars.
        opened_ns: Time of the trade that began its newest bar.
        only: The bar in the making, where trades concern it and nobody else, see `look_at_trades`.
        reached_from: Lowest price at which a stop is reached that is held for a purchase.
        reached_to: Highest price, likewise for a sale.
        watchers: Who judges its trades one by one: the row there, and on which of its bars.
    """

    instrument_id: str
    venue: str
    units: Units
    ticks_of: dict[Decimal, int]
    lots_of: dict[Decimal, int]
    builders: list[BarBuilder] = field(default_factory=list)
    lines: list[tuple[Line, int]] = field(default_factory=list)
    opened_ns: int = 0
    reads_quotes: bool = False
    succession: Succession | None = None
    only: BarBuilder | None = None
    reached_from: int = columns.NO_PROFIT
    reached_to: int = columns.NO_LOSS
    watchers: list[tuple[Watch, int, BarBuilder]] = field(default_factory=list)

    def quotes_of(self, tick: TradeTick) -> tuple[int, int]:
        """Return the best quotes with a trade in ticks; 0 where unknown or nobody reads them."""
        if not self.reads_quotes:
            return 0, 0
        bid, ask, ticks_of = tick.bid, tick.ask, self.ticks_of
        return 0 if bid is None else ticks_of[bid], 0 if ask is None else ticks_of[ask]

    def look_at_trades(self) -> None:
        """Note who is concerned by trades beside bars of one interval.

        These are bars of another one, held stops, and who asks for quotes, for the quality of
        bars or for each trade.
        """
        has_stops = (self.reached_to, self.reached_from) != (columns.NO_LOSS, columns.NO_PROFIT)
        is_asked = self.reads_quotes or bool(self.watchers) or self.succession is not None
        is_alone = len(self.builders) == 1 and not has_stops and not is_asked
        self.only = self.builders[0] if is_alone else None

    def note_quotes(self, tick: TradeTick) -> None:
        """Let the bars in the making have the best quotes with a trade."""
        quotes = self.quotes_of(tick)
        for builder in self.builders:
            builder.bid, builder.ask = quotes


@dataclass(slots=True)
class EngineState:
    """The engine between two events.

    Attributes:
        journal_seq: Newest event of the journal that was folded in.
        next_due_ns: When the clock has to close the next bar.
        is_past: What is taken in now was decided on before.
        newest_ns: Arrival of the newest tick.
        desks: By instrument and venue.
        markets: The same by venue, then by instrument: so most ticks are looked up.
        lines: By venue and interval, in that order.
        waiting: Instances and instruments with an order that is wanted and may be given.
        blocked: Those whose wanted order has to wait until another one has ended.
        watching: Instances with rules on trades, by name.
        is_prompt: What follows from a bar may concern the next trade: a strategy has rules on
            trades, or orders with a stop price.
        held: Those with an order that is held until its stop price is reached.
        called_back: Those with an order that is to be cancelled.
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
    markets: dict[str, dict[str, Desk]] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    waiting: set[tuple[str, str]] = field(default_factory=set)
    blocked: set[tuple[str, str]] = field(default_factory=set)
    watching: dict[str, Instance] = field(default_factory=dict)
    is_prompt: bool = False
    held: set[tuple[str, str]] = field(default_factory=set)
    called_back: set[tuple[str, str]] = field(default_factory=set)

    def unblock(self, instance: Instance, instrument_id: str) -> None:
        """Let what is wanted in an instrument be tried again: its order has ended."""
        key = (instance.spec.instance, instrument_id)
        if key in self.blocked:
            self.blocked.discard(key)
            self.waiting.add(key)
