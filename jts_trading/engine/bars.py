"""Bars from trades: one builder for each instrument and interval.

Theory of operation. A bar opens with the first trade in its slot and closes once: when a trade of
a later slot arrives, or when the clock has passed its end and a grace. A trade of a slot that has
closed is late: it is counted and changes nothing. A slot without a trade has no bar. Prices are
whole ticks, volume is whole smallest quantities of the venue, so sums are exact.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from jts_trading.engine.slots import NS_PER_MS, Slot

ClosedBy = Literal["event", "clock", "session"]


class Cause(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a trade came from.

    Attributes:
        feed: Which feed brought it.
        tick: Its number in that feed.
        frame: Number of the frame that it came in.
        message_id: The bus entry that carried it.
        ts_recv_ns: When the frame arrived, instance time, UTC ns.
    """

    feed: str
    tick: int
    frame: int
    message_id: str
    ts_recv_ns: int

    @property
    def correlation_id(self) -> str:
        """What everything that comes of this trade carries."""
        return f"{self.feed}:{self.frame}"


NO_CAUSE = Cause("", 0, 0, "", 0)


class Origin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the ticks of an entry came from; bars keep it in the place of causes nobody asks for.

    Attributes:
        feed: Which feed brought them.
        message_id: The bus entry that carried them.
        tick: Number of the first one.
        frame: Number of its frame.
        frames: How many frames later each came.
    """

    feed: str
    message_id: str
    tick: int
    frame: int
    frames: tuple[int, ...]

    def cause(self, at: int, ts_recv_ns: int) -> Cause:
        """Return where one of them came from, by its place and arrival."""
        frame = self.frame + self.frames[at]
        return Cause(self.feed, self.tick + at, frame, self.message_id, ts_recv_ns)


class Trade(NamedTuple):
    """One trade: price in ticks, quantity in smallest quantities of the venue, time UTC ns.

    Best quotes with it are in ticks, and 0 where unknown or where nobody reads them; likewise
    whether trades were lost before it.
    """

    at_ns: int
    price: int
    quantity: int
    cause: Cause
    bid: int = 0
    ask: int = 0
    is_after_loss: bool = False


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A closed bar, or one that is judged in the making.

    Prices are in ticks, the volume is in smallest quantities of the venue.

    Attributes:
        day: Session, days since 1970-01-01.
        start_ns: Its label, UTC ns.
        end_ns: First instant after it.
        open_ms: Open of its session, UTC ms.
        is_last: It has ended its session.
        trades: How many trades are in it.
        previous_close: Last close of an earlier session in ticks; 0 where none is known.
        last: The last trade in it.
        closed_by: What closed it; `trade` where it is judged on its newest trade.
        trigger: The trade that closed it; the last one in it when the clock did.
        known_ns: From when the bar could be known: arrival of the trigger, or end and grace.
    """

    instrument_id: str
    venue: str
    interval: str
    day: int
    start_ns: int
    end_ns: int
    open_ms: int
    is_last: bool
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    previous_close: int
    closed_by: ClosedBy | Literal["trade"]
    last: Cause
    trigger: Cause
    known_ns: int

    @property
    def stamp_ms(self) -> int:
        """Its label in UTC ms."""
        return self.start_ns // NS_PER_MS


@dataclass(slots=True, kw_only=True)
class BarBuilder:
    """The bar in the making of one instrument and interval.

    A plain class, because each trade sets its attributes: a struct takes ten times as long.

    Attributes:
        seconds: Length of the interval.
        day: Session of the open bar, and so on; the bar is open while `trades` is above 0.
        stop_ns: First instant whose trades belong to a later bar.
        due_ns: When the clock closes the bar.
        closed_ns: First instant that has not been closed yet.
        previous_close: Last close of the session before that of `close_day`; 0 for unknown.
        close_day: Session of `last_close`.
        last_close: Close of the newest closed bar; 0 before the first.
        last: Where its last trade came from, if `origin` does not say it: see `source`.
        origin, at, received_ns: Entry, place there and arrival of its last trade; None if `last`
            says it.
        late: Trades that came too late.
        bid, ask: Best quotes with its last trade in ticks; 0 where unknown or nobody reads them.
        is_doubtful: Trades were lost before one of it, where somebody asks.
    """

    instrument_id: str
    venue: str
    interval: str
    seconds: int
    day: int = 0
    start_ns: int = 0
    end_ns: int = 0
    stop_ns: int = 0
    due_ns: int = 0
    open_ms: int = 0
    is_last: bool = False
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    volume: int = 0
    trades: int = 0
    last: Cause = NO_CAUSE
    origin: Origin | None = None
    at: int = 0
    received_ns: int = 0
    closed_ns: int = 0
    previous_close: int = 0
    close_day: int = 0
    last_close: int = 0
    late: int = 0
    bid: int = 0
    ask: int = 0
    is_doubtful: bool = False

    def add(self, trade: Trade) -> None:
        """Add a trade that belongs to the open bar."""
        self.take(trade.price, trade.quantity)
        self.last, self.origin = trade.cause, None
        self.bid, self.ask = trade.bid, trade.ask
        self.is_doubtful |= trade.is_after_loss

    def source(self) -> Cause:
        """Return where its last trade came from."""
        return self.last if self.origin is None else self.origin.cause(self.at, self.received_ns)

    def settle(self) -> None:
        """Let go of the entry of its last trade, once it is known where that came from."""
        self.last, self.origin = self.source(), None
        self.at = self.received_ns = 0

    def take(self, price: int, quantity: int) -> None:
        """Add what of a trade is in prices and volume."""
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.volume += quantity
        self.trades += 1

    def begin(self, slot: Slot, grace_ns: int, trade: Trade) -> None:
        """Open the bar of a slot with its first trade."""
        self.day, self.is_last = slot.session.day, slot.is_last
        self.start_ns, self.end_ns, self.stop_ns = slot.start_ns, slot.end_ns, slot.stop_ns
        self.due_ns = slot.stop_ns + grace_ns
        self.open_ms = slot.session.open_ns // NS_PER_MS
        self.open = self.high = self.low = trade.price
        self.volume = self.trades = 0
        self.is_doubtful = False
        self.add(trade)

    def note_close(self, day: int, close: int) -> None:
        """Remember the close of a bar, here or from the lake, as base of the next session."""
        if day != self.close_day:
            self.previous_close, self.close_day = self.last_close, day
        self.last_close = close
