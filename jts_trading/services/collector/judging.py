"""The verdict on each tick of a feed: believed or not, repeated, after a hole. Pure."""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import BookTick, TradeTick
from jts_trading.services.collector.continuity import Continuity, Line, Seen
from jts_trading.services.collector.sanity import DayLimits, Sanity
from jts_trading.services.collector.settings import CollectorSettings


class Judgement(NamedTuple):
    """What becomes of a tick.

    Attributes:
        fault: Why it is not believed; empty when it is.
        is_repeat: It was collected before.
        missing: Shares or trades known to be lost before it; None when nothing is.
        since_ns: Event time of the trade before those, UTC ns; 0 when there was none.
        day: Ordinal of its trade date; 0 when its time is not believed.
    """

    fault: str = ""
    is_repeat: bool = False
    missing: Decimal | None = None
    since_ns: int = 0
    day: int = 0


LimitsOf = Callable[[str, int], DayLimits | None]


class Judges:
    """Judges the ticks of one feed, each instrument by what it said before.

    Args:
        settings: Bounds.
        allowance_ns: Instance time that our own way may take.
    """

    def __init__(self, settings: CollectorSettings, allowance_ns: int) -> None:
        self._settings = settings
        self._allowance_ns = allowance_ns
        self._sanity: dict[str, Sanity] = {}
        self._continuity: dict[str, Continuity] = {}

    def judge(self, tick: TradeTick | BookTick, limits_of: LimitsOf) -> Judgement:
        """Judge a tick.

        Args:
            tick: In the order of arrival.
            limits_of: Returns the limits of an instrument on a trade date, if they are known.
        """
        sanity = self._sanity_of(tick.instrument_id)
        # First: a date cannot be made of every number.
        if fault := sanity.fault_of_time(tick):
            return Judgement(fault)
        day = local_date(tick.venue, tick.ts_event_ns).toordinal()
        if isinstance(tick, BookTick):
            return Judgement(sanity.fault_of_book(tick), day=day)
        if fault := sanity.fault_of_trade(tick, limits_of(tick.instrument_id, day)):
            return Judgement(fault, day=day)
        verdict = self._continuity_of(tick.instrument_id).judge(tick, day)
        is_after_hole = verdict.seen is Seen.AFTER_A_HOLE
        return Judgement(
            "volume_contradicts" if verdict.seen is Seen.CONTRADICTS else "",
            is_repeat=verdict.seen is Seen.REPEATS,
            missing=verdict.missing if is_after_hole else None,
            since_ns=verdict.since_ns,
            day=day,
        )

    def relive(self, tick: TradeTick | BookTick) -> None:
        """Take a tick that an earlier process accepted."""
        self.judge(tick, lambda _, __: None)

    def lines(self) -> dict[str, Line]:
        """Return where the trades of each instrument are."""
        return {
            name: continuity.line
            for name, continuity in self._continuity.items()
            if continuity.line is not None
        }

    def restore(self, lines: dict[str, Line]) -> None:
        """Take over where an earlier process was."""
        for name, line in lines.items():
            self._continuity[name] = Continuity(self._settings.confirm_ticks, line)

    def _sanity_of(self, instrument_id: str) -> Sanity:
        found = self._sanity.get(instrument_id)
        if found is None:
            found = Sanity(self._settings, self._allowance_ns)
            self._sanity[instrument_id] = found
        return found

    def _continuity_of(self, instrument_id: str) -> Continuity:
        found = self._continuity.get(instrument_id)
        if found is None:
            found = Continuity(self._settings.confirm_ticks)
            self._continuity[instrument_id] = found
        return found
