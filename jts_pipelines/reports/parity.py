"""Whether live and backtest agree: what the trader saw and said, and what comes out again. Pure.

Three levels are compared, because each explains the one above it: trades, bars, signals. A signal
that differs although its bars are equal, a bar that differs although its trades are equal, and a
trade that differs at all have no excuse: they are unexplained, and the certificate fails. What
follows from a difference below is explained by it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple, TypeVar

import msgspec

from jts_pipelines.reports.amounts import amount

VERSION = 1
NOT_RECORDED = "the recorder had not come to the trade yet"
TICK_DIFFERS = "a trade in the bar differs"
BAR_DIFFERS = "an earlier bar differs"
NOT_TRADED = "the release was not traded then"
NOT_DECIDING = "the trader had closed no bar yet"

SignalKey = tuple[str, str, str, str, int, int]
BarKey = tuple[str, str, str, int]
TickKey = tuple[str, int]
Traded = tuple[str, str]
"""A strategy instance and a release that it traded."""
_Key = TypeVar("_Key", TickKey, BarKey, tuple[SignalKey, int])
_Seen = TypeVar("_Seen")


class SeenTick(NamedTuple):
    """One trade: feed and number, what it says, and when."""

    feed: str
    tick: int
    instrument_id: str
    ts_event_ns: int
    price: Decimal
    quantity: Decimal

    @property
    def key(self) -> TickKey:
        """Feed and number."""
        return self.feed, self.tick


class SeenBar(NamedTuple):
    """One closed bar."""

    instrument_id: str
    venue: str
    interval: str
    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    ticks: int
    last_tick: int

    @property
    def key(self) -> BarKey:
        """Instrument, venue, interval and start."""
        return self[:4]


class SeenSignal(NamedTuple):
    """One rule that fired on a closed bar, or on a trade of one in the making."""

    instance: str
    release: str
    instrument_id: str
    interval: str
    bar_start_ns: int
    rule: int
    kind: str
    side: str
    price: Decimal

    @property
    def key(self) -> SignalKey:
        """Instance, release, instrument, interval, bar and rule."""
        return self[:6]


@dataclass(frozen=True, slots=True)
class Seen:
    """One side of the comparison.

    Attributes:
        ticks: None where they are not kept any more; then they are not compared.
        bars: Likewise.
    """

    signals: Sequence[SeenSignal]
    bars: Sequence[SeenBar] | None = None
    ticks: Sequence[SeenTick] | None = None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which the two sides differ.

    Attributes:
        at_ns: Time of the trade, or start of the bar, UTC ns.
        live: What the trader saw or said; empty for nothing.
        again: What came out again, likewise.
        cause: Why, where that is known; empty for an unexplained difference.
    """

    level: Literal["tick", "bar", "signal"]
    instrument_id: str
    instance: str
    at_ns: int
    live: str
    again: str
    cause: str = ""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """How much was compared on one level."""

    live: int
    again: int
    equal: int


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    Attributes:
        day: In Korea.
        releases: Instances with the releases that they traded.
        matched: Signals that are equal, prices included.
        explained: Differences by cause, on all levels.
        unexplained: All others; nothing may be promoted unless it is 0.
        levels: How much was compared.
        notes: What could not be compared, and why.
    """

    version: int = VERSION
    day: date
    releases: list[str]
    live_signals: int
    backtest_signals: int
    matched: int
    explained: dict[str, int]
    unexplained: int
    levels: dict[str, Level]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Blame:
    """What differed below: the bars that hold a differing trade, the first differing bar.

    `began` is when the trader's first bar of an instrument and interval started: a trader that is
    started for the first time takes earlier trades as history and decides nothing on them.
    """

    tick_times: dict[str, list[int]] = field(default_factory=dict)
    first_bar: dict[str, int] = field(default_factory=dict)
    began: dict[tuple[str, str], int] = field(default_factory=dict)

    def tick_in(self, instrument: str, start_ns: int, length_ns: int) -> bool:
        """Return whether a trade inside a span differs."""
        times = self.tick_times.get(instrument, ())
        return any(start_ns <= at < start_ns + length_ns for at in times)

    def bar_before(self, instrument: str, start_ns: int) -> bool:
        """Return whether a bar at or before an instant differs."""
        first = self.first_bar.get(instrument)
        return first is not None and first <= start_ns


def certify(
    live: Seen,
    again: Seen,
    *,
    day: date,
    traded: Mapping[Traded, tuple[int, int]],
    lengths_ns: Mapping[str, int],
    unrecorded: Mapping[str, int] | None = None,
) -> Certificate:
    """Compare what was seen live with what came out again.

    Args:
        live: Of the trader and its bus.
        again: Of the recorded trades and the same program.
        day: In Korea.
        traded: From when until when each instance traded a release, instance time, UTC ns.
        lengths_ns: Of a bar, by interval.
        unrecorded: Number of the first trade, by feed, that nobody has tried to record yet.
    """
    blame = _Blame()
    differences: list[Difference] = []
    levels: dict[str, Level] = {}
    notes: list[str] = []
    if live.ticks is None or again.ticks is None:
        notes.append("trades were not compared: the bus does not hold those of the day any more")
    else:
        found = list(_ticks(live.ticks, again.ticks, blame, unrecorded or {}))
        differences += found
        levels["ticks"] = _level(live.ticks, again.ticks, found)
    if live.bars is None or again.bars is None:
        notes.append("bars were not compared: the bus does not hold those of the day any more")
    else:
        for bar in live.bars:
            key = (bar.instrument_id, bar.interval)
            blame.began[key] = min(blame.began.get(key, bar.start_ns), bar.start_ns)
        found = list(_bars(live.bars, again.bars, blame, lengths_ns))
        differences += found
        levels["bars"] = _level(live.bars, again.bars, found)
    found = list(_signals(live.signals, again.signals, blame, traded))
    levels["signals"] = _level(live.signals, again.signals, found)
    differences += found
    causes = Counter(each.cause for each in differences if each.cause)
    return Certificate(
        day=day,
        releases=[f"{instance}: {release}" for instance, release in sorted(traded)],
        live_signals=len(live.signals),
        backtest_signals=len(again.signals),
        matched=levels["signals"].equal,
        explained=dict(sorted(causes.items())),
        unexplained=sum(not each.cause for each in differences),
        levels=levels,
        differences=tuple(differences),
        notes=tuple(notes),
    )


def _ticks(
    live: Sequence[SeenTick],
    again: Sequence[SeenTick],
    blame: _Blame,
    unrecorded: Mapping[str, int],
) -> Iterator[Difference]:
    mine, theirs = {each.key: each for each in live}, {each.key: each for each in again}
    for key in _differing(mine, theirs):
        one = mine.get(key) or theirs[key]
        blame.tick_times.setdefault(one.instrument_id, []).append(one.ts_event_ns)
        is_due = key in theirs or one.tick < unrecorded.get(one.feed, one.tick + 1)
        yield Difference(
            level="tick",
            instrument_id=one.instrument_id,
            instance="",
            at_ns=one.ts_event_ns,
            live=_tick_said(mine.get(key)),
            again=_tick_said(theirs.get(key)),
            cause="" if is_due else NOT_RECORDED,
        )


def _bars(
    live: Sequence[SeenBar],
    again: Sequence[SeenBar],
    blame: _Blame,
    lengths_ns: Mapping[str, int],
) -> Iterator[Difference]:
    mine, theirs = {each.key: each for each in live}, {each.key: each for each in again}
    for key in _differing(mine, theirs):
        instrument, _, interval, start_ns = key
        first = blame.first_bar.get(instrument, start_ns)
        blame.first_bar[instrument] = min(first, start_ns)
        is_blamed = blame.tick_in(instrument, start_ns, lengths_ns[interval])
        yield Difference(
            level="bar",
            instrument_id=instrument,
            instance="",
            at_ns=start_ns,
            live=_bar_said(mine.get(key)),
            again=_bar_said(theirs.get(key)),
            cause=TICK_DIFFERS if is_blamed else "",
        )


def _signals(
    live: Sequence[SeenSignal],
    again: Sequence[SeenSignal],
    blame: _Blame,
    traded: Mapping[Traded, tuple[int, int]],
) -> Iterator[Difference]:
    mine, theirs = _numbered(live), _numbered(again)
    for key in _differing(mine, theirs):
        (instance, release, instrument, interval, start_ns, _), _ = key
        from_ns, until_ns = traded.get((instance, release), (0, 0))
        cause = ""
        if key not in mine and not from_ns <= start_ns < until_ns:
            cause = NOT_TRADED
        elif key not in mine and start_ns < blame.began.get((instrument, interval), 0):
            cause = NOT_DECIDING
        elif blame.bar_before(instrument, start_ns):
            cause = BAR_DIFFERS
        yield Difference(
            level="signal",
            instrument_id=instrument,
            instance=instance,
            at_ns=start_ns,
            live=_signal_said(mine.get(key)),
            again=_signal_said(theirs.get(key)),
            cause=cause,
        )


def _numbered(signals: Iterable[SeenSignal]) -> dict[tuple[SignalKey, int], SeenSignal]:
    """Return signals by key and number: on trades a rule may fire several times in one bar."""
    counts: Counter[SignalKey] = Counter()
    found: dict[tuple[SignalKey, int], SeenSignal] = {}
    for each in sorted(signals):
        found[each.key, counts[each.key]] = each
        counts[each.key] += 1
    return found


def _differing(mine: Mapping[_Key, _Seen], theirs: Mapping[_Key, _Seen]) -> list[_Key]:
    both = mine.keys() | theirs.keys()
    return sorted(key for key in both if mine.get(key) != theirs.get(key))


def _level(live: Sequence[object], again: Sequence[object], found: Iterable[Difference]) -> Level:
    missing = sum(bool(each.live) for each in found)
    return Level(live=len(live), again=len(again), equal=len(live) - missing)


def _tick_said(tick: SeenTick | None) -> str:
    if tick is None:
        return ""
    return f"{tick.feed} tick {tick.tick}: {amount(tick.quantity)} at {amount(tick.price)}"


def _bar_said(bar: SeenBar | None) -> str:
    if bar is None:
        return ""
    prices = " / ".join(amount(price) for price in (bar.open, bar.high, bar.low, bar.close))
    trades = f"{amount(bar.volume)} in {bar.ticks} trades up to {bar.last_tick}"
    return f"{bar.interval} {prices}, {trades}"


def _signal_said(signal: SeenSignal | None) -> str:
    if signal is None:
        return ""
    return f"{signal.kind} {signal.side} by rule {signal.rule} at {amount(signal.price)}"
