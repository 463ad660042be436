"""Conditions on trades: what they look at while bars are in the making, and since when they rest.

Theory of operation. Each trade that went into a bar is noted with the bar as it is then. Before
anything else happens, one compiled call judges all that were noted: it makes a copy of the state
of each one's instrument and runs the rules over the bar as if it closed now (`dsl.ticks`). A rule
fires when its condition holds, and again only after it did not hold for `loops.REST_NS`, by the
arrival of trades; a session begins anew. Whether conditions hold follows from ticks alone, so this
is part of the market half of a state.
"""

from array import array
from typing import NamedTuple

import numpy as np

from jts_trading.domain.instruments import parse_venue, quantity_scale
from jts_trading.engine.bars import BarBuilder
from jts_trading.engine.columns import DAY, STAMP_MS, Floats, Ints
from jts_trading.engine.loops import ARMED
from jts_trading.engine.periods import frames_closed
from jts_trading.engine.program import Program, TickProgram
from jts_trading.engine.slots import NS_PER_MS
from jts_trading.engine.trails import PriceTrail
from jts_trading.strategy.instants import INSTANT_SIZE, instant
from jts_trading.strategy.quotes import spread_of


class Noted(NamedTuple):
    """A trade that is still to be judged, and the bar that it went into.

    Attributes:
        place: In its entry.
        volume: Of the bar then, in smallest quantities; likewise its trades.
    """

    place: int
    row: int
    builder: BarBuilder
    volume: int
    trades: int


class Fired(NamedTuple):
    """A trade on which rules fire.

    Attributes:
        fired: Mask of the rules.
        held: Mask of the rules whose condition holds.
        bar: Open, high, low, close, volume, spread, 1 for doubtful, then the prices before.
        instant: Bits of the frames that closed before the bar, then what its start says.
        left: What was left for order prices: `Plan.values`.
    """

    noted: Noted
    fired: int
    held: int
    bar: list[float]
    instant: list[int]
    left: Floats


class Watch:
    """What the rules on trades of one instance look at.

    Args:
        program: Of the instance; it has such rules.
        ticks: Those rules.
        venue: Where it trades.
        seen: Market half of the instance, see `columns`.

    Attributes:
        quiet: [instrument, column]: the session, then since when the condition of each rule has
            not held, see `loops.judge_trades`.
        trails: Past prices by instrument; empty where nobody asks.
    """

    def __init__(self, program: Program, ticks: TickProgram, venue: str, seen: Ints) -> None:
        count = len(seen)
        self.quiet = np.full((count, 1 + len(ticks.bits)), ARMED, np.int64)
        lags_ns = ticks.plan.lags_ns
        self.trails = [PriceTrail(lags_ns) for _ in range(count)] if lags_ns else []
        self._program, self._ticks, self._venue, self._seen = program, ticks, venue, seen
        self._unit = 10 ** quantity_scale(parse_venue(venue))
        self._starts_ns = [-1] * count
        self._is_seen = [False] * count
        self._begun = np.zeros((count, 1 + INSTANT_SIZE), np.int64)
        self._copy = np.zeros(program.plan.state_size)
        self._noted: list[Noted] = []
        self._rows, self._times, self._numbers = array("q"), array("q"), array("d")

    def note(self, place: int, row: int, builder: BarBuilder, now_ns: int) -> None:
        """Note a trade that was added to a bar.

        Args:
            place: Of the trade in its entry.
            row: Of its instrument.
            builder: The bar.
            now_ns: When it arrived, never before an earlier one.
        """
        before: list[float] = []
        if self.trails:
            trail = self.trails[row]
            before = trail.before(now_ns)
            trail.add(now_ns, builder.close)
        if builder.start_ns != self._starts_ns[row]:
            self._begin(row, builder)
        if self._is_seen[row]:
            return
        volume = builder.volume
        self._noted.append(Noted(place, row, builder, volume, builder.trades))
        self._rows.append(row)
        self._times.append(now_ns)
        self._numbers.extend(
            (
                builder.open,
                builder.high,
                builder.low,
                builder.close,
                volume / self._unit,
                spread_of(builder.bid, builder.ask),
                builder.is_doubtful,
                *before,
            )
        )

    def _begin(self, row: int, builder: BarBuilder) -> None:
        """Look up what is the same for all trades of a bar."""
        day, stamp_ms = builder.day, builder.start_ns // NS_PER_MS
        self._starts_ns[row] = builder.start_ns
        newest = (int(self._seen[row, DAY]), int(self._seen[row, STAMP_MS]))
        # A bar that a warm-up held already is not judged again.
        self._is_seen[row] = newest >= (day, stamp_ms)
        if self.quiet[row, 0] != day:
            self.quiet[row, 0], self.quiet[row, 1:] = day, ARMED
        when = np.array((day, stamp_ms, builder.open_ms), np.int64)
        frames = self._program.plan.timeframes
        self._begun[row, 0] = frames_closed(frames, self._seen, np.array([row]), when)[0]
        if self._ticks.instant_columns:
            self._begun[row, 1:] = instant(self._venue, day, stamp_ms, builder.open_ms)

    def judge(self, states: Floats) -> list[Fired]:
        """Judge what was noted; returns the trades on which rules fire, in their order.

        Args:
            states: Of the instruments, [instrument, slot].
        """
        noted, self._noted = self._noted, []
        if not noted:
            return []
        count, plan = len(noted), self._program.plan
        numbers = np.frombuffer(self._numbers).reshape(count, -1)
        masks, left = np.empty((count, 2), np.int64), np.empty((count, plan.values))
        fires = self._ticks.judge(
            states,
            self._copy,
            self.quiet,
            self._begun,
            np.frombuffer(self._rows, np.int64),
            np.frombuffer(self._times, np.int64),
            numbers,
            self._ticks.bits,
            masks,
            left,
            plan.values_slot,
        )
        self._rows, self._times, self._numbers = array("q"), array("q"), array("d")
        if not fires:
            return []
        return [
            Fired(
                noted[at],
                int(masks[at, 0]),
                int(masks[at, 1]),
                numbers[at].tolist(),
                self._begun[noted[at].row].tolist(),
                left[place],
            )
            for place, at in enumerate(np.flatnonzero(masks[:, 0]).tolist())
        ]

    def stored(self) -> tuple[list[tuple[int, ...]], list[bytes]]:
        """Return what is kept of each instrument: since when it is quiet, and its past prices."""
        trails = [trail.stored() for trail in self.trails] or [b""] * len(self.quiet)
        return [tuple(row) for row in self.quiet.tolist()], trails

    def load(self, row: int, quiet: tuple[int, ...], trail: bytes) -> None:
        """Go on from what was stored of an instrument."""
        self.quiet[row] = quiet
        if self.trails:
            self.trails[row].load(trail)

    def begin_trail(self, row: int, times_ns: list[int], prices: list[int]) -> None:
        """Let closes of older bars be the past prices of an instrument.

        Args:
            row: Of the instrument.
            times_ns: End of each bar.
            prices: Its close in ticks.
        """
        if self.trails:
            for at_ns, price in zip(times_ns, prices, strict=True):
                self.trails[row].add(at_ns, price)

    @property
    def longest_ns(self) -> int:
        """How far back past prices are asked for; 0 where none are."""
        return max(self._ticks.plan.lags_ns, default=0)
