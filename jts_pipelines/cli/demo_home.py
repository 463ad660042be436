"""Where a demo runs: a home and ports of its own, whatever the user's configuration says.

A demo must not touch real stores or tiers: it empties the DSNs, keeps to default tier folders
below its own home and takes free ports. The home of an earlier demo is replaced; a folder that is
not one is refused.
"""

import os
import shutil
import socket
from pathlib import Path

import msgspec

from jts_pipelines.cli.record import read_record
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import child_environment, read
from jts_trading.telemetry import console
from storage.schema.tiers import Tier

MARKER = ".jts-demo"
_PORTS = 20
# Below the range from which systems take ports for outgoing connections.
_FIRST_PORT, _LAST_PORT = 20_000, 32_000


def demo_settings(out: Path) -> Settings:
    """Return the settings of a demo whose results go to a folder.

    Args:
        out: Created when missing; the home is its folder `home`.

    Raises:
        ConfigError: The configuration cannot be used at all.
        CommandError: It points tiers outside the demo's home, or no ports are free.
    """
    overrides = {
        "JTS_HOME": str((out / "home").absolute()),
        "JTS_PORT_BASE": str(_first_free_port()),
        "JTS_HOT__DSN": '""',
        "JTS_POSTGRES__DSN": '""',
        "JTS_REDIS__DSN": '""',
        "JTS_DAGSTER__DSN": '""',
        "JTS_DAGSTER_PG_URL": "",
    }
    settings = load_settings(read(child_environment(overrides)))
    home = settings.instance.root
    for place in ("manifests", "quarantine", *Tier):
        if place != Tier.HOT and not settings.tiers.path(home, place).is_relative_to(home):
            raise console.CommandError(
                f"tiers.{place} is {settings.tiers.path(home, place)}: a demo keeps to its own "
                "home; run it without that setting",
                console.BAD_USAGE,
            )
    return settings


def fresh_home(settings: Settings) -> None:
    """Make an empty home; the home of an earlier demo is removed.

    Raises:
        CommandError: An instance runs there (exit code 3), or it is no demo's home (exit code 2).
    """
    home = settings.instance.root
    record = read_record(settings.instance)
    if record is not None and record.is_alive:
        raise console.CommandError(
            f"{home}: in use by process {record.pid}; choose another --out", console.NOT_LEADER
        )
    if home.exists() and any(home.iterdir()):
        if not (home / MARKER).exists():
            raise console.CommandError(
                f"{home}: not empty and not made by `jts demo`; choose another --out",
                console.BAD_USAGE,
            )
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARKER).write_bytes(msgspec.json.encode({"made_by": "jts demo"}) + b"\n")


def _first_free_port() -> int:
    """Return the first of a block of free ports; demos that start together begin apart."""
    blocks = (_LAST_PORT - _FIRST_PORT) // _PORTS
    for turn in range(blocks):
        first = _FIRST_PORT + (os.getpid() + turn) % blocks * _PORTS
        if all(_is_free(first + offset) for offset in range(_PORTS)):
            return first
    raise console.CommandError(
        f"no {_PORTS} free ports between {_FIRST_PORT} and {_LAST_PORT}", console.BAD_USAGE
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
