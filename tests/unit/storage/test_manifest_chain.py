"""The chain of manifests: append-only, folded to a catalog, refused when tampered with."""

import json
import multiprocessing
import shutil
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ManifestError
from storage.manifest.catalog import Presence
from storage.manifest.chain import SNAPSHOT_EVERY, Manifests
from storage.manifest.records import Fence, FileEntry, Step, Summary
from storage.schema.partitions import Partition
from storage.schema.tiers import Tier

SUMMARY = Summary(
    rows=3,
    min_timestamp_ms=0,
    max_timestamp_ms=2,
    symbols=1,
    sums={"close": "300"},
    nulls={},
    statuses={"traded": 3},
)


def fields(day: int, step: Step, tier: Tier, revision: int = 1, **more: Any) -> dict[str, Any]:
    """Fields of a record about one day of 2024 and later."""
    when = date.fromordinal(date(2024, 1, 1).toordinal() + day)
    files = (FileEntry(path=f"{tier}/{day}", bytes=10, sha256="0" * 64, summary=SUMMARY),)
    return {
        "step": step,
        "venue": "KRX",
        "interval": "1m",
        "from_day": when,
        "to_day": when,
        "tier": tier,
        "revision": revision,
        "files": files if step in {Step.PUBLISHED, Step.RESTORED} else (),
        "schema_version": 1,
        "schema_hash": "0" * 64,
        "writer": "test",
        "created_at": "2024-02-01T00:00:00+00:00",
        **more,
    }


def life(manifests: Manifests, day: int = 0) -> Partition:
    """Record a partition's way from hot to cold."""
    fence = Fence(rows=3, digest="a")
    manifests.append("candles", **fields(day, Step.PUBLISHED, Tier.WARM, source=fence))
    manifests.append("candles", **fields(day, Step.EVICTING, Tier.HOT))
    manifests.append("candles", **fields(day, Step.EVICTED, Tier.HOT))
    manifests.append("candles", **fields(day, Step.PUBLISHED, Tier.COLD))
    manifests.append("candles", **fields(day, Step.EVICTING, Tier.WARM))
    record, _ = manifests.append("candles", **fields(day, Step.EVICTED, Tier.WARM))
    return record.partition


def test_partition_when_it_moves_is_served_by_one_tier_after_the_other(tmp_path: Path) -> None:
    """Serving changes with `evicting`, before anything is removed."""
    manifests = Manifests(tmp_path)
    partition = Partition("candles", "KRX", "1m", date(2024, 1, 1), date(2024, 1, 1))
    served = [manifests.catalog("candles").state(partition).serving()]
    for step, tier in (
        (Step.PUBLISHED, Tier.WARM),
        (Step.EVICTING, Tier.HOT),
        (Step.EVICTED, Tier.HOT),
        (Step.PUBLISHED, Tier.COLD),
        (Step.EVICTING, Tier.WARM),
        (Step.EVICTED, Tier.WARM),
    ):
        manifests.append("candles", **fields(0, step, tier))
        served.append(manifests.catalog("candles").state(partition).serving())

    assert served == [
        Tier.HOT,
        Tier.HOT,
        Tier.WARM,
        Tier.WARM,
        Tier.WARM,
        Tier.COLD,
        Tier.COLD,
    ]


@pytest.mark.parametrize(
    ("step", "tier", "revision"),
    [
        (Step.PUBLISHED, Tier.WARM, 1),
        (Step.PUBLISHED, Tier.WARM, 3),
        (Step.EVICTED, Tier.HOT, 1),
        (Step.KEPT, Tier.HOT, 1),
        (Step.EVICTING, Tier.WARM, 1),
        (Step.EVICTING, Tier.COLD, 1),
        (Step.RESTORED, Tier.HOT, 1),
        (Step.CONFIRMED, Tier.HOT, 2),
    ],
)
def test_step_when_it_cannot_follow_is_refused_and_not_written(
    tmp_path: Path, step: Step, tier: Tier, revision: int
) -> None:
    """A duplicate, a gap in revisions, an eviction without a colder copy: nothing is appended."""
    manifests = Manifests(tmp_path)
    manifests.append("candles", **fields(0, Step.PUBLISHED, Tier.WARM))
    with pytest.raises(ManifestError, match="candles/00000002"):
        manifests.append("candles", **fields(0, step, tier, revision))

    assert len(manifests.verify("candles")) == 1


def test_catalog_when_another_process_appends_grows(tmp_path: Path) -> None:
    """A reader sees what another object wrote, without reading the chain again."""
    reader, writer = Manifests(tmp_path), Manifests(tmp_path)
    versions = [reader.catalog("candles").version]
    life(writer)
    versions.append(reader.catalog("candles").version)

    assert versions == [0, 6]


def edited(path: Path) -> None:
    """Change one digit of a record."""
    path.write_bytes(path.read_bytes().replace(b'"rows":3', b'"rows":4'))


@pytest.mark.parametrize("number", [1, 3, 6])
def test_chain_when_a_record_is_edited_names_it(tmp_path: Path, number: int) -> None:
    """An edited record is found by the hash in the next one, or in HEAD."""
    life(Manifests(tmp_path))
    target = tmp_path / "candles" / f"{number:08d}.json"
    target.write_bytes(target.read_bytes().replace(b"2024-02-01", b"2024-02-02"))

    with pytest.raises(ManifestError, match=f"{min(number + 1, 6):08d}"):
        Manifests(tmp_path).catalog("candles")


@pytest.mark.parametrize("number", [1, 4])
def test_chain_when_a_record_is_missing_names_it(tmp_path: Path, number: int) -> None:
    """A gap is not skipped."""
    life(Manifests(tmp_path))
    (tmp_path / "candles" / f"{number:08d}.json").unlink()

    with pytest.raises(ManifestError, match=f"{number:08d} is missing"):
        Manifests(tmp_path).catalog("candles")


def test_chain_when_rolled_back_is_refused(tmp_path: Path) -> None:
    """The newest records were taken away: HEAD knows of them."""
    life(Manifests(tmp_path))
    for number in (5, 6):
        (tmp_path / "candles" / f"{number:08d}.json").unlink()

    with pytest.raises(ManifestError, match="rolled back or cut: HEAD names record 00000006"):
        Manifests(tmp_path).catalog("candles")


def test_chain_when_a_record_is_doubled_is_refused(tmp_path: Path) -> None:
    """A copy of a record under the next number is no record."""
    life(Manifests(tmp_path))
    folder = tmp_path / "candles"
    shutil.copy(folder / "00000006.json", folder / "00000007.json")

    with pytest.raises(ManifestError, match="a duplicate or a swap"):
        Manifests(tmp_path).catalog("candles")


def test_chain_when_head_or_a_record_is_garbage_is_refused(tmp_path: Path) -> None:
    """Damage is an error with the file's name, not an empty catalog."""
    life(Manifests(tmp_path))
    (tmp_path / "candles" / "HEAD.json").write_bytes(b"{")
    with pytest.raises(ManifestError, match="not a chain head"):
        Manifests(tmp_path).catalog("candles")
    (tmp_path / "candles" / "00000002.json").write_bytes(b"{}")
    with pytest.raises(ManifestError, match=r"00000002\.json: not a manifest record"):
        Manifests(tmp_path).catalog("candles")


def test_append_when_killed_before_head_goes_on(tmp_path: Path) -> None:
    """A record without its HEAD is legal: the next append catches up."""
    manifests = Manifests(tmp_path)
    life(manifests)
    head = tmp_path / "candles" / "HEAD.json"
    before = head.read_bytes()
    manifests.append("candles", **fields(1, Step.PUBLISHED, Tier.WARM))
    head.write_bytes(before)
    fresh = Manifests(tmp_path)
    fresh.append("candles", **fields(2, Step.PUBLISHED, Tier.WARM))

    assert json.loads(head.read_bytes())["sequence"] == 8
    assert len(fresh.verify("candles")) == 8


def _append_many(root: Path, first: int) -> None:
    manifests = Manifests(root)
    for day in range(first, first + 20):
        manifests.append("candles", **fields(day, Step.PUBLISHED, Tier.WARM))


def test_append_when_processes_compete_makes_one_chain(tmp_path: Path) -> None:
    """Writers of three processes take turns; no record is lost or doubled."""
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_many, args=(tmp_path, 100 * n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(Manifests(tmp_path).verify("candles")) == 60


def test_catalog_of_2000_records_is_cheap_and_its_snapshot_is_not_trusted_blindly(
    tmp_path: Path,
) -> None:
    """A new process folds 2,000 records in well under a second, and sees an edit behind it."""
    manifests = Manifests(tmp_path)
    for day in range(2_000 // 6 + 1):
        life(manifests, day)
    began = time.perf_counter()
    catalog = Manifests(tmp_path).catalog("candles")
    seconds = time.perf_counter() - began
    assert catalog.version >= 2_000
    assert catalog.version % SNAPSHOT_EVERY != 0
    assert catalog == Manifests(tmp_path).catalog("candles")
    assert seconds < 1.0
    states = [state.hot for state in catalog]
    assert set(states) == {Presence.GONE}

    edited(tmp_path / "candles" / "00000001.json")
    with pytest.raises(ManifestError, match="00000002"):
        Manifests(tmp_path).catalog("candles")
