"""Gather both sides of a day and compare them; pure of Dagster.

Live: signals that the recorder wrote, bars and trades that the bus still holds. Again: the same
program over recorded trades. What may still be under way at this moment is left out on both sides.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import msgspec
import polars as pl

from jts_pipelines.defs.reports.bus_day import BusDay, read_bus_day
from jts_pipelines.defs.reports.traded import TradedInstance, traded_on
from jts_pipelines.reports.daily_records import Span, day_span
from jts_pipelines.reports.parity import (
    Certificate,
    Seen,
    SeenBar,
    SeenSignal,
    SeenTick,
    Traded,
    certify,
)
from jts_pipelines.reports.parity_recompute import Moved, recompute
from jts_pipelines.reports.parity_seen import signals_of_rows, ticks_of_rows, within
from jts_trading.domain.journal_events import EVENTS, JournalEvent, NoteRecorded
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.engine.state import EngineSettings
from jts_trading.ports.clock import InstanceClock
from jts_trading.ports.inputs import read_inputs
from jts_trading.strategy.frames import interval_seconds
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.ledger.reading import Row

if TYPE_CHECKING:
    from datetime import date

    from jts_pipelines.defs.house import House

# Events that move orders or positions.
_MOVING = (
    "intent_recorded", "order_adopted", "order_amended", "order_cancelled", "order_denied",
    "order_expired", "order_filled", "order_rejected", "position_adopted",
)  # fmt: skip
_BEGAN = "note/trader_began"
_NS_PER_S = 1_000_000_000


def certify_day(house: "House", day: "date", *, bar_grace_s: float) -> Certificate:
    """Compare a day in Korea, live against again.

    Args:
        house: The instance.
        day: In Korea.
        bar_grace_s: How long the trader waits for trades after the end of a bar, instance seconds.

    Raises:
        BusUnavailableError: The bus does not answer.
        StorageError: A store does not answer.
        JtsError: A text does not compile any more, or no rule covers the day.
    """
    span = day_span(day)
    traded = traded_on(house.root, span)
    instruments = {name for each in traded for name in each.spec.instrument_ids}
    speed = _speed(house)
    settings = EngineSettings(grace_ns=_grace_ns(house, bar_grace_s, speed))
    # A real second, and what the trader waits for: nothing older is under way.
    rest_ns = house.clock.now_ns() - settings.grace_ns - int(speed * _NS_PER_S)
    until_ns = min(rest_ns, span.before_ns)
    on_bus = read_bus_day(house, span, instruments, _places(house))
    with house.lake() as lake, house.ledger() as ledger:
        again = recompute(
            [each.spec for each in traded],
            lake,
            span,
            until_ns=until_ns,
            begins=_begins(ledger.stream(_BEGAN)),
            moved=list(_moved(ledger.events(_MOVING, from_ns=0, before_ns=span.before_ns))),
            settings=settings,
            cache_dir=house.root / "cache" / "kernels",
        )
        live_signals = _live_signals(lake, span, traded)
        recorded = _recorded(lake, span, instruments)
    ticks = [tick for tick in on_bus.ticks if tick.ts_event_ns < until_ns]
    ended = _Ended(until_ns)
    return certify(
        Seen(
            ended.signals(live_signals),
            ended.bars(on_bus.bars) if on_bus.bars else None,
            ticks or None,
        ),
        Seen(
            ended.signals(again.signals),
            ended.bars(_held(again.bars, on_bus)),
            within([tick for tick in recorded if tick.ts_event_ns < until_ns], ticks),
        ),
        day=day,
        traded={each.key: (each.from_ns, each.until_ns) for each in traded},
        lengths_ns=_LENGTHS,
        unrecorded=on_bus.unrecorded,
    )


class _Lengths(dict[str, int]):
    """Length of a bar in ns, by interval."""

    def __missing__(self, interval: str) -> int:
        self[interval] = interval_seconds(interval) * _NS_PER_S
        return self[interval]


_LENGTHS = _Lengths()


class _Ended:
    """Keeps what had ended by an instant."""

    def __init__(self, until_ns: int) -> None:
        self._until_ns = until_ns

    def bars(self, bars: Sequence[SeenBar]) -> list[SeenBar]:
        """Return the bars that had ended."""
        return [b for b in bars if b.start_ns + _LENGTHS[b.interval] <= self._until_ns]

    def signals(self, signals: Sequence[SeenSignal]) -> list[SeenSignal]:
        """Return the signals of bars that had ended."""
        return [s for s in signals if s.bar_start_ns + _LENGTHS[s.interval] <= self._until_ns]


def _places(house: "House") -> dict[str, str]:
    hot = HotStore(house.settings.hot_dsn)
    try:
        return hot.appends.places()
    finally:
        hot.close()


def _held(bars: Sequence[SeenBar], on_bus: BusDay) -> list[SeenBar]:
    """Return the bars that are not older than what the bus still holds of their instrument."""
    oldest: dict[tuple[str, str], int] = {}
    for bar in on_bus.bars:
        key = (bar.instrument_id, bar.interval)
        oldest[key] = min(oldest.get(key, bar.start_ns), bar.start_ns)
    nothing = 1 << 62
    return [
        bar
        for bar in bars
        if bar.start_ns >= oldest.get((bar.instrument_id, bar.interval), nothing)
    ]


def _live_signals(lake: Lake, span: Span, traded: Sequence[TradedInstance]) -> list[SeenSignal]:
    names = [each.spec.instance for each in traded]
    rows = _of_day(lake, "signals", span).filter(pl.col("instance").is_in(names))
    return signals_of_rows(rows.collect())


def _recorded(lake: Lake, span: Span, instruments: Collection[str]) -> list[SeenTick]:
    symbols = {name.partition(":")[2] for name in instruments}
    rows = _of_day(lake, "ticks", span).filter(pl.col("symbol").is_in(symbols))
    return [tick for tick in ticks_of_rows(rows.collect()) if tick.instrument_id in instruments]


def _of_day(lake: Lake, dataset: str, span: Span) -> pl.LazyFrame:
    """Return rows whose time lies in a day in Korea; venues elsewhere have two days in it."""
    at_ns = pl.col("timestamp").dt.epoch("ns")
    rows = lake.scan(dataset, start=span.day - timedelta(days=1), end=span.day)
    return rows.filter(at_ns.is_between(span.from_ns, span.before_ns, closed="left"))


class _Began(msgspec.Struct, frozen=True):
    """The body of the trader's note that an instance begins to decide."""

    release: str
    decides_from_ns: int


def _begins(rows: Iterable[Row]) -> dict[Traded, int]:
    """Return from when on each instance decided under each release."""
    found: dict[Traded, int] = {}
    for row in rows:
        note = msgspec.json.decode(row["payload"], type=NoteRecorded)
        body = msgspec.json.decode(note.body, type=_Began)
        found.setdefault((note.subject, body.release), body.decides_from_ns)
    return found


def _moved(rows: Iterable[Row]) -> Iterator[Moved]:
    for row in rows:
        kind = EVENTS.find(row["type"], row["schema_version"])
        event = cast("JournalEvent", msgspec.json.decode(row["payload"], type=kind))
        yield row["seq"], row["ts_ns"], event


def _grace_ns(house: "House", bar_grace_s: float, speed: Fraction) -> int:
    """Return how long the trader waits for trades: at clock speed s it allows for its own way."""
    inputs = read_inputs(house.root)
    limits = RiskLimits() if inputs is None else inputs.risk
    beyond_s = max(Fraction(0), speed - 1) * Fraction(limits.latency_allowance_s)
    return int((Fraction(bar_grace_s) + beyond_s) * _NS_PER_S)


def _speed(house: "House") -> Fraction:
    clock = house.clock
    return clock.speed if isinstance(clock, InstanceClock) else Fraction(1)
