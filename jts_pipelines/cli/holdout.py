"""`jts holdout` and `jts trials`: data that nobody looks at, and everything that was tried."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from jts_pipelines.cli.studying import DAY
from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from jts_pipelines.research.holdouts import Holdout, Holdouts
    from jts_pipelines.research.trials import Trial

_by_option = click.option("--by", required=True, help="Who.")
_reason_option = click.option("--reason", required=True, help="Why, in one line.")


@click.group()
def holdout() -> None:
    """Lock slices of data that no run may see, and open them by name."""


@holdout.command("lock")
@click.argument("name")
@click.option("--from", "from_day", type=DAY, required=True, help="First session.")
@click.option("--to", "to_day", type=DAY, required=True, help="Last session, inclusive.")
@click.option("--venue", default="KRX", show_default=True, help="Whose sessions.")
@_by_option
@_reason_option
@console.json_option
def lock(
    name: str,
    *,
    from_day: datetime,
    to_day: datetime,
    venue: str,
    by: str,
    reason: str,
    as_json: bool,
) -> None:
    """Lock a period of a venue as NAME: nothing runs over it until it is opened."""
    from jts_pipelines.research.holdouts import Locked

    known, now_ns = _opened_book()
    asked = Locked(
        name=name,
        venue=venue.upper(),
        from_day=from_day.date(),
        to_day=to_day.date(),
        by=by,
        reason=reason,
    )
    found = known.lock(asked, now_ns)
    console.emit(_told(found), as_json=as_json, table=lambda: _table([found]))


@holdout.command("open")
@click.argument("name")
@_by_option
@_reason_option
@console.json_option
def open_(name: str, *, by: str, reason: str, as_json: bool) -> None:
    """Open the hold-out NAME for good; who and why are recorded."""
    known, now_ns = _opened_book()
    found = known.open(name, by=by, reason=reason, at_ns=now_ns)
    console.emit(_told(found), as_json=as_json, table=lambda: _table([found]))


@holdout.command("list")
@console.json_option
def list_(*, as_json: bool) -> None:
    """Show every hold-out: who locked it, and who opened it."""
    found = _opened_book()[0].all()
    console.emit([_told(one) for one in found], as_json=as_json, table=lambda: _table(found))


@click.command()
@click.option("--strategy", help="Only those of this strategy.")
@console.json_option
def trials(*, strategy: str | None, as_json: bool) -> None:
    """Show what was ever tried in backtests, sweeps and walk-forwards, by strategy."""
    from jts_pipelines.research.trials import FILE, TrialLedger
    from jts_trading.config.settings import load_settings

    found = TrialLedger(load_settings().instance.root / FILE).trials(strategy)
    families = [_family(name, found) for name in dict.fromkeys(t.family for t in found)]
    console.emit(families, as_json=as_json, table=lambda: _family_table(families))


def _opened_book() -> "tuple[Holdouts, int]":
    from jts_pipelines.research.holdouts import FILE, Holdouts
    from jts_trading.config.settings import load_settings
    from jts_trading.ports.clock import open_clock

    instance = load_settings().instance
    return Holdouts(instance.root / FILE), open_clock(instance.run_directory).now_ns()


def _told(found: "Holdout") -> dict[str, object]:
    own, opened = found.slice, found.opened
    return {
        "name": own.name,
        "venue": own.venue,
        "from": own.from_day,
        "to": own.to_day,
        "locked_by": own.by,
        "locked_because": own.reason,
        "locked_at": _moment(found.locked_at_ns),
        "is_open": opened is not None,
        "opened_by": None if opened is None else opened.by,
        "opened_because": None if opened is None else opened.reason,
        "opened_at": None if opened is None else _moment(found.opened_at_ns),
    }


def _moment(ns: int) -> str:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).isoformat()


def _table(found: "list[Holdout]") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table("hold-out", "venue", "days", "locked by", "opened by")
    for one in found:
        own, opened = one.slice, one.opened
        table.add_row(
            Text(own.name),
            own.venue,
            f"{own.from_day} to {own.to_day}",
            Text(f"{own.by}: {own.reason}"),
            "locked" if opened is None else Text(f"{opened.by}: {opened.reason}"),
        )
    return table


def _family(name: str, found: "list[Trial]") -> dict[str, object]:
    own = [trial for trial in found if trial.family == name]
    return {
        "strategy": name,
        "trials": len(own),
        "texts": len({trial.text_digest for trial in own}),
        "from": min(trial.from_day for trial in own),
        "to": max(trial.to_day for trial in own),
        "by_source": {
            source: sum(trial.source == source for trial in own)
            for source in sorted({trial.source for trial in own})
        },
        "holdouts_seen": sorted({name for trial in own for name in trial.holdouts}),
    }


def _family_table(families: list[dict[str, object]]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table("strategy", "trials", "plans", "days", "by", "hold-outs seen")
    for family in families:
        sources = family["by_source"]
        by = ", ".join(f"{k} {v}" for k, v in sources.items()) if isinstance(sources, dict) else ""
        seen = family["holdouts_seen"]
        table.add_row(
            Text(str(family["strategy"])),
            f"{family['trials']:,}",
            f"{family['texts']:,}",
            f"{family['from']} to {family['to']}",
            by,
            ", ".join(seen) if isinstance(seen, list) else "",
        )
    return table
