"""Run bars that closed together through a strategy: one compiled call for all instruments."""

from typing import NamedTuple

import numpy as np

from jts_trading.dsl.tracing import Evaluated, evaluate
from jts_trading.engine.closing import ClosedBars, Numbers
from jts_trading.engine.columns import Floats, Ints
from jts_trading.engine.periods import frames_closed
from jts_trading.engine.program import Program
from jts_trading.engine.recording import Seen
from jts_trading.engine.state import Instance
from jts_trading.engine.words import rule_nodes
from jts_trading.strategy.instants import instant
from jts_trading.strategy.sizing import PPM

_NO_VALUES = np.zeros(0)


class Run(NamedTuple):
    """What a strategy made of bars.

    Attributes:
        rows: Row of the instance of each bar; -1 for one that it does not read.
        numbers: See `ClosedBars.numbers`.
        when: See `loops.close_bars`.
        frames: Bits of the frames that closed before each bar.
        fired: Mask of each bar; -1 where its warm-up held it already, too.
    """

    instance: Instance
    bars: ClosedBars
    rows: Ints
    numbers: Numbers
    when: Ints
    frames: Ints
    fired: Ints

    def is_judged(self, at: int) -> bool:
        """Whether a bar was read, and is news for the instance."""
        is_read = self.fired[at] >= 0
        return bool(is_read and self.bars.known_ns(at) >= self.instance.decides_from_ns)

    def seen(self, told: list[int]) -> list[Seen | None]:
        """Return what the step saw of some bars; None for one that fired nothing.

        Args:
            told: The bars, in their order.
        """
        program, before = self.instance.program, self.instance.before
        ranks = (np.cumsum(self.fired > 0)[told] - 1).tolist()
        columns = list(program.instant_columns)
        extras = self.when[3:][columns].tolist() if columns else ()
        bars = self.numbers.values[:, told].T.tolist()
        found: list[Seen | None] = []
        for bar, rank, frames, fired in zip(
            bars, ranks, self.frames[told].tolist(), self.fired[told].tolist(), strict=True
        ):
            spread = bar[5:6] if program.reads_quotes else ()
            doubt = bar[6:] if program.reads_doubt else ()
            arguments = (*bar[:5], frames, *spread, *extras, *doubt)
            found.append(Seen(before[rank], arguments, fired) if fired else None)
        return found


def run_bars(instance: Instance, bars: ClosedBars, rows: Ints, numbers: Numbers) -> Run:
    """Run bars over the states of their instruments; changes the market half of an instance.

    Args:
        instance: Whose strategy it is.
        bars: Closed together.
        rows: Row of each bar in the instance, see `Run`.
        numbers: Of the bars.
    """
    program, count = instance.program, len(rows)
    begins: tuple[int, ...] = ()
    if program.instant_columns:
        begins = instant(bars.line.venue, bars.day, bars.stamp_ms, bars.open_ms)
    when = np.array((bars.day, bars.stamp_ms, bars.open_ms, *begins), np.int64)
    frames = frames_closed(program.plan.timeframes, instance.seen, rows, when)
    if len(instance.before) < count:
        instance.before = np.empty((count, program.plan.state_size))
    fired = np.empty(count, np.int64)
    program.close(
        instance.states, instance.seen, numbers.values, rows, when, frames, fired, instance.before
    )
    return Run(instance, bars, rows, numbers, when, frames, fired)


def mark(run: Run, first: int = 0, end: int | None = None, *, most: int = 0) -> list[int]:
    """Value positions at the closes of bars; return those from which something may follow.

    These are the bars that fire something, and those that reach a level at which a position is
    left.

    Args:
        run: Of the bars.
        first: The first one that counts.
        end: The first one after it that does not; None for all.
        most: Ends with the bar that is the last of so many; 0 for no such end.
    """
    instance, bars, part = run.instance, run.bars, slice(first, end)
    trailing, rows = instance.program.rules.trailing_stop_ppm, run.rows[part]
    told = np.empty(most or len(rows), np.int64)
    count = instance.program.follow(
        instance.numbers,
        rows,
        run.fired[part],
        run.numbers.closes[part],
        np.array((bars.end_ns, bars.stamp_ms), np.int64),
        PPM - trailing if trailing else 0,
        told,
    )
    return [first + at for at in told[:count].tolist()]


def look_at(
    instance: Instance,
    symbol: str,
    fired: int,
    seen: Seen,
    account: tuple[Floats, Floats] | None = None,
) -> list[Evaluated]:
    """Return the rules of an instance with the values inside their conditions.

    The traced step sees the state before the bar, so its values are those that decided.

    Args:
        instance: Whose rules they are.
        symbol: The instrument.
        fired: The rules that fired and that the account allows.
        seen: What the step saw.
        account: Values that the step left, and facts, for what asks for the account; without them
            that has no values.
    """
    program, trace = instance.program, instance.program.trace
    if trace is None or program.traced is None:
        return rule_nodes(program.plan, fired)
    values = program.untraced.copy()
    fires = program.traced(seen.before, *seen.arguments, values)
    if fires & program.judged_at_closes != seen.fired:
        # Only an explanation is lost: trading does not stop for that.
        return rule_nodes(program.plan, fired)
    if account is not None and program.account is not None:
        program.account(values, *account)
    return evaluate(trace, values.tolist(), instance.units[symbol].price_scale)


def left_values(program: Program, state: Floats) -> Floats:
    """Return the numbers that the step left for the guard and for order prices."""
    plan = program.plan
    if not plan.values:
        return _NO_VALUES
    return state[plan.values_slot : plan.values_slot + plan.values].copy()
