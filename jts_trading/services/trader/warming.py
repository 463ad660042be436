"""Warm new instances up: from the lake, then from recorded ticks, by the engine itself.

Nothing is decided on the way. The result has read a feed up to some tick; whoever takes it over
brings it to his own place with the ticks in between.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby

import polars as pl
import structlog

from jts_trading.domain.calendars import CalendarError
from jts_trading.domain.feed_messages import TicksCollected
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.sessions import calendar_for, local_date
from jts_trading.engine.events import TicksArrived
from jts_trading.engine.setup import ListingOf, Prepared, new_state
from jts_trading.engine.slots import date_of_number
from jts_trading.engine.state import NEVER_NS, EngineSettings, EngineState, Instance
from jts_trading.engine.step import step
from jts_trading.engine.stored import bar_columns, entries_of
from jts_trading.engine.warmup import gather, warm
from jts_trading.ports.market import Market, MarketRefusedError
from jts_trading.strategy.frames import interval_seconds

# Stored bars that coarser ones are gathered from, coarsest first.
_STORED = ("1d", "4h", "1h", "30m", "15m", "10m", "5m", "3m", "1m")
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Warmed:
    """New instances with warm state.

    Attributes:
        state: Of these instances only.
        doubts: What a person should know of the warm-up.
    """

    state: EngineState
    doubts: list[str] = field(default_factory=list)


async def warm_up(
    prepared: Sequence[Prepared],
    market: Market,
    *,
    settings: EngineSettings,
    listing_of: ListingOf,
    now_ns: int,
    history_days: int,
) -> Warmed:
    """Return instances whose state is that of all bars and ticks that are stored.

    Args:
        prepared: The instances.
        market: Where bars and ticks are.
        settings: Of the engine.
        listing_of: Market and kind of an instrument.
        now_ns: Instance time.
        history_days: Most sessions of recorded ticks that are read.

    Raises:
        MarketUnavailableError: A store did not answer.
        RuleMissingError: The steps of an instrument are not known.
    """
    today = local_date(prepared[0].spec.venue, now_ns) if prepared else date(1970, 1, 1)
    warmed = Warmed(new_state(settings, prepared, listing_of, today))
    for instance in warmed.state.instances.values():
        # History: it is taken in, and nothing is decided on it.
        instance.decides_from_ns = NEVER_NS
        await _read_lake(warmed, instance, market, now_ns)
    for venue, first, last, symbols in _spans(warmed.state, now_ns, history_days):
        for day in _sessions(venue, first, last):
            try:
                rows = await market.read(
                    "ticks", venue=venue, symbols=symbols, first=day, last=day, interval="tick"
                )
            except MarketRefusedError as error:
                warmed.doubts.append(str(error))
                break
            await asyncio.to_thread(take_in, warmed.state, entries_of(rows))
    return warmed


def take_in(state: EngineState, entries: Iterable[TicksCollected]) -> None:
    """Let a warming state read ticks; what follows from them is history."""
    for entry in entries:
        arrived_ns = entry.ticks[-1].ts_recv_ns if entry.ticks else 0
        step(state, TicksArrived(entry, "", is_recorded=True), arrived_ns)


async def _read_lake(warmed: Warmed, instance: Instance, market: Market, now_ns: int) -> None:
    spec = instance.spec
    if not spec.epoch:
        return
    today = local_date(spec.venue, now_ns)
    last = today - timedelta(days=1)
    for symbol in spec.instrument_ids:
        rows = await _candles(market, instance, symbol, date.fromisoformat(spec.epoch), last)
        count = 0
        if rows is not None:
            count = await asyncio.to_thread(_warm_symbol, warmed.state, instance, symbol, rows)
        needed = max(instance.program.plan.warmup_bars.values(), default=0)
        _log.info(
            "warmed_up", instance=spec.instance, instrument_id=symbol, bars=count, needed=needed
        )
        if count == 0:
            warmed.doubts.append(
                f"{spec.instance}: no stored bars of {symbol} from {spec.epoch} on"
            )


async def _candles(
    market: Market, instance: Instance, symbol: str, first: date, last: date
) -> pl.DataFrame | None:
    """Return stored bars of the instance's interval, or of the coarsest finer one there are."""
    wanted = interval_seconds(instance.interval)
    finer = [name for name in _STORED if wanted % interval_seconds(name) == 0]
    for interval in finer:
        try:
            rows = await market.read(
                "candles",
                venue=instance.spec.venue,
                symbols=[parse_instrument_id(symbol).symbol],
                first=first,
                last=last,
                interval=interval,
            )
        except MarketRefusedError:
            return None
        if rows.height:
            return rows
    return None


def _warm_symbol(state: EngineState, instance: Instance, symbol: str, rows: pl.DataFrame) -> int:
    venue, units = instance.spec.venue, instance.units[symbol]
    bars = gather(bar_columns(rows, venue, units), interval_seconds(instance.interval))
    builder = state.builders[symbol, venue, instance.interval]
    return warm(instance, symbol, builder, bars)


def _spans(
    state: EngineState, now_ns: int, history_days: int
) -> list[tuple[str, date, date, list[str]]]:
    """Return what recorded ticks to read: venue, first and last day, symbols."""
    spans = []
    instances = sorted(state.instances.values(), key=lambda each: each.spec.venue)
    for venue, group in groupby(instances, key=lambda each: each.spec.venue):
        today = local_date(venue, now_ns)
        oldest = _back(venue, today, history_days)
        first, symbols = today, set[str]()
        for instance in group:
            for symbol, row in instance.symbols.items():
                symbols.add(parse_instrument_id(symbol).symbol)
                if row.day >= 0:
                    after = date_of_number(row.day) + timedelta(days=1)
                    first = min(first, max(after, oldest))
        spans.append((venue, first, today, sorted(symbols)))
    return spans


def _back(venue: str, day: date, sessions: int) -> date:
    calendar = calendar_for(venue)
    try:
        for _ in range(sessions):
            day = calendar.previous_session(day)
    except CalendarError:
        pass
    return day


def _sessions(venue: str, first: date, last: date) -> list[date]:
    try:
        return calendar_for(venue).sessions(first, last)
    except CalendarError:
        return []


def read_places(state: EngineState) -> Mapping[str, int]:
    """Return the number of the newest tick that a state has read of each feed."""
    return {feed: place.last_tick for feed, place in state.feeds.items()}
