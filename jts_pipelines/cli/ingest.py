"""`jts ingest`: files into the hot tier."""

import glob
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.table import Table

    from jts_pipelines.ingest.load import IngestOptions
    from jts_pipelines.ingest.report import IngestReport


class IngestDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts ingest --json` prints: sums over the files, and each file's own report."""

    files: int
    rows: int
    accepted: int
    quarantined: int
    duplicates: int
    corrected: int
    reasons: dict[str, int]
    reports: "list[IngestReport]"
    seconds: float


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--dataset", default="candles", show_default=True, help="What the rows are.")
@click.option("--venue", required=True, help="Where it trades: KRX, NXT, US, UPBIT or BINANCE.")
@click.option("--interval", required=True, help="Length of a bar: 1m, 5m, 1h, 1d ...")
@click.option("--mapping", default="", help="Columns by name: timestamp=date,close=Close")
@click.option("--timezone", help="Zone of times that name none, such as Asia/Seoul.")
@click.option("--broker", help="Source of the rows, where the file does not say.")
@click.option("--symbol", help="Symbol of all rows, where the file does not say.")
@click.option("--correct", metavar="REASON", help="Replace stored rows that differ, and say why.")
@console.json_option
def ingest(
    paths: tuple[str, ...],
    *,
    dataset: str,
    venue: str,
    interval: str,
    mapping: str,
    timezone: str | None,
    broker: str | None,
    symbol: str | None,
    correct: str | None,
    as_json: bool,
) -> None:
    """Load CSV or Parquet files into the hot tier.

    PATH may be a pattern such as 'data/*.csv'. Bad rows go to quarantine with their reasons;
    the same file again loads nothing. Nothing of a file is visible before all of it is.
    """
    from jts_pipelines.ingest.load import IngestOptions
    from jts_pipelines.ingest.mapping import parse_mapping

    options = IngestOptions(
        dataset=dataset,
        venue=venue.upper(),
        interval=interval,
        mapping=parse_mapping(mapping),
        timezone=timezone,
        broker=broker,
        symbol=symbol,
        correct=correct,
    )
    reports = _load_all(_expanded(paths), options)
    console.emit(_document(reports), as_json=as_json, table=lambda: _table(reports))


def _expanded(paths: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        matches = sorted(glob.glob(path)) if glob.has_magic(path) else [path]  # noqa: PTH207 - a pattern may be absolute
        if not matches:
            raise console.CommandError(f"{path}: no file matches", console.BAD_USAGE)
        found += [Path(match) for match in matches if Path(match) not in found]
    return found


def _load_all(paths: list[Path], options: "IngestOptions") -> list["IngestReport"]:
    from jts_pipelines.cli.instance import running_stores
    from jts_pipelines.ingest.load import ingest_file, inspect
    from jts_trading.config.settings import load_settings
    from jts_trading.ports.clock import open_clock
    from storage.hot.store import HotStore
    from storage.lake.lake import Lake
    from storage.manifest.chain import Manifests

    settings = load_settings()
    for path in paths:
        inspect(path, options)
    root = settings.instance.root
    clock = open_clock(settings.instance.run_directory)
    with running_stores(settings) as stores, console.progress() as bars:
        hot = HotStore(stores.hot)
        try:
            hot.ensure_schema()
            manifests = Manifests(settings.tiers.path(root, "manifests"))
            return [
                ingest_file(
                    path,
                    options,
                    hot=hot,
                    home=root,
                    stored=Lake(hot, manifests, settings.tiers, root),
                    quarantine=settings.tiers.path(root, "quarantine"),
                    received_at_ns=clock.now_ns(),
                    progress=_shown(bars, path),
                )
                for path in paths
            ]
        finally:
            hot.close()


def _shown(bars: console.Bars, path: Path) -> Callable[[str, int, int | None], None]:
    lines: dict[str, console.Bar] = {}

    def show(phase: str, done: int, total: int | None) -> None:
        if phase not in lines:
            lines[phase] = bars.add(f"{phase} {path.name}", total)
        lines[phase].update(done=done, total=total)

    return show


def _document(reports: list["IngestReport"]) -> IngestDocument:
    reasons: Counter[str] = Counter()
    for report in reports:
        reasons.update(report.reasons)
    return IngestDocument(
        files=len(reports),
        rows=sum(report.rows for report in reports),
        accepted=sum(report.accepted for report in reports),
        quarantined=sum(report.quarantined for report in reports),
        duplicates=sum(report.duplicates for report in reports),
        corrected=sum(report.corrected for report in reports),
        reasons=dict(reasons),
        reports=reports,
        seconds=round(sum(report.seconds for report in reports if not report.already), 3),
    )


def _table(reports: list["IngestReport"]) -> "Table":
    from rich.table import Table

    from storage.quality.reasons import MEANING, Reason

    table = Table(title="Ingested", caption=_caption(reports), caption_justify="left")
    table.add_column("file")
    for name in ("rows", "accepted", "quarantined", "duplicates", "symbols", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("days")
    for report in reports:
        table.add_row(
            Path(report.path).name,
            *(f"{getattr(report, name):,}" for name in _COUNTS),
            "before" if report.already else f"{report.seconds:.1f}",
            f"{report.first_day} to {report.last_day}" if report.first_day else "",
        )
        for reason, count in report.reasons.items():
            table.add_row(f"  {reason}: {MEANING[Reason(reason)]}", "", "", f"{count:,}")
    return table


_COUNTS = ("rows", "accepted", "quarantined", "duplicates", "symbols")


def _caption(reports: list["IngestReport"]) -> str | None:
    files = [report.quarantine_file for report in reports if report.quarantine_file]
    return "refused rows: " + ", ".join(files) if files else None
