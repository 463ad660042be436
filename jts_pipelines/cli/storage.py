"""`jts storage`: where each partition is, and the moves between the tiers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table

    from jts_trading.config.settings import Settings
    from storage.hot.store import HotStore
    from storage.lake.standing import Standing, TierTotals
    from storage.manifest.chain import Manifests
    from storage.moves.checking import Finding
    from storage.moves.mover import Mover
    from storage.schema.partitions import Partition

DATASET = "candles"
SCRUB_SHARES = 12
"""A weekly scrub reads every file once in twelve weeks; --all reads all of them now."""


@dataclass(frozen=True, slots=True)
class _Tiers:
    """The stores of one command, opened."""

    settings: "Settings"
    hot: "HotStore"
    manifests: "Manifests"
    mover: "Mover"
    now: datetime


@click.group()
def storage() -> None:
    """Show, verify and move the tiers."""


@storage.command()
@console.json_option
def status(*, as_json: bool) -> None:
    """Show where each partition is, and which moves are due."""
    from storage.lake.standing import standings, totals

    with _opened() as tiers:
        found = standings(tiers.manifests.catalog(DATASET), tiers.hot.partitions(DATASET))
        due = tiers.mover.plan(DATASET)
    document = {
        "now": tiers.now.isoformat(),
        "tiers": totals(found),
        "families": [
            {"dataset": DATASET, "venue": venue, "interval": interval, "tiers": totals(members)}
            for (venue, interval), members in _families(found).items()
        ],
        "partitions": [_partition_row(standing) for standing in found],
        "due": [
            {"partition": move.partition.name, "action": move.action, "reason": move.reason}
            for move in due
        ],
    }
    console.emit(document, as_json=as_json, table=lambda: _status_table(found, len(due)))


@storage.command()
@click.argument("partition", required=False)
@console.json_option
def verify(partition: str | None, *, as_json: bool) -> int:
    """Read copies back and compare them with their manifests.

    PARTITION such as KRX/1d/2024-01 limits the work to one. Exit code 1 when anything differs.
    """
    only = _parsed(partition) if partition else None
    with _opened() as tiers:
        found = _shown(tiers.mover.verify(only, DATASET), "verify")
    if only and not found:
        raise console.CommandError(f"{only.name}: no tier has a copy of it", console.BAD_USAGE)
    return _report(found, as_json=as_json)


@storage.command()
@click.option("--all", "everything", is_flag=True, help="All files, not this week's share.")
@console.json_option
def scrub(*, everything: bool, as_json: bool) -> int:
    """Verify this week's share of the files and mend damaged ones from another tier.

    Exit code 1 when a file is damaged and could not be mended.
    """
    with _opened() as tiers:
        turn = tiers.now.toordinal() // 7
        shares = 1 if everything else SCRUB_SHARES
        found = _shown(tiers.mover.scrub(DATASET, turn=turn, of=shares), "scrub")
    return _report(found, as_json=as_json)


@storage.command()
@console.json_option
def archive(*, as_json: bool) -> None:
    """Make the moves that are due now: export, copy, evict."""
    moved = []
    with _opened() as tiers, console.progress() as bars:
        due = len(tiers.mover.plan(DATASET))
        bar = bars.add("archive", due)
        for result in tiers.mover.archive(DATASET):
            moved.append(result)
            bar.advance()
    rows = [
        {
            "partition": result.partition.name,
            "action": result.action,
            "tier": result.tier,
            "changed": result.changed,
            "rows": result.rows,
            "bytes": result.bytes,
            "sha256": result.sha256,
            "manifest": result.manifest_id,
            "revision": result.revision,
        }
        for result in moved
    ]
    console.emit({"moves": rows}, as_json=as_json, table=lambda: _moves_table(rows))


@storage.command()
@click.argument("partition")
@click.option(
    "--to", type=click.Choice(["hot", "warm"]), default="hot", show_default=True, help="Where to."
)
@console.json_option
def restore(partition: str, *, to: str, as_json: bool) -> None:
    """Bring PARTITION, such as KRX/1d/2024-01, back to hot or warm."""
    from storage.schema.tiers import Tier

    wanted = _parsed(partition)
    with _opened() as tiers:
        result = tiers.mover.restore(wanted, Tier(to))
    row = {
        "partition": wanted.name,
        "tier": result.tier,
        "changed": result.changed,
        "rows": result.rows,
        "revision": result.revision,
        "manifest": result.manifest_id,
    }
    console.emit(row, as_json=as_json)


@storage.command()
@click.option("--symbols", type=click.IntRange(1), required=True, help="How many symbols.")
@click.option("--bars-per-day", type=click.IntRange(1), default=381, show_default=True)
@click.option("--days-per-year", type=click.IntRange(1, 366), default=245, show_default=True)
@click.option("--years", type=click.IntRange(1), default=5, show_default=True)
@console.json_option
def plan(
    *, symbols: int, bars_per_day: int, days_per_year: int, years: int, as_json: bool
) -> None:
    """Size the tiers for a number of symbols from the bytes per row measured here."""
    from storage.lake.standing import standings, totals

    with _opened() as tiers:
        found = totals(standings(tiers.manifests.catalog(DATASET), tiers.hot.partitions(DATASET)))
        retention = tiers.settings.tiers
    sessions = days_per_year / 365
    days: dict[str, float] = {
        "hot": (retention.hot_days + 1) * sessions,
        "warm": retention.warm_days * sessions,
        "cold": years * days_per_year,
    }
    rows_per_day = symbols * bars_per_day
    sized = {
        tier: _sized(total, rows_per_day * days[tier]) for tier, total in sorted(found.items())
    }
    document = {"symbols": symbols, "rows_per_day": rows_per_day, "years": years, "tiers": sized}
    console.emit(document, as_json=as_json)


def _sized(total: "TierTotals", rows: float) -> dict[str, float | int | None]:
    measured = total.bytes_per_row
    size = round(rows * measured) if measured is not None else None
    return {"rows": round(rows), "bytes_per_row": measured, "bytes": size}


@contextmanager
def _opened() -> Iterator[_Tiers]:
    from jts_pipelines.cli.instance import running_stores
    from jts_trading.config.settings import load_settings
    from jts_trading.ports.clock import open_clock, today
    from storage.hot.store import HotStore
    from storage.manifest.chain import Manifests
    from storage.moves.mover import Mover

    settings = load_settings()
    home = settings.instance.root
    with running_stores(settings) as stores:
        clock = open_clock(settings.instance.run_directory)
        hot = HotStore(stores.hot)
        hot.ensure_schema()
        manifests = Manifests(settings.tiers.path(home, "manifests"))
        mover = Mover(
            hot,
            manifests,
            settings.tiers,
            home,
            now=lambda: _instant(clock.now_ns()),
            today=partial(today, clock),
        )
        try:
            yield _Tiers(settings, hot, manifests, mover, _instant(clock.now_ns()))
        finally:
            hot.close()


def _instant(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC)


def _parsed(text: str) -> "Partition":
    from storage.errors import InputError
    from storage.schema.partitions import parse_partition

    parts = text.removeprefix(f"{DATASET}/").split("/")
    if len(parts) != 3:
        raise InputError(f"partition {text!r}: accepted is VENUE/INTERVAL/KEY as KRX/1d/2024-01")
    return parse_partition(DATASET, *parts)


def _shown(findings: Iterator["Finding"], title: str) -> list["Finding"]:
    found = []
    with console.progress() as bars:
        bar = bars.add(title)
        for finding in findings:
            found.append(finding)
            bar.advance()
    return found


def _report(found: list["Finding"], *, as_json: bool) -> int:
    bad = [finding for finding in found if finding.problem]
    left = [finding for finding in bad if not finding.mended]
    document = {
        "verified": len(found) - len(bad),
        "damaged": len(bad),
        "mended": len(bad) - len(left),
        "rows": sum(finding.rows for finding in found),
        "bytes": sum(finding.bytes for finding in found),
        "problems": [
            {
                "partition": finding.partition.name,
                "tier": finding.tier,
                "manifest": finding.manifest_id,
                "problem": finding.problem,
                "mended": finding.mended,
            }
            for finding in bad
        ],
    }
    console.emit(document, as_json=as_json)
    return console.CHECK_FAILED if left else console.DONE


def _families(found: list["Standing"]) -> Mapping[tuple[str, str], list["Standing"]]:
    families: dict[tuple[str, str], list[Standing]] = {}
    for standing in found:
        key = (standing.partition.venue, standing.partition.interval)
        families.setdefault(key, []).append(standing)
    return families


def _partition_row(standing: "Standing") -> dict[str, object]:
    return {
        "partition": standing.partition.name,
        "serving": standing.serving,
        "rows": standing.rows,
        "revision": standing.revision,
        "held": standing.held,
    }


def _status_table(found: list["Standing"], due: int) -> "Table":
    from rich.table import Table

    from storage.lake.standing import totals

    columns = ("venue", "interval", "tier", "partitions", "rows", "copies", "bytes", "bytes/row")
    table = Table(title=f"{DATASET}: {len(found)} partitions, {due} moves due")
    for name in columns:
        is_label = name in {"venue", "interval", "tier"}
        table.add_column(name, justify="left" if is_label else "right")
    for (venue, interval), members in _families(found).items():
        for tier, total in totals(members).items():
            ratio = "" if total.bytes_per_row is None else f"{total.bytes_per_row:.2f}"
            numbers = (total.partitions, total.rows, total.copies, total.bytes)
            table.add_row(venue, interval, tier, *(f"{number:,}" for number in numbers), ratio)
    return table


def _moves_table(rows: list[dict[str, object]]) -> "Table":
    from rich.table import Table

    table = Table(title=f"{len(rows)} moves")
    for name in ("partition", "action", "rows", "bytes", "revision"):
        table.add_column(name, justify="left" if name in {"partition", "action"} else "right")
    for row in rows:
        numbers = (f"{row[name]:,}" for name in ("rows", "bytes", "revision"))
        table.add_row(str(row["partition"]), str(row["action"]), *numbers)
    return table
