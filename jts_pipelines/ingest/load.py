"""One file into the hot tier: read, judge, sort, match, publish.

The road of a row: `sources` (batches) -> `rows` (types, calendar, reasons) -> `spill` (order of
partitions, mixed scales) -> `matching` (duplicates, conflicts, corrections) -> staging table ->
published with all others of the file. Refused rows are in the quarantine file before anything is
published. A killed load leaves nothing visible; the next load on the same home cleans up after
it, or completes it if it was already being published.
"""

import hashlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa

from jts_pipelines.ingest.matching import Matched, match
from jts_pipelines.ingest.options import IngestOptions, columns_of, inspect
from jts_pipelines.ingest.quarantine import Quarantine, quarantine_path
from jts_pipelines.ingest.report import IngestReport, decode_report, encode_report
from jts_pipelines.ingest.rows import RowReader, SessionCalendar
from jts_pipelines.ingest.sources import Source
from jts_pipelines.ingest.spill import PERIOD_DAY, Spill
from jts_pipelines.ingest.stored import HotRows, StoredRows
from jts_trading.domain.sessions import calendar_for
from storage.errors import StorageError
from storage.hot.loads import LoadRecord, LoadState, OpenLoad
from storage.hot.store import HotStore
from storage.manifest.locks import exclusive
from storage.quality.reasons import Doubt, Reason
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES, DATASETS
from storage.schema.partitions import Partition, is_monthly, partition_of

__all__ = [
    "BATCH_ROWS",
    "IngestOptions",
    "IngestReport",
    "Progress",
    "ingest_file",
    "inspect",
    "recover",
]

BATCH_ROWS = 131_072
LOCK_WAIT_SECONDS = 600.0
QUARANTINE = "quarantine"
Progress = Callable[[str, int, int | None], None]

# Daily moves beyond the band of +-30 %, with room for the rounding of limits to ticks.
_JUMP_LIMITS = {"KRX": 0.305, "NXT": 0.305}
_NS_PER_MS = 1_000_000
_SCRATCH = "ingest-"
# Rows refused for these may be good on a later day, so the file is looked at again.
_ONLY_THEN = {Reason.NOT_CLOSED.value, Reason.TIMESTAMP_RANGE.value}


def ingest_file(
    path: Path,
    options: IngestOptions,
    *,
    hot: HotStore,
    home: Path,
    received_at_ns: int,
    stored: StoredRows | None = None,
    calendar: SessionCalendar | None = None,
    quarantine: Path | None = None,
    batch_rows: int = BATCH_ROWS,
    progress: Progress | None = None,
) -> IngestReport:
    """Load one file; run again on the same file, it reports the first time and loads nothing.

    Args:
        path: A Parquet or CSV file.
        options: How to read it.
        hot: Where its rows go.
        home: Data root of the instance: lock and scratch space lie there.
        received_at_ns: Instance time of the load, UTC ns.
        stored: What other tiers hold; only the hot tier when None.
        calendar: Of the venue; the one of `jts_trading.domain` when None.
        quarantine: Folder of refused rows; `<home>/quarantine` when None.
        batch_rows: Rows in memory at a time, besides one partition.
        progress: Called with the phase, rows done and rows in all, if known.

    Raises:
        InputError: The file or an option cannot be used; nothing was loaded.
        StorageError: The store failed; what was not published is dropped by the next load.
    """
    started = time.monotonic()
    source = inspect(path, options)
    calendar = calendar or calendar_for(options.venue)
    with exclusive(home / "run" / "ingest.lock", wait_seconds=LOCK_WAIT_SECONDS):
        _recover(hot, home, quarantine or home / QUARANTINE)
        earlier = hot.loads.published(source.digest, options.digest())
        if earlier is not None:
            report = decode_report(earlier.report)
            if not _ONLY_THEN & set(report.reasons):
                return msgspec.structs.replace(report, already=True)
        load = _Load(
            source=source,
            options=options,
            hot=hot,
            home=home,
            attempt=hot.loads.attempts(source.digest),
            quarantine_root=quarantine or home / QUARANTINE,
            received_at_ns=received_at_ns,
            stored=stored or HotRows(hot),
            calendar=calendar,
            batch_rows=batch_rows,
            progress=progress or _silent,
            started=started,
        )
        return load.run()


def recover(hot: HotStore, home: Path, quarantine: Path | None = None) -> list[LoadRecord]:
    """Finish or drop what a killed load left, unless a load is running now.

    Raises:
        StorageError: The store failed, or a load holds the lock.
    """
    with exclusive(home / "run" / "ingest.lock", wait_seconds=0):
        return _recover(hot, home, quarantine or home / QUARANTINE)


def _recover(hot: HotStore, home: Path, quarantine: Path) -> list[LoadRecord]:
    hot.ensure_schema()
    found = hot.loads.recover(str(home))
    for record in found:
        if record.state is LoadState.LOADING:
            quarantine_path(quarantine, record.dataset, record.ingest_id).unlink(missing_ok=True)
    for scratch in (home / "run").glob(f"{_SCRATCH}*"):
        shutil.rmtree(scratch)
    return found


@dataclass(slots=True, kw_only=True)
class _Load:
    """One file on its way; every row of it ends in exactly one of the counters."""

    source: Source
    options: IngestOptions
    hot: HotStore
    home: Path
    attempt: int
    quarantine_root: Path
    received_at_ns: int
    stored: StoredRows
    calendar: SessionCalendar
    batch_rows: int
    progress: Progress
    started: float
    read: int = 0
    accepted: int = 0
    corrected: int = 0
    duplicates: int = 0
    symbols: set[str] = field(default_factory=set)
    days: list[date] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    doubts: Counter[str] = field(default_factory=Counter)
    partitions: list[str] = field(default_factory=list)

    def run(self) -> IngestReport:
        """Stage, quarantine and publish the rows.

        Raises:
            InputError: The file cannot be used; the load is dropped.
            StorageError: The store failed, or rows were lost on the way.
        """
        opened = self.hot.loads.open(self._record(), DATASETS[self.options.dataset])
        scratch_root = self.home / "run"
        try:
            with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=scratch_root) as scratch:
                quarantine = self._quarantine()
                spill = Spill(Path(scratch))
                self._judge(spill, quarantine)
                self._stage(spill, quarantine, opened)
            kept = quarantine.write(self.source, self.batch_rows)
            self._require_conserved(quarantine.rows)
            report = self._report(quarantine, kept)
        except BaseException:
            opened.abandon()
            self._quarantine().path.unlink(missing_ok=True)
            raise
        opened.publish(encode_report(report))
        return report

    @property
    def _ingest_id(self) -> str:
        content = (
            f"{self.source.digest} {self.options.digest()} {self.received_at_ns} {self.attempt}"
        )
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _record(self) -> LoadRecord:
        return LoadRecord(
            ingest_id=self._ingest_id,
            owner=str(self.home),
            dataset=self.options.dataset,
            venue=self.options.venue,
            state=LoadState.LOADING,
            path=str(self.source.path),
            file_digest=self.source.digest,
            options_digest=self.options.digest(),
            received_at_ms=self.received_at_ns // _NS_PER_MS,
        )

    def _quarantine(self) -> Quarantine:
        return Quarantine(
            self.quarantine_root,
            dataset=self.options.dataset,
            venue=self.options.venue,
            interval=self.options.interval,
            ingest_id=self._ingest_id,
        )

    def _reader(self) -> RowReader:
        options = self.options
        return RowReader(
            path=str(self.source.path),
            columns=columns_of(self.source, options),
            venue=options.venue,
            interval=options.interval,
            broker=options.broker or "file",
            symbol=options.symbol,
            calendar=self.calendar,
            timezone=options.timezone,
            ingest_id=self._ingest_id,
            received_at_ms=self.received_at_ns // _NS_PER_MS,
        )

    def _judge(self, spill: Spill, quarantine: Quarantine) -> None:
        reader = self._reader()
        for batch in self.source.batches(self.batch_rows):
            self.read += batch.height
            judged = reader.judge(batch)
            good = pl.col("reasons").list.len() == 0
            quarantine.add(judged.filter(~good))
            accepted = judged.filter(good)
            if accepted.height:
                spill.append(_with_period(reader.typed(accepted), self.options.interval))
            self.progress("read", self.read, self.source.rows)

    def _stage(self, spill: Spill, quarantine: Quarantine, opened: OpenLoad) -> None:
        quarantine.add(_refused(spill.sort(), Reason.MIXED_SCALE))
        known = self.stored.partitions(
            self.options.dataset, self.options.venue, self.options.interval
        )
        for rows in _gathered(spill.partitions(self.batch_rows), self.batch_rows):
            matched = match(
                rows,
                self._stored_rows(rows, known),
                is_correction=self.options.correct is not None,
                jump_limit=_JUMP_LIMITS.get(self.options.venue),
            )
            self._count(matched, quarantine)
            if matched.accepted.height:
                schema = file_schema(CANDLES, self.options.venue)
                opened.append(matched.accepted.select(schema.names).to_arrow().cast(schema))
            self.progress("load", self.accepted, None)
        # How many rows are new is known only now; the bar of the terminal ends with it.
        self.progress("load", self.accepted, self.accepted)

    def _stored_rows(self, rows: pl.DataFrame, known: set[Partition]) -> pl.DataFrame | None:
        """Return what is stored of the symbols in the span of some new rows; None if nothing."""
        partitions = {self._partition(day) for day in rows[PERIOD_DAY].unique().to_list()}
        overlapping = partitions & known
        if not overlapping:
            return None
        return self.stored.read(
            self.options.dataset,
            venue=self.options.venue,
            interval=self.options.interval,
            symbols=rows["symbol"].unique().to_list(),
            start=min(partition.from_day for partition in overlapping),
            end=max(partition.to_day for partition in overlapping),
        )

    def _partition(self, day: date) -> Partition:
        options = self.options
        return partition_of(options.dataset, options.venue, options.interval, day)

    def _count(self, matched: Matched, quarantine: Quarantine) -> None:
        quarantine.add(matched.refused.select("row", reasons=pl.concat_list(pl.col("reason"))))
        self.duplicates += matched.duplicates
        self.corrected += matched.corrected
        rows = matched.accepted
        if not rows.height:
            return
        self.accepted += rows.height
        self.partitions += [self._partition(day).key for day in rows[PERIOD_DAY].unique()]
        self.symbols.update(rows["symbol"].unique().to_list())
        self.statuses.update(dict(rows["status"].value_counts().iter_rows()))
        self.doubts.update(dict(rows["quality"].value_counts().iter_rows()))
        days = rows["trade_date"].sort()
        self.days += [days[0], days[-1]]

    def _require_conserved(self, quarantined: int) -> None:
        kept = self.accepted + quarantined + self.duplicates
        if kept != self.read:
            raise StorageError(
                f"{self.source.path}: read {self.read} rows, but accepted {self.accepted} +"
                f" quarantined {quarantined} + duplicates {self.duplicates} = {kept}"
            )

    def _report(self, quarantine: Quarantine, kept: Path | None) -> IngestReport:
        seconds = time.monotonic() - self.started
        return IngestReport(
            path=str(self.source.path),
            ingest_id=self._ingest_id,
            dataset=self.options.dataset,
            venue=self.options.venue,
            interval=self.options.interval,
            rows=self.read,
            accepted=self.accepted,
            corrected=self.corrected,
            quarantined=quarantine.rows,
            duplicates=self.duplicates,
            reasons=quarantine.reasons(),
            doubts={name: n for name, n in self.doubts.items() if name != Doubt.OK.value},
            statuses=dict(self.statuses),
            symbols=len(self.symbols),
            first_day=min(self.days, default=None),
            last_day=max(self.days, default=None),
            partitions=sorted(self.partitions),
            quarantine_file=str(kept) if kept else "",
            correction=self.options.correct or "",
            seconds=round(seconds, 3),
            rows_per_second=round(self.read / seconds, 1),
        )


def _with_period(rows: pa.Table, interval: str) -> pa.Table:
    days = pl.Series(rows["trade_date"])
    period = days.dt.month_start() if is_monthly(interval) else days
    return rows.append_column(PERIOD_DAY, period.to_arrow())


def _refused(rows: list[int], reason: Reason) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": rows, "reasons": [[reason.value]] * len(rows)},
        schema={"row": pl.Int64, "reasons": pl.List(pl.String)},
    )


def _gathered(parts: Iterator[pl.DataFrame], batch_rows: int) -> Iterator[pl.DataFrame]:
    """Join whole partitions until a batch is full: many in an insert, each in one part."""
    held: list[pl.DataFrame] = []
    rows = 0
    for part in parts:
        held.append(part)
        rows += part.height
        if rows >= batch_rows:
            yield pl.concat(held)
            held, rows = [], 0
    if held:
        yield pl.concat(held)


def _silent(_phase: str, _done: int, _total: int | None) -> None:
    """Show nothing."""
