"""What runs in a home, written down: `run/instance.json`.

The supervisor writes it after each change; `jts status`, the status server and commands that look
for running stores read it. After a supervisor was killed, the next one finds there what may be
left to end. Pids go with start times, because pids are reused.
"""

import contextlib
import os
import tempfile
from enum import StrEnum
from pathlib import Path

import msgspec

from jts_pipelines.cli.spawned import kill_family
from jts_trading.config import procfs
from jts_trading.config.instance import InstanceSettings
from jts_trading.config.running import VERSION, RunningInstance, record_file


class Health(StrEnum):
    """How a part is."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    NOT_STARTED = "not started"


class PartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a running instance.

    Attributes:
        name: Its name in the table of `jts up`.
        state: How it is.
        reason: Why it is not healthy; empty if it is.
        pid: Its process, or None if it does not run or belongs to somebody else.
        started_ticks: Start of that process in clock ticks from boot.
        url: Where it answers; empty if it has no address.
        restarts: How often it was started again.
        log: Its log file.
    """

    name: str
    state: Health
    reason: str = ""
    pid: int | None = None
    started_ticks: int = 0
    url: str = ""
    restarts: int = 0
    log: str = ""


class InstanceRecord(RunningInstance, frozen=True, kw_only=True):
    """A running instance with its parts.

    Attributes:
        parts: In start order.
    """

    parts: tuple[PartRecord, ...]

    def part(self, name: str) -> PartRecord | None:
        """Return a part by its name, or None."""
        return next((part for part in self.parts if part.name == name), None)


def read_record(instance: InstanceSettings) -> InstanceRecord | None:
    """Return the record of a home, alive or left over, or None if there is none to be read."""
    try:
        content = record_file(instance).read_bytes()
        record = msgspec.json.decode(content, type=InstanceRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record if record.version == VERSION else None


def write_record(instance: InstanceSettings, record: InstanceRecord) -> None:
    """Replace the record at once: a reader sees the old one or the new one."""
    target = record_file(instance)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".instance-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(record))
    Path(name).replace(target)


def remove_record(instance: InstanceSettings) -> None:
    """Forget the instance after its orderly end."""
    with contextlib.suppress(FileNotFoundError):
        record_file(instance).unlink()


def end_leftovers(instance: InstanceSettings) -> list[str]:
    """Kill what a dead supervisor left running and forget it; call as the owner of the home.

    Returns:
        The names of the parts that still ran.
    """
    record = read_record(instance)
    if record is None:
        remove_record(instance)
        return []
    left = [
        part
        for part in record.parts
        if part.pid is not None and procfs.family(part.pid, part.started_ticks)
    ]
    for part in left:
        if part.pid is not None:
            kill_family(part.pid, part.started_ticks)
    remove_record(instance)
    return [part.name for part in left]
