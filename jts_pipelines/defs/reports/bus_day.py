"""What the bus still holds of a day: the trades that the trader read, the bars that it closed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jts_pipelines.defs.joint import ask_bus
from jts_pipelines.reports.parity import SeenBar, SeenTick
from jts_pipelines.reports.parity_seen import bars_of, ticks_of_entry
from jts_trading.domain.feed_messages import BarClosed, BarsClosed, TicksCollected
from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.schemas import SchemaError

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House
    from jts_pipelines.reports.daily_records import Span
    from jts_trading.bus.redis_streams import RedisBus
    from jts_trading.ports.bus import Entry

_MARKETS = {"KRX": "krx", "NXT": "krx", "BINANCE": "crypto", "UPBIT": "crypto"}
_READ_MAX = 500


@dataclass(slots=True)
class BusDay:
    """Messages of a day about some instruments.

    Attributes:
        unrecorded: Number of the first trade, by feed, that the recorder has not come to yet.
    """

    ticks: list[SeenTick] = field(default_factory=list)
    bars: list[SeenBar] = field(default_factory=list)
    unrecorded: dict[str, int] = field(default_factory=dict)


def read_bus_day(
    house: "House",
    span: "Span",
    instruments: Collection[str],
    places: Mapping[str, str] | None = None,
) -> BusDay:
    """Return what the bus holds of a day in Korea.

    Args:
        house: Whose bus.
        span: The day.
        instruments: Ids.
        places: How far each reader of the bus has recorded it; None for all.

    Raises:
        BusUnavailableError: It does not answer.
    """
    markets = {_MARKETS.get(each.partition(":")[0], "") for each in instruments} - {""}
    topics = [f"market-data.{m}.{kind}" for m in sorted(markets) for kind in ("ticks", "candles")]
    found = BusDay()

    async def read(bus: "RedisBus") -> None:
        for topic in topics:
            at = {topic: "0-0"}
            while True:
                entries, then = await bus.read(at, count=_READ_MAX, wait_ms=0)
                for entry in entries:
                    _take(found, entry, span, instruments, places)
                if then == at:
                    break
                at = then

    if topics:
        ask_bus(house, read)
    return found


def recorded_up_to(places: Mapping[str, str], topic: str) -> tuple[int, int]:
    """Return the entry of a topic up to which the recorder has recorded it."""
    return _position(places.get(f"recorder/{topic}", ""))


def _take(
    found: BusDay,
    entry: "Entry",
    span: "Span",
    instruments: Collection[str],
    places: Mapping[str, str] | None,
) -> None:
    envelope = entry.envelope
    try:
        message = MESSAGES.decode(envelope.type, envelope.version, envelope.payload)
    except SchemaError:
        return  # A stranger's entry; whoever reads in a group sets it aside.
    match message:
        case TicksCollected():
            found.ticks += [
                tick
                for tick in ticks_of_entry(message)
                if tick.instrument_id in instruments
                and span.from_ns <= tick.ts_event_ns < span.before_ns
            ]
            if places is not None:
                last = recorded_up_to(places, entry.topic)
                if _position(entry.entry_id) > last:
                    found.unrecorded.setdefault(message.feed, message.first_tick)
        case BarsClosed() | BarClosed() if span.from_ns <= message.start_ns < span.before_ns:
            found.bars += [bar for bar in bars_of(message) if bar.instrument_id in instruments]
        case _:
            pass


def _position(text: str) -> tuple[int, int]:
    first, _, second = text.partition("-")
    return (int(first or 0), int(second or 0))
