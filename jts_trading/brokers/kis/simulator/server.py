"""Runs the simulated KIS: REST over HTTP, WebSocket, and the tape that drives the market.

`serve` listens on two TCP ports, says where through `on_ready`, plays the tape and goes on
answering after its end, until it is cancelled.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.server import serve as serve_socket

from jts_trading.brokers.kis import wire
from jts_trading.brokers.kis.limits import NS_PER_S
from jts_trading.brokers.kis.settings import Environment
from jts_trading.brokers.kis.simulator import records
from jts_trading.brokers.kis.simulator.desk import Desk
from jts_trading.brokers.kis.simulator.gateway import Gateway
from jts_trading.brokers.kis.simulator.kept_desk import KeptDesk
from jts_trading.brokers.kis.simulator.player import Player, Tape, World
from jts_trading.brokers.kis.simulator.push import Push
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.brokers.kis.simulator.sign_in import SignIn
from jts_trading.domain.market.costs import CommissionProfile
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.sessions import calendar_for
from jts_trading.ports.clock import Clock
from jts_trading.simulation.account_ledger import AccountLedger
from jts_trading.simulation.faults import FaultPlan
from jts_trading.simulation.http import serve_connection
from jts_trading.simulation.tape_time import TapeTime


@dataclass(frozen=True, slots=True)
class Ready:
    """Where the simulator listens, and its inside for those who compare books with it."""

    rest_url: str
    stream_url: str
    desk: Desk
    push: Push
    sign_in: SignIn
    tape_ended: asyncio.Event


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
        world: Its market.
        clock: Time of the instance.
        faults: What goes wrong on purpose.
        on_ready: Called once when both ports listen.

    Raises:
        BooksError: The kept books are not of this account.
        ValueError: The world has no bar, bars of something that is not listed, or a listing
            without a base price.
        OSError: A port is taken.
    """
    plan = faults or FaultPlan()
    tape = Tape(world, settings, clock.now_ns())
    time = TapeTime(clock, settings.speed, tape.start_ns)
    desk = _desk(settings, world, tape, time.now_ns())
    loop = asyncio.get_running_loop()
    sign_in = SignIn(settings, time.now_ns, lambda: int(loop.time() * NS_PER_S))
    push = Push(settings, sign_in.is_approved, time.now_ns, plan)
    gateway = Gateway(
        settings,
        desk,
        sign_in,
        calendar=calendar_for("KRX"),
        now_ns=time.now_ns,
        faults=plan,
    )
    ended = asyncio.Event()
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
        ready = Ready(urls[0], urls[1], desk, push, sign_in, ended)
        player = Player(tape, time, desk, push, settings)
        if settings.speed is None and not settings.waits_for_reader:
            player.catch_up()
        if isinstance(desk, KeptDesk):
            desk.restore(Path(settings.books))
        playing = player.play
        await _run(settings, ready, listening, gateway=gateway, playing=playing, on_ready=on_ready)


async def _run(
    settings: SimulatorSettings,
    ready: Ready,
    listening: Sequence[socket.socket],
    *,
    gateway: Gateway,
    playing: Callable[[], Coroutine[None, None, None]],
    on_ready: Callable[[Ready], None],
) -> None:
    async with asyncio.TaskGroup() as tasks:

        def serve_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Clients send names of parameters in either case.
            serving = serve_connection(reader, writer, gateway.answer, name_of=str.upper)
            tasks.create_task(serving)

        rest = await asyncio.start_server(serve_client, sock=listening[0])
        try:
            async with serve_socket(
                ready.push.serve,
                sock=listening[1],
                ping_interval=None,
                compression=None,
                close_timeout=1,
            ):
                tasks.create_task(_ask_often(ready.push, settings.pingpong_every_s))
                tasks.create_task(_push_notices(settings, ready.desk, ready.push))
                tasks.create_task(playing()).add_done_callback(lambda _: ready.tape_ended.set())
                on_ready(ready)
                await asyncio.get_running_loop().create_future()
        finally:
            # Its connections end with the group; waiting for them here would never end.
            rest.close()


def _desk(settings: SimulatorSettings, world: World, tape: Tape, now_ns: int) -> Desk:
    table = default_table()
    references = {**tape.references, **world.references}
    history = sorted(world.history, key=lambda bar: bar.start_ns)
    for bar in reversed(history):
        references.setdefault(bar.symbol, bar.close)
    for bar in tape.bars():
        references.setdefault(bar.symbol, bar.open)
    missing = {listing.symbol for listing in world.listings} - set(references)
    if missing:
        raise ValueError(f"no bar and no base price of {', '.join(sorted(missing))}")
    desk = (KeptDesk if settings.books else Desk)(
        environment=settings.environment,
        account=settings.account + settings.product,
        ledger=AccountLedger(
            settings.deposit,
            table=table,
            calendar=calendar_for("KRX"),
            commission=CommissionProfile("kis"),
        ),
        table=table,
        listings=world.listings,
        references=references,
        now_ns=now_ns,
        level_quantity=settings.level_quantity,
        checks_session=settings.checks_session,
    )
    for bar in history:
        desk.minutes[bar.symbol].append(bar)
    return desk


async def _ask_often(push: Push, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await push.ask()


async def _push_notices(settings: SimulatorSettings, desk: Desk, push: Push) -> None:
    """Send what happened to orders; a notice that nobody subscribed to is gone, as in life."""
    is_paper = settings.environment is Environment.PAPER
    tr_id = wire.TR_NOTICE_PAPER if is_paper else wire.TR_NOTICE_REAL
    news = asyncio.Event()
    desk.on_notice = news.set
    while True:
        await news.wait()
        news.clear()
        while desk.notices:
            notice = desk.notices.popleft()
            name = desk.markets[notice.row.symbol].listing.name
            record = records.notice_record(notice, name, settings)
            await push.broadcast(tr_id, settings.user_id, [record], is_encrypted=True)
