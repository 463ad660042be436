"""Bars that close at one instant, as columns.

Theory of operation. Instruments of one interval at one venue have the same slots, so bars of one
start share session, label, end and everything else that a slot says; what differs stands in
columns. Bars that the clock closes are announced with one message and judged together. Bars that
trades close, one after another, come in the same form, but each has its own message and is judged
as if it had come alone: only their strategies are run together.
"""

import struct
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np

from jts_trading.domain.feed_messages import BarsClosed
from jts_trading.engine.bars import Bar, BarBuilder, Cause, ClosedBy
from jts_trading.engine.columns import Floats, Ints
from jts_trading.engine.events import Effect
from jts_trading.engine.identity import bars_id
from jts_trading.engine.lines import Line
from jts_trading.engine.slots import NS_PER_MS
from jts_trading.engine.state import NEVER_NS, EngineState
from jts_trading.strategy.quotes import spreads_of

# An entry of the bus may have a megabyte; a bar takes about sixty bytes of it.
MESSAGE_BARS_MAX = 4_096
_Entry = TypeVar("_Entry")


class Source(Protocol):
    """What knows where the last trade of a bar came from."""

    def source(self) -> Cause:
        """Return that."""


class Numbers(NamedTuple):
    """Bars as compiled loops read them.

    Attributes:
        values: [(open, high, low, close, volume), bar]: ticks, and shares or coins; where somebody
            reads one of them, the spread and 1 for a doubtful bar are behind.
        closes: In whole ticks.
    """

    values: Floats
    closes: Ints


class ClosedBars(msgspec.Struct, frozen=True):
    """Bars of a line that closed together; prices in ticks, volumes in smallest quantities.

    Best quotes are those with the last trade of each, 0 where unknown; none where nobody reads
    them, and likewise which bars are doubtful.

    Attributes:
        line: That they belong to.
        places: Of each in the line; ascending where the clock closed them.
        day: Their session, days since 1970-01-01; label, end and open of the session likewise.
        closed_by: `event` (a later trade), `clock` (their end and the grace) or `session`.
        due_ns: When the clock closed them, or would have.
        triggers: The trade that closed each, in the order of the trades; none where the clock did.
        feeds: Of the last trade of each; its number in `last_ticks`.
        sources: What says where that came from, until a next bar begins.
    """

    line: Line
    places: list[int]
    day: int
    start_ns: int
    end_ns: int
    open_ms: int
    is_last: bool
    closed_by: ClosedBy
    due_ns: int
    triggers: tuple[Cause, ...]
    instrument_ids: tuple[str, ...]
    opens: tuple[int, ...]
    highs: tuple[int, ...]
    lows: tuple[int, ...]
    closes: tuple[int, ...]
    volumes: tuple[int, ...]
    trades: tuple[int, ...]
    previous_closes: tuple[int, ...]
    feeds: tuple[str, ...]
    last_ticks: tuple[int, ...]
    sources: Sequence[Source]
    bids: tuple[int, ...] = ()
    asks: tuple[int, ...] = ()
    doubts: tuple[bool, ...] = ()

    @property
    def stamp_ms(self) -> int:
        """Their label in UTC ms."""
        return self.start_ns // NS_PER_MS

    def known_ns(self, at: int) -> int:
        """Return from when one could be known: arrival of its trigger, or end and grace."""
        return self.triggers[at].ts_recv_ns if self.triggers else self.due_ns

    def price_steps(self) -> list[Decimal]:
        """Return what one tick of each is worth."""
        steps = self.line.price_steps
        if self.triggers:
            return [steps[place] for place in self.places]
        return _at(steps, self.places)

    def numbers(self) -> Numbers:
        """Return them as compiled loops read them."""
        scale, volumes, count = self.line.quantity_scale, self.volumes, len(self.places)
        prices = np.empty((4, count), np.int64)
        # To pack them takes a third of the time of an array made of tuples.
        columns = (*self.opens, *self.highs, *self.lows, *self.closes)
        struct.pack_into(f"{4 * count}q", prices.data, 0, *columns)
        values = np.empty((7 if self.bids or self.doubts else 5, count))
        values[:4] = prices
        # A volume may be larger than 64 bits: it is divided before it becomes a float.
        unit = 10**scale
        values[4] = np.fromiter(
            [each / unit for each in volumes] if scale else volumes, np.float64, count
        )
        if self.bids:
            values[5] = spreads_of(np.array(self.bids, float), np.array(self.asks, float))
        if self.doubts:
            values[6] = self.doubts
        return Numbers(values, prices[3])

    def bar(self, at: int) -> Bar:
        """Return one of them."""
        last = self.sources[at].source()
        return Bar(
            self.instrument_ids[at],
            self.line.venue,
            self.line.interval,
            self.day,
            self.start_ns,
            self.end_ns,
            self.open_ms,
            self.is_last,
            self.opens[at],
            self.highs[at],
            self.lows[at],
            self.closes[at],
            self.volumes[at],
            self.trades[at],
            self.previous_closes[at],
            self.closed_by,
            last,
            self.triggers[at] if self.triggers else last,
            self.known_ns(at),
        )


class Passed(NamedTuple):
    """A bar that a trade of a later slot has closed; see `ClosedBars`."""

    line: Line
    place: int
    trigger: Cause
    day: int
    start_ns: int
    end_ns: int
    open_ms: int
    is_last: bool
    due_ns: int
    instrument_id: str
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    previous_close: int
    last: Cause
    bid: int
    ask: int
    is_doubtful: bool

    def source(self) -> Cause:
        """Return where its last trade came from."""
        return self.last


def pass_bar(line: Line, place: int, trigger: Cause) -> Passed:
    """Close an open bar, for good, because of a trade.

    Args:
        line: Of the bar.
        place: Of it there.
        trigger: The trade.
    """
    builder = line.builders[place]
    line.note_closed(builder.start_ns, builder.due_ns, (place,))
    trades = builder.trades
    _end(builder.day, (builder,))
    return Passed(
        line,
        place,
        trigger,
        builder.day,
        builder.start_ns,
        builder.end_ns,
        builder.open_ms,
        builder.is_last,
        builder.due_ns,
        builder.instrument_id,
        builder.open,
        builder.high,
        builder.low,
        builder.close,
        builder.volume,
        trades,
        builder.previous_close,
        builder.source(),
        builder.bid,
        builder.ask,
        builder.is_doubtful,
    )


def in_turn(passed: Iterable[Passed]) -> list[ClosedBars]:
    """Return bars that trades closed in their order; those of one line and start together."""
    return [
        _closed_in_turn(line, list(same))
        for (line, _), same in groupby(passed, lambda bar: (bar.line, bar.start_ns))
    ]


def _closed_in_turn(line: Line, passed: list[Passed]) -> ClosedBars:
    first = passed[0]
    _, places, triggers, *_ = columns = tuple(zip(*passed, strict=True))
    names, opens, highs, lows, closes, volumes, trades, bases, last, bids, asks, doubts = columns[
        9:
    ]
    return ClosedBars(
        line,
        list(places),
        first.day,
        first.start_ns,
        first.end_ns,
        first.open_ms,
        first.is_last,
        "event",
        first.due_ns,
        triggers,
        names,
        opens,
        highs,
        lows,
        closes,
        volumes,
        trades,
        bases,
        tuple([cause.feed for cause in last]),
        tuple([cause.tick for cause in last]),
        passed,
        *((bids, asks) if line.reads_quotes else ((), ())),
        doubts if line.reads_doubt else (),
    )


def close_due(state: EngineState, reached_ns: int) -> list[ClosedBars]:
    """Close the bars whose time is over at an instant that was reached."""
    closed: list[ClosedBars] = []
    next_ns = NEVER_NS
    for line in state.lines:
        for (_, due_ns), opened in sorted(line.opened.items()):
            if due_ns > reached_ns:
                next_ns = min(next_ns, due_ns)
                continue
            closed.append(_close_bars(line, sorted(opened)))
    state.next_due_ns = next_ns
    return closed


def _close_bars(line: Line, places: list[int]) -> ClosedBars:
    """Close open bars of one slot, for good, because their time is over."""
    chosen = _at(line.builders, places)
    slot = chosen[0]
    line.note_closed(slot.start_ns, slot.due_ns, places)
    trades = tuple([builder.trades for builder in chosen])
    _end(slot.day, chosen)
    return ClosedBars(
        line,
        places,
        slot.day,
        slot.start_ns,
        slot.end_ns,
        slot.open_ms,
        slot.is_last,
        "session" if slot.is_last else "clock",
        slot.due_ns,
        (),
        # Column by column: that is quicker than to take rows and to turn them.
        tuple(_at(line.instrument_ids, places)),
        tuple([builder.open for builder in chosen]),
        tuple([builder.high for builder in chosen]),
        tuple([builder.low for builder in chosen]),
        tuple([builder.close for builder in chosen]),
        tuple([builder.volume for builder in chosen]),
        trades,
        tuple([builder.previous_close for builder in chosen]),
        tuple([(builder.origin or builder.last).feed for builder in chosen]),
        tuple([b.last.tick if b.origin is None else b.origin.tick + b.at for b in chosen]),
        chosen,
        *(_quotes(chosen) if line.reads_quotes else ((), ())),
        tuple([builder.is_doubtful for builder in chosen]) if line.reads_doubt else (),
    )


def _end(day: int, builders: Iterable[BarBuilder]) -> None:
    """Let bars of one session be closed; what was in them stays until the next ones begin."""
    for builder in builders:
        if builder.close_day == day:
            builder.last_close = builder.close
        else:
            builder.note_close(day, builder.close)
        builder.closed_ns = builder.stop_ns
        builder.trades = 0


def _at(column: list[_Entry], places: list[int]) -> list[_Entry]:
    """Return what stands at some places of a line, ascending; nearly always those are all."""
    return column if len(places) == len(column) else [column[place] for place in places]


def _quotes(chosen: list[BarBuilder]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple([builder.bid for builder in chosen]), tuple([builder.ask for builder in chosen])


def bars_effects(bars: ClosedBars) -> list[Effect]:
    """Return the messages that bars closed, in ticks and in the quantity of the venue.

    Each bar that a trade closed has its own.
    """
    line, steps, scale = bars.line, bars.price_steps(), bars.line.quantity_scale
    # Exact for whole numbers, and a third of the time that `Decimal` takes.
    volumes = [*map(Decimal.from_float, bars.volumes)]
    if scale:
        volumes = [each.scaleb(-scale) for each in volumes]
    size = 1 if bars.triggers else MESSAGE_BARS_MAX
    effects: list[Effect] = []
    for first in range(0, len(bars.places), size):
        part = slice(first, first + size)
        names = bars.instrument_ids[part]
        message = BarsClosed(
            venue=line.venue,
            interval=line.interval,
            start_ns=bars.start_ns,
            closed_by=bars.closed_by,
            instrument_ids=names,
            price_steps=tuple(steps[part]),
            opens=bars.opens[part],
            highs=bars.highs[part],
            lows=bars.lows[part],
            closes=bars.closes[part],
            volumes=tuple(volumes[part]),
            feeds=bars.feeds[part],
            last_ticks=bars.last_ticks[part],
            ticks=bars.trades[part],
        )
        effects.append(_announced(bars, first, message))
    return effects


def _announced(bars: ClosedBars, first: int, message: BarsClosed) -> Effect:
    event_id = bars_id(message.venue, message.interval, bars.start_ns, message.instrument_ids)
    if not bars.triggers:
        return Effect(message, event_id)
    trigger = bars.triggers[first]
    return Effect(message, event_id, trigger.correlation_id, trigger.message_id)
