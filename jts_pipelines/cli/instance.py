"""The stores that one command needs: those of the running instance, or its own for a while.

`jts ingest` and `jts sql` work right after a clone: without `jts up` they become the owner of the
home, start the embedded servers that they need, and stop them at their end. Meanwhile another
command on the same home waits.
"""

import contextlib
import math
import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jts_pipelines.cli.part import Part, Probe
from jts_pipelines.cli.parts import STORES, dagster_parts, prepare_dagster_home, store_parts
from jts_pipelines.cli.record import (
    Health,
    InstanceRecord,
    end_leftovers,
    remove_record,
    write_record,
)
from jts_pipelines.cli.supervisor import Supervisor, turns
from jts_trading.config import procfs
from jts_trading.config.instance import InstanceSettings
from jts_trading.config.running import at_running_ports, read_lasting
from jts_trading.config.settings import Settings
from jts_trading.ports.clock import write_clock
from jts_trading.telemetry import console
from storage.embedded.private import DirectoryOwnedError, own_directory
from storage.errors import StorageError

READY_SECONDS = 60.0
READY_SECONDS_DAGSTER = 180.0
READY_SECONDS_FOREIGN = 5.0
_OWNER_WAIT_SECONDS = 120.0
# A command does not wait for a store that ended this often: its next end will be the same.
_RESTARTS_IN_VAIN = 3


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the stores answer.

    Attributes:
        hot: `http://host:port`, for clickhouse-connect.
        postgres: `postgresql://...`.
        redis: `redis://...` or `unix://...`.
    """

    hot: str
    postgres: str
    redis: str


@contextmanager
def owned_home(settings: Settings) -> Iterator[None]:
    """Be the one owner of a home and start its clock; end first what a killed owner left running.

    Raises:
        DirectoryOwnedError: Another process owns it (exit code 3).
    """
    instance = settings.instance
    instance.root.mkdir(parents=True, exist_ok=True)
    owner = own_directory(instance.run_directory, f"the instance in {instance.root}")
    try:
        left = end_leftovers(instance)
        if left:
            console.note(f"jts: ended what an earlier run left: {', '.join(left)}")
        write_clock(instance.run_directory, settings.clock)
        _make_socket_directory(instance.socket_directory)
        try:
            yield
        finally:
            _forget(instance)
    finally:
        owner.release()


@contextmanager
def running_stores(
    settings: Settings, need: Collection[str] = ("clickhouse",)
) -> Iterator[Endpoints]:
    """Have some stores running while the block runs.

    Args:
        settings: Of this command.
        need: Names of `STORES`.

    Yields:
        Where the stores answer; those not in `need` may not.

    Raises:
        CommandError: A store does not get ready (exit code 5).
        DirectoryOwnedError: Another command keeps the home for too long (exit code 3).
    """
    unknown = set(need) - set(STORES)
    if unknown:
        raise ValueError(f"no such store: {', '.join(sorted(unknown))}")
    with ExitStack() as stack:
        if not _is_all_configured(settings, need) and not _own_or_share(stack, settings):
            settings = _with_free_port(settings)
            parts = store_parts(settings, need)
            stack.enter_context(supervised(parts, settings, seconds=READY_SECONDS))
        else:
            # What `jts up` keeps may be starting again; a server that it does not keep either
            # answers or has a wrong address.
            is_up = read_lasting(settings.instance) is not None
            seconds = READY_SECONDS if is_up else READY_SECONDS_FOREIGN
            # It may have been started while this command waited, at ports of its own.
            instance = at_running_ports(settings.instance)
            settings = msgspec.structs.replace(settings, instance=instance)
            _wait_until_answered(store_parts(settings, need), seconds)
        yield Endpoints(settings.hot_dsn, settings.postgres_dsn, settings.redis_dsn)


@contextmanager
def running_instance(settings: Settings) -> Iterator[tuple[Settings, Supervisor]]:
    """Have all stores and Dagster running, on the configured ports, while the block runs.

    Simulators and roles are started by who needs them, with `trading_parts` and `supervised`.

    Yields:
        The settings, and the supervisor, for pids and addresses (`records()`).

    Raises:
        CommandError: A port is taken (exit code 2) or a part does not get ready (exit code 5).
        DirectoryOwnedError: `jts up` or another command uses this home (exit code 3).
    """
    with owned_home(settings):
        parts = (*store_parts(settings), *dagster_parts(settings))
        require_free_ports(parts)
        prepare_dagster_home(settings)
        with supervised(parts, settings, seconds=READY_SECONDS_DAGSTER) as supervisor:
            yield settings, supervisor


@contextmanager
def supervised(
    parts: tuple[Part, ...], settings: Settings, *, seconds: float, is_noted: bool = True
) -> Iterator[Supervisor]:
    """Supervise some parts from a thread until the block ends; call as the owner of the home.

    Args:
        parts: What to start.
        settings: Of the instance.
        seconds: In which they have to be ready.
        is_noted: False for parts beside others of the same home: its record is of those.

    Raises:
        CommandError: They are not ready after so many seconds; the reasons are named.
    """
    instance = settings.instance
    log = Lifelog(instance.log_directory / "supervisor.log")
    supervisor = Supervisor(parts, logs=instance.log_directory, tell=log.write)
    stop, ended = threading.Event(), threading.Event()
    thread = threading.Thread(
        # One thread starts and ends every child: their lives are tied to it.
        target=_supervise,
        args=(supervisor, instance if is_noted else None, stop, ended),
        name="supervisor",
    )
    thread.start()
    try:
        _wait_until_ready(supervisor, ended, seconds)
        yield supervisor
    finally:
        stop.set()
        thread.join()


def _forget(instance: InstanceSettings) -> None:
    """Remove the record, heartbeats and sockets after everything ended."""
    remove_record(instance)
    shutil.rmtree(instance.run_directory / "roles", ignore_errors=True)
    shutil.rmtree(instance.socket_directory, ignore_errors=True)


class Keeper:
    """Keeps the record of a running instance in step with its supervisor."""

    def __init__(self, instance: InstanceSettings, *, is_lasting: bool) -> None:
        self._instance = instance
        self._is_lasting = is_lasting
        self._last: InstanceRecord | None = None

    def keep(self, supervisor: Supervisor) -> None:
        """Write the record if something changed since the last call."""
        record = InstanceRecord(
            pid=os.getpid(),
            started_ticks=procfs.started_ticks(os.getpid()),
            home=str(self._instance.root),
            is_lasting=self._is_lasting,
            ports=self._instance.ports,
            parts=supervisor.records(),
        )
        if record != self._last:
            write_record(self._instance, record)
            self._last = record


class Lifelog:
    """The supervisor's own log: one JSON line for each start, readiness and end of a part."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened = time.monotonic()

    def write(self, part: str, event: str) -> None:
        """Append one event."""
        line = {"seconds": round(time.monotonic() - self._opened, 3), "part": part, "event": event}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")


def _make_socket_directory(path: Path) -> None:
    """Make the directory above the sockets: PostgreSQL's own user may pass it, nobody list it."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o711)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StorageError(f"{path}: not a directory of this user; remove it")
    path.chmod(0o711)


def require_free_ports(parts: Collection[Part]) -> None:
    """Check every port before anything starts.

    Raises:
        CommandError: A port is taken; the port, the part and the owner are named (exit code 2).
    """
    wanted = ((part, port) for part in parts if part.argv for port in part.ports)
    for part, port in wanted:
        if is_free_port(port):
            continue
        owner = procfs.port_owner(port)
        held = f"held by {owner}" if owner is not None else "taken"
        raise console.CommandError(
            f"port {port} of {part.name} is {held}; stop that, or set JTS_PORT_BASE "
            "to the first of 20 free ports",
            console.BAD_USAGE,
        )


def is_free_port(port: int) -> bool:
    """Return whether this program could listen on a loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A connection of the past in TIME_WAIT is no owner; servers set this option too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_all_configured(settings: Settings, need: Collection[str]) -> bool:
    dsns = {
        "clickhouse": settings.hot.dsn,
        "postgres": settings.postgres.dsn,
        "redis": settings.redis.dsn,
    }
    return all(dsns[name] for name in need)


def _own_or_share(stack: ExitStack, settings: Settings) -> bool:
    """Return True if an instance of this home is up; else own the home on the stack."""
    deadline = time.monotonic() + _OWNER_WAIT_SECONDS
    said = False
    while True:
        if read_lasting(settings.instance) is not None:
            return True
        try:
            stack.enter_context(owned_home(settings))
        except DirectoryOwnedError:
            if time.monotonic() > deadline:
                raise
            if not said:
                console.note("jts: another command uses this home; waiting for its end")
                said = True
            time.sleep(0.2)
        else:
            return False


def _with_free_port(settings: Settings) -> Settings:
    """Return settings whose embedded hot store takes any free port, not one that `up` may want."""
    if settings.hot.dsn:
        return settings
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    instance = msgspec.structs.replace(settings.instance, clickhouse_port=port)
    return msgspec.structs.replace(settings, instance=instance)


def _supervise(
    supervisor: Supervisor,
    instance: InstanceSettings | None,
    stop: threading.Event,
    ended: threading.Event,
) -> None:
    keeper = None if instance is None else Keeper(instance, is_lasting=False)
    try:
        supervisor.open()
        for _ in turns(supervisor, stop):
            if keeper is not None:
                keeper.keep(supervisor)
    finally:
        supervisor.stop()
        ended.set()


def _wait_until_ready(supervisor: Supervisor, ended: threading.Event, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not supervisor.is_ready():
        in_vain = supervisor.has_lasting_reason() or any(
            record.restarts >= _RESTARTS_IN_VAIN for record in supervisor.records()
        )
        if in_vain or ended.is_set() or time.monotonic() > deadline:
            raise console.CommandError(_not_ready(supervisor), console.STORAGE_FAILED)
        time.sleep(0.05)


def _not_ready(supervisor: Supervisor) -> str:
    """Say in one line which parts are not ready and where their logs are."""
    late = [
        f"{record.name}: {record.reason} (log: {record.log})"
        for record in supervisor.records()
        if record.state is not Health.HEALTHY
    ]
    return f"not ready: {'; '.join(late)}"


def _wait_until_answered(parts: Collection[Part], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for part in parts:
        reason = _answer(part.probe, deadline)
        if reason is not None:
            raise console.CommandError(
                f"{part.name} at {console.redacted(part.url)} does not answer: {reason}",
                console.STORAGE_FAILED,
            )


def _answer(probe: Probe, deadline: float) -> str | None:
    reason = probe(math.inf)
    while reason is not None and time.monotonic() < deadline:
        time.sleep(0.2)
        reason = probe(math.inf)
    return reason
