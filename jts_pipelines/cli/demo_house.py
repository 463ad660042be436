"""What the demo asks of data at rest: load a file, count as an outsider, see what is due.

Everything here reads through connections of its own. The moves themselves are Dagster's.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from jts_pipelines.backtest.bar_files import read_table
from jts_pipelines.backtest.instruments import read_instruments
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.defs.house import LISTING, House
from jts_pipelines.defs.tiers.due import DueRun, due_steps
from jts_pipelines.ingest.report import IngestReport
from jts_trading.config.instance import ClockSettings
from jts_trading.domain.sessions import calendar_for
from jts_trading.ports.clock import write_clock
from storage.lake.standing import Standing, TierTotals, standings, totals
from storage.schema.datasets import CANDLES
from storage.schema.tiers import Tier

DAILY_FILE = Path("krx/krx_1d_2023-12_2025-06.parquet")
MINUTE_FILE = Path("krx/krx_1m_creon_005930_2018-01_2018-02.parquet")
LISTING_FILES = (
    Path("krx/krx_instruments_2026-08-21.parquet"),
    Path("krx/krx_listing_2026-05.parquet"),
)
"""The first that exists says what is called how, and KOSPI or KOSDAQ, which decides taxes."""

_MINUTES_AFTER_CLOSE = 30
_NS_PER_MINUTE = 60 * 1_000_000_000

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the demo.

    Attributes:
        path: The file.
        venue: Where it trades.
        interval: Length of its bars.
        as_of: Instance time at which it is loaded and moved: shortly after the close of its
            newest session.
    """

    path: Path
    venue: str
    interval: str
    as_of: datetime

    @property
    def family(self) -> str:
        """Prefix of the asset keys."""
        return f"{self.venue.lower()}_{self.interval}"


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """One count of the lake by a reader that moves nothing.

    Attributes:
        after: The step that had just ended.
        expected: Rows ingested so far, without quarantined ones and exact duplicates.
        served: Rows that `lake.scan` finds over all tiers.
    """

    after: str
    expected: int
    served: int


@dataclass(slots=True)
class Ledger:
    """Rows that were taken in, and every count since; `conserved` is their comparison."""

    reports: list[IngestReport] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """Rows that the lake must serve now."""
        return sum(r.rows - r.quarantined - r.duplicates for r in self.reports)

    @property
    def conserved(self) -> bool:
        """Whether every count found exactly the rows that were taken in; False before any."""
        return bool(self.counts) and all(c.expected == c.served for c in self.counts)

    def count(self, house: House, after: str) -> Count:
        """Count the lake through a new connection and keep the result."""
        with house.lake() as lake:
            served = lake.count(CANDLES.name)
        self.counts.append(Count(after=after, expected=self.expected, served=served))
        return self.counts[-1]


def source_of(path: Path, venue: str, interval: str) -> Source:
    """Return a file with the evening of its newest session.

    Raises:
        FileNotFoundError: There is no such file.
    """
    newest = pl.scan_parquet(path).select(pl.col("timestamp").max()).collect().item()
    calendar = calendar_for(venue)
    session = calendar.session_date(int(newest.timestamp()) * 1_000_000_000)
    evening_ns = calendar.closed_at_ns(session) + _MINUTES_AFTER_CLOSE * _NS_PER_MINUTE
    evening = datetime.fromtimestamp(evening_ns // 1_000_000_000, UTC)
    return Source(path, venue, interval, evening.astimezone(ZoneInfo(calendar.timezone)))


def adopt_listing(house: House, folder: Path) -> Path | None:
    """Copy the listing of a data folder to where the instance keeps its own.

    Returns:
        The listing that was copied; None where the folder has none, which is no fault.

    Raises:
        InputError: It is there and cannot be used.
    """
    found = next((folder / name for name in LISTING_FILES if (folder / name).is_file()), None)
    if found is None:
        return None
    read_instruments(read_table(found), BacktestSettings().unknown_market)
    kept = house.root / LISTING
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, kept)
    return found


def set_clock(house: House, moment: datetime, *, speed: float = 1.0) -> None:
    """Let the instance clock go on from a moment; processes that start from now on see it."""
    settings = ClockSettings(epoch=moment.isoformat(), speed=speed)
    write_clock(house.settings.instance.run_directory, settings)


def due_of(house: House, source: Source) -> list[DueRun]:
    """Return one run per move that is due for a file on the instance clock, in order."""
    return due_steps(source.venue, source.interval, house.plan())


def tiers_now(house: House) -> tuple[list[Standing], Mapping[Tier, TierTotals]]:
    """Return where each partition stands, and the totals per tier."""
    with house.moves() as moves:
        found = standings(
            moves.manifests.catalog(CANDLES.name), moves.hot.partitions(CANDLES.name)
        )
    return found, totals(found)


def misplaced(house: House, source: Source, found: list[Standing]) -> list[str]:
    """Return the partitions of a file that are not served from the tier that their age asks for.

    An open partition, and one up to the hot limit, belong to hot; see `TierSettings.target`.
    """
    today = source.as_of.date()
    wrong = []
    for standing in found:
        partition = standing.partition
        if (partition.venue, partition.interval) != (source.venue, source.interval):
            continue
        wanted = house.settings.tiers.target(partition.age_days(today))
        if standing.serving is not wanted:
            wrong.append(f"{partition.name} serves from {standing.serving}, due is {wanted}")
    return wrong


def verified_partitions(house: House) -> tuple[int, list[str]]:
    """Open every copy again; return the number of sound partitions, and one line per problem."""
    with house.moves() as moves:
        findings = list(moves.mover.verify())
    bad = {finding.partition: finding.problem for finding in findings if finding.problem}
    good = {finding.partition for finding in findings} - bad.keys()
    return len(good), [f"{partition.name}: {problem}" for partition, problem in bad.items()]
