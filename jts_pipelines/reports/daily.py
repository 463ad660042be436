"""The daily report of an account: read, worked out, judged, and written as page and document.

    with ledger_snapshot(dsn) as ledger:
        written = write_daily(ledger, lake, account, day, names=names, folder=folder)

Equal records give equal bytes. No Dagster import.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from jts_pipelines.reports.daily_account import work_out
from jts_pipelines.reports.daily_document import DailyReport, report_of
from jts_pipelines.reports.daily_gathering import gather
from jts_pipelines.reports.daily_page import render
from jts_pipelines.reports.daily_records import Account
from storage.lake.lake import Lake
from storage.ledger.reading import Snapshot


@dataclass(frozen=True, slots=True)
class Written:
    """A report and its two files."""

    report: DailyReport
    page: Path
    document: Path


def accounts_of(ledger: Snapshot) -> list[Account]:
    """Return every account and currency that the ledger knows, in order."""
    return [Account(**row) for row in ledger.accounts()]


def write_daily(
    ledger: Snapshot,
    lake: Lake,
    account: Account,
    day: date,
    *,
    names: Mapping[str, str],
    folder: Path,
) -> Written:
    """Report an account's day; older files of the same day are replaced.

    Args:
        ledger: The journal's database at one instant.
        lake: All tiers.
        account: Whose.
        day: In Korea.
        names: What people call instruments, by id.
        folder: Where `<day>/<account>.html` and `.json` go.

    Raises:
        StorageError: The ledger or a tier does not answer.
        OSError: A file cannot be written.
    """
    records = gather(ledger, lake, account, day, names)
    report = report_of(records, work_out(records))
    here = folder / day.isoformat()
    here.mkdir(parents=True, exist_ok=True)
    document = here / f"{account.name}.json"
    page = here / f"{account.name}.html"
    _replace(document, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    _replace(page, render(report, records.prices).encode())
    return Written(report, page, document)


def _replace(path: Path, content: bytes) -> None:
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".daily-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)
