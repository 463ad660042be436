"""The two halves of a state as they are stored, put back, and digested.

`engine.state` says what the halves are. In a running engine the numbers of all instruments stand
in tables; stored, each instrument has its own, by name.
"""

import hashlib
from decimal import Decimal

import msgspec
import numpy as np

from jts_trading.engine import columns
from jts_trading.engine.bars import BarBuilder
from jts_trading.engine.state import EngineState, Instance
from jts_trading.engine.succession import Stored
from jts_trading.engine.tallies import Counts, FeedPlace
from jts_trading.engine.wanted import Wanted
from jts_trading.portfolio.instance_account import InstanceAccount


class StoredRow(msgspec.Struct):
    """Market half of one instance in one instrument: see `columns.SymbolRow`.

    Attributes:
        values: The strategy's state, float64 little-endian.
        quiet: Of its rules on trades, see `watching.Watch`.
        trail: Past prices, see `trails.PriceTrail.stored`.
    """

    values: bytes = b""
    day: int = -1
    stamp_ms: int = 0
    open_ms: int = 0
    bars: int = 0
    quiet: tuple[int, ...] = ()
    trail: bytes = b""


class StoredBook(msgspec.Struct):
    """Account half of one instance in one instrument: see `state.SymbolBook`."""

    mark: int = 0
    peak: int = 0
    entered_ns: int = 0
    bars_held: int = 0
    held_from_ms: int = -1
    bars_since: int = 0
    left_ms: int = -1
    entries: int = 0
    wanted: Wanted | None = None
    given: Wanted | None = None
    called_back: str = ""


_BOOK_NAMES = StoredBook.__struct_fields__[: columns.STORED_COLUMNS]


class MarketHalf(msgspec.Struct, kw_only=True):
    """The market half as it is stored.

    Attributes:
        releases: By instance.
        last_events: Instrument, venue, and time of the trade that began its newest bar.
        newest_ns: Arrival of the newest tick.
        rows: By instance and instrument.
        successions: Instrument, venue, and where its trades are, see `succession`.
    """

    version: int = 1
    releases: dict[str, str]
    builders: list[BarBuilder]
    last_events: list[tuple[str, str, int]]
    newest_ns: int
    rows: dict[str, dict[str, StoredRow]]
    feeds: dict[str, FeedPlace]
    counts: Counts
    successions: list[tuple[str, str, Stored]] = []


class InstanceHalf(msgspec.Struct, kw_only=True):
    """The account half of one instance as it is stored."""

    release: str
    account: InstanceAccount
    books: dict[str, StoredBook]
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
    rows = {name: _stored_rows(instance) for name, instance in sorted(state.instances.items())}
    for builder in state.builders.values():
        builder.settle()
    return MarketHalf(
        releases={name: state.instances[name].spec.release for name in rows},
        builders=[state.builders[key] for key in sorted(state.builders)],
        last_events=[(*key, state.desks[key].opened_ns) for key in sorted(state.desks)],
        newest_ns=state.newest_ns,
        rows=rows,
        feeds=dict(sorted(state.feeds.items())),
        counts=state.counts,
        successions=[
            (*key, desk.succession.stored())
            for key, desk in sorted(state.desks.items())
            if desk.succession is not None
        ],
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
                books=_stored_books(instance),
                day=instance.day,
                day_start=instance.day_start,
                decides_from_ns=instance.decides_from_ns,
            )
            for name, instance in sorted(state.instances.items())
        },
    )


def _stored_books(instance: Instance) -> dict[str, StoredBook]:
    books = instance.books.values()
    waits = (
        [book.wanted for book in books],
        [book.given for book in books],
        [book.called_back for book in books],
    )
    numbers = instance.numbers[:, : columns.STORED_COLUMNS].T.tolist()
    return dict(zip(instance.books, map(StoredBook, *numbers, *waits), strict=True))


def _stored_rows(instance: Instance) -> dict[str, StoredRow]:
    states, size = instance.states, instance.states.itemsize * instance.states.shape[1]
    content = states.astype("<f8", copy=False).tobytes()
    values = [content[at * size : (at + 1) * size] for at in range(len(states))]
    columns_of = [values, *instance.seen.T.tolist()]
    if instance.watch is not None:
        columns_of += instance.watch.stored()
    return dict(zip(instance.places, map(StoredRow, *columns_of), strict=True))


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
    quotes = (builder.bid, builder.ask, int(builder.is_doubtful))
    return (builder.start_ns, *prices, builder.volume, builder.source().tick, *quotes)


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(value)).hexdigest()


def take_row(instance: Instance, symbol: str, row: StoredRow) -> None:
    """Let the market half of an instance in an instrument be a stored one."""
    place = instance.places[symbol]
    instance.states[place] = np.frombuffer(row.values, "<f8")
    instance.seen[place] = (row.day, row.stamp_ms, row.open_ms, row.bars)
    if instance.watch is not None:
        instance.watch.load(place, row.quiet, row.trail)


def take_book(instance: Instance, symbol: str, stored: StoredBook) -> None:
    """Let the account half of an instance in an instrument be a stored one."""
    book = instance.books[symbol]
    for column, name in enumerate(_BOOK_NAMES):
        book.numbers[column] = getattr(stored, name)
    book.wanted, book.given = stored.wanted, stored.given
    book.called_back = stored.called_back
