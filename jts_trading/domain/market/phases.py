"""Timetables: which phases a venue goes through on a kind of day. Seconds of the local day (KST).

Nominal times, start inclusive and end exclusive: the random end of an auction (0 to 30 s) and
stops of the whole venue are events, not timetable. The calendar (`domain.sessions`) says what kind
of day it is.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.market.loading import parse_span
from jts_trading.domain.market.table import RuleTable


class DayKind(StrEnum):
    """What makes a session's hours differ."""

    NORMAL = "normal"
    FIRST_SESSION = "first_session"
    EXAM_DAY = "exam_day"


class Phase(StrEnum):
    """What a venue is doing; no phase at all means closed."""

    PRE_CLOSE_PRICE = "pre_close_price"
    OPENING_AUCTION = "opening_auction"
    CONTINUOUS = "continuous"
    CLOSING_AUCTION = "closing_auction"
    POST_CLOSE_ORDER_ENTRY = "post_close_order_entry"
    POST_CLOSE_PRICE = "post_close_price"
    OFF_HOURS_SINGLE_PRICE = "off_hours_single_price"
    PRE_MARKET = "pre_market"
    MAIN_MARKET = "main_market"
    CLOSING_PRICE_MARKET = "closing_price_market"
    AFTER_MARKET_OPENING_AUCTION = "after_market_opening_auction"
    AFTER_MARKET = "after_market"
    HALTED = "halted"


# The end of these does not move with the close of an exam day.
_FIXED_END = frozenset({Phase.OFF_HOURS_SINGLE_PRICE, Phase.AFTER_MARKET})
_BEFORE_OPEN = frozenset({Phase.OPENING_AUCTION, Phase.PRE_CLOSE_PRICE})
# The regular session, whose first start and last end are the day's open and close.
_REGULAR = frozenset({Phase.CONTINUOUS, Phase.CLOSING_AUCTION, Phase.MAIN_MARKET})


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """One phase of one day.

    Attributes:
        start_s: First second of the local day.
        end_s: First second after it.
        phase: What happens in it.
        auction_every_s: Seconds between auctions; 0 where trading is not by periodic auction.
    """

    start_s: int
    end_s: int
    phase: Phase
    auction_every_s: int = 0


@dataclass(frozen=True, slots=True)
class Timetable:
    """All windows of one day, ascending; they may overlap."""

    windows: tuple[Window, ...]

    @property
    def open_s(self) -> int:
        """Start of the regular session."""
        return min(w.start_s for w in self.windows if w.phase in _REGULAR)

    @property
    def close_s(self) -> int:
        """End of the regular session, its closing auction included."""
        return max(w.end_s for w in self.windows if w.phase in _REGULAR)

    @property
    def last_s(self) -> int:
        """End of the last window: nothing of this day can trade afterwards."""
        return max(w.end_s for w in self.windows)

    def phases_at(self, second: int) -> tuple[Phase, ...]:
        """Return the phases of a second of the local day, by name; empty when closed."""
        return tuple(sorted(w.phase for w in self.windows if w.start_s <= second < w.end_s))


def timetable(table: RuleTable, venue: str, day: date, kind: DayKind) -> Timetable:
    """Return the timetable of a session.

    Raises:
        RuleMissingError: The venue has no phases on that day.
    """
    own = _windows(table, f"{kind}_phase.", day, venue)
    if own:
        return Timetable(own)
    normal = _windows(table, "phase.", day, venue)
    if not normal:
        raise RuleMissingError(f"no rule for phase of {venue} on {day}")
    if kind is DayKind.EXAM_DAY:
        minutes = int(table.require("csat_shift_minutes", day, venue=venue).value)
        return Timetable(tuple(_shifted(window, minutes * 60) for window in normal))
    if kind is DayKind.FIRST_SESSION:
        opens = parse_span(table.require("first_session_open", day, venue=venue).value + "-24:00")
        return Timetable(_opened_late(normal, opens[0]))
    return Timetable(normal)


def has_sessions(table: RuleTable, venue: str, day: date) -> bool:
    """Return whether the venue existed on a day; its holidays are the calendar's business."""
    return bool(table.in_force("phase.", day, venue))


def _windows(table: RuleTable, prefix: str, day: date, venue: str) -> tuple[Window, ...]:
    found = []
    for rule in table.in_force(prefix, day, venue):
        start, end, every = parse_span(rule.value)
        found.append(Window(start, end, Phase(rule.key.removeprefix(prefix)), every))
    return tuple(sorted(found))


def _shifted(window: Window, by_s: int) -> Window:
    end = window.end_s if window.phase in _FIXED_END else window.end_s + by_s
    return Window(window.start_s + by_s, end, window.phase, window.auction_every_s)


def _opened_late(windows: tuple[Window, ...], open_s: int) -> tuple[Window, ...]:
    """Move the open; everything before it moves along, everything after it stays."""
    usual = Timetable(windows).open_s
    late = max(0, open_s - usual)
    moved = []
    for window in windows:
        if window.phase in _BEFORE_OPEN:
            moved.append(Window(window.start_s + late, window.end_s + late, window.phase))
        elif window.start_s == usual:
            moved.append(Window(usual + late, window.end_s, window.phase))
        else:
            moved.append(window)
    return tuple(sorted(moved))
