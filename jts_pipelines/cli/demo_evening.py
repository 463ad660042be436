"""The evening of the demo's trading days: Dagster certifies and reports them, over GraphQL."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from jts_trading.telemetry import console

if TYPE_CHECKING:
    from jts_pipelines.cli.demo_dagster import DagsterClient, Materialized
    from jts_pipelines.cli.demo_run import Demo

CERTIFICATE, REPORT = "trading/parity_certificate", "trading/daily_report"
_RUN_S = 180.0
_SUMS = ("live_signals", "backtest_signals", "matched", "unexplained")


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """All certificates of the demo together.

    Attributes:
        live_signals: Recorded by the trader.
        backtest_signals: Found by recomputing from the recorded ticks in another program.
        matched: Equal in both, prices included.
        explained: Differences by their known cause.
        unexplained: All others; the demo fails unless it is 0.
        documents: Path of each certificate.
    """

    live_signals: int
    backtest_signals: int
    matched: int
    explained: dict[str, int]
    unexplained: int
    documents: dict[str, str]


class OrderLatency(msgspec.Struct, frozen=True, kw_only=True):
    """From the frame that led to an order to its first byte on the wire, real milliseconds."""

    p50_ms: float | None
    p99_ms: float | None
    n: int


def close_day(run: "Demo", dagster: "DagsterClient", broker: str) -> None:
    """Certify and report a traded day.

    Raises:
        CommandError: The run failed or made less than it should.
    """
    day = run.traded_days[broker].isoformat()
    said = f"Dagster: parity certificate and daily report of {day} ({broker})"
    with run.phase(f"reports_{broker}", said):
        run_id = dagster.launch("end_of_day", [CERTIFICATE, REPORT], keys=(day, day))
        dagster.wait(run_id, timeout_s=_RUN_S)
        made = {each.asset: each for each in dagster.materialized(run_id)}
        failed = dagster.failed_checks(run_id)
    run.problems += [f"{broker}: {line}" for line in failed]
    for asset in (CERTIFICATE, REPORT):
        if asset not in made:
            raise console.CommandError(f"Dagster run {run_id} made no {asset}")
    run.certificates[broker] = _path(made[CERTIFICATE], "document")
    run.reports[broker] = _path(made[REPORT], f"page_{broker}")
    run.day_documents[broker] = _path(made[REPORT], f"document_{broker}")


def parity_of(run: "Demo") -> Parity | None:
    """Return all certificates together; None before there is any."""
    if not run.certificates:
        return None
    sums: Counter[str] = Counter()
    explained: Counter[str] = Counter()
    for path in run.certificates.values():
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        sums.update({name: int(found[name]) for name in _SUMS})
        explained.update(found["explained"])
    return Parity(
        **{name: sums[name] for name in _SUMS},
        explained=dict(sorted(explained.items())),
        documents={broker: str(path) for broker, path in run.certificates.items()},
    )


def latency_of(run: "Demo") -> OrderLatency | None:
    """Return the latency of all orders of the demo, by nearest rank; None before any report."""
    from jts_pipelines.reports.daily_document import latency_of_samples

    if not run.day_documents:
        return None
    samples: list[float] = []
    for path in run.day_documents.values():
        samples += msgspec.json.decode(path.read_bytes())["latency"]["samples_ms"]
    found = latency_of_samples(samples)
    return OrderLatency(p50_ms=found.p50_ms, p99_ms=found.p99_ms, n=found.n)


def _path(made: "Materialized", label: str) -> Path:
    """Return the path in the first metadata entry whose label begins so."""
    for name, value in made.metadata.items():
        if name.startswith(label) and value:
            return Path(str(value))
    raise console.CommandError(f"{made.asset} {made.partition}: no {label} in its metadata")
