"""Moves between the tiers on a real hot store: verified, guarded, safe to kill anywhere."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import clickhouse_connect
import pyarrow as pa
import pytest

from storage.errors import ManifestError, RefusedError, VerificationError
from storage.hot.connection import HotConnection
from storage.hot.loads import LoadRecord, LoadState, StagedLoads
from storage.hot.store import HotStore
from storage.lake.lake import Lake
from storage.manifest.chain import Manifests
from storage.manifest.records import Step, Summary
from storage.moves.context import no_step
from storage.moves.mover import Mover
from storage.moves.volumes import Volumes
from storage.schema.arrow import file_schema
from storage.schema.datasets import CANDLES
from storage.schema.partitions import Partition, partition_of
from storage.schema.tiers import Tier, TierSettings, default_settings

pytestmark = pytest.mark.integration

DAY = date(2024, 1, 2)
PARTITION = partition_of("candles", "KRX", "1m", DAY)
ROWS = 40


def bars(
    symbols: list[str], *, minutes: int = 20, close: int = 100, revision: int = 1
) -> pa.Table:
    """Minute bars of one KRX day."""
    first = datetime(2024, 1, 2, tzinfo=UTC)
    rows = [
        {
            "timestamp": first + timedelta(minutes=minute),
            "venue": "KRX",
            "symbol": symbol,
            "broker": "kis",
            "interval": "1m",
            "open": 100,
            "high": 110,
            "low": 90,
            "close": close,
            "volume": minute,
            "bid": None,
            "ask": None,
            "trade_date": DAY,
            "received_at": first,
            "available_at": first,
            "revision": revision,
            "status": "traded",
            "quality": "ok",
            "ingest_id": "",
        }
        for symbol in symbols
        for minute in range(minutes)
    ]
    return pa.Table.from_pylist(rows, schema=file_schema(CANDLES, "KRX"))


class Tiers:
    """One home beside one database of the hot store."""

    def __init__(self, dsn: str, home: Path) -> None:
        self.dsn = dsn
        self.home = home
        self.hot = HotStore(dsn)
        self.hot.ensure_schema()
        self.settings: TierSettings = default_settings()
        self.today = DAY + timedelta(days=30)

    def mover(self, step: Callable[[str], None] = no_step) -> Mover:
        """A mover as a new process would build it."""
        return Mover(
            self.hot,
            Manifests(self.home / "manifests"),
            self.settings,
            self.home,
            now=lambda: datetime.combine(self.today, datetime.min.time(), UTC),
            today=lambda _: self.today,
            step=step,
        )

    def lake(self) -> Lake:
        """A reader with nothing in common with the mover but the stores."""
        manifests = Manifests(self.home / "manifests")
        return Lake(HotStore(self.dsn), manifests, self.settings, self.home)

    def load(self, rows: pa.Table) -> None:
        """Bring rows in by the only way in."""
        ingest_id = f"i{uuid.uuid4().hex[:8]}"
        index = rows.schema.get_field_index("ingest_id")
        marks = pa.array([ingest_id] * rows.num_rows)
        record = LoadRecord(
            ingest_id=ingest_id,
            owner="test",
            dataset="candles",
            venue="KRX",
            state=LoadState.LOADING,
            path="memory",
            file_digest="",
            options_digest="",
            received_at_ms=0,
        )
        opened = self.hot.loads.open(record, CANDLES)
        opened.append(rows.set_column(index, rows.schema.field(index), marks))
        opened.publish("")

    def steps(self) -> list[tuple[Step, Tier]]:
        """What the chain says happened."""
        return [(r.step, r.tier) for r in Manifests(self.home / "manifests").verify("candles")]

    def files(self, tier: Tier) -> list[Path]:
        """Parquet files in service."""
        root = self.home / tier
        return [p for p in root.rglob("*.parquet") if ".trash" not in p.parts]


@pytest.fixture
def tiers(clickhouse_url: str, tmp_path: Path) -> Iterator[Tiers]:
    """An empty home and an empty database, dropped afterwards."""
    database = f"m_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {database}")
        made = Tiers(f"{clickhouse_url}/{database}", tmp_path)
        yield made
        made.hot.close()
        admin.command(f"DROP DATABASE {database}")


@pytest.fixture
def loaded(tiers: Tiers) -> Tiers:
    """The same with one closed day in hot."""
    tiers.load(bars(["000100", "000200"]))
    return tiers


def flip(path: Path, position: int | None = None) -> None:
    """Flip one bit in the middle of a file, as a bad medium would."""
    place = path.stat().st_size // 2 if position is None else position
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x04]))


def test_export_when_repeated_writes_nothing_new(loaded: Tiers) -> None:
    """The same rows are one revision, whoever asks how often."""
    first = loaded.mover().export(PARTITION)
    second = loaded.mover().export(PARTITION)

    assert (first.changed, second.changed) == (True, False)
    assert (first.manifest_id, first.rows) == (second.manifest_id, ROWS)
    assert len(loaded.files(Tier.WARM)) == 1


def test_export_when_a_byte_flips_before_verification_publishes_nothing(loaded: Tiers) -> None:
    """What was written is read back from the medium: the flip is found, hot keeps its rows."""

    def damage(step: str) -> None:
        if step == "warm:written":
            flip(next((loaded.home / "warm").rglob(".tmp-*")))

    with pytest.raises(VerificationError):
        loaded.mover(damage).export(PARTITION)

    assert loaded.steps() == []
    assert loaded.files(Tier.WARM) == []
    assert list((loaded.home / "warm").rglob(".tmp-*")) == []
    assert loaded.lake().count() == ROWS


def test_export_when_open_or_shrunk_is_refused(loaded: Tiers) -> None:
    """An open day is refused; fewer rows than the newest revision need a correction."""
    mover = loaded.mover()
    loaded.today = DAY
    with pytest.raises(RefusedError, match="is open until 2024-01-02"):
        mover.export(PARTITION)
    loaded.today = DAY + timedelta(days=3)
    mover.export(PARTITION)
    loaded.hot.query_arrow("SELECT 1")
    with clickhouse_connect.get_client(dsn=loaded.dsn) as client:
        client.command("ALTER TABLE candles DROP PARTITION ('KRX', '1m', '2024-01-02')")
    loaded.load(bars(["000100"]))
    with pytest.raises(RefusedError, match="hot holds 20 rows, revision 1 has 40"):
        mover.export(PARTITION)
    corrected = mover.export(PARTITION, correction="000200 was never listed")

    assert (corrected.revision, corrected.rows) == (2, 20)
    assert Manifests(loaded.home / "manifests").verify("candles")[-1].correction


def test_export_of_an_emptied_partition_is_refused(loaded: Tiers) -> None:
    """Materialising an old partition of which hot has lost the rows cannot empty the archive."""
    loaded.mover().export(PARTITION)
    with clickhouse_connect.get_client(dsn=loaded.dsn) as client:
        client.command("ALTER TABLE candles DROP PARTITION ('KRX', '1m', '2024-01-02')")
    with pytest.raises(RefusedError, match="hot tier has no rows"):
        loaded.mover().export(PARTITION)

    assert loaded.lake().count() == ROWS


def test_evict_when_not_due_or_changed_or_unknown_is_refused(loaded: Tiers) -> None:
    """Age, content and the manifest id are all required."""
    mover = loaded.mover()
    loaded.today = DAY + timedelta(days=7)
    moved = mover.export(PARTITION)
    with pytest.raises(RefusedError, match="7 days old, it leaves hot after 7"):
        mover.evict(moved.manifest_id)
    loaded.today = DAY + timedelta(days=8)
    with pytest.raises(ManifestError, match="names no copy"):
        mover.evict("candles/00000001-000000000000")
    loaded.load(bars(["000300"], minutes=1))
    with pytest.raises(RefusedError, match="hot changed since revision 1"):
        mover.evict(moved.manifest_id)

    assert loaded.lake().count() == ROWS + 1


def test_evict_when_the_copy_is_damaged_keeps_the_source(loaded: Tiers) -> None:
    """The colder copy is read back before anything is removed."""
    mover = loaded.mover()
    moved = mover.export(PARTITION)
    flip(loaded.files(Tier.WARM)[0])
    with pytest.raises(VerificationError):
        mover.evict(moved.manifest_id)

    assert loaded.hot.rows(PARTITION) == ROWS
    assert loaded.steps() == [(Step.PUBLISHED, Tier.WARM)]


def test_evict_when_rows_arrive_in_between_keeps_them(loaded: Tiers) -> None:
    """Rows that arrive between the check and the withdrawal are put back, not deleted."""

    def arrive(step: str) -> None:
        if step == "hot:evicting":
            loaded.load(bars(["000300"], minutes=1))

    moved = loaded.mover().export(PARTITION)
    with pytest.raises(RefusedError, match="stays in hot: rows arrived meanwhile"):
        loaded.mover(arrive).evict(moved.manifest_id)
    assert loaded.lake().count() == ROWS + 1
    list(loaded.mover().archive())

    assert loaded.lake().count() == ROWS + 1
    assert loaded.hot.rows(PARTITION) == 0


def test_archive_when_rows_arrive_in_between_takes_them_along(loaded: Tiers) -> None:
    """A load that overtakes an eviction is no failure of the archive."""
    arrivals = [bars(["000300"], minutes=1)]

    def arrive(step: str) -> None:
        if step == "hot:evicting" and arrivals:
            loaded.load(arrivals.pop())

    moved = list(loaded.mover(arrive).archive())

    assert [(m.action, m.revision) for m in moved] == [
        ("export", 1),
        ("export", 2),
        ("evict_hot", 2),
    ]
    assert (loaded.hot.rows(PARTITION), loaded.lake().count()) == (0, ROWS + 1)


def test_late_and_corrected_rows_when_archived_become_the_next_revision(loaded: Tiers) -> None:
    """Late rows are served at once and merged: per key the highest revision wins."""
    list(loaded.mover().archive())
    loaded.load(bars(["000300"], minutes=2))
    loaded.load(bars(["000100"], minutes=1, close=105, revision=2))
    query = "SELECT count(*) AS n, sum(close) AS total FROM candles"
    late = loaded.lake().sql(query).to_pylist()
    moved = list(loaded.mover().archive())

    assert (late[0]["n"], int(late[0]["total"])) == (ROWS + 2, 100 * (ROWS + 2) + 5)
    assert late == loaded.lake().sql(query).to_pylist()
    assert [(m.action, m.revision, m.rows) for m in moved] == [("export", 2, ROWS + 2)]
    assert loaded.hot.rows(PARTITION) == 0


def test_late_rows_that_the_archive_has_leave_hot_without_a_revision(loaded: Tiers) -> None:
    """The same rows again are confirmed, not published twice."""
    list(loaded.mover().archive())
    stored = loaded.lake().rows(PARTITION).drop_columns("tier")
    loaded.hot.transit.stage(PARTITION, stored.slice(0, 7))
    loaded.hot.transit.admit(PARTITION)
    assert loaded.lake().count() == ROWS
    moved = list(loaded.mover().archive())

    assert [(m.action, m.changed) for m in moved] == [("export", False)]
    assert (loaded.hot.rows(PARTITION), loaded.lake().count()) == (0, ROWS)


@pytest.mark.parametrize("to", [Tier.HOT, Tier.WARM])
def test_restore_when_asked_brings_a_cold_day_back_and_age_removes_it_again(
    loaded: Tiers, to: Tier
) -> None:
    """A restored day serves from where it was asked, identical, and leaves again by age."""
    loaded.today = DAY + timedelta(days=120)
    list(loaded.mover().archive())
    before = loaded.lake().rows(PARTITION).drop_columns("tier")
    first = loaded.mover().restore(PARTITION, to)
    again = loaded.mover().restore(PARTITION, to)
    rows = loaded.lake().rows(PARTITION)
    soon = [m.action for m in loaded.mover().archive()]
    loaded.today += timedelta(days=100)
    later = [m.action for m in loaded.mover().archive()]

    assert (first.changed, again.changed) == (True, False)
    assert rows.drop_columns("tier").equals(before)
    assert set(rows["tier"].to_pylist()) == {to.value}
    assert (soon, later) == ([], [f"evict_{to}"])
    assert {s.tier for s in loaded.lake().summary()} == {Tier.COLD}


def test_damaged_file_when_read_is_refused_and_scrub_mends_it(loaded: Tiers) -> None:
    """A flipped bit is found by the first read and by verify, never served, and mended."""
    loaded.mover().export(PARTITION)
    cold = loaded.mover().copy(PARTITION)
    loaded.mover().evict(cold.manifest_id)
    flip(loaded.files(Tier.WARM)[0])
    with pytest.raises(VerificationError, match="it is not served"):
        loaded.lake().count()
    with pytest.raises(VerificationError, match="it is not served"):
        loaded.lake().sql("SELECT count(*) FROM candles")
    problems = [finding.tier for finding in loaded.mover().verify() if finding.problem]
    mended = [(f.tier, f.mended) for f in loaded.mover().scrub() if f.problem]

    assert (problems, mended) == ([Tier.WARM], [(Tier.WARM, True)])
    assert loaded.lake().count() == ROWS
    assert [f for f in loaded.mover().verify() if f.problem] == []
    assert len(list((loaded.home / "quarantine" / "files").iterdir())) == 1


def test_file_when_it_became_a_link_is_a_finding_and_scrub_mends_it(loaded: Tiers) -> None:
    """A tier holds plain files: what a link leads to is nobody's copy."""
    loaded.mover().export(PARTITION)
    (path,) = loaded.files(Tier.WARM)
    elsewhere = path.rename(loaded.home / "elsewhere.parquet")
    path.symlink_to(elsewhere)

    (finding,) = loaded.mover().verify()
    (mended,) = loaded.mover().scrub("candles")

    assert "symbolic link" in finding.problem
    assert mended.mended
    assert elsewhere.exists()
    assert [found.problem for found in loaded.mover().verify()] == [""]


def test_damaged_last_copy_when_scrubbed_is_reported_and_not_served(loaded: Tiers) -> None:
    """Without another copy there is nothing to mend with: reported, kept for a person."""
    list(loaded.mover().archive())
    flip(loaded.files(Tier.WARM)[0])
    findings = list(loaded.mover().scrub())

    assert [(bool(f.problem), f.mended) for f in findings] == [(True, False)]
    with pytest.raises(Exception, match="2024-01-02"):
        loaded.lake().count()


def test_cold_when_its_volume_is_not_mounted_is_refused(loaded: Tiers) -> None:
    """An empty mount point takes nothing, and nothing leaves warm (F49)."""
    mover = loaded.mover()
    mover.export(PARTITION)
    mover.copy(PARTITION)
    cold = loaded.home / "cold"
    cold.rename(loaded.home / "unmounted")
    cold.mkdir()
    loaded.today = DAY + timedelta(days=120)
    with pytest.raises(RefusedError, match=r"no marker where volume .* belongs"):
        Volumes(loaded.settings, loaded.home).require(Tier.COLD, 1)
    with pytest.raises(VerificationError, match="missing"):
        list(loaded.mover().archive_partition(PARTITION))

    assert list(cold.iterdir()) == []
    assert len(loaded.files(Tier.WARM)) == 1
    assert loaded.lake().count() == ROWS


def test_cold_when_its_mount_hangs_is_refused_in_time(loaded: Tiers) -> None:
    """A call that never returns is killed after the time limit; nothing waits for it (F50)."""
    volumes = Volumes(loaded.settings, loaded.home, probe_seconds=1.0)
    volumes.require(Tier.COLD, 1)
    marker = loaded.home / "cold" / ".jts-volume"
    marker.unlink()
    os.mkfifo(marker)
    with pytest.raises(RefusedError, match="no answer in 1 s; is the mount hung"):
        volumes.require(Tier.COLD, 1)


def test_export_when_space_is_short_is_refused(loaded: Tiers) -> None:
    """The move asks for room before it writes."""
    with pytest.raises(RefusedError, match="bytes are free, the move needs"):
        Volumes(loaded.settings, loaded.home).require(Tier.WARM, 1 << 60)


_CHILD = """
import os, resource, signal, sys
from datetime import date, datetime, UTC
from pathlib import Path
from storage.hot.store import HotStore
from storage.manifest.chain import Manifests
from storage.moves.mover import Mover
from storage.schema.tiers import default_settings

dsn, home, today, kill_at, file_bytes = sys.argv[1:]
day = date.fromisoformat(today)

def step(name):
    if name == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

if int(file_bytes):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes), int(file_bytes)))
mover = Mover(
    HotStore(dsn), Manifests(Path(home) / "manifests"), default_settings(), Path(home),
    now=lambda: datetime.combine(day, datetime.min.time(), UTC), today=lambda venue: day,
    step=step,
)
for moved in mover.archive():
    sys.stdout.write(moved.action + "\\n")
"""


def start(tiers: Tiers, *, kill_at: str = "", file_bytes: int = 0) -> subprocess.Popen[str]:
    """Run the due moves in a process of its own."""
    arguments = [tiers.dsn, str(tiers.home), tiers.today.isoformat(), kill_at, str(file_bytes)]
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "step",
    [
        "warm:written",
        "warm:verified",
        "warm:renamed",
        "warm:recorded",
        "cold:written",
        "cold:renamed",
        "cold:recorded",
        "hot:evicting",
        "hot:withdrawn",
        "hot:recorded",
        "hot:discarded",
        "warm:evicting",
        "warm:evicted",
    ],
)
def test_archive_when_its_process_is_killed_completes_on_the_next_run(
    loaded: Tiers, step: str
) -> None:
    """SIGKILL at every step: no row is ever lost or doubled, and a rerun ends clean (F52)."""
    loaded.today = DAY + timedelta(days=120)
    killed = start(loaded, kill_at=step)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert loaded.lake().count() == ROWS
    list(loaded.mover().archive())

    assert {(s.tier, s.rows) for s in loaded.lake().summary()} == {(Tier.COLD, ROWS)}
    assert loaded.hot.rows(PARTITION) == 0
    assert loaded.hot.transit.withdrawn(PARTITION).rows == 0
    assert loaded.files(Tier.WARM) == []
    assert [p for p in loaded.home.rglob("*") if p.name.startswith(".tmp-")] == []
    assert [f for f in loaded.mover().verify() if f.problem] == []


def test_archive_when_the_volume_is_full_publishes_nothing_truncated(loaded: Tiers) -> None:
    """A write that the system cuts off fails as a whole and works when there is room (F47)."""
    full = start(loaded, file_bytes=1500)
    _, errors = full.communicate(timeout=60)
    assert full.returncode == 1, errors
    assert "export of candles/KRX/1m/2024-01-02: File too large" in errors
    assert loaded.files(Tier.WARM) == []
    assert loaded.lake().count() == ROWS
    list(loaded.mover().archive())

    assert loaded.lake().count() == ROWS
    assert len(loaded.files(Tier.WARM)) == 1


def test_archive_when_two_processes_compete_moves_once(loaded: Tiers) -> None:
    """Both end well, the partition was published and evicted once (F53)."""
    both = [start(loaded), start(loaded)]
    endings = [(process.communicate(timeout=90)[1], process.returncode) for process in both]

    assert [code for _, code in endings] == [0, 0], endings
    assert loaded.steps() == [
        (Step.PUBLISHED, Tier.WARM),
        (Step.EVICTING, Tier.HOT),
        (Step.EVICTED, Tier.HOT),
    ]
    assert loaded.lake().count() == ROWS


def test_reader_when_partitions_move_meanwhile_always_sees_every_row(loaded: Tiers) -> None:
    """Counts over all tiers are the same before, during and after the moves (I25)."""
    loaded.today = DAY + timedelta(days=120)
    lake = loaded.lake()
    process = start(loaded)
    counts = {lake.count()}
    while process.poll() is None:
        counts.add(lake.count())
        counts.add(lake.sql("SELECT count(*) AS n FROM candles")["n"][0].as_py())
    process.communicate(timeout=60)
    counts.add(lake.count())

    assert process.returncode == 0
    assert counts == {ROWS}


def test_chain_when_rolled_back_with_its_head_is_found_by_the_sidecar(loaded: Tiers) -> None:
    """The record beside the file names an entry that the chain no longer has (IN32)."""
    loaded.mover().export(PARTITION)
    loaded.load(bars(["000300"], minutes=1))
    chain = loaded.home / "manifests" / "candles"
    head = (chain / "HEAD.json").read_bytes()
    keep = {path.name: path.read_bytes() for path in (loaded.home / "warm").rglob("*.parquet")}
    loaded.mover().export(PARTITION)
    (chain / "00000002.json").unlink()
    (chain / "HEAD.json").write_bytes(head)
    folder = loaded.files(Tier.WARM)[0].parent
    for name, content in keep.items():
        (folder / name).write_bytes(content)
    problems = [finding.problem for finding in loaded.mover().verify()]

    assert len(problems) == 1
    assert "the chain was rolled back" in problems[0]


def test_chain_when_lost_is_missed_by_the_copies(loaded: Tiers) -> None:
    """Without its manifests an archive is not "verified: 0", but a finding for each copy."""
    list(loaded.mover().archive())
    for path in (loaded.home / "manifests" / "candles").glob("*.json"):
        path.unlink()
    problems = [finding.problem for finding in loaded.mover().verify()]

    assert len(problems) == 1
    assert f"{ROWS} rows that no manifest names" in problems[0]


def test_archive_when_a_nas_left_folders_in_the_trash_goes_on(loaded: Tiers) -> None:
    """Only our own days are emptied."""
    foreign = loaded.home / "warm" / ".trash" / "@eaDir"
    foreign.mkdir(parents=True)

    assert [moved.action for moved in loaded.mover().archive()] == ["export", "evict_hot"]
    assert foreign.is_dir()


class Counted(HotStore):
    """A hot store in which rows arrive just before a partition is counted for the first time."""

    arrive: Callable[[], None] | None = None

    def summary(self, partition: Partition) -> Summary:
        """Let rows arrive once, then count."""
        arrive, self.arrive = self.arrive, None
        if arrive is not None:
            arrive()
        return super().summary(partition)


@pytest.mark.parametrize("is_late", [False, True])
def test_export_when_rows_arrive_while_it_counts_includes_them(
    loaded: Tiers, *, is_late: bool
) -> None:
    """A load beside an export is no damage: what was counted is what is published."""
    if is_late:
        list(loaded.mover().archive())
        loaded.load(bars(["000300"], minutes=1))
    source = loaded.hot
    counted = Counted(loaded.dsn)
    counted.arrive = lambda: loaded.load(bars(["000400"], minutes=1))
    loaded.hot = counted
    moved = loaded.mover().export(PARTITION)
    loaded.hot = source
    counted.close()

    assert moved.rows == ROWS + 1 + is_late
    assert loaded.lake().count() == ROWS + 1 + is_late


class Hurried(StagedLoads):
    """Loads whose rows are archived in the moment in which they become visible."""

    def __init__(self, connection: HotConnection, archive: Callable[[], object]) -> None:
        super().__init__(connection)
        self._archive = archive

    def _close(self, record: LoadRecord) -> None:
        self._archive()
        super()._close(record)


def test_load_when_its_rows_are_archived_at_once_is_done(loaded: Tiers) -> None:
    """An archive that overtakes a load must not make it look failed."""
    list(loaded.mover().archive())
    source = loaded.hot.loads
    connection = HotConnection(loaded.dsn)
    loaded.hot.loads = Hurried(connection, lambda: list(loaded.mover().archive()))
    loaded.load(bars(["000300"], minutes=1))
    loaded.hot.loads = source
    connection.close()

    assert [record.state for record in source.records()] == [LoadState.DONE] * 2
    assert (loaded.hot.rows(PARTITION), loaded.lake().count()) == (0, ROWS + 1)


def test_sidecar_beside_the_file_is_the_published_record(loaded: Tiers) -> None:
    """The archive describes itself without the chain."""
    loaded.mover().export(PARTITION)
    folder = loaded.files(Tier.WARM)[0].parent

    assert (folder / "_manifest.json").read_bytes() == (
        loaded.home / "manifests" / "candles" / "00000001.json"
    ).read_bytes()


def test_partition_identity_in_a_path_is_readable(loaded: Tiers) -> None:
    """Dataset, version, venue, interval and period stand in the path."""
    loaded.mover().export(PARTITION)
    path = loaded.files(Tier.WARM)[0].relative_to(loaded.home / "warm")

    assert path.parent.as_posix() == "candles/v1/venue=KRX/interval=1m/period=2024-01-02"
    assert isinstance(PARTITION, Partition)
