"""The tape of the simulated market, day by day, and its time.

A world is a row of days, each with its bars and base prices, possibly without an end. A day is
opened an hour before its session, so that orders of the opening auction belong to it, and only the
prints of the day that is played are in memory.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.simulator import records
from jts_trading.brokers.kis.simulator.desk import Desk
from jts_trading.brokers.kis.simulator.push import Push
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import order_ladder
from jts_trading.domain.sessions import calendar_for, local_date
from jts_trading.simulation.krx_market import Listing, Print
from jts_trading.simulation.tape import TapeBar, merged, prints_of
from jts_trading.simulation.tape_time import TapeTime

RECORDS_PER_FRAME_MAX = 20
_OPENED_BEFORE_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class MarketDay:
    """One session of the tape.

    Attributes:
        day: Trade date.
        bars: Recorded minute bars in any order.
        references: Base prices by symbol; the last price before it where one is missing.
    """

    day: date
    bars: Sequence[TapeBar]
    references: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """What the simulated market knows.

    Attributes:
        listings: What trades.
        bars: What is replayed: recorded minute bars, in any order.
        history: Older bars that minute charts show from the start.
        references: Base price of the first day; else the last close of the history, else the
            first open of the tape.
        days: In place of `bars`: returns the days from the session of an instant (UTC ns) on.
        title: What it is, for a person.
    """

    listings: Sequence[Listing]
    bars: Sequence[TapeBar] = ()
    history: Sequence[TapeBar] = ()
    references: Mapping[str, int] = field(default_factory=dict)
    days: Callable[[int], Iterator[MarketDay]] | None = None
    title: str = "given bars"


class Tape:
    """The trades of a world in their order.

    Args:
        world: The market.
        settings: How fine bars become trades.
        now_ns: Where a world without an end begins, UTC ns.

    Raises:
        ValueError: There is no trade, or one of something that is not listed.
    """

    def __init__(self, world: World, settings: SimulatorSettings, now_ns: int) -> None:
        self._listed = {listing.symbol: listing for listing in world.listings}
        self._prints_max = settings.prints_max
        days = _days_of(world) if world.days is None else world.days(now_ns)
        first = next((day for day in days if any(bar.volume for bar in day.bars)), None)
        if first is None:
            raise ValueError("a tape needs bars with volume of listed symbols; found none")
        self._first = first
        self._rest = days
        self.start_ns = self.prints(self._first)[0].ts_ns

    @property
    def references(self) -> Mapping[str, int]:
        """Base prices of the first day, as far as it says."""
        return self._first.references

    def bars(self) -> list[TapeBar]:
        """Return the bars of the first day, oldest first."""
        return sorted(self._first.bars, key=lambda bar: bar.start_ns)

    def days(self) -> Iterator[MarketDay]:
        """Yield the days; once."""
        yield self._first
        yield from self._rest

    def prints(self, day: MarketDay) -> list[Print]:
        """Return the trades of a day, ascending in time.

        Raises:
            ValueError: A bar is of something that is not listed, or contradicts itself.
        """
        unknown = {bar.symbol for bar in day.bars} - set(self._listed)
        if unknown:
            raise ValueError(f"bars of {', '.join(sorted(unknown))}, which are not listed")
        table = default_table()
        tapes: list[Iterable[Print]] = []
        for bar in day.bars:
            listing = self._listed[bar.symbol]
            ladder = order_ladder(table, day.day, market=listing.market, asset=listing.asset)
            tapes.append(prints_of(bar, ladder.tick(bar.low), prints_max=self._prints_max))
        return list(merged(tapes))


def _days_of(world: World) -> Iterator[MarketDay]:
    by_start = sorted(world.bars, key=lambda bar: bar.start_ns)
    for day, bars in groupby(by_start, key=lambda bar: local_date("KRX", bar.start_ns)):
        yield MarketDay(day, tuple(bars))


class Player:
    """Plays the tape to the market and its readers.

    Args:
        tape: What is played.
        time: The time of the market.
        desk: The market.
        push: The readers.
        settings: How fast, and for whom.
    """

    def __init__(
        self, tape: Tape, time: TapeTime, desk: Desk, push: Push, settings: SimulatorSettings
    ) -> None:
        self._tape = tape
        self._time = time
        self._desk = desk
        self._push = push
        self._settings = settings
        self._days = tape.days()
        self._next: MarketDay | None = next(self._days, None)
        self._groups: Iterator[list[Print]] = iter(())

    def catch_up(self) -> None:
        """Play what lies before now to nobody: a market does not begin when we look at it."""
        now = self._time.now_ns()
        while self._next is not None and _opens_ns(self._next) <= now:
            self._open(self._next)
            for group in self._groups:
                if group[0].ts_ns > now:
                    self._groups = itertools.chain([group], self._groups)
                    return
                for trade in group:
                    self._desk.play(trade)

    async def play(self) -> None:
        """Play to the end of the tape."""
        if self._settings.waits_for_reader:
            await self._push.has_reader.wait()
        self._time.begin()
        # Without a clock nothing but the reader says how fast: when there is none, time stands.
        stands = self._settings.waits_for_reader and self._settings.speed == 0
        while True:
            for group in self._groups:
                if stands:
                    await self._push.has_reader.wait()
                await self._time.reach(group[0].ts_ns)
                await self._play_group(group)
            if self._next is None:
                return
            await self._time.reach(_opens_ns(self._next))
            self._open(self._next)

    def _open(self, day: MarketDay) -> None:
        if day.day != self._desk.day:
            self._desk.open_day(day.day, day.references)
        prints = self._tape.prints(day)
        self._groups = (
            list(group) for _, group in groupby(prints, key=lambda one: (one.ts_ns, one.symbol))
        )
        self._next = next(self._days, None)

    async def _play_group(self, group: Sequence[Print]) -> None:
        ts_ns, symbol = group[0].ts_ns, group[0].symbol
        market, push = self._desk.markets[symbol], self._push
        rows: list[list[str]] = []
        for trade in group:
            self._desk.play(trade)
            rows.append(records.trade_record(market, trade))
        for at in range(0, len(rows), RECORDS_PER_FRAME_MAX):
            await push.broadcast(wire.TR_TRADE, symbol, rows[at : at + RECORDS_PER_FRAME_MAX])
        if push.is_subscribed(wire.TR_BOOK, symbol):
            await push.broadcast(wire.TR_BOOK, symbol, [records.book_record(market, ts_ns)])
        # Without a reader nothing above gives way, and requests must be answered in between.
        await asyncio.sleep(0)


def _opens_ns(day: MarketDay) -> int:
    calendar = calendar_for("KRX")
    if not calendar.is_session(day.day):
        return min(bar.start_ns for bar in day.bars)
    return calendar.open_close_ns(day.day)[0] - _OPENED_BEFORE_NS
