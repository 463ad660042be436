"""`jts status`: the parts of the running instance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import click
import msgspec

from jts_pipelines.cli import procfs
from jts_pipelines.cli.record import Health, InstanceRecord, PartRecord, read_record
from jts_trading.config.settings import load_settings
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {
    Health.HEALTHY: "green",
    Health.WARNING: "yellow",
    Health.CRITICAL: "bold red",
    Health.NOT_STARTED: "dim",
}
_MIB = 1024 * 1024


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One part with what it uses now.

    Attributes:
        part: As the supervisor recorded it.
        processes: How many processes it consists of.
        rss_bytes: Their resident memory; shared pages count in each.
        pss_bytes: Their proportional memory; sums of it are true.
    """

    part: PartRecord
    processes: int
    rss_bytes: int
    pss_bytes: int


class StatusDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts status --json` prints.

    Attributes:
        home: The data root.
        is_up: Whether an instance runs there.
        pid: Its supervisor, or None.
        parts: In start order; empty if nothing runs.
    """

    home: str
    is_up: bool
    pid: int | None
    parts: tuple[PartStatus, ...]


@click.command()
@console.json_option
def status(as_json: bool) -> int:
    """Show the parts of the running instance; exit 0 if all are healthy, else 1."""
    instance = load_settings().instance
    record = read_record(instance)
    if record is None or not record.is_alive:
        if as_json:
            down = StatusDocument(home=str(instance.root), is_up=False, pid=None, parts=())
            console.emit(down, as_json=True)
            return console.CHECK_FAILED
        raise console.CommandError(f"nothing runs in {instance.root}; start it with: jts up")
    document = StatusDocument(home=record.home, is_up=True, pid=record.pid, parts=measured(record))
    console.emit(document, as_json=as_json, table=lambda: table_of(record.parts, document.parts))
    all_healthy = all(part.state is Health.HEALTHY for part in record.parts)
    return console.DONE if all_healthy else console.CHECK_FAILED


def measured(record: InstanceRecord) -> tuple[PartStatus, ...]:
    """Return every part of a record with the memory that it uses now."""
    return tuple(_measure(part) for part in record.parts)


def table_of(parts: Sequence[PartRecord], uses: Sequence[PartStatus] = ()) -> "Table":
    """Return the table of parts, with memory where it was measured."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("part", no_wrap=True)
    for title in ("state", "pid", "restarts", "address"):
        table.add_column(title, overflow="fold")
    if uses:
        table.add_column("memory", justify="right", no_wrap=True)
    for at, part in enumerate(parts):
        state = Text(part.state.value, style=_STYLES[part.state])
        if part.reason:
            state.append(f": {part.reason}")
        pid = "-" if part.pid is None else str(part.pid)
        row: list[Text | str] = [state, pid, str(part.restarts), address_of(part.url) or "-"]
        memory: list[Text | str] = [f"{uses[at].pss_bytes / _MIB:.0f} MiB"] if uses else []
        table.add_row(part.name, *row, *memory)
    return table


def address_of(url: str) -> str:
    """Return what a person opens or names to a client: a page, a server, or a socket's path."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    directory = parse_qs(parts.query).get("host")
    return directory[0] if directory and not parts.hostname else console.redacted(url)


def _measure(part: PartRecord) -> PartStatus:
    pids = procfs.family(part.pid, part.started_ticks) if part.pid is not None else []
    resident, proportional = procfs.memory_bytes(pids)
    return PartStatus(part=part, processes=len(pids), rss_bytes=resident, pss_bytes=proportional)
