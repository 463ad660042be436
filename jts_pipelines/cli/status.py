"""`jts status`: the parts of the running instance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import click
import msgspec

from jts_pipelines.cli.record import Health, InstanceRecord, PartRecord, read_record
from jts_pipelines.cli.roles import (
    KillStatus,
    RoleStatus,
    Trading,
    read_kill_switch,
    read_roles,
    trading_of,
)
from jts_trading.config import procfs
from jts_trading.config.settings import load_settings
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

_STYLES = {
    Health.HEALTHY: "green",
    Health.WARNING: "yellow",
    Health.CRITICAL: "bold red",
    Health.NOT_STARTED: "dim",
}
_MIB = 1024 * 1024
KEY_FIGURES = {
    "collector": {"frames": "frames_total", "ticks": "ticks_total", "missed": "missed_total"},
    "recorder": {"rows": "rows_total", "seconds behind": "lag_seconds"},
    "trader": {
        "instances": "instances",
        "positions": "positions",
        "bars": "bars_total",
        "signals": "signals_total",
        "intents": "intents_total",
    },
    "executor": {
        "sent": "orders_sent_total",
        "denied": "risk_denied_total",
        "open": "open_orders",
        "unknown": "unknown_orders",
    },
    "reconciler": {"looks": "looks_total", "failed": "reconcile_failures_total"},
    "notifier": {"told": "told_total"},
}
"""Role to what is shown of it: title to the name of its metric, counted since it started."""


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
        roles: What the daemon's roles say about themselves.
        trading: Whether the daemon may trade, and why not.
        kill_switch: The latched kill switch, or None.
    """

    home: str
    is_up: bool
    pid: int | None
    parts: tuple[PartStatus, ...]
    roles: tuple[RoleStatus, ...] = ()
    trading: Trading
    kill_switch: KillStatus | None = None


@click.command()
@console.json_option
def status(as_json: bool) -> int:
    """Show the parts of the running instance; exit 0 if all are healthy, else 1."""
    instance = load_settings().instance
    record = read_record(instance)
    roles, kill = read_roles(instance), read_kill_switch(instance)
    trading = trading_of(roles, kill)
    if record is None or not record.is_alive:
        if as_json:
            home = str(instance.root)
            down = StatusDocument(home=home, is_up=False, pid=None, parts=(), trading=trading)
            console.emit(down, as_json=True)
            return console.CHECK_FAILED
        raise console.CommandError(f"nothing runs in {instance.root}; start it with: jts up")
    document = StatusDocument(
        home=record.home,
        is_up=True,
        pid=record.pid,
        parts=measured(record),
        roles=roles,
        trading=trading,
        kill_switch=kill,
    )
    console.emit(document, as_json=as_json, table=lambda: _tables(record, document))
    all_healthy = all(part.state is Health.HEALTHY for part in record.parts)
    return console.DONE if all_healthy else console.CHECK_FAILED


def _tables(record: InstanceRecord, document: StatusDocument) -> "Group":
    from rich.console import Group
    from rich.text import Text

    shown: list[Table | Text] = [table_of(record.parts, document.parts)]
    if document.roles:
        shown += [_roles_table(document.roles), _trading_line(document)]
    return Group(*shown)


def _roles_table(roles: Sequence[RoleStatus]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("role", no_wrap=True)
    table.add_column("says", overflow="fold")
    table.add_column("measures", overflow="fold")
    for role in roles:
        says = Text("works" if not role.reasons else "; ".join(role.reasons))
        if not role.is_ready:
            says.stylize("yellow")
        table.add_row(role.role, says, Text(key_figures(role)))
    return table


def key_figures(role: RoleStatus) -> str:
    """Return what a person asks a role first: `bars 390, positions 1`."""
    figures = []
    for title, name in KEY_FIGURES.get(role.role, {}).items():
        # A figure may be split by labels, as frames are by feed.
        values = [v for sample, v in role.metrics.items() if sample.partition("{")[0] == name]
        if values:
            figures.append(f"{title} {sum(values):g}")
    return ", ".join(figures)


def _trading_line(document: StatusDocument) -> "Text":
    from rich.text import Text

    if document.kill_switch is not None:
        kill = document.kill_switch
        what = f"kill switch latched at level {kill.level} by {kill.who or 'unknown'}: {kill.why}"
        return Text(what, style="bold red")
    return Text("may trade" if document.trading.may_trade else "does not trade now; see above")


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
