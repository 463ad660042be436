"""Whatever steps are tried, the chain stays sound and every partition keeps one serving tier."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import ManifestError
from storage.manifest.chain import Manifests
from storage.manifest.records import FileEntry, Step, Summary
from storage.schema.tiers import Tier

_SUMMARY = Summary(
    rows=1,
    min_timestamp_ms=0,
    max_timestamp_ms=0,
    symbols=1,
    sums={},
    nulls={},
    statuses={"traded": 1},
)
_FILE = FileEntry(path="a", bytes=1, sha256="0" * 64, summary=_SUMMARY)
_STEPS = st.tuples(
    st.sampled_from(list(Step)), st.sampled_from(list(Tier)), st.integers(1, 3), st.integers(1, 2)
)
_SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def attempt(manifests: Manifests, step: Step, tier: Tier, revision: int, day: int) -> bool:
    """Try to record a step; return whether the chain took it."""
    when = date(2024, 1, day)
    try:
        manifests.append(
            "candles",
            step=step,
            venue="KRX",
            interval="1m",
            from_day=when,
            to_day=when,
            tier=tier,
            revision=revision,
            files=(_FILE,) if step in {Step.PUBLISHED, Step.RESTORED} else (),
            schema_version=1,
            schema_hash="0" * 64,
            writer="test",
            created_at="2024-02-01T00:00:00+00:00",
        )
    except ManifestError:
        return False
    return True


@_SETTINGS
@given(walk=st.lists(_STEPS, max_size=25))
def test_walk_of_any_steps_leaves_a_sound_chain(
    tmp_path_factory: pytest.TempPathFactory, walk: list[tuple[Step, Tier, int, int]]
) -> None:
    """Refused steps leave no trace, accepted ones fold the same way from any starting point."""
    root = tmp_path_factory.mktemp("walk")
    manifests = Manifests(root)
    taken = sum(attempt(manifests, *step) for step in walk)
    catalog = manifests.catalog("candles")

    assert catalog == Manifests(root).catalog("candles")
    assert len(Manifests(root).verify("candles")) == taken
    for state in catalog:
        serving = state.serving()
        assert serving is Tier.HOT or state.copies[serving].revision == state.revision


@_SETTINGS
@given(walk=st.lists(_STEPS, min_size=20, max_size=40), place=st.integers(0, 10**6))
def test_chain_when_any_byte_of_it_changes_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    walk: list[tuple[Step, Tier, int, int]],
    place: int,
) -> None:
    """One flipped bit anywhere in any record is found by reading the chain."""
    root = tmp_path_factory.mktemp("flip")
    manifests = Manifests(root)
    attempt(manifests, Step.PUBLISHED, Tier.WARM, 1, 1)
    for step in walk:
        attempt(manifests, *step)
    records = sorted((root / "candles").glob("0*.json"))
    chosen: Path = records[place % len(records)]
    content = bytearray(chosen.read_bytes())
    content[place % len(content)] ^= 1 << place % 7
    chosen.write_bytes(bytes(content))

    with pytest.raises(ManifestError):
        Manifests(root).catalog("candles")
