"""What runs in a home, as far as a configuration must know it: whose it is, and at which ports.

The supervisor of `jts up` writes it into `run/instance.json` together with the state of its parts.
Whoever reads settings gets the ports from there while that supervisor lives, so that an instance
is found by its home alone: the ports of a configuration are those of its next start. A record that
a killed supervisor left counts for nothing.
"""

from pathlib import Path

import msgspec

from jts_trading.config import procfs
from jts_trading.config.instance import InstanceSettings

VERSION = 1


class RunningInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A running instance.

    Attributes:
        version: Of the file's form.
        pid: The supervisor.
        started_ticks: Its start in clock ticks from boot.
        home: The data root.
        is_lasting: True for `jts up`, whose stores other commands may use; False for a command
            that started its stores for itself.
        ports: The loopback port of every part that may have one, by the names of
            `InstanceSettings.port`.
    """

    version: int = VERSION
    pid: int
    started_ticks: int
    home: str
    is_lasting: bool
    ports: dict[str, int] = {}

    @property
    def is_alive(self) -> bool:
        """True while the supervisor that wrote it runs."""
        return procfs.is_running(self.pid, self.started_ticks)


def record_file(instance: InstanceSettings) -> Path:
    """Return where the record of an instance is."""
    return instance.run_directory / "instance.json"


def read_lasting(instance: InstanceSettings) -> RunningInstance | None:
    """Return the `jts up` that runs in this home now, or None."""
    try:
        content = record_file(instance).read_bytes()
        record = msgspec.json.decode(content, type=RunningInstance)
    except (OSError, msgspec.DecodeError):
        return None
    is_ours = record.version == VERSION and record.is_lasting
    return record if is_ours and record.is_alive else None


def at_running_ports(instance: InstanceSettings) -> InstanceSettings:
    """Return an instance at the ports of the `jts up` that runs in its home, else unchanged."""
    running = read_lasting(instance)
    if running is None:
        return instance
    ports = {part: running.ports.get(part, port) for part, port in instance.ports.items()}
    return msgspec.structs.replace(
        instance, **{f"{part}_port": port for part, port in ports.items()}
    )
