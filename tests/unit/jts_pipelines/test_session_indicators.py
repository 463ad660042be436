"""Indicators that start afresh with each session, from a text to the fired rules of a backtest."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jts_pipelines.backtest.columns import Bars
from jts_pipelines.backtest.signals import RulePass
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.lowering import lower_step
from jts_trading.dsl.plan import Plan
from jts_trading.kernels.rows import rows_of

SESSIONS = np.array([19_900, 19_900, 19_900, 19_901, 19_901, 19_904, 19_904, 19_904])


@dataclass(frozen=True)
class Given:
    """Bars of two instruments as columns, those in which nothing traded among them."""

    high: NDArray[np.int64]
    low: NDArray[np.int64]
    close: NDArray[np.int64]
    volume: NDArray[np.int64]
    is_traded: NDArray[np.bool_]
    closed: NDArray[np.uint8]
    session: NDArray[np.int64]

    def traded(self) -> Bars:
        """Return what a backtest hands to the compiled pass: the bars that traded."""
        kept = self.is_traded
        prices = np.stack((self.close - 1, self.high, self.low, self.close), axis=1)
        return Bars(
            offsets=np.array([0, kept[:8].sum(), kept.sum()]),
            prices=prices[kept].astype(np.int32),
            volume=self.volume[kept],
            frames_closed=self.closed[kept],
            moments=(np.arange(16) % 8)[kept].astype(np.int32),
            shift=np.zeros(2, np.int64),
            sessions=SESSIONS,
            scales=np.ones(2),
        )


def strategy(condition: str, before: str = "") -> Plan:
    """Compile a strategy of one rule."""
    text = f'strategy("T") {{ {before} entry.long {{ when ({condition}) {{ buy("5%") }} }} }}'
    return compile_strategy(text)


def bars(*, closed: int = 0) -> Given:
    """Return two instruments over three sessions; the second one is not traded on every bar."""
    rng = np.random.default_rng(4)
    count = 2 * len(SESSIONS)
    close = 1_000 + rng.integers(-9, 10, count)
    traded = np.ones(count, np.bool_)
    traded[[9, 12]] = False
    session = np.tile(SESSIONS, 2)
    changed = np.diff(session, prepend=session[0]) != 0
    return Given(
        high=close + 3,
        low=close - 2,
        close=close,
        volume=rng.integers(1, 100, count),
        is_traded=traded,
        closed=changed.astype(np.uint8) * np.uint8(closed),
        session=session,
    )


def fired(plan: Plan, given: Given, folder: Path) -> list[int]:
    """Return the rule masks of the compiled pass; none fire where nothing traded."""
    kernel = rows_of(lower_step(plan.source), folder)
    rules = RulePass(kernel, given.traded(), state_size=plan.state_size, rules=len(plan.rules))
    found = rules.run_all()
    masks = np.zeros(len(given.close), np.int64)
    masks[given.is_traded] = found[: int(given.is_traded.sum())]
    return masks.tolist()


def test_vwap_when_the_session_changes_then_starts_afresh(tmp_path: Path) -> None:
    """The compiled pass hands the trading day in; bars without trades do not count."""
    plan = strategy("close > VWAP()")
    given = bars()

    found = fired(plan, given, tmp_path)

    expected = []
    for row in range(16):
        first = 8 * (row // 8)
        past = [
            r
            for r in range(first, row + 1)
            if given.session[r] == given.session[row] and given.is_traded[r]
        ]
        typical = (given.high + given.low + given.close) / 3
        volume = given.volume[past]
        average = (typical[past] * volume).sum() / volume.sum() if past else np.nan
        expected.append(int(given.is_traded[row] and given.close[row] > average))
    assert plan.needs == ("high", "low", "close", "volume", "session")
    assert found == expected
    assert 0 < sum(expected) < 14


def test_session_when_read_on_a_higher_frame_then_it_is_that_of_its_bar(tmp_path: Path) -> None:
    """A daily bar belongs to the session of its bars, and is seen once it has closed."""
    plan = strategy(
        "minute.x > daily.before.close",
        'timeframes { minute = "1m" daily = "1d" } '
        "indicators { on daily { before = PreviousSession() } on minute { x = close } }",
    )
    given = bars(closed=1)

    found = fired(plan, given, tmp_path)

    # The last closed day is the second one during the third: its session before is the first.
    assert "session" in plan.needs
    for first in (0, 8):
        rows = [r for r in range(first, first + 3) if given.is_traded[r]]
        reference = given.close[rows[-1]]
        for row in range(first, first + 8):
            is_third = given.session[row] == SESSIONS[-1]
            expected = is_third and given.is_traded[row] and given.close[row] > reference
            assert found[row] == int(expected)


def test_plan_when_no_indicator_reads_the_session_then_the_step_has_no_such_argument() -> None:
    """Strategies without sessions keep the call that they had."""
    plan = strategy("close > SMA(20)")

    assert plan.needs == ("close",)
    assert "session" not in plan.source
    lowered = lower_step(plan.source)
    assert "session" not in lowered.replace("moments, shift, sessions, offsets", "")
