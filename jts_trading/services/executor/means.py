"""What the dispatchers of all accounts share."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from jts_trading.guards.kill_switch import KillSwitch
from jts_trading.journal.lease import LeaseKeeper
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import Journal
from jts_trading.services.executor.alerts import Alerts
from jts_trading.services.executor.board import Board
from jts_trading.services.executor.fact_gathering import FactGatherer
from jts_trading.services.executor.inputs import InputsWatch
from jts_trading.services.executor.recent import Recent
from jts_trading.services.executor.settings import ExecutorSettings
from jts_trading.telemetry.metrics import Counters, Latency


@dataclass(frozen=True, slots=True)
class Means:
    """What all accounts share."""

    journal: Journal
    keeper: LeaseKeeper
    lease_name: str
    board: Board
    facts: FactGatherer
    inputs: InputsWatch
    recent: Recent
    kill_switch: KillSwitch
    alerts: Alerts
    clock: Clock
    speed: Fraction
    boottime_ns: Callable[[], int]
    settings: ExecutorSettings
    counters: Counters
    order_latency: Latency
    commit_latency: Latency
    review_latency: Latency
