"""What a certificate compares, out of messages of the bus and rows of the lake. Pure."""

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from jts_pipelines.reports.parity import SeenBar, SeenSignal, SeenTick
from jts_trading.domain.feed_messages import BarClosed, BarsClosed, TicksCollected
from jts_trading.domain.instruments import instrument_id, parse_venue
from jts_trading.domain.journal_events import SignalRecorded
from jts_trading.domain.ticks import TradeTick


def ticks_of_entry(entry: TicksCollected) -> Iterator[SeenTick]:
    """Yield the trades of an entry; order books are not recorded, so nobody can compare them."""
    for at, tick in enumerate(entry.ticks):
        if isinstance(tick, TradeTick):
            yield SeenTick(
                entry.feed,
                entry.first_tick + at,
                tick.instrument_id,
                tick.ts_event_ns,
                tick.price,
                tick.quantity,
            )


def ticks_of_rows(rows: pl.DataFrame) -> list[SeenTick]:
    """Return rows of the dataset `ticks`."""
    wanted = rows.select(
        "feed",
        "tick",
        "venue",
        "symbol",
        pl.col("timestamp").dt.epoch("ns"),
        "price",
        "quantity",
    )
    return [
        SeenTick(feed, tick, _id(venue, symbol), at_ns, price, quantity)
        for feed, tick, venue, symbol, at_ns, price, quantity in wanted.iter_rows()
    ]


def bars_of(message: BarsClosed | BarClosed) -> list[SeenBar]:
    """Return bars as the trader announced them: together, or one by one as the first traders."""
    return [
        _bar(each) for each in (message.bars() if isinstance(message, BarsClosed) else [message])
    ]


def _bar(message: BarClosed) -> SeenBar:
    return SeenBar(
        message.instrument_id,
        message.venue,
        message.interval,
        message.start_ns,
        message.open,
        message.high,
        message.low,
        message.close,
        message.volume,
        message.ticks,
        message.last_tick,
    )


def signal_of(event: SignalRecorded) -> SeenSignal:
    """Return a signal as the engine recorded it."""
    return SeenSignal(
        event.instance,
        event.release,
        event.instrument_id,
        event.interval,
        event.bar_start_ns,
        event.rule,
        event.kind,
        event.side.value,
        event.price,
    )


def signals_of_rows(rows: pl.DataFrame) -> list[SeenSignal]:
    """Return rows of the dataset `signals`."""
    wanted = rows.select(
        "instance",
        "release",
        "venue",
        "symbol",
        "interval",
        pl.col("timestamp").dt.epoch("ns"),
        "rule",
        "kind",
        "side",
        "price",
    )
    return [
        SeenSignal(instance, release, _id(venue, symbol), interval, at_ns, rule, kind, side, price)
        for instance, release, venue, symbol, interval, at_ns, rule, kind, side, price in (
            wanted.iter_rows()
        )
    ]


def within(recorded: Iterable[SeenTick], kept: Sequence[SeenTick]) -> list[SeenTick]:
    """Return the recorded trades whose numbers lie inside what the bus still holds of their feed.

    The bus forgets from its old end: what it forgot cannot be compared.
    """
    spans: dict[str, tuple[int, int]] = {}
    for tick in kept:
        first, last = spans.get(tick.feed, (tick.tick, tick.tick))
        spans[tick.feed] = (min(first, tick.tick), max(last, tick.tick))
    nothing = (1, 0)
    return [
        tick
        for tick in recorded
        if spans.get(tick.feed, nothing)[0] <= tick.tick <= spans.get(tick.feed, nothing)[1]
    ]


def _id(venue: str, symbol: str) -> str:
    return str(instrument_id(parse_venue(venue), symbol))
