"""The demo's trading days: the roles of `jts up` trade a recorded market through real sockets.

Theory of operation. What is traded is made by the asset `trading_inputs`, with the clock standing
on the morning of the recorded day. Then the clock file is written anew, fast, and set so long
before the day begins that simulators and roles can start meanwhile; every process that starts from
now on reads it. The day is over when the clock says so and nothing is on its way any more: the
bus has been read, the journal recorded, no order works. Then an outsider counts.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jts_pipelines.cli.demo_counting import PaperDay, count_day
from jts_pipelines.cli.demo_drain import Drain
from jts_pipelines.cli.demo_house import set_clock
from jts_pipelines.cli.demo_market_day import TradingDay, pace_of
from jts_pipelines.cli.instance import supervised
from jts_pipelines.cli.part import Part
from jts_pipelines.cli.parts import trading_parts
from jts_trading.config.source import ConfigSource
from jts_trading.config.trading import StrategyInstance, load_trading
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from jts_pipelines.cli.demo_dagster import DagsterClient
    from jts_pipelines.cli.demo_run import Demo
    from jts_pipelines.cli.supervisor import Supervisor

INPUTS = "trading/trading_inputs"
_LOOK_S = 0.2
_READY_S = 240.0
_DRAIN_S = 60.0
_RUN_S = 180.0


def trade_day(run: "Demo", dagster: "DagsterClient", day: TradingDay) -> None:
    """Trade a day, and keep what an outsider counted of it.

    Raises:
        CommandError: A part did not get ready, or the trading inputs were refused.
        StorageError: A store failed.
    """
    # Whatever the user's own configuration trades, the demo trades the examples.
    examples = load_trading(ConfigSource({})).instances
    instances = [each for each in examples if each.broker == day.broker]
    pace = pace_of(run.phases["start"])
    with run.phase(f"inputs_{day.broker}", f"Dagster: trading inputs for {day.broker}"):
        set_clock(run.house, day.morning)
        _materialise_inputs(dagster, instances, pace.allowance_s)
    speed = pace.speed(day.speed)
    # What the clock closes, it closes after a grace that grows with its speed.
    day = replace(day, speed=speed, ends=day.ends + _seconds(speed * pace.allowance_s))
    said = f"{day.broker}: {day.begins:%Y-%m-%d %H:%M} to {day.ends:%H:%M %Z} at {speed:.3g}x"
    with run.phase(f"trade_{day.broker}", f"trading {said}"):
        set_clock(run.house, day.begins - _seconds(speed * pace.margin_s), speed=speed)
        with _roles(run, day) as supervisor:
            _follow(run, day, supervisor)
            run.problems += Drain(run.house, day).wait(_DRAIN_S)
            counted = count_day(run.house, day, [each.name for each in instances])
            restarts = sum(record.restarts for record in supervisor.records())
        if restarts:
            run.problems.append(f"{day.broker}: parts were started again {restarts} times")
        _keep(run, day, counted)


def _keep(run: "Demo", day: TradingDay, counted: PaperDay) -> None:
    run.paper[day.broker] = counted
    run.traded_days[day.broker] = day.day
    run.problems += [f"{day.broker}: {problem}" for problem in counted.problems]


def _materialise_inputs(
    dagster: "DagsterClient", instances: Sequence[StrategyInstance], allowance_s: float
) -> None:
    """Make the next version of the trading inputs; refused ones end the demo with the reason."""
    config = {
        "instances": [_spelled(each) for each in instances],
        "risk": {"latency_allowance_s": f"{allowance_s:g}"},
    }
    run_id = dagster.launch(
        "trading_inputs",
        [INPUTS],
        run_config={"ops": {"trading__trading_inputs": {"config": config}}},
    )
    dagster.wait(run_id, timeout_s=_RUN_S)


def _spelled(instance: StrategyInstance) -> dict[str, Any]:
    """Return a configured instance as the launchpad spells it."""
    return {
        "name": instance.name,
        "strategy": instance.strategy,
        "params": {name: str(value) for name, value in instance.params.items()},
        "broker": instance.broker,
        "account": instance.account,
        "venue": instance.venue,
        "interval": instance.interval,
        "instruments": list(instance.instruments),
        "allocation": str(instance.allocation),
        "currency": instance.currency,
        "epoch": instance.epoch,
    }


@contextmanager
def _roles(run: "Demo", day: TradingDay) -> "Iterator[Supervisor]":
    """Have the simulators and all roles running, on the clock as it is written now."""
    every = trading_parts(run.settings)
    wanted = [p for p in every if not p.name.startswith("sim-") or p.name in day.simulators]
    parts = tuple(_within(part, wanted, day.environment) for part in wanted)
    with supervised(parts, run.settings, seconds=_READY_S, is_noted=False) as supervisor:
        yield supervisor


def _within(part: Part, parts: Sequence[Part], variables: Mapping[str, str]) -> Part:
    """Return a part that waits only for its own kind: the stores of the demo are up already."""
    names = {each.name for each in parts}
    return replace(
        part,
        parents=tuple(name for name in part.parents if name in names),
        environment={**part.environment, **variables},
    )


def _follow(run: "Demo", day: TradingDay, supervisor: "Supervisor") -> None:
    """Show the market's time until the day has ended; a late start is a problem."""
    clock = run.house.clock
    late_ns = clock.now_ns() - _ns(day.begins)
    if late_ns > 0:
        run.problems.append(
            f"{day.broker}: the parts were ready {late_ns / 1e9 / day.speed:.1f} s too late"
        )
    bar = run.bars.add(f"{day.broker} {day.begins:%Y-%m-%d}", day.market_minutes)
    ill: set[str] = set()
    while (now_ns := clock.now_ns()) < _ns(day.ends):
        passed = max(0, now_ns - _ns(day.begins)) // (60 * 10**9)
        bar.update(done=min(passed, day.market_minutes), total=day.market_minutes)
        ill |= {record.name for record in supervisor.records() if record.restarts}
        time.sleep(_LOOK_S)
    bar.update(done=day.market_minutes, total=day.market_minutes)
    if ill:
        console.note(f"jts demo: started again meanwhile: {', '.join(sorted(ill))}")


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=round(number))


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9
