"""What a demo says at its end: one document for a script, one table for a person."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from jts_pipelines.cli.demo_counting import PaperDay
from jts_pipelines.cli.demo_evening import OrderLatency, Parity, latency_of, parity_of
from jts_pipelines.cli.demo_house import Count
from jts_pipelines.cli.demo_run import Demo
from storage.lake.standing import TierTotals

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


MAIN_BACKTEST = "sma_crossover"
"""Which of the backtests stands alone in the document."""


class IngestTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All files together; rows = accepted + quarantined + duplicates."""

    files: int
    rows: int
    quarantined: int
    duplicates: int
    reasons: dict[str, int]


class DemoDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `jts demo --json` prints.

    Attributes:
        source: `files`, or `generated` when there were none.
        as_of: Instance time at which each family was loaded and moved.
        ingest: Totals over the files.
        tiers: By tier: rows that it serves, copies that stand there besides, bytes.
        conserved: Whether every count found the rows ingested less quarantined and duplicates.
        counts: Those counts, by a connection that moves nothing.
        verified: Partitions whose copies were opened again and equal their manifests.
        problems: One line for whatever is not as it must be; empty in a good demo.
        backtest: Document of `jts backtest --json` for SMA 20/50 over the panel.
        backtests: The same for each backtest, by name.
        paper: What an outsider counted of each traded day, by broker.
        latency: From the frame that led to an order to its first byte on the wire.
        parity: All certificates together.
        report: Page of each daily report, by broker.
        phases: Seconds by phase.
        seconds: Of the whole demo.
        peak_memory_bytes: Largest sum of PSS over its processes; None where it is not known.
        artifacts: Paths of what was made.
    """

    source: str
    as_of: dict[str, str]
    ingest: IngestTotals
    tiers: dict[str, TierTotals]
    conserved: bool
    counts: list[Count]
    verified: int
    problems: list[str]
    backtest: dict[str, Any]
    backtests: dict[str, dict[str, Any]]
    paper: dict[str, PaperDay]
    latency: OrderLatency | None
    parity: Parity | None
    report: dict[str, str]
    phases: dict[str, float]
    seconds: float
    peak_memory_bytes: int | None
    artifacts: dict[str, str]

    @property
    def is_good(self) -> bool:
        """Whether rows were conserved, ledgers balance, live and backtest agree, and no more."""
        agrees = self.parity is not None and self.parity.unexplained == 0
        balances = all(each.ledger_balanced and not each.unknown for each in self.paper.values())
        return self.conserved and not self.problems and agrees and balances

    def encoded(self) -> bytes:
        """Return the document as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def document_of(run: Demo, *, seconds: float, peak: int | None) -> DemoDocument:
    """Return the document of a demo that has ended."""
    reports = run.ledger.reports
    reasons: Counter[str] = Counter()
    for report in reports:
        reasons.update(report.reasons)
    return DemoDocument(
        source="generated" if run.is_generated else "files",
        as_of=run.as_of,
        ingest=IngestTotals(
            files=len(reports),
            rows=sum(report.rows for report in reports),
            quarantined=sum(report.quarantined for report in reports),
            duplicates=sum(report.duplicates for report in reports),
            reasons=dict(reasons),
        ),
        tiers={tier.value: total for tier, total in run.tiers.items()},
        conserved=run.ledger.conserved,
        counts=run.ledger.counts,
        verified=run.verified,
        problems=run.problems,
        backtest=run.backtests.get(MAIN_BACKTEST, {}),
        backtests=run.backtests,
        paper=run.paper,
        latency=latency_of(run),
        parity=parity_of(run),
        report={broker: str(page) for broker, page in run.reports.items()},
        phases={name: round(taken, 2) for name, taken in run.phases.items()},
        seconds=round(seconds, 2),
        peak_memory_bytes=peak,
        artifacts=_artifacts(run),
    )


def _artifacts(run: Demo) -> dict[str, str]:
    home = run.settings.instance.root
    made = {"home": str(home), "document": str(run.document_path)}
    for name, document in run.backtests.items():
        for kind in ("tearsheet", "trades_file", "equity_file"):
            if document.get(kind):
                made[f"{name}_{kind}"] = str(document[kind])
    made |= {f"daily_report_{broker}": str(page) for broker, page in run.reports.items()}
    made |= {f"parity_{broker}": str(path) for broker, path in run.certificates.items()}
    return made


def table_of(document: DemoDocument) -> "RenderableType":
    """Return the tables that a person reads."""
    from rich.console import Group

    verdict = "yes" if document.conserved else "NO"
    ingest = document.ingest
    memory = document.peak_memory_bytes
    lines = [
        (
            f"ingested    {ingest.rows:,} rows of {ingest.files} files ({document.source}), "
            f"{ingest.quarantined:,} quarantined, {ingest.duplicates:,} duplicates"
        ),
        f"conserved   {verdict}, counted {len(document.counts)} times by another connection",
        f"verified    {document.verified} partitions opened again and equal to their manifests",
        f"took        {document.seconds:.1f} s"
        + (f", at most {memory / 2**30:.2f} GiB of memory" if memory else ""),
        *_agreement(document),
        *(f"problem     {problem}" for problem in document.problems),
        *_remarks(document),
        *(f"{name:<34} {path}" for name, path in document.artifacts.items()),
    ]
    tables = (_tier_table(document), _backtest_table(document), _paper_table(document))
    return Group(*tables, "\n".join(lines))


def _agreement(document: DemoDocument) -> Iterator[str]:
    """Yield what live and backtest agree on, and how fast orders left."""
    parity, latency = document.parity, document.latency
    if parity is not None:
        causes = ", ".join(f"{count} {cause}" for cause, count in parity.explained.items())
        yield (
            f"parity      {parity.matched} of {parity.live_signals} live and "
            f"{parity.backtest_signals} recomputed signals are equal; explained: "
            f"{causes or 'none'}; unexplained: {parity.unexplained}"
        )
    if latency is not None and latency.n:
        yield (
            f"latency     frame to order bytes: median {latency.p50_ms} ms, 99 % within "
            f"{latency.p99_ms} ms, {latency.n} orders, journal commit included"
        )


def _paper_table(document: DemoDocument) -> "Table":
    from rich.table import Table

    table = Table(title="Traded on paper")
    table.add_column("broker")
    names = ("frames", "ticks", "bars", "signals", "orders", "fills", "equity", "ledger")
    for name in names:
        table.add_column(name, justify="right")
    for broker, found in document.paper.items():
        table.add_row(
            f"{broker} {found.day}",
            f"{found.frames:,}",
            f"{found.ticks:,}",
            f"{found.bars:,}",
            f"{found.signals:,}",
            f"{found.orders:,}",
            f"{found.fills:,}",
            f"{found.equity:,} {found.currency}",
            "balanced" if found.ledger_balanced else "NOT BALANCED",
        )
    return table


def _remarks(document: DemoDocument) -> Iterator[str]:
    """Yield why a backtest did nothing, if one did nothing: its first warning says so."""
    for name, found in document.backtests.items():
        if not found["trades"] and found.get("warnings"):
            yield f"remark      {name}: {found['warnings'][0]}"


def _tier_table(document: DemoDocument) -> "Table":
    from rich.table import Table

    table = Table(title="Tiers")
    table.add_column("tier")
    for name in ("rows served", "partitions", "copies besides", "bytes", "bytes/row"):
        table.add_column(name, justify="right")
    for tier, total in document.tiers.items():
        table.add_row(
            tier,
            f"{total.rows:,}",
            f"{total.partitions}",
            f"{total.copies}",
            f"{total.bytes:,}",
            f"{total.bytes_per_row}" if total.bytes_per_row is not None else "",
        )
    return table


def _backtest_table(document: DemoDocument) -> "Table":
    from rich.table import Table

    table = Table(title="Backtests")
    table.add_column("strategy")
    for name in ("bars", "trades", "final equity", "seconds"):
        table.add_column(name, justify="right")
    for strategy, found in document.backtests.items():
        table.add_row(
            strategy,
            f"{found['bars']:,}",
            f"{found['trades']:,}",
            f"{found['final_equity']:,}",
            f"{found['seconds']:.2f}",
        )
    return table
