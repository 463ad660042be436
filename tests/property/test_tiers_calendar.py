"""A simulated calendar moves every partition exactly once, whatever is killed on the way."""

import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jts_trading.ports.clock import VirtualClock, today
from storage.errors import RefusedError, VerificationError
from storage.manifest.chain import Manifests
from storage.manifest.records import Step
from storage.moves.memory import MemoryHot
from storage.moves.mover import Mover
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES
from storage.schema.partitions import Partition, partition_of
from storage.schema.tiers import Tier, default_settings

FIRST = date(2024, 1, 1)


class KilledError(BaseException):
    """The process is gone; nothing after this line runs."""


def rows_of(day: date, *, symbols: int = 3, first: int = 0, revision: int = 1) -> pa.Table:
    """One KRX daily bar per symbol."""
    stamp = datetime(day.year, day.month, day.day, tzinfo=UTC)
    bars = [
        {
            "timestamp": stamp,
            "venue": "KRX",
            "symbol": f"{number:06d}",
            "broker": "kis",
            "interval": "1m",
            "open": 100,
            "high": 110,
            "low": 90,
            "close": 100 + number,
            "volume": 1000 * number,
            "bid": None,
            "ask": None,
            "trade_date": day,
            "received_at": stamp,
            "available_at": stamp,
            "revision": revision,
            "status": "traded",
            "quality": "ok",
            "ingest_id": "i1",
        }
        for number in range(first, first + symbols)
    ]
    return pa.Table.from_pylist(bars, schema=file_schema(CANDLES, "KRX"))


def partition_on(day: date) -> Partition:
    """The minute partition of a day."""
    return partition_of("candles", "KRX", "1m", day)


class World:
    """One home whose process may die: the mover is built anew, disk and hot store stay."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.hot = MemoryHot()
        self.today = FIRST

    def mover(self, step: Callable[[str], None] = lambda _: None) -> Mover:
        """A mover as a new process would build it."""
        tiers = default_settings()
        return Mover(
            self.hot,
            Manifests(tiers.path(self.home, "manifests")),
            tiers,
            self.home,
            now=lambda: datetime.combine(self.today, datetime.min.time(), UTC),
            today=lambda _: self.today,
            step=step,
        )

    def manifests(self) -> Manifests:
        """A fresh reader of the chain."""
        return Manifests(self.home / "manifests")

    def served(self, partition: Partition) -> tuple[Tier, int]:
        """The tier that serves a partition and the rows that a reader of it sees."""
        state = self.manifests().catalog("candles").state(partition)
        tier = state.serving()
        if tier is Tier.HOT:
            return tier, self.hot.fence(partition).rows
        copy = state.copies[tier]
        assert (self.home / tier / copy.files[0].path).exists()
        return tier, copy.rows

    def leftovers(self) -> list[Path]:
        """Drafts that nobody would clear."""
        return [path for path in self.home.rglob("*") if path.name.startswith(".tmp-")]


def expected_tier(age: int) -> Tier:
    """The tier in which a partition of that age belongs."""
    if age <= 7:
        return Tier.HOT
    return Tier.WARM if age <= 90 else Tier.COLD


@pytest.mark.timeout(240)
def test_calendar_of_400_days_moves_every_partition_exactly_once(tmp_path: Path) -> None:
    """Each day exports, copies and evicts once, and always serves from the tier of its age."""
    world = World(tmp_path)
    mover = world.mover()
    step_days = 4
    days = [FIRST + timedelta(days=offset) for offset in range(0, 400, step_days)]
    for day in days:
        world.today = day
        world.hot.add(partition_on(day), rows_of(day))
        for _ in mover.archive():
            pass
        for earlier in days[: days.index(day) + 1]:
            tier, rows = world.served(partition_on(earlier))
            assert (expected_tier((day - earlier).days), 3) == (tier, rows)
    steps: Counter[tuple[Partition, Step, Tier]] = Counter()
    for record in world.manifests().verify("candles"):
        steps[record.partition, record.step, record.tier] += 1

    assert set(steps.values()) == {1}
    kept = [folder.name for folder in (tmp_path / "warm" / ".trash").iterdir()]
    assert kept
    assert min(kept) > (world.today - timedelta(days=7)).isoformat()


@pytest.mark.parametrize(
    ("age", "tier"), [(7, Tier.HOT), (8, Tier.WARM), (90, Tier.WARM), (91, Tier.COLD)]
)
def test_boundary_day_when_archived_serves_from_its_tier(
    tmp_path: Path, age: int, tier: Tier
) -> None:
    """Up to 7 days hot, up to 90 days warm, older cold: to the day."""
    world = World(tmp_path)
    world.hot.add(partition_on(FIRST), rows_of(FIRST))
    world.today = FIRST + timedelta(days=age)
    list(world.mover().archive())

    assert (tier, 3) == world.served(partition_on(FIRST))


@pytest.mark.parametrize(
    ("instant", "tier"),
    [
        ("2024-01-08T23:59:59+09:00", Tier.HOT),
        ("2024-01-09T00:00:01+09:00", Tier.WARM),
        ("2024-03-31T23:59:59+09:00", Tier.WARM),
        ("2024-04-01T00:00:01+09:00", Tier.COLD),
    ],
)
def test_boundary_when_the_day_changes_is_midnight_at_the_venue(
    tmp_path: Path, instant: str, tier: Tier
) -> None:
    """A partition of KRX ages at midnight in Seoul on the instance clock, not in UTC."""
    moment = datetime.fromisoformat(instant)
    clock = VirtualClock(int(moment.timestamp()) * 1_000_000_000)
    world = World(tmp_path)
    world.hot.add(partition_on(FIRST), rows_of(FIRST))
    world.today = today(clock, "KRX")
    list(world.mover().archive())

    assert world.served(partition_on(FIRST)) == (tier, 3)


@pytest.mark.parametrize("kill", ["hot:staged", "hot:admitted"])
def test_restore_when_killed_serves_every_row_and_completes(tmp_path: Path, kill: str) -> None:
    """A restore that died is run again; the files serve until it is recorded."""
    world = World(tmp_path)
    partition = partition_on(FIRST)
    world.hot.add(partition, rows_of(FIRST))
    world.today = FIRST + timedelta(days=120)
    list(world.mover().archive())

    def stop(name: str) -> None:
        if name == kill:
            raise KilledError

    with pytest.raises(KilledError):
        world.mover(stop).restore(partition, Tier.HOT)
    between = world.served(partition)
    again = world.mover().restore(partition, Tier.HOT)

    assert between == (Tier.COLD, 3)
    assert again.changed
    assert world.served(partition) == (Tier.HOT, 3)


def test_archive_when_one_partition_fails_moves_the_others(tmp_path: Path) -> None:
    """A damaged copy is named at the end and keeps nobody else."""
    world = World(tmp_path)
    for offset in range(3):
        day = FIRST + timedelta(days=offset)
        world.hot.add(partition_on(day), rows_of(day))
    world.today = FIRST + timedelta(days=5)
    list(world.mover().archive())
    file = next((tmp_path / "warm").rglob("*period=2024-01-02/*.parquet"))
    file.write_bytes(file.read_bytes()[:-9])
    world.today = FIRST + timedelta(days=30)
    with pytest.raises(VerificationError, match="period=2024-01-02"):
        list(world.mover().archive())

    tiers = [world.served(partition_on(FIRST + timedelta(days=n)))[0] for n in range(3)]
    assert tiers == [Tier.WARM, Tier.HOT, Tier.WARM]


def test_month_when_its_last_day_is_recent_stays_hot(tmp_path: Path) -> None:
    """A month of daily bars has the age of its last day, not of its first."""
    world = World(tmp_path)
    month = partition_of("candles", "KRX", "1d", date(2024, 1, 2))
    world.hot.add(month, rows_of(date(2024, 1, 2)))
    world.today = date(2024, 2, 7)
    list(world.mover().archive())
    before = world.served(month)
    world.today = date(2024, 2, 8)
    list(world.mover().archive())

    assert (before, world.served(month)) == ((Tier.HOT, 3), (Tier.WARM, 3))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kills=st.lists(st.integers(0, 14), min_size=1, max_size=4),
    late=st.booleans(),
    age=st.sampled_from([5, 30, 120]),
)
def test_archive_when_killed_anywhere_completes_on_the_next_run(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int], late: bool, age: int
) -> None:
    """After any sequence of kills a rerun ends in the right tier with every row and no drafts."""
    world = World(tmp_path_factory.mktemp("killed"))
    partition = partition_on(FIRST)
    world.hot.add(partition, rows_of(FIRST))
    world.today = FIRST + timedelta(days=age)
    for position, kill in enumerate(kills):
        remaining = kill

        def stop(_: str) -> None:
            nonlocal remaining
            remaining -= 1
            if remaining < 0:
                raise KilledError

        with contextlib.suppress(KilledError):
            list(world.mover(stop).archive())
        assert world.served(partition)[1] >= 3
        if late and position == 0:
            world.hot.add(partition, rows_of(FIRST, symbols=2, first=10))
    for _ in range(2):
        try:
            list(world.mover().archive())
        except RefusedError:
            continue

    assert (expected_tier(age), 5 if late else 3) == world.served(partition)
    assert world.leftovers() == []
    assert [finding.problem for finding in world.mover().verify() if finding.problem] == []
