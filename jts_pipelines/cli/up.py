"""`jts up`: start everything that exists and keep it running until Ctrl-C or SIGTERM."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import msgspec

from jts_pipelines.cli.instance import Keeper, Lifelog, owned_home, require_free_ports
from jts_pipelines.cli.parts import all_parts, prepare_dagster_home
from jts_pipelines.cli.record import Health, PartRecord
from jts_pipelines.cli.status import table_of
from jts_pipelines.cli.supervisor import Supervisor, turns
from jts_trading.config.settings import Settings, load_settings
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.status import Status

SAY_AFTER_S = 180.0
SAY_EVERY_S = 15.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class UpDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts up --json` prints once, when all is ready.

    Attributes:
        home: The data root.
        pid: The supervisor; SIGTERM to it stops everything.
        is_ready: Whether every part got ready in time.
        seconds: From the start until now.
        parts: How each part is.
    """

    home: str
    pid: int
    is_ready: bool
    seconds: float
    parts: tuple[PartRecord, ...]


@click.command()
@console.json_option
def up(as_json: bool) -> int:
    """Start everything on embedded defaults and keep it running; Ctrl-C stops all."""
    settings = load_settings(to_start=True)
    instance = settings.instance
    with owned_home(settings), _stop_event() as stop:
        parts = all_parts(settings)
        require_free_ports(parts)
        prepare_dagster_home(settings)
        log = Lifelog(instance.log_directory / "supervisor.log")
        screen = _Screen(as_json=as_json, settings=settings)

        def tell(part: str, event: str) -> None:
            log.write(part, event)
            screen.tell(part, event)

        supervisor = Supervisor(parts, logs=instance.log_directory, tell=tell)
        try:
            _keep_up(supervisor, settings, stop, screen)
        finally:
            screen.stopping()
            killed = supervisor.stop()
            screen.stopped(killed)
    return console.DONE


def _keep_up(
    supervisor: Supervisor, settings: Settings, stop: threading.Event, screen: "_Screen"
) -> None:
    keeper = Keeper(settings.instance, is_lasting=True)
    supervisor.open()
    for _ in turns(supervisor, stop):
        keeper.keep(supervisor)
        screen.show(supervisor)


@contextmanager
def _stop_event() -> Iterator[threading.Event]:
    """Turn Ctrl-C, SIGTERM and the end of the terminal into one event while the block runs."""
    event = threading.Event()
    before = {number: signal.signal(number, lambda *_: event.set()) for number in _SIGNALS}
    try:
        yield event
    finally:
        for number, action in before.items():
            signal.signal(number, action)


class _Screen:
    """What a person sees: progress, one table when all is ready, then a status line."""

    def __init__(self, *, as_json: bool, settings: Settings) -> None:
        self._as_json = as_json
        self._home = str(settings.instance.root)
        self._started = time.monotonic()
        self._is_shown = False
        self._said_at = self._started
        self._line: Status | None = None
        if sys.stderr.isatty():
            from rich.console import Console

            self._line = Console(file=sys.stderr).status("starting ...")
            self._line.start()

    def tell(self, part: str, event: str) -> None:
        """Print what happened to a part; a start by itself says nothing yet."""
        if not event.startswith("started"):
            self._say(f"jts: {self._seconds():6.1f} s  {part}: {event}")

    def show(self, supervisor: Supervisor) -> None:
        """Print the table once all is ready, or it took too long; then keep the line current."""
        is_ready = supervisor.is_ready()
        is_decided = is_ready or supervisor.has_lasting_reason()
        if not self._is_shown and (is_decided or self._seconds() > SAY_AFTER_S):
            self._is_shown = True
            with self._line_away():
                self._print(supervisor, is_ready=is_ready)
        if self._line is not None:
            from rich.markup import escape

            # Two columns for the spinner: a longer text would break over several lines.
            text = self._summary(supervisor)[: self._line.console.width - 3]
            self._line.update(escape(text))
        elif not is_ready and time.monotonic() - self._said_at > SAY_EVERY_S:
            self._said_at = time.monotonic()
            console.note(f"jts: {self._seconds():6.1f} s  {self._summary(supervisor)}")

    def stopping(self) -> None:
        """Say that the end began."""
        if self._line is not None:
            self._line.stop()
        console.note("jts: stopping ...")

    def stopped(self, killed: list[str]) -> None:
        """Say that all ended, and what did not end by itself."""
        by_force = f" (by force: {', '.join(killed)})" if killed else ""
        console.note(f"jts: stopped{by_force}")

    def _print(self, supervisor: Supervisor, *, is_ready: bool) -> None:
        import os

        document = UpDocument(
            home=self._home,
            pid=os.getpid(),
            is_ready=is_ready,
            seconds=round(self._seconds(), 2),
            parts=supervisor.records(),
        )
        console.emit(document, as_json=self._as_json, table=lambda: table_of(document.parts))
        if not self._as_json:
            pages = {part.name: part.url for part in document.parts}
            if "dagster-webserver" in pages:
                click.echo(f"Dagster: {pages['dagster-webserver']}")
            word = "ready" if is_ready else "not ready"
            click.echo(f"Home: {self._home}; {word} after {document.seconds:.0f} s.")
            click.echo(f"Stop with Ctrl-C or: kill {document.pid}")
        sys.stdout.flush()

    def _say(self, text: str) -> None:
        """Print above the status line, so that neither cuts the other."""
        if self._line is None:
            console.note(text)
        else:
            self._line.console.print(console.redacted(text), highlight=False, markup=False)

    @contextmanager
    def _line_away(self) -> Iterator[None]:
        if self._line is not None:
            self._line.stop()
        yield
        if self._line is not None:
            self._line.start()

    def _summary(self, supervisor: Supervisor) -> str:
        records = supervisor.records()
        ill = [part for part in records if part.state is not Health.HEALTHY]
        if not ill:
            return f"{len(records)} parts healthy; Ctrl-C stops all"
        reasons = "; ".join(f"{part.name}: {part.reason}" for part in ill)
        well = f"{len(records) - len(ill)} of {len(records)} parts healthy"
        return console.redacted(f"{well}; {reasons}")

    def _seconds(self) -> float:
        return time.monotonic() - self._started
