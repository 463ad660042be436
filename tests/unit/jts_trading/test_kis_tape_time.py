"""The time of the simulated market follows the clock, a multiple of it, or the tape alone."""

import asyncio

import pytest

from jts_trading.brokers.kis.limits import Quota, SlidingWindow
from jts_trading.ports.clock import VirtualClock
from jts_trading.simulation.tape_time import TapeTime

START_NS = 1_717_374_600 * 10**9
LATER_NS = START_NS + 60 * 10**9


@pytest.mark.parametrize(
    ("speed", "elapsed_s"), [(None, 60.0), (1.0, 60.0), (60.0, 1.0), (0.0, 0.0)]
)
def test_tape_when_a_trade_is_due_then_the_clock_has_gone_that_far(speed, elapsed_s):
    """A minute of tape takes a minute, a sixtieth of it, or nothing."""
    clock = VirtualClock(START_NS)
    time = TapeTime(clock, speed, START_NS)
    time.begin()

    asyncio.run(time.reach(LATER_NS))

    assert clock.now_ns() - START_NS == elapsed_s * 10**9
    assert time.now_ns() == LATER_NS


def test_tape_when_between_trades_then_time_goes_on_with_the_clock():
    """At a speed of ten, a second of the clock is ten of the market."""
    clock = VirtualClock(START_NS)
    time = TapeTime(clock, 10.0, START_NS)
    assert time.now_ns() == START_NS
    time.begin()

    clock.advance(10**9)

    assert time.now_ns() == START_NS + 10 * 10**9


def test_window_when_full_then_says_how_long_to_wait():
    """Calls are counted in a window that slides."""
    window = SlidingWindow(Quota(2, 1_000))

    assert [window.take(0), window.take(400), window.take(500)] == [0, 0, 500]
    assert window.take(1_000) == 0
    assert window.take(1_001) == 399
