"""Loops over bars around the step of a strategy: read as text and compiled with its source.

Here they only say what they do: `step` is defined by the strategy. The names in capitals are
written out as the numbers of `engine.columns`. Where a strategy asks for the spread, for
doubts, or when a bar starts, the step has further arguments; `engine.program` puts them in.
"""

from collections.abc import Callable

from jts_trading.engine.columns import (
    BARS,
    BARS_HELD,
    BARS_SINCE,
    DAY,
    ENTERED_NS,
    HELD_FROM_MS,
    IS_HELD,
    LOSS_LEVEL,
    MARK,
    OPEN_MS,
    PEAK,
    PROFIT_LEVEL,
    STAMP_MS,
    Floats,
    Ints,
)

NAMES = {
    "BARS": BARS,
    "BARS_HELD": BARS_HELD,
    "BARS_SINCE": BARS_SINCE,
    "DAY": DAY,
    "ENTERED_NS": ENTERED_NS,
    "HELD_FROM_MS": HELD_FROM_MS,
    "IS_HELD": IS_HELD,
    "LOSS_LEVEL": LOSS_LEVEL,
    "MARK": MARK,
    "OPEN_MS": OPEN_MS,
    "PEAK": PEAK,
    "PROFIT_LEVEL": PROFIT_LEVEL,
    "STAMP_MS": STAMP_MS,
}
"""What stands for what in the texts."""

ARMED, HELD = 0, -1
"""What stands for a condition in the place of a time: see `judge_trades`."""
REST_NS = 60_000_000_000
TICK_NAMES = {"ARMED": ARMED, "HELD": HELD, "REST_NS": REST_NS}

JUDGED = -1
"""Mask of the rules that are judged at closes."""

step: Callable[..., int]
judge: Callable[..., int]


def advance_bars(
    state: Floats,
    bars: Floats,
    instants: Ints,  # noqa: ARG001 - the text of a strategy that asks for it reads it
    frames: Ints,
    fired: Ints,
) -> None:
    """Run bars over one state row, in order, and fill the masks of the rules that fire.

    Args:
        state: Of one instrument.
        bars: [bar, (open, high, low, close, volume)], and 1 for a doubtful bar.
        instants: [bar, column], see `strategy.instants`; empty where nobody asks.
        frames: Bits of the frames that closed before each bar.
        fired: Filled.
    """
    for at in range(len(frames)):
        fired[at] = step(  # noqa: F821 - the source of the strategy defines it
            state,
            bars[at, 0],
            bars[at, 1],
            bars[at, 2],
            bars[at, 3],
            bars[at, 4],
            frames[at],
        )


def close_bars(  # noqa: PLR0917 - compiled code is called by position
    states: Floats,
    seen: Ints,
    bars: Floats,
    rows: Ints,
    when: Ints,
    frames: Ints,
    fired: Ints,
    before: Floats,
) -> int:
    """Run bars of one instant over the states of their instruments; return how many fired.

    Args:
        states: [instrument, slot]; changed.
        seen: [instrument, column]; changed.
        bars: [(open, high, low, close, volume), bar], and where the step asks for one of them the
            spread and 1 for a doubtful bar.
        rows: Row of the instrument of each bar; below zero for one that is not read.
        when: Session, label (ms) and open of the session (ms) of the bars, then their instant, see
            `strategy.instants`, where the step asks for it.
        frames: Bits of the frames that closed before each bar.
        fired: Filled: the mask of each bar; -1 for one that is not read or was seen before.
        before: Filled from the top: the state before the bar, of each bar that fires something.
    """
    count, day, stamp_ms = 0, when[0], when[1]
    for at in range(len(rows)):
        row = rows[at]
        fired[at] = -1
        if row < 0 or seen[row, DAY] > day:
            continue
        if seen[row, DAY] == day and seen[row, STAMP_MS] >= stamp_ms:
            continue
        before[count] = states[row]
        mask = step(  # noqa: F821 - the source of the strategy defines it
            states[row],
            bars[0, at],
            bars[1, at],
            bars[2, at],
            bars[3, at],
            bars[4, at],
            frames[at],
        )
        # Rules on trades are judged on trades: see `judge_trades`.
        fired[at] = mask & JUDGED
        if fired[at] != 0:
            count += 1
        seen[row, DAY], seen[row, STAMP_MS], seen[row, OPEN_MS] = day, stamp_ms, when[2]
        seen[row, BARS] += 1
    return count


def follow_bars(  # noqa: PLR0917 - likewise
    books: Ints,
    rows: Ints,
    fired: Ints,
    closes: Ints,
    when: Ints,
    kept_ppm: int,
    told: Ints,
) -> int:
    """Value positions at the closes of one instant; return of how many bars something may follow.

    Ends with the bar that fills `told`, if one does.

    Args:
        books: [instrument, column]; changed.
        rows: See `close_bars`.
        fired: What `close_bars` has filled.
        closes: In ticks.
        when: End (ns) and label (ms) of the bars.
        kept_ppm: Share of the peak at which the trailing stop is; 0 for no such stop.
        told: Filled from the top: the bars that fire something or reach a level.
    """
    count = 0
    for at in range(len(rows)):
        if fired[at] < 0:
            continue
        row, close, is_hit = rows[at], closes[at], False
        books[row, MARK] = close
        books[row, BARS_SINCE] += 1
        if books[row, IS_HELD] != 0:
            if when[0] > books[row, ENTERED_NS]:
                books[row, PEAK] = max(books[row, PEAK], close)
                books[row, BARS_HELD] += 1
                if books[row, BARS_HELD] == 1:
                    books[row, HELD_FROM_MS] = when[1]
            peak = books[row, PEAK]
            stop = peak // 1_000_000 * kept_ppm + peak % 1_000_000 * kept_ppm // 1_000_000
            is_hit = close <= books[row, LOSS_LEVEL] or close >= books[row, PROFIT_LEVEL]
            is_hit = is_hit or (kept_ppm > 0 and close <= stop)
        if fired[at] != 0 or is_hit:
            told[count] = at
            count += 1
            if count == len(told):
                break
    return count


def judge_trades(  # noqa: PLR0917 - likewise
    states: Floats,
    copy: Floats,
    quiet: Ints,
    begun: Ints,
    rows: Ints,
    times: Ints,
    numbers: Floats,
    bits: Ints,
    masks: Ints,
    left: Floats,
    slot: int,
) -> int:
    """Judge the rules on trades over bars in the making; return on how many trades some fire.

    Args:
        states: [instrument, slot].
        copy: Room for one of them.
        quiet: [instrument, column], changed: the session, then by rule since when (ns) its
            condition has not held; ARMED where it never did in the session, HELD where it did at
            the newest trade.
        begun: [instrument, column]: bits of the frames that closed before its bar, then the
            instant of the bar, see `strategy.instants`.
        rows: Row of the instrument of each trade.
        times: When each arrived (ns).
        numbers: [trade, column]: open, high, low, close, volume and spread of the bar, 1 where it
            is doubtful, then the prices before.
        bits: Of the rules.
        masks: [trade, (rules that fire, rules whose condition holds)]; filled.
        left: Filled from the top: what the step leaves for drivers, of each that fires.
        slot: The first one of that.
    """
    count = 0
    for at in range(len(rows)):
        row, fired = rows[at], 0
        copy[:] = states[row]
        held = judge(  # noqa: F821 - the source of the strategy defines it
            copy,
            numbers[at, 0],
            numbers[at, 1],
            numbers[at, 2],
            numbers[at, 3],
            numbers[at, 4],
            begun[row, 0],
            numbers[at, 7:],
        )
        for place in range(len(bits)):
            since = quiet[row, 1 + place]
            if held >> bits[place] & 1 != 0:
                if since == ARMED or (since > 0 and times[at] - since >= REST_NS):
                    fired |= 1 << bits[place]
                quiet[row, 1 + place] = HELD
            elif since == HELD:
                quiet[row, 1 + place] = times[at]
        masks[at, 0], masks[at, 1] = fired, held
        if fired != 0:
            for place in range(left.shape[1]):
                left[count, place] = copy[slot + place]
            count += 1
    return count
