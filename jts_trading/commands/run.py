"""`jts run ROLE`: one daemon role, or all of them in one process, until SIGTERM or Ctrl-C."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

import click
import structlog

from jts_trading.bootstrap.roles import NAMES, build_role, import_roles
from jts_trading.bootstrap.settings import DaemonSettings, load_daemon
from jts_trading.bootstrap.stores import Stores
from jts_trading.bootstrap.tending import Tended
from jts_trading.telemetry import console
from jts_trading.telemetry.health import LoopWatch

ALL = "all"
# The supervisor kills after 2.5 s; whoever waits for something else by then is left behind.
_END_S = 2.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = structlog.get_logger(__name__)


@click.command()
@click.argument("role", type=click.Choice([*NAMES, ALL]))
def run(role: str) -> None:
    """Run one daemon role until SIGTERM or Ctrl-C; `all` runs every role in one process.

    The stores and, in paper mode, the simulators must be running: `jts up` starts all of them.
    """
    daemon = load_daemon()
    names = NAMES if role == ALL else (role,)
    import_roles(names)
    asyncio.run(serve(names, daemon))
    # Everything is closed; taking engines and compilers apart would only cost the time that
    # whoever stops a whole instance has.
    sys.stderr.flush()
    os._exit(console.DONE)


async def serve(names: Sequence[str], daemon: DaemonSettings) -> None:
    """Run some roles until a signal comes; an error of one ends all.

    Raises:
        DirectoryOwnedError: Another process runs one of them in this home.
        RoleEndedError: One ended too often.
    """
    with _Leaving() as leaving:
        try:
            await _run_together(names, daemon)
        except asyncio.CancelledError:
            if not leaving.is_asked:
                raise
        except ExceptionGroup as errors:
            if not leaving.is_asked:
                raise first_of(errors) from None
            _log.exception("role_failed_at_its_end")
        _log.info("roles_ended", roles=list(names))


async def _run_together(names: Sequence[str], daemon: DaemonSettings) -> None:
    async with AsyncExitStack() as stack:
        stores = Stores(daemon.settings, "health", stack)
        watch, bus = LoopWatch(), stores.bus()
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.watch(), name="loop-watch")
            for name in names:
                tended = Tended(
                    name,
                    partial(build_role, name, daemon),
                    home=stores.home,
                    run_directory=daemon.settings.instance.run_directory,
                    clock=stores.clock,
                    bus=bus,
                    watch=watch,
                )
                group.create_task(tended.run(), name=name)


def first_of(errors: ExceptionGroup[Exception]) -> Exception:
    """Return the first error of a group that is not a group itself."""
    error: Exception = errors
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


class _Leaving:
    """Turns SIGTERM and Ctrl-C into the cancellation of the task that entered the block."""

    def __init__(self, leave: Callable[[int], None] = os._exit) -> None:
        self.is_asked = False
        self._leave = leave
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def _ask(self) -> None:
        if self.is_asked or self._task is None:
            return
        self.is_asked = True
        # A thread that computes or a call that does not come back must not keep the process:
        # whatever was under way is recovered by the next start.
        timer = threading.Timer(_END_S, self._give_up)
        timer.daemon = True
        timer.start()
        self._task.cancel()

    def _give_up(self) -> None:
        sys.stderr.write("jts: something did not end in time; leaving it behind\n")
        sys.stderr.flush()
        self._leave(console.CHECK_FAILED)
