"""Whether trades follow each other: known losses, repeats, late ones. Pure.

Theory of operation. A trade stands on a line: at the cumulative quantity of its day, as wide as
its own quantity, or at its number, one wide, where the venue counts trades. Trades that follow
each other touch. A jump forward leaves a hole: so much is known to be missing. A trade that fits
into a hole is a late one that fills it. One that stands where everything was seen is a repeat if
it is among the newest or, where trades have numbers, happened no later than the furthest: two
sockets side by side repeat as much as was traded meanwhile. Else the line contradicts itself and
the trade is not believed; when several such follow each other the line has begun anew and we
follow it. A line by cumulative quantity begins at zero with each trade date; one by number never
ends.
"""

from collections import deque
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from jts_trading.domain.ticks import TradeTick

HOLES_MAX = 16
NEWEST_KEPT = 32
_NONE = Decimal(0)


class Seen(StrEnum):
    """How a trade stands to those before it."""

    FOLLOWS = "follows"
    AFTER_A_HOLE = "after_a_hole"
    FILLS_A_HOLE = "fills_a_hole"
    REPEATS = "repeats"
    CONTRADICTS = "contradicts"


class Verdict(NamedTuple):
    """What is known about a trade.

    Attributes:
        missing: Shares or trades that are lost before it.
        since_ns: Event time of the trade before the hole, UTC ns; 0 when there was none.
    """

    seen: Seen
    missing: Decimal = _NONE
    since_ns: int = 0


class Line(msgspec.Struct, array_like=True):
    """Where an instrument is; kept over restarts.

    Attributes:
        day: Ordinal of the trade date.
        reached: End of the furthest trade.
        since_ns: Event time of that trade, UTC ns.
    """

    day: int
    reached: Decimal
    since_ns: int


class Continuity:
    """Follows the trades of one instrument.

    Args:
        confirm_ticks: So many contradictions that follow each other begin the line anew.
        line: Where an earlier process was.
    """

    def __init__(self, confirm_ticks: int, line: Line | None = None) -> None:
        self.line = line
        self._confirm_ticks = confirm_ticks
        self._holes: list[tuple[Decimal, Decimal, int]] = []
        self._newest: deque[tuple[Decimal, Decimal, Decimal]] = deque(maxlen=NEWEST_KEPT)
        self._doubts: list[Decimal] = []

    def judge(self, tick: TradeTick, day: int) -> Verdict:
        """Say how a trade stands to those before it, and move on.

        Args:
            tick: The trade.
            day: Ordinal of its trade date.
        """
        is_numbered = tick.trade_id is not None
        end = Decimal(tick.trade_id) if tick.trade_id is not None else tick.cumulative_quantity
        if not end:
            return Verdict(Seen.FOLLOWS)
        begin = end - (1 if is_numbered else tick.quantity)
        line = self.line
        if line is None or (not is_numbered and day > line.day):
            return self._begin(begin, end, tick, day, is_numbered)
        if not is_numbered and day < line.day:
            return self._contradicts(begin, end, tick, day)
        return self._placed(begin, end, tick, day, line)

    def _begin(
        self, begin: Decimal, end: Decimal, tick: TradeTick, day: int, is_numbered: bool
    ) -> Verdict:
        self._holes.clear()
        self._newest.clear()
        since_ns = self.line.since_ns if self.line is not None else 0
        self._move(begin, end, tick, day)
        if is_numbered or begin <= 0:
            return Verdict(Seen.FOLLOWS)
        # The day had begun before we listened.
        self._holes.append((_NONE, begin, since_ns))
        return Verdict(Seen.AFTER_A_HOLE, begin, since_ns)

    def _placed(
        self, begin: Decimal, end: Decimal, tick: TradeTick, day: int, line: Line
    ) -> Verdict:
        reached, since_ns = line.reached, line.since_ns
        if begin == reached:
            self._move(begin, end, tick, day)
            return Verdict(Seen.FOLLOWS)
        if begin > reached:
            self._holes = [*self._holes, (reached, begin, since_ns)][-HOLES_MAX:]
            self._move(begin, end, tick, day)
            return Verdict(Seen.AFTER_A_HOLE, begin - reached, since_ns)
        if (begin, end, tick.price) in self._newest:
            return Verdict(Seen.REPEATS)
        if self._fill(begin, end):
            self._newest.append((begin, end, tick.price))
            return Verdict(Seen.FILLS_A_HOLE)
        if tick.trade_id is not None and self._happened_before(begin, tick.ts_event_ns):
            return Verdict(Seen.REPEATS)
        return self._contradicts(begin, end, tick, day)

    def _happened_before(self, begin: Decimal, ts_event_ns: int) -> bool:
        # A number that is given out anew has a later time; one of the newest has another price.
        is_among_newest = any(begin == kept for kept, _, _ in self._newest)
        since_ns = self.line.since_ns if self.line is not None else 0
        return ts_event_ns <= since_ns and not is_among_newest

    def _fill(self, begin: Decimal, end: Decimal) -> bool:
        for at, (start, stop, since_ns) in enumerate(self._holes):
            if start <= begin and end <= stop:
                rests = [(start, begin, since_ns), (end, stop, since_ns)]
                self._holes[at : at + 1] = [rest for rest in rests if rest[0] < rest[1]]
                return True
        return False

    def _contradicts(self, begin: Decimal, end: Decimal, tick: TradeTick, day: int) -> Verdict:
        if self._doubts and self._doubts[-1] != begin:
            self._doubts.clear()
        self._doubts.append(end)
        if len(self._doubts) < self._confirm_ticks:
            return Verdict(Seen.CONTRADICTS)
        self._holes.clear()
        self._newest.clear()
        since_ns = self.line.since_ns if self.line is not None else 0
        self._move(begin, end, tick, day)
        return Verdict(Seen.AFTER_A_HOLE, _NONE, since_ns)

    def _move(self, begin: Decimal, end: Decimal, tick: TradeTick, day: int) -> None:
        self._doubts.clear()
        self._newest.append((begin, end, tick.price))
        self.line = Line(day, end, tick.ts_event_ns)
