"""What the simulated Binance plays where there is no capture."""

from datetime import UTC, datetime

from jts_trading.brokers.binance.simulator.server import load_world
from jts_trading.brokers.binance.simulator.settings import SimulatorSettings

NS_PER_S = 1_000_000_000
START_NS = int(datetime(2024, 8, 8, 23, 54, tzinfo=UTC).timestamp()) * NS_PER_S


def test_made_up_ticks_when_they_are_to_end_then_none_is_later() -> None:
    """Two seconds of them, from the start of the simulator; none for one that starts later."""
    settings = SimulatorSettings(until_ns=START_NS + 2 * NS_PER_S)

    lines = list(load_world(settings, START_NS).lines)

    assert lines[0].due_ns == START_NS
    assert START_NS + NS_PER_S < lines[-1].due_ns < START_NS + 2 * NS_PER_S
    assert not list(load_world(settings, START_NS + 3 * NS_PER_S).lines)
