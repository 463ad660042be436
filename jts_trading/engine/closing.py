"""Bars that close at one instant, as columns.

Theory of operation. Instruments of one interval at one venue have the same slots, so bars of one
start share session, label, end and everything else that a slot says; what differs stands in
columns. A bar that a trade closes comes in the same form, alone. From here on bars of one instant
are announced with one message and judged together.
"""

import struct
from decimal import Decimal
from typing import NamedTuple, TypeVar

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
        places: Of each in the line, ascending.
        day: Their session, days since 1970-01-01; label, end and open of the session likewise.
        closed_by: `event` (a later trade), `clock` (their end and the grace) or `session`.
        known_ns: From when they could be known: arrival of the trigger, or end and grace.
        trigger: The trade that closed them; None when the clock did.
    """

    line: Line
    places: list[int]
    day: int
    start_ns: int
    end_ns: int
    open_ms: int
    is_last: bool
    closed_by: ClosedBy
    known_ns: int
    trigger: Cause | None
    instrument_ids: tuple[str, ...]
    opens: tuple[int, ...]
    highs: tuple[int, ...]
    lows: tuple[int, ...]
    closes: tuple[int, ...]
    volumes: tuple[int, ...]
    trades: tuple[int, ...]
    previous_closes: tuple[int, ...]
    last: tuple[Cause, ...]
    bids: tuple[int, ...] = ()
    asks: tuple[int, ...] = ()
    doubts: tuple[bool, ...] = ()

    @property
    def stamp_ms(self) -> int:
        """Their label in UTC ms."""
        return self.start_ns // NS_PER_MS

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
        last = self.last[at]
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
            self.trigger or last,
            self.known_ns,
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
            places = sorted(opened)
            is_last = line.builders[places[0]].is_last
            closed.append(close_bars(line, places, "session" if is_last else "clock", due_ns))
    state.next_due_ns = next_ns
    return closed


def close_bars(
    line: Line, places: list[int], closed_by: ClosedBy, known_ns: int, trigger: Cause | None = None
) -> ClosedBars:
    """Close open bars of one slot, for good.

    Args:
        line: Of the bars.
        places: Theirs in it, ascending.
        closed_by: See `ClosedBars`, as the next two.
        known_ns: From when they can be known.
        trigger: The trade that closes them.
    """
    chosen = _at(line.builders, places)
    slot = chosen[0]
    line.note_closed(slot.start_ns, slot.due_ns, places)
    day, stop_ns = slot.day, slot.stop_ns
    trades = tuple([builder.trades for builder in chosen])
    for builder in chosen:
        if builder.close_day == day:
            builder.last_close = builder.close
        else:
            builder.note_close(day, builder.close)
        builder.closed_ns = stop_ns
        builder.trades = 0
    return ClosedBars(
        line,
        places,
        slot.day,
        slot.start_ns,
        slot.end_ns,
        slot.open_ms,
        slot.is_last,
        closed_by,
        known_ns,
        trigger,
        # Column by column: that is quicker than to take rows and to turn them.
        tuple(_at(line.instrument_ids, places)),
        tuple([builder.open for builder in chosen]),
        tuple([builder.high for builder in chosen]),
        tuple([builder.low for builder in chosen]),
        tuple([builder.close for builder in chosen]),
        tuple([builder.volume for builder in chosen]),
        trades,
        tuple([builder.previous_close for builder in chosen]),
        tuple([builder.last for builder in chosen]),
        *(_quotes(chosen) if line.reads_quotes else ((), ())),
        tuple([builder.is_doubtful for builder in chosen]) if line.reads_doubt else (),
    )


def _at(column: list[_Entry], places: list[int]) -> list[_Entry]:
    """Return what stands at some places of a line; nearly always those are all."""
    return column if len(places) == len(column) else [column[place] for place in places]


def _quotes(chosen: list[BarBuilder]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple([builder.bid for builder in chosen]), tuple([builder.ask for builder in chosen])


def bars_effects(bars: ClosedBars) -> list[Effect]:
    """Return the messages that bars closed, in ticks and in the quantity of the venue."""
    starts = range(0, len(bars.places), MESSAGE_BARS_MAX)
    return [_effect(bars, slice(first, first + MESSAGE_BARS_MAX)) for first in starts]


def _effect(bars: ClosedBars, part: slice) -> Effect:
    line, trigger, names = bars.line, bars.trigger, bars.instrument_ids[part]
    last, scale = bars.last[part], line.quantity_scale
    # Exact for whole numbers, and a third of the time that `Decimal` takes.
    volumes = map(Decimal.from_float, bars.volumes[part])
    message = BarsClosed(
        venue=line.venue,
        interval=line.interval,
        start_ns=bars.start_ns,
        closed_by=bars.closed_by,
        instrument_ids=names,
        price_steps=tuple(_at(line.price_steps, bars.places[part])),
        opens=bars.opens[part],
        highs=bars.highs[part],
        lows=bars.lows[part],
        closes=bars.closes[part],
        volumes=tuple([each.scaleb(-scale) for each in volumes]) if scale else tuple(volumes),
        feeds=tuple([cause.feed for cause in last]),
        last_ticks=tuple([cause.tick for cause in last]),
        ticks=bars.trades[part],
    )
    event_id = bars_id(line.venue, line.interval, bars.start_ns, names)
    if trigger is None:
        return Effect(message, event_id)
    return Effect(message, event_id, trigger.correlation_id, trigger.message_id)
