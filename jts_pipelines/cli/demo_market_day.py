"""A recorded day that the demo trades, and how fast this machine can trade it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from jts_pipelines.reports.daily_records import SEOUL

# Measured on two cores that did nothing else.
_START_S = 7.5
# Calls in one second of KIS, of its paper host: any, and those of an account.
_KIS_CALLS, _KIS_LEDGER_CALLS = 2, 1


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast this machine is, from how long it took to start stores and Dagster.

    At the clock's speed a slow moment of ours is minutes of the market, so a machine that is slow
    or busy gets more real time for everything, and a slower clock.

    Attributes:
        slowness: 1 on two cores that do nothing else.
    """

    slowness: float

    @property
    def margin_s(self) -> float:
        """Real seconds for simulators and roles to start."""
        return min(20.0 * self.slowness, 150.0)

    @property
    def allowance_s(self) -> float:
        """Real seconds that a price may age on its way."""
        return min(2.0 * self.slowness, 8.0)

    def speed(self, wanted: float) -> float:
        """Return the speed of the clock for a speed that is wanted."""
        return wanted / min(self.slowness, 3.0)


def pace_of(start_s: float) -> Pace:
    """Return the pace of a machine that took so long to start stores and Dagster."""
    return Pace(max(1.0, start_s / _START_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingDay:
    """A recorded day that is traded.

    Attributes:
        broker: Whose accounts trade: kis, paper.
        simulators: The parts that play venues: that of the day, and that of an account of before.
            One that makes trades up would make them up at the speed of the clock, unheard.
        feed: The socket that the collector reads: `kis-1`, `binance-1`.
        venue: Where it trades.
        instruments: Ids of what trades.
        topic: Of the ticks.
        morning: When its trading inputs are made, before it begins.
        begins: When its first trade is.
        ends: When its last trade has been for sure.
        speed: Instance seconds per real second on a machine that does nothing else.
        variables: What its simulators play.
    """

    broker: str
    simulators: tuple[str, ...]
    feed: str
    venue: str
    instruments: tuple[str, ...]
    topic: str
    morning: datetime
    begins: datetime
    ends: datetime
    speed: float
    variables: Mapping[str, str]

    @property
    def day(self) -> date:
        """The day in Korea, which names the partition of its reports."""
        return self.begins.astimezone(SEOUL).date()

    @property
    def environment(self) -> dict[str, str]:
        """Environment of all its parts, besides that of the instance.

        KIS counts calls by its own seconds, and many of those pass in one of ours. Counted by
        ours, an order would wait minutes of the market for leave to be sent.
        """
        return {
            **self.variables,
            "JTS_SIM__KIS__CALLS_PER_S": str(round(_KIS_CALLS * self.speed)),
            "JTS_SIM__KIS__LEDGER_CALLS_PER_S": str(round(_KIS_LEDGER_CALLS * self.speed)),
        }

    @property
    def market_minutes(self) -> int:
        """How long it lasts, in minutes of the market."""
        return int((self.ends - self.begins) / timedelta(minutes=1))
