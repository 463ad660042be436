"""`jts kill` and `jts unkill`: the kill switch of an instance, with every store down.

Nothing here opens a store or a socket. A configuration that cannot be read stops nobody either:
`--home` names the data root then.
"""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from jts_trading.guards.kill_switch import FILE_NAME, KillLevel, KillRecord, KillSwitch
from jts_trading.telemetry import console

_LEVELS = {"entries": KillLevel.ENTRIES, "all": KillLevel.ALL}
_home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Data root; without it the configured one.",
)


class KillDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts kill --json` and `jts unkill --json` print.

    Attributes:
        level: What is stopped now: `none`, `entries` or `all`.
        at: When it was latched, real time, ISO 8601; None when it is not.
        code: Releases the switch as it is now, with `jts unkill --code`; empty when it is not
            latched.
        file: Where the latch is.
    """

    level: str
    who: str
    why: str
    at: str | None
    code: str
    file: str


@click.command()
@click.option(
    "--level",
    type=click.Choice(list(_LEVELS)),
    default="entries",
    show_default=True,
    help="`entries` stops new positions; `all` cancels every working order too.",
)
@click.option("--why", default="", help="Reason, kept with the latch.")
@_home_option
@console.json_option
def kill(level: str, why: str, home: Path | None, as_json: bool) -> int:
    """Latch the kill switch: no new orders until `jts unkill`, over restarts too.

    Works with every store and every role down. A level only rises.
    """
    directory = _run_directory(home)
    if not directory.is_dir():
        console.note(f"nothing has run in {directory.parent} yet; the latch holds once it does")
        directory.mkdir(parents=True)
    switch = KillSwitch(directory)
    switch.latch(_LEVELS[level], who=_who(), why=why.strip() or "no reason given")
    console.emit(_document(home), as_json=as_json, table=lambda: _said(_document(home)))
    return console.DONE


@click.command()
@click.option("--code", default="", help="The code that `jts unkill` without it shows.")
@click.option("--why", default="", help="Why it is safe to trade again; required with --code.")
@_home_option
@console.json_option
def unkill(code: str, why: str, home: Path | None, as_json: bool) -> int:
    """Release the kill switch, in two steps: without --code it shows the latch and its code."""
    switch = KillSwitch(_run_directory(home))
    if not code:
        document = _document(home)
        console.emit(document, as_json=as_json, table=lambda: _said(document))
        return console.DONE if document.level == "none" else console.CHECK_FAILED
    switch.release(code, who=_who(), why=why)
    console.emit(_document(home), as_json=as_json, table=lambda: "released: orders may leave")
    return console.DONE


def _document(home: Path | None) -> KillDocument:
    directory = _run_directory(home)
    switch = KillSwitch(directory)
    # Before the first start there is no directory, and nothing that could be stopped.
    level = switch.level() if directory.is_dir() else KillLevel.NONE
    record = switch.record() if directory.is_dir() else None
    return KillDocument(
        level=level.name.lower(),
        who=record.who if record else "",
        why=record.why if record else "",
        at=_at(record),
        code=switch.release_code() if level is not KillLevel.NONE else "",
        file=str(directory / FILE_NAME),
    )


def _at(record: KillRecord | None) -> str | None:
    if record is None:
        return None
    return datetime.fromtimestamp(record.at_ns // 1_000_000_000, UTC).isoformat()


def _said(document: KillDocument) -> str:
    if document.level == "none":
        return "the kill switch is not latched"
    return (
        f"latched at level {document.level} by {document.who} at {document.at}: {document.why}\n"
        f"release it with: jts unkill --code {document.code} --why 'REASON'"
    )


def _run_directory(home: Path | None) -> Path:
    if home is not None:
        return home.expanduser().absolute() / "run"
    from jts_trading.config.settings import load_settings

    return load_settings().instance.run_directory


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
