"""Judge closed bars: run them through the strategies that read them, and have what fires decided.

Theory of operation. Bars of one instant are judged together: all of an instance's positions are
marked at their closes, then it decides. Bars that trades closed one after another run through a
strategy together, too, because no instrument's state depends on another's; but positions are
marked bar by bar, so that a decision sees the closes that were known, as if each bar had come
alone.
"""

from collections.abc import Iterator, Sequence

from jts_trading.engine.closing import ClosedBars
from jts_trading.engine.columns import Ints
from jts_trading.engine.decide import decide
from jts_trading.engine.evaluate import Run, mark, run_bars
from jts_trading.engine.events import Effect
from jts_trading.engine.lines import Reader
from jts_trading.engine.state import EngineState, Instance


def judge(state: EngineState, closed: Sequence[ClosedBars], now_ns: int) -> list[Effect]:
    """Run bars that closed together through the strategies that read them, and decide.

    Returns:
        The facts in the order of the decisions: by instance, start and instrument.
    """
    numbers = [bars.numbers() for bars in closed]
    effects: list[Effect] = []
    for at, reader in _turns(closed):
        bars, instance = closed[at], state.instances[reader.instance]
        run = run_bars(instance, bars, _rows_at(reader.rows, bars.places), numbers[at])
        if not state.is_past:
            effects += _judge_instant(state, run, now_ns)
    return effects


def judge_in_turn(state: EngineState, bars: ClosedBars, now_ns: int) -> list[list[Effect]]:
    """Run bars that trades closed through the strategies that read them, and decide on each alone.

    Returns:
        The facts of each bar, by instance.
    """
    numbers = bars.numbers()
    facts: list[list[Effect]] = [[] for _ in bars.places]
    for reader in bars.line.readers:
        run = run_bars(state.instances[reader.instance], bars, reader.rows[bars.places], numbers)
        if not state.is_past:
            for at in _told_in_turn(run):
                facts[at] += decide(state, run, [at], now_ns)
    return facts


def _turns(closed: Sequence[ClosedBars]) -> list[tuple[int, Reader]]:
    """Return who reads which of the bars, in the order in which they are judged."""
    if len(closed) == 1:
        # Readers stand in the order of their names.
        return [(0, reader) for reader in closed[0].line.readers]
    turns = sorted(
        (reader.instance, bars.start_ns, at, of)
        for at, bars in enumerate(closed)
        for of, reader in enumerate(bars.line.readers)
    )
    return [(at, closed[at].line.readers[of]) for _, _, at, of in turns]


def _rows_at(rows: Ints, places: Sequence[int]) -> Ints:
    """Return the rows at some places, ascending; those side by side are not copied."""
    first, end = places[0], places[-1] + 1
    return rows[first:end] if end - first == len(places) else rows[places]


def roll_day(instance: Instance, day: int) -> None:
    """Begin a trading day of an instance: its equity now is what the day's loss counts from."""
    if day > instance.day:
        instance.day, instance.day_start = day, instance.equity()


def _judge_instant(state: EngineState, run: Run, now_ns: int) -> list[Effect]:
    instance, bars = run.instance, run.bars
    # What could be known of one could be known of all.
    if bars.known_ns(0) < instance.decides_from_ns:
        mark(run)
        return []
    if bars.day > instance.day and (run.fired >= 0).any():
        roll_day(instance, bars.day)
    found = mark(run)
    return decide(state, run, found, now_ns) if found else []


def _told_in_turn(run: Run) -> Iterator[int]:
    """Value positions bar by bar; stop at each from which something may follow."""
    instance, day, count, first = run.instance, run.bars.day, len(run.rows), 0
    if day > instance.day:
        judged = [at for at in range(count) if run.is_judged(at)]
        first = judged[0] if judged else count
        mark(run, end=first)
        if judged:
            roll_day(instance, day)
    while first < count and (found := mark(run, first, most=1)):
        if run.is_judged(found[0]):
            yield found[0]
        first = found[0] + 1
