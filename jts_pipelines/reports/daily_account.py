"""An account's day as arithmetic: books, results, round trips and equity over time. Pure.

All amounts are exact and in the currency of the account. The result of a day is what equity
gained less what was put in: realised and unrealised, after fees and tax.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache

from jts_pipelines.reports.amounts import trimmed
from jts_pipelines.reports.daily_records import DayRecords, Entry, Fill, Prices
from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.ledger_rows import LedgerAccount
from jts_trading.domain.market.grid import grid_of
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.orders import OrderSide
from jts_trading.portfolio.holding import Holding, trade

_ZERO = Decimal(0)
Owned = tuple[str, str]
"""Strategy instance and instrument id."""
_Step = tuple[int, int, Sequence[Entry], str, Decimal]


@dataclass(slots=True)
class Books:
    """Sums of ledger lines of one account.

    Attributes:
        totals: Debits less credits, by ledger account.
        positions: Quantity and cost, by instance and instrument.
    """

    totals: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    positions: dict[Owned, Holding] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Add one line."""
        self.totals[entry.ledger] += entry.amount
        if entry.ledger == LedgerAccount.POSITION:
            key = (entry.instance, entry.instrument_id)
            held = self.positions.get(key, Holding())
            self.positions[key] = Holding(held.quantity + entry.quantity, held.cost + entry.amount)

    @property
    def cash(self) -> Decimal:
        """Cash held."""
        return self.totals[LedgerAccount.CASH]

    @property
    def at_cost(self) -> Decimal:
        """Positions at cost."""
        return self.totals[LedgerAccount.POSITION]

    @property
    def costs(self) -> Decimal:
        """Fees and tax paid."""
        return self.totals[LedgerAccount.FEES] + self.totals[LedgerAccount.TAX]

    @property
    def realised(self) -> Decimal:
        """Gains less losses of what was closed, before costs."""
        return -self.totals[LedgerAccount.REALISED]

    @property
    def capital(self) -> Decimal:
        """What was put in less what was taken out."""
        return -self.totals[LedgerAccount.CAPITAL]

    @property
    def difference(self) -> Decimal:
        """Cash + positions at cost + costs - capital - realised: zero, always."""
        return sum(self.totals.values(), _ZERO)

    def held(self) -> dict[str, Holding]:
        """Return what the account holds of each instrument, over all instances."""
        total: dict[str, Holding] = {}
        for (_, instrument), each in sorted(self.positions.items()):
            before = total.get(instrument, Holding())
            total[instrument] = Holding(before.quantity + each.quantity, before.cost + each.cost)
        return {name: each for name, each in total.items() if each.quantity or each.cost}


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of an instrument at the end of the day.

    Attributes:
        mark: Last price; None where nothing is known, then it is valued at cost.
    """

    instrument_id: str
    quantity: Decimal
    cost: Decimal
    mark: Decimal | None
    unrealised: Decimal


@dataclass(frozen=True, slots=True)
class Trip:
    """A round trip from flat to flat that ended on the day; `net` is after all costs."""

    instance: str
    instrument_id: str
    opened_ns: int
    closed_ns: int
    net: Decimal


@dataclass(frozen=True, slots=True)
class Point:
    """Equity at an instant, with all that is put in on the day counted from its beginning."""

    ts_ns: int
    equity: Decimal


@dataclass(frozen=True, slots=True)
class DayAccount:
    """An account's day.

    Attributes:
        opening: Books before the first line of the day.
        closing: Books after the last one.
        opening_equity: At the last prices before the day, or else its first ones.
        closing_equity: At the last prices of the day.
        moved: What was put in on the day, less what was taken out.
        recomputed: Realised result of the day worked out from its fills alone.
        turnover: Gross value of the day's fills.
        curve: Equity over the day, in order; at least its two ends where there is any price.
    """

    opening: Books
    closing: Books
    opening_equity: Decimal
    closing_equity: Decimal
    moved: Decimal
    realised: Decimal
    recomputed: Decimal
    fees: Decimal
    tax: Decimal
    turnover: Decimal
    positions: tuple[Position, ...]
    trips: tuple[Trip, ...]
    curve: tuple[Point, ...]

    @property
    def result(self) -> Decimal:
        """What the day earned, after fees and tax."""
        return self.closing_equity - self.opening_equity - self.moved

    @property
    def unrealised(self) -> Decimal:
        """Value of the positions less their cost, at the end."""
        return sum((each.unrealised for each in self.positions), _ZERO)

    @property
    def win_rate(self) -> float | None:
        """Share of the day's round trips that gained; None without any."""
        if not self.trips:
            return None
        return sum(trip.net > 0 for trip in self.trips) / len(self.trips)


def work_out(records: DayRecords) -> DayAccount:
    """Return the arithmetic of an account's day."""
    opening, closing = Books(), Books()
    for entry in records.opening:
        opening.add(entry)
        closing.add(entry)
    for entry in records.entries:
        closing.add(entry)
    todays = fills_of_day(records)
    return DayAccount(
        opening=opening,
        closing=closing,
        opening_equity=_equity(opening.cash, opening.held(), _marks(records.prices, at_end=False)),
        closing_equity=_equity(closing.cash, closing.held(), _marks(records.prices, at_end=True)),
        moved=closing.capital - opening.capital,
        realised=closing.realised - opening.realised,
        recomputed=_recompute(records, todays),
        fees=_change(opening, closing, LedgerAccount.FEES),
        tax=_change(opening, closing, LedgerAccount.TAX),
        turnover=sum((fill.gross for fill in todays), _ZERO),
        positions=_positions(closing, records.prices),
        trips=tuple(_trips(records)),
        curve=tuple(_curve(records, opening)),
    )


def fills_of_day(records: DayRecords) -> list[Fill]:
    """Return the fills that the ledger booked on the day, by number."""
    seqs = {entry.seq for entry in records.entries}
    return [fill for fill in records.booked if fill.seq in seqs]


def paid_for(fill: Fill) -> Decimal:
    """Return what a fill cost without fees; below zero for a sale."""
    return fill.gross if fill.side is OrderSide.BUY else -fill.gross


def gained(fill: Fill) -> Decimal:
    """Return what a fill added to the position; below zero for a sale."""
    bought = fill.quantity if fill.side is OrderSide.BUY else -fill.quantity
    return bought - fill.fee_quantity


def _change(opening: Books, closing: Books, ledger: LedgerAccount) -> Decimal:
    return closing.totals[ledger] - opening.totals[ledger]


def _recompute(records: DayRecords, todays: Sequence[Fill]) -> Decimal:
    """Return the realised result of the day's fills, from the positions it began with."""
    held: dict[Owned, Holding] = {}
    for entry in records.opening:
        if entry.ledger == LedgerAccount.POSITION:
            held[entry.instance, entry.instrument_id] = Holding(entry.quantity, entry.amount)
    fills = {fill.seq: fill for fill in todays}
    total = _ZERO
    for seq in sorted({entry.seq for entry in records.entries}):
        fill = fills.get(seq)
        if fill is None:
            _adopt(held, [entry for entry in records.entries if entry.seq == seq])
            continue
        key = (fill.instance, fill.instrument_id)
        change = trade(
            held.get(key, Holding()), gained(fill), paid_for(fill), records.account.currency
        )
        held[key] = change.held
        total += change.realised
    return total


def _adopt(held: dict[Owned, Holding], entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.ledger == LedgerAccount.POSITION:
            key = (entry.instance, entry.instrument_id)
            before = held.get(key, Holding())
            held[key] = Holding(before.quantity + entry.quantity, before.cost + entry.amount)


def _trips(records: DayRecords) -> Iterator[Trip]:
    """Yield the round trips that ended on the day, in order of their ends."""
    quantity: dict[Owned, Decimal] = {}
    begun: dict[Owned, tuple[int, Decimal]] = {}
    ends = {fill.seq for fill in fills_of_day(records)}
    for fill in records.booked:
        key = (fill.instance, fill.instrument_id)
        cash = -paid_for(fill) - fill.fee - fill.tax
        opened_ns, net = begun.get(key, (fill.ts_ns, _ZERO))
        quantity[key] = quantity.get(key, _ZERO) + gained(fill)
        begun[key] = (opened_ns, net + cash)
        if _is_flat(quantity[key], fill.instrument_id, records.span.day):
            del begun[key]
            if fill.seq in ends:
                yield Trip(*key, opened_ns, fill.ts_ns, net + cash)


def _is_flat(quantity: Decimal, instrument: str, day: date) -> bool:
    """Return whether nothing is left that could be sold: a fee in coins leaves dust behind."""
    return quantity == 0 or abs(quantity) < _step(instrument, day)


@lru_cache(maxsize=8_192)
def _step(instrument: str, day: date) -> Decimal:
    try:
        return grid_of(default_table(), day, parse_instrument_id(instrument)).quantity_step
    except RuleMissingError:
        return _ZERO


def _positions(books: Books, prices: Mapping[str, Prices]) -> tuple[Position, ...]:
    marks = _marks(prices, at_end=True)
    found = []
    for instrument, held in books.held().items():
        mark = marks.get(instrument)
        gain = _ZERO if mark is None else held.unrealised(mark)
        found.append(Position(instrument, held.quantity, held.cost, mark, trimmed(gain)))
    return tuple(found)


def _marks(prices: Mapping[str, Prices], *, at_end: bool) -> dict[str, Decimal]:
    marks = {}
    for instrument, each in prices.items():
        today = (each.last[-1] if at_end else each.last[0]) if each.last else None
        known = (today, each.before) if at_end else (each.before, today)
        mark = next((price for price in known if price is not None), None)
        if mark is not None:
            marks[instrument] = mark
    return marks


def _equity(cash: Decimal, held: Mapping[str, Holding], marks: Mapping[str, Decimal]) -> Decimal:
    value = _ZERO
    for instrument, each in held.items():
        mark = marks.get(instrument)
        value += each.cost if mark is None else each.quantity * mark
    return cash + value


def _curve(records: DayRecords, opening: Books) -> Iterator[Point]:
    """Yield equity at every change of books and at every price, in order of time."""
    when = {fill.seq: fill.ts_ns for fill in records.booked}
    by_seq: dict[int, list[Entry]] = defaultdict(list)
    for entry in records.entries:
        by_seq[entry.seq].append(entry)
    steps: list[_Step] = [
        (when.get(seq, entries[0].ts_ns), seq, entries, "", _ZERO)
        for seq, entries in by_seq.items()
    ]
    for instrument, prices in records.prices.items():
        at = zip(prices.ts_ns, prices.last, strict=True)
        steps += [(ts_ns, 0, (), instrument, price) for ts_ns, price in at]
    marks = _marks(records.prices, at_end=False)
    moved = -sum(e.amount for e in records.entries if e.ledger == LedgerAccount.CAPITAL)
    cash, held = opening.cash + moved, opening.held()
    for ts_ns, _, entries, instrument, price in sorted(steps, key=lambda step: step[:2]):
        if instrument:
            marks[instrument] = price
        for entry in entries:
            if entry.ledger in (LedgerAccount.CASH, LedgerAccount.CAPITAL):
                cash += entry.amount
            if entry.ledger == LedgerAccount.POSITION:
                before = held.get(entry.instrument_id, Holding())
                held[entry.instrument_id] = Holding(
                    before.quantity + entry.quantity, before.cost + entry.amount
                )
        yield Point(ts_ns, trimmed(_equity(cash, held, marks)))
