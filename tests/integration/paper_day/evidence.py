"""What must hold after a paper day, counted from outside: files, tables, the simulator's books."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from jts_trading.brokers.kis.frames import decode_frame
from jts_trading.domain.journal_events import (
    IntentRecorded,
    JournalEvent,
    NoteRecorded,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    SignalRecorded,
)
from jts_trading.domain.ledger_rows import BalanceRow, FillRow, OrderRow
from jts_trading.domain.ticks import TradeTick
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.engine.events import ClockRead, Effect, JournalRead, TicksArrived
from jts_trading.engine.halves import market_digest
from jts_trading.engine.setup import Prepared, load_accounts, load_market, new_state
from jts_trading.engine.state import EngineState
from jts_trading.engine.step import step
from jts_trading.engine.stored import entries_of
from jts_trading.execution.fill_costs import Listed
from jts_trading.journal.chain import open_event
from jts_trading.journal.connection import Database
from jts_trading.journal.postgres import PostgresJournal
from jts_trading.kernels.loader import load
from jts_trading.market_store.frames import KeptFrame, read_frames
from jts_trading.ports.feed import FrameError
from jts_trading.services.collector.entry_log import frames_directory
from jts_trading.services.trader.preparing import Compiler
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.services.trader.snapshots import Snapshots
from storage.embedded.dsn import libpq_url

_SNAPSHOT = "trading/trader"


@dataclass(frozen=True)
class Books:
    """What the journal says.

    Attributes:
        events: Number, time of recording (UTC ns) and event, in order.
        difference: What its projections are when they are made again from its events; empty for
            the same.
        finders: How many orders each writer has acknowledged: what the reconciler found at the
            venue was on its way when its sender died or heard nothing.
    """

    events: Sequence[tuple[int, int, JournalEvent]]
    orders: Sequence[OrderRow]
    fills: Sequence[FillRow]
    balances: Sequence[BalanceRow]
    difference: str
    finders: Counter[str]

    def of(self, kind: type[Any]) -> list[Any]:
        """Events of a kind."""
        return [event for *_, event in self.events if isinstance(event, kind)]


async def read_books(dsn: str) -> Books:
    """Read the journal whole."""
    journal = PostgresJournal(Database(libpq_url(dsn)), "checker")
    try:
        stored = await journal.events(0, 1_000_000)
        names = {row.stream.partition("/")[2] for row in stored if row.stream[:6] == "order/"}
        orders = [await journal.find_order(order_id=name) for name in sorted(names)]
        ids = [row.venue_order_id or "" for row in orders if row is not None]
        accounts = {(row.broker, row.account) for row in orders if row is not None}
        fills: list[FillRow] = []
        for broker, account in accounts:
            fills += (await journal.account_books(broker, account, ids)).fills
        rebuilt = await journal.rebuild()
        return Books(
            [(row.seq, row.ts_ns, open_event(row)) for row in stored],
            [row for row in orders if row is not None],
            fills,
            await journal.ledger(),
            "" if rebuilt.is_identical else str(rebuilt.difference),
            Counter(row.writer for row in stored if row.type == "order_acknowledged"),
        )
    finally:
        await journal.close()


def numbers_of(orders: Sequence[OrderRow]) -> Counter[str]:
    """How often the journal has each order number of the venue."""
    ids = [row.venue_order_id for row in orders if row.venue_order_id]
    return Counter(name.rpartition("-")[2] for name in ids)


def differences(books: Books, theirs: Any) -> Iterator[str]:
    """Yield what differs between the fills of the journal and the simulator's, order by order."""
    numbers = {row.id: (row.venue_order_id or "?").rpartition("-")[2] for row in books.orders}
    ours: dict[str, list[FillRow]] = defaultdict(list)
    for fill in sorted(books.fills, key=lambda each: each.seq):
        ours[numbers[fill.order_id]].append(fill)
    rows: dict[str, list[Any]] = defaultdict(list)
    for row in theirs["rows"]:
        rows[row["order_no"]].append(row)
    for number in sorted(ours.keys() | rows.keys()):
        left = list(rows[number])
        for fill in ours[number]:
            taken: list[Any] = []
            # A step of the venue's report is one fill of ours, or several.
            while left and sum(row["quantity"] for row in taken) < fill.quantity:
                taken.append(left.pop(0))
            found = [fill.quantity, fill.gross, fill.fee, fill.tax]
            names = ("quantity", "gross", "commission", "tax")
            wanted = [sum(row[name] for row in taken) for name in names]
            sides = {row["side"].lower() for row in taken}
            if found != wanted or sides != {fill.side.value}:
                yield f"order {number}: {fill.trade_id} is {found}, the venue has {wanted} {sides}"
        if left:
            yield f"order {number}: not in the journal: {left}"


def accounts(books: Books) -> dict[str, tuple[Decimal, dict[str, Decimal]]]:
    """Cash and positions of each strategy instance in the ledger."""
    found: dict[str, tuple[Decimal, dict[str, Decimal]]] = {}
    for row in books.balances:
        if row.instance == "external":
            continue
        cash, held = found.setdefault(row.instance, (Decimal(0), {}))
        if row.ledger == "cash":
            found[row.instance] = (cash + row.amount, held)
        elif row.ledger == "position" and row.quantity:
            held[row.instrument_id] = row.quantity
    return found


def money(books: Books) -> tuple[Decimal, dict[str, Decimal]]:
    """Cash and shares of the whole account."""
    cash = sum((row.amount for row in books.balances if row.ledger == "cash"), Decimal(0))
    held: dict[str, Decimal] = defaultdict(Decimal)
    for row in books.balances:
        if row.ledger == "position":
            held[row.instrument_id.partition(":")[2]] += row.quantity
    return cash, {symbol: quantity for symbol, quantity in held.items() if quantity}


def kept_frames(home: Path) -> list[KeptFrame]:
    """Frames that are kept."""
    return list(read_frames(frames_directory(home, "kis-1")))


def numbered(frames: Sequence[KeptFrame]) -> Iterator[tuple[int, KeptFrame, Any]]:
    """Yield what kept frames hold, numbered: every tick, books too, takes one."""
    number = 0
    for frame in frames:
        if frame.raw[:1] != b"0":
            continue
        try:
            ticks = decode_frame(frame.raw, frame.ts_recv_ns)
        except FrameError:
            continue
        assert isinstance(ticks, tuple)
        for tick in ticks:
            number += 1
            yield number, frame, tick


def count_ticks(frames: Sequence[KeptFrame]) -> int:
    """How many ticks kept frames hold, books included."""
    return sum(1 for _ in numbered(frames))


def trades_of(frames: Sequence[KeptFrame]) -> list[tuple[Any, ...]]:
    """Number, frame, time, price and quantity of the trades in kept frames."""
    return [
        (number, frame.number, tick.ts_event_ns, tick.price, tick.quantity)
        for number, frame, tick in numbered(frames)
        if isinstance(tick, TradeTick)
    ]


TICKS = (
    "SELECT tick, frame, toUnixTimestamp64Nano(timestamp) AS at, price, quantity"
    " FROM ticks FINAL ORDER BY tick"
)


class Recomputation:
    """The day again, in this process: the same program over the recorded ticks.

    Args:
        instances: What was traded.
        books: When instances began to decide is in there.
        speed: Of the instance clock.
        allowance_s: Of the risk limits.
        kernels: Where compiled strategies are.
        day: First day.
    """

    def __init__(
        self,
        instances: Sequence[StrategyInput],
        books: Books,
        *,
        speed: float,
        allowance_s: float,
        kernels: Path,
        day: date,
    ) -> None:
        settings = TraderSettings()
        compiler = Compiler(load, kernels, settings.sizes())
        self._prepared: list[Prepared] = compiler.prepare(tuple(instances), 0 or _ns(day)).ready
        self._settings = settings.for_engine(Fraction(speed), allowance_s, Decimal("0.3"))
        self._day = day
        self._begins = {
            note.subject: msgspec.json.decode(note.body)["decides_from_ns"]
            for note in books.of(NoteRecorded)
            if note.topic == "trader_began"
        }

    def run(self, ticks: pl.DataFrame, until_ns: int) -> tuple[list[SignalRecorded], str]:
        """Return the signals of all recorded ticks, and the digest of the state behind them."""
        state = self._new_state()
        for name, instance in state.instances.items():
            instance.decides_from_ns = self._begins[name]
        effects: list[Effect] = []
        for entry in entries_of(ticks):
            event = TicksArrived(entry, "", is_recorded=True)
            effects += step(state, event, entry.ticks[-1].ts_recv_ns)
        effects += step(state, ClockRead(until_ns), until_ns)
        signals = [each.event for each in effects if isinstance(each.event, SignalRecorded)]
        return signals, market_digest(state)

    def stored(self, home: Path, until_ns: int) -> str:
        """Return the digest of the state that the trader has stored, at the same instant."""
        files = Snapshots(home / _SNAPSHOT).read()
        if files is None:
            return "none"
        state = self._new_state()
        if load_market(state, files[0].half) != set(state.instances):
            return "other instances"
        step(state, ClockRead(until_ns), until_ns)
        return market_digest(state)

    def accounts(self, home: Path, books: Books) -> dict[str, tuple[Decimal, dict[str, Decimal]]]:
        """Return cash and positions as the trader has them after the newest event, by instance."""
        files = Snapshots(home / _SNAPSHOT).read()
        assert files is not None
        state = self._new_state()
        assert load_accounts(state, files[1].half) == set(state.instances)
        moving = (IntentRecorded, OrderFilled, OrderCancelled, OrderDenied, OrderExpired)
        news = tuple(each for each in books.events if isinstance(each[2], moving))
        step(state, JournalRead(news), files[1].ts_ns)
        found = {}
        for name, instance in state.instances.items():
            held = instance.account.holdings
            quantities = {symbol: each.quantity for symbol, each in held.items() if each.quantity}
            found[name] = (instance.account.cash, quantities)
        return found

    def _new_state(self) -> EngineState:
        return new_state(self._settings, self._prepared, lambda _: Listed(), self._day)


def _ns(day: date) -> int:
    return int((day - date(1970, 1, 1)).total_seconds()) * 10**9


def key_of(signal: SignalRecorded) -> tuple[Any, ...]:
    """What makes a signal the same signal."""
    return (
        *(signal.signal_id, signal.decision_id, signal.instance, signal.release),
        *(signal.instrument_id, signal.interval, signal.bar_start_ns, signal.rule, signal.kind),
        *(signal.side, signal.price, signal.condition),
    )


def newest_tick(home: Path) -> int:
    """Number of the newest tick of KIS that is in the trader's stored state; 0 before any."""
    files = Snapshots(home / _SNAPSHOT).read()
    feeds = files[0].half.feeds if files is not None else {}
    return feeds["kis-1"].last_tick if "kis-1" in feeds else 0
