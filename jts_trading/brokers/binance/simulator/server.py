"""Runs the simulated Binance: REST over HTTP, streams over WebSocket, and the tape behind them.

`serve` listens on two TCP ports, says where through `on_ready`, plays the tape and goes on
answering after its end, until it is cancelled.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.server import serve as serve_socket

from jts_trading.brokers.binance import wire
from jts_trading.brokers.binance.simulator.capture import (
    Line,
    capture_files,
    moved_lines,
    read_lines,
    survey,
)
from jts_trading.brokers.binance.simulator.gateway import Gateway
from jts_trading.brokers.binance.simulator.generated import generated_lines
from jts_trading.brokers.binance.simulator.market import PairMarket
from jts_trading.brokers.binance.simulator.push import Push
from jts_trading.brokers.binance.simulator.settings import SimulatorSettings
from jts_trading.ports.clock import Clock
from jts_trading.simulation.faults import FaultPlan
from jts_trading.simulation.http import serve_connection
from jts_trading.simulation.tape_time import TapeTime

_NS_PER_S = 1_000_000_000
# A snapshot lies among the first lines, if there is one at all.
_LOOK_AHEAD = 1_000


@dataclass(frozen=True, slots=True)
class World:
    """What the simulated venue plays.

    Attributes:
        lines: The tape, ascending in time, possibly without an end.
        symbols: What trades.
        skew_ns: By how much the venue's clock runs ahead of ours.
        title: What it is, for a person.
    """

    lines: Iterator[Line]
    symbols: tuple[str, ...]
    skew_ns: int = 0
    title: str = "given lines"


@dataclass(frozen=True, slots=True)
class Ready:
    """Where the simulator listens, and its inside for tests."""

    rest_url: str
    stream_url: str
    markets: dict[str, PairMarket]
    push: Push
    tape_ended: asyncio.Event


def load_world(settings: SimulatorSettings, now_ns: int) -> World:
    """Return the world that the settings name.

    Args:
        settings: Section `sim.binance`.
        now_ns: Instance time, UTC ns: whether the capture lies behind us.

    Raises:
        CaptureError: The data has no capture, or one that cannot be read.
    """
    if not settings.data:
        lines = generated_lines(settings.symbols, settings.seed, now_ns)
        if settings.until_ns:
            lines = itertools.takewhile(lambda line: line.due_ns < settings.until_ns, lines)
        return World(lines, settings.symbols, title=f"generated {', '.join(settings.symbols)}")
    files = capture_files(Path(settings.data))
    span = survey(files)
    is_over = settings.speed is None and now_ns > span.last_ns
    if settings.days == "shifted" or (settings.days == "auto" and is_over):
        lines = moved_lines(files, span, now_ns)
        return World(lines, (span.symbol,), title=f"captured {span.symbol} on the time of now")
    title = f"captured {span.symbol} at its own times"
    return World(read_lines(files), (span.symbol,), span.skew_ns, title)


async def serve(
    settings: SimulatorSettings,
    world: World,
    *,
    clock: Clock,
    faults: FaultPlan | None = None,
    on_ready: Callable[[Ready], None],
) -> None:
    """Serve until cancelled.

    Args:
        settings: The host.
        world: What it plays.
        clock: Time of the instance.
        faults: What goes wrong on purpose.
        on_ready: Called once when both ports listen.

    Raises:
        CaptureError: The tape cannot be read.
        OSError: A port is taken.
    """
    plan = faults or FaultPlan()
    loop = asyncio.get_running_loop()
    ahead = list(itertools.islice(world.lines, _LOOK_AHEAD))
    lines = itertools.chain(ahead, world.lines)
    time = TapeTime(clock, settings.speed, ahead[0].due_ns if ahead else clock.now_ns())
    markets = {symbol: PairMarket(symbol) for symbol in world.symbols}
    _know_first(ahead, markets)
    push = Push(settings, frozenset(markets), lambda: int(loop.time() * _NS_PER_S), plan)
    gateway = Gateway(
        settings,
        markets,
        now_ns=lambda: time.now_ns() + world.skew_ns,
        real_ns=lambda: int(loop.time() * _NS_PER_S),
        faults=plan,
    )
    player = _Player(lines, time, markets, push, settings)
    if settings.speed is None and not settings.waits_for_reader:
        player.catch_up(clock.now_ns())
    # Both ports are taken before any task begins, so that a taken one is a plain error.
    with contextlib.ExitStack() as sockets:
        listening = [
            sockets.enter_context(socket.create_server((settings.host, port)))
            for port in (settings.rest_port, settings.stream_port)
        ]
        urls = [
            f"{scheme}://{settings.host}:{listener.getsockname()[1]}"
            for scheme, listener in zip(("http", "ws"), listening, strict=True)
        ]
        ready = Ready(urls[0], urls[1], markets, push, asyncio.Event())
        await _run(settings, ready, listening, gateway=gateway, player=player, on_ready=on_ready)


async def _run(
    settings: SimulatorSettings,
    ready: Ready,
    listening: Sequence[socket.socket],
    *,
    gateway: Gateway,
    player: "_Player",
    on_ready: Callable[[Ready], None],
) -> None:
    async with asyncio.TaskGroup() as tasks:

        def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.create_task(serve_connection(reader, writer, gateway.answer))

        rest = await asyncio.start_server(serve_client, sock=listening[0])
        try:
            async with serve_socket(
                ready.push.serve,
                sock=listening[1],
                ping_interval=settings.ping_every_s,
                ping_timeout=settings.pong_within_s,
                compression=None,
                close_timeout=1,
            ):
                playing = tasks.create_task(player.play())
                playing.add_done_callback(lambda _: ready.tape_ended.set())
                on_ready(ready)
                await asyncio.get_running_loop().create_future()
        finally:
            # Its connections end with the group; waiting for them here would never end.
            rest.close()


def _know_first(ahead: Sequence[Line], markets: dict[str, PairMarket]) -> None:
    """Let a book be known from the start: its first snapshot fits whatever comes before it."""
    for line in reversed(ahead):
        symbol, _, kind = line.stream.partition("@")
        if kind == wire.STREAM_SNAPSHOT and symbol.upper() in markets:
            markets[symbol.upper()] = PairMarket(symbol.upper())
            markets[symbol.upper()].begin(line.raw)


class _Player:
    """Plays the tape to the markets and the readers."""

    def __init__(
        self,
        lines: Iterator[Line],
        time: TapeTime,
        markets: dict[str, PairMarket],
        push: Push,
        settings: SimulatorSettings,
    ) -> None:
        self._lines = lines
        self._time = time
        self._markets = markets
        self._push = push
        self._settings = settings

    def catch_up(self, now_ns: int) -> None:
        """Play what lies before now to nobody."""
        for line in self._lines:
            if line.due_ns > now_ns:
                self._lines = itertools.chain((line,), self._lines)
                return
            self._take(line)

    async def play(self) -> None:
        """Play to the end of the tape."""
        if self._settings.waits_for_reader:
            await self._push.has_reader.wait()
        self._time.begin()
        # Without a clock nothing but the readers say how fast: when there is none, time stands.
        stands = self._settings.waits_for_reader and self._settings.speed == 0
        for line in self._lines:
            if stands:
                await self._push.has_reader.wait()
            await self._time.reach(line.due_ns)
            if line.begins_round:
                await self._push.close_all()
            self._take(line)
            await self._push.broadcast(line)
            # Without a reader nothing above gives way, and requests must be answered in between.
            await asyncio.sleep(0)

    def _take(self, line: Line) -> None:
        market = self._markets.get(line.stream.partition("@")[0].upper())
        if market is None:
            return
        if line.begins_round:
            # Changes of this round belong to another book than that of the last.
            market.forget_book()
        market.take(line)
