"""`jts sim BROKER`: a broker's protocol over real sockets, playing recorded or generated markets.

What a simulator does is written in its section (`sim.kis`, `sim.binance`); options replace single
keys of it. Without `--speed` the tape follows the clock of the instance.
"""

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import ConfigSource, read
from jts_trading.ports.clock import Clock, open_clock
from jts_trading.simulation.faults import FaultPlan, read_faults
from jts_trading.telemetry import console

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts sim --json` prints once both ports listen.

    Attributes:
        plays: What is on the tape, for a person.
    """

    broker: str
    pid: int
    rest_url: str
    stream_url: str
    plays: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a simulator is started with.

    Attributes:
        changes: Keys of its section that the command line replaces.
        tell: Called once when both ports listen.
    """

    source: ConfigSource
    settings: Settings
    clock: Clock
    changes: dict[str, Any]
    tell: Callable[[Listening], None]


@click.command()
@click.argument("broker", type=click.Choice(["kis", "binance"]))
@click.option(
    "--port", type=click.IntRange(0, 65_534), help="REST on this port, WebSocket on the next."
)
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False), help="Folder of recorded data."
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    help="Tape seconds a second; 0 as fast as the reader follows. Else by the instance's clock.",
)
@click.option("--faults", type=click.Path(exists=True, dir_okay=False), help="File of faults.")
@click.option("--seed", type=int, help="Of generated data.")
@click.option("--keep", is_flag=True, help="Keep account and orders in the home over restarts.")
@click.option("--day", help="Session to play, ISO date; the newest full one without it.")
@console.json_option
def sim(
    broker: str,
    *,
    port: int | None,
    data: str | None,
    speed: float | None,
    faults: str | None,
    seed: int | None,
    day: str | None,
    keep: bool,
    as_json: bool,
) -> int:
    """Play a broker on this machine until SIGTERM or Ctrl-C, which end it at once.

    Prints where it listens once it does.
    """
    named = {"data": data, "speed": speed, "faults": faults, "seed": seed, "day": day}
    changes = {key: value for key, value in named.items() if value is not None}
    if port is not None:
        changes |= {"rest_port": port, "stream_port": port + 1 if port else 0}
    if speed is not None:
        # Nobody should miss the beginning of a tape that does not follow a clock.
        changes["waits_for_reader"] = True
    source = read()
    settings = load_settings(source)
    if keep and broker == "kis":
        # Public market data has no account to keep.
        changes["books"] = str(settings.instance.root / "trading" / f"sim-{broker}" / "books.json")
    asked = Asked(
        source=source,
        settings=settings,
        clock=open_clock(settings.instance.run_directory),
        changes=changes,
        tell=lambda listening: _tell(listening, as_json=as_json),
    )
    for number in _SIGNALS:
        signal.signal(number, _end)
    serve = {"kis": _serve_kis, "binance": _serve_binance}[broker]
    asyncio.run(_serve(serve, asked))
    return console.DONE


def _tell(listening: Listening, *, as_json: bool) -> None:
    console.emit(
        listening,
        as_json=as_json,
        table=lambda: (
            f"{listening.broker}: REST {listening.rest_url}, WebSocket {listening.stream_url}; "
            f"plays {listening.plays}"
        ),
    )


def _end(number: int, frame: object) -> None:
    del number, frame
    # Nothing here is worth waiting for: sockets end with the process.
    os._exit(console.DONE)


async def _serve(serve: Callable[[Asked], Awaitable[None]], asked: Asked) -> None:
    try:
        await serve(asked)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise console.CommandError(
            "a port of the simulator is taken; accepted: --port with a free one and the next, "
            "or --port 0 for any",
            console.BAD_USAGE,
        ) from error


def _placed(source: ConfigSource, section: str, **paths: str) -> dict[str, str]:
    """Return paths of a section as absolute ones; those that are empty are left out."""
    named = {key: path for key, path in paths.items() if path}
    return {key: str(source.place(path, f"{section}.{key}")) for key, path in named.items()}


def _fault_plan(file: str) -> FaultPlan:
    return read_faults(Path(file)) if file else FaultPlan()


async def _serve_kis(asked: Asked) -> None:
    from jts_trading.brokers.kis.simulator.server import Ready, serve
    from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
    from jts_trading.brokers.kis.simulator.worlds import load_world

    section = asked.source.load(SimulatorSettings, "sim.kis")
    instance = asked.settings.instance
    ports = {
        "rest_port": section.rest_port or instance.port("sim_kis_rest"),
        "stream_port": section.stream_port or instance.port("sim_kis_stream"),
    }
    places = _placed(asked.source, "sim.kis", data=section.data, faults=section.faults)
    settings = msgspec.structs.replace(section, **(ports | places | asked.changes))
    world = load_world(settings, asked.clock.now_ns())

    def tell(ready: Ready) -> None:
        asked.tell(
            Listening(
                broker="kis",
                pid=os.getpid(),
                rest_url=ready.rest_url,
                stream_url=ready.stream_url,
                plays=world.title,
            )
        )

    faults = _fault_plan(settings.faults)
    await serve(settings, world, clock=asked.clock, faults=faults, on_ready=tell)


async def _serve_binance(asked: Asked) -> None:
    from jts_trading.brokers.binance.simulator.server import Ready, load_world, serve
    from jts_trading.brokers.binance.simulator.settings import SimulatorSettings

    section = asked.source.load(SimulatorSettings, "sim.binance")
    instance = asked.settings.instance
    ports = {
        "rest_port": section.rest_port or instance.port("sim_binance_rest"),
        "stream_port": section.stream_port or instance.port("sim_binance_stream"),
    }
    places = _placed(asked.source, "sim.binance", data=section.data, faults=section.faults)
    settings = msgspec.structs.replace(section, **(ports | places | asked.changes))
    world = load_world(settings, asked.clock.now_ns())

    def tell(ready: Ready) -> None:
        asked.tell(
            Listening(
                broker="binance",
                pid=os.getpid(),
                rest_url=ready.rest_url,
                stream_url=ready.stream_url,
                plays=world.title,
            )
        )

    faults = _fault_plan(settings.faults)
    await serve(settings, world, clock=asked.clock, faults=faults, on_ready=tell)
